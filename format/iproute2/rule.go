package iproute2

import (
	"fmt"
	"net/netip"
	"strings"

	"rpdb"
)

// RuleView says how a listing line of a rule looks. The zero value is ip's
// own default, with built-in names only and escaped interface names.
type RuleView struct {
	Names   rpdb.Names
	Numeric bool // numbers in place of names, as ip -N
	Details bool // also the originators that are not shown by default, as ip -d
	Raw     bool // interface names byte for byte, as ip prints them
}

// Rule returns the line of `ip rule show` for a rule, without the newline:
// "PRIORITY:", a tab, and [RuleText].
func Rule(r rpdb.Rule, n rpdb.Names) string { return RuleView{Names: n}.Rule(r) }

// RuleText returns the listing of a rule without its priority, as in
// "from 10.0.0.1 lookup 100".
func RuleText(r rpdb.Rule, n rpdb.Names) string { return RuleView{Names: n}.Text(r) }

// Rule returns the line of `ip rule show`, without the newline.
func (v RuleView) Rule(r rpdb.Rule) string { return fmt.Sprintf("%d:\t%s", r.Priority, v.Text(r)) }

// Text returns the line without the priority and the tab.
func (v RuleView) Text(r rpdb.Rule) string {
	w := words{}
	if r.Selector.Not {
		w.add("not")
	}
	v.addresses(&w, r.Selector)
	v.selectors(&w, r)
	v.action(&w, r)
	if p := r.Protocol; v.Details || (p != rpdb.ProtocolUnspec && p != rpdb.ProtocolKernel) {
		w.add("proto", v.number(uint64(p), v.Names.Protocol(p)))
	}
	if d, ok := r.Selector.DSCP.Get(); ok {
		w.add("dscp", v.dscp(d))
	}
	if l := r.Selector.FlowLabel; l != (rpdb.FlowLabel{}) {
		w.add("flowlabel", masked(l.Value, l.Mask, 0xfffff))
	}
	return w.String()
}

func (v RuleView) addresses(w *words, s rpdb.Selector) {
	w.add("from", prefixText(s.From, "all"))
	if s.To.IsValid() && s.To.Bits() > 0 {
		w.add("to", prefixText(s.To, "all"))
	}
	if s.TOS != 0 {
		w.add("tos", v.dsfield(s.TOS))
	}
	if s.Mark != (rpdb.Mark{}) {
		w.add("fwmark", masked(s.Mark.Value, s.Mark.Mask, 0xffffffff))
	}
}

func (v RuleView) selectors(w *words, r rpdb.Rule) {
	s := r.Selector
	v.link(w, "iif", s.IIF, r.Flags&rpdb.RuleIIFDetached != 0)
	v.link(w, "oif", s.OIF, r.Flags&rpdb.RuleOIFDetached != 0)
	if s.L3MDev {
		w.add("lookup", "[l3mdev-table]")
	}
	if u, ok := s.UIDRange.Get(); ok {
		w.addf("uidrange", "%d-%d", u.First, u.Last)
	}
	if s.IPProto != 0 {
		name := IPProto(s.IPProto)
		if v.Numeric {
			name = fmt.Sprintf("ipproto-%d", s.IPProto)
		}
		w.add("ipproto", name)
	}
	if s.SPort != (rpdb.Ports{}) {
		w.add("sport", portsText(s.SPort))
	}
	if s.DPort != (rpdb.Ports{}) {
		w.add("dport", portsText(s.DPort))
	}
	if s.TunID != 0 {
		w.addf("tun_id", "%d", s.TunID)
	}
}

func (v RuleView) link(w *words, key string, name rpdb.LinkName, detached bool) {
	if name == "" {
		return
	}
	w.add(key, linkText(name, v.Raw))
	if detached {
		w.add("[detached]")
	}
}

// action prints the table with its suppressors, which ip leaves out for rules
// without a table, and the action.
func (v RuleView) action(w *words, r rpdb.Rule) {
	if t := r.Action.Table(); t != 0 {
		w.add("lookup", v.number(uint64(t), v.Names.Table(t)))
		if n, ok := r.Suppress.PrefixLength.Get(); ok {
			w.addf("suppress_prefixlength", "%d", n)
		}
		if g, ok := r.Suppress.IfGroup.Get(); ok {
			w.add("suppress_ifgroup", v.number(uint64(g), v.Names.Group(g)))
		}
	}
	if r.Realms != 0 {
		w.add("realms", v.realms(r.Realms))
	}
	switch typ := r.Action.Type(); typ {
	case rpdb.ActionTable:
	case rpdb.ActionNAT:
		w.add("masquerade")
	case rpdb.ActionGoto:
		w.addf("goto", "%d", r.Action.Target())
		if r.Flags&rpdb.RuleUnresolved != 0 {
			w.add("[unresolved]")
		}
	case rpdb.ActionNop:
		w.add("nop")
	default:
		// The action byte shares its numbers with the types of routes.
		w.add(v.number(uint64(typ), rpdb.RouteType(typ).String()))
	}
}

func (v RuleView) number(n uint64, name string) string {
	if v.Numeric {
		return fmt.Sprint(n)
	}
	return escape(name)
}

func (v RuleView) realms(r rpdb.Realms) string {
	to := v.number(uint64(r.To()), v.Names.Realm(r.To()))
	if r.From() == 0 {
		return to
	}
	return v.number(uint64(r.From()), v.Names.Realm(r.From())) + "/" + to
}

func (v RuleView) dsfield(tos uint8) string {
	if name := v.Names.DSFields[tos]; name != "" && !v.Numeric {
		return escape(name)
	}
	return fmt.Sprintf("0x%02x", tos)
}

func (v RuleView) dscp(d rpdb.DSCP) string {
	name := v.Names.DSFields[d.Value<<2]
	switch {
	case d.Mask != 0x3f:
		return fmt.Sprintf("%s/%s", hex(uint32(d.Value)), hex(uint32(d.Mask)))
	case name != "" && !v.Numeric:
		return escape(name)
	}
	return fmt.Sprint(d.Value)
}

// words is a line under construction: words with a blank between.
type words struct{ strings.Builder }

func (w *words) add(list ...string) {
	for _, word := range list {
		if w.Len() > 0 {
			w.WriteByte(' ')
		}
		w.WriteString(word)
	}
}

// addf adds a keyword, unless it is empty, and a formatted word.
func (w *words) addf(key, format string, values ...any) {
	if key != "" {
		w.add(key)
	}
	w.add(fmt.Sprintf(format, values...))
}

// hex prints as %#x of C does, which leaves zero without its prefix.
func hex(n uint32) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%#x", n)
}

// masked prints a value and, unless it is the full one, its mask.
func masked(value, mask, full uint32) string {
	if mask == full {
		return hex(value)
	}
	return hex(value) + "/" + hex(mask)
}

// prefixText prints a prefix without a full length, and one of length 0 as
// the given word.
func prefixText(p netip.Prefix, zero string) string {
	switch {
	case !p.IsValid() || p.Bits() == 0:
		return zero
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func portsText(p rpdb.Ports) string {
	switch {
	case p.First != p.Last:
		return fmt.Sprintf("%d-%d", p.First, p.Last)
	case p.Mask != 0 && p.Mask != 0xffff:
		return hex(uint32(p.First)) + "/" + hex(uint32(p.Mask))
	}
	return fmt.Sprint(p.First)
}

func linkText(name rpdb.LinkName, raw bool) string {
	if raw {
		return string(name)
	}
	return escape(string(name))
}
