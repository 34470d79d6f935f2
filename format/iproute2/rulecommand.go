package iproute2

import (
	"fmt"

	"rpdb"
)

// RuleCommand returns the command that makes or deletes a rule, in full, as
// in "ip -4 rule add pref 1001 from 10.10.0.10 lookup 1001 protocol 82". It
// can be pasted into a shell, and [ParseRule] reads it back. A delete carries
// every part of the rule that the kernel compares. Rules cannot be replaced:
// [rpdb.Replace] is written as an add.
//
// ip has no word for the permanent flag, the find-saddr flag and unknown
// attributes; they are left out.
func RuleCommand(op rpdb.ChangeOp, r rpdb.Rule, n rpdb.Names) string {
	w := words{}
	w.add("ip", r.Family.Flag(), "rule", verb(op, false))
	w.addf("pref", "%d", r.Priority)
	selectorWords(&w, r.Selector)
	actionWords(&w, r, n)
	if r.Protocol != rpdb.ProtocolUnspec {
		w.add("protocol", protocolWord(r.Protocol, n))
	}
	return w.String()
}

func verb(op rpdb.ChangeOp, replaceable bool) string {
	switch {
	case op == rpdb.Delete:
		return "del"
	case op == rpdb.Replace && replaceable:
		return "replace"
	}
	return "add"
}

func selectorWords(w *words, s rpdb.Selector) {
	if s.Not {
		w.add("not")
	}
	if s.From.IsValid() && s.From.Bits() > 0 {
		w.add("from", prefixText(s.From, "all"))
	}
	if s.To.IsValid() && s.To.Bits() > 0 {
		w.add("to", prefixText(s.To, "all"))
	}
	if s.TOS != 0 {
		w.addf("tos", "0x%02x", s.TOS)
	}
	if d, ok := s.DSCP.Get(); ok && d.Mask == 0x3f {
		w.addf("dscp", "%d", d.Value)
	} else if ok {
		w.add("dscp", hex(uint32(d.Value))+"/"+hex(uint32(d.Mask)))
	}
	switch m := s.Mark; {
	case m == (rpdb.Mark{}):
	case m.Value == 0: // a bare 0 would mean no mask
		w.add("fwmark", "0/"+hex(m.Mask))
	default:
		w.add("fwmark", masked(m.Value, m.Mask, 0xffffffff))
	}
	if s.IIF != "" {
		w.add("iif", quote(string(s.IIF)))
	}
	if s.OIF != "" {
		w.add("oif", quote(string(s.OIF)))
	}
	moreSelectorWords(w, s)
}

func moreSelectorWords(w *words, s rpdb.Selector) {
	if s.L3MDev {
		w.add("l3mdev")
	}
	if u, ok := s.UIDRange.Get(); ok {
		w.addf("uidrange", "%d-%d", u.First, u.Last)
	}
	if name := ipProtoNames[s.IPProto]; s.IPProto != 0 && name != "" {
		w.add("ipproto", name)
	} else if s.IPProto != 0 {
		w.addf("ipproto", "%d", s.IPProto)
	}
	if s.SPort != (rpdb.Ports{}) {
		w.add("sport", portsText(s.SPort))
	}
	if s.DPort != (rpdb.Ports{}) {
		w.add("dport", portsText(s.DPort))
	}
	if l := s.FlowLabel; l != (rpdb.FlowLabel{}) {
		w.add("flowlabel", masked(l.Value, l.Mask, 0xfffff))
	}
	if s.TunID != 0 {
		w.addf("tun_id", "%d", s.TunID)
	}
}

func actionWords(w *words, r rpdb.Rule, n rpdb.Names) {
	a := r.Action
	if t := a.Table(); t != 0 {
		w.add("lookup", tableWord(t, n))
	} else if a.Type() == rpdb.ActionTable && !r.Selector.L3MDev {
		w.add("lookup", "0")
	}
	if length, ok := r.Suppress.PrefixLength.Get(); ok {
		w.addf("suppress_prefixlength", "%d", length)
	}
	if g, ok := r.Suppress.IfGroup.Get(); ok {
		w.addf("suppress_ifgroup", "%d", g)
	}
	if r.Realms != 0 {
		w.add("realms", realmsWord(r.Realms))
	}
	switch a.Type() {
	case rpdb.ActionTable:
	case rpdb.ActionGoto:
		w.addf("goto", "%d", a.Target())
	case rpdb.ActionNop, rpdb.ActionBlackhole, rpdb.ActionUnreachable, rpdb.ActionProhibit:
		w.add(a.Type().String())
	default:
		// "type" takes a number, so no word with a meaning of its own is needed.
		w.addf("type", "%d", a.Type())
	}
}

// realmsWord writes a pair if both fit the 8 bits that ip reads, else the
// number that holds both.
func realmsWord(r rpdb.Realms) string {
	switch {
	case r.From() > 255 || r.To() > 255:
		return fmt.Sprint(uint32(r))
	case r.From() == 0:
		return fmt.Sprint(r.To())
	}
	return fmt.Sprintf("%d/%d", r.From(), r.To())
}

// tableWord writes the name of a table if that name leads back to it and
// needs no quoting, else the number.
func tableWord(t rpdb.TableID, n rpdb.Names) string {
	name := n.Table(t)
	if back, ok := n.TableByName(name); ok && back == t && isPlain(name) && name != "unspec" {
		return name
	}
	number := fmt.Sprint(uint32(t))
	if back, _ := n.TableByName(number); back != t { // a name that looks like this number
		return hex(uint32(t))
	}
	return number
}

func protocolWord(p rpdb.Protocol, n rpdb.Names) string {
	name := n.Protocol(p)
	if back, ok := n.ProtocolByName(name); ok && back == p && isPlain(name) {
		return name
	}
	return fmt.Sprint(uint8(p))
}
