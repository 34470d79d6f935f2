package iproute2

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

// RuleView says how a listing of rules looks. The zero value is ip's own
// default, with built-in names only and escaped interface names. It is not
// modified by its methods, but State is.
type RuleView struct {
	Names   rpdb.Names
	Numeric bool    // numbers in place of names, as ip -N
	Details bool    // also the originators that are not shown by default, as ip -d
	Raw     bool    // interface names and names of files byte for byte, as ip prints them
	Deleted bool    // the rule is gone: "Deleted " in front
	Family  bool    // the family in front, "IPv4 " or "IPv6 ", which ip never says
	Color   Palette // of addresses and interface names
	// State, if not nil, makes names depend on what was listed before, as they
	// do in a process of ip. The rules of one run share one.
	State *NameState
	// IPProto returns the name of an IP protocol, "" if it has none. Nil knows
	// the names that distributions ship.
	IPProto func(rpdb.IPProto) string
}

// NameState remembers which of its files a process of ip has read. It answers
// some numbers from built-in tables as long as it has not read the file: realm
// 0 is "unknown" and DSCP 0 is "0" until another value makes it read. The zero
// value has read nothing. It is not safe for concurrent use.
type NameState struct {
	namesRead

	protocol rpdb.Protocol // the one asked for last, and its built-in name
	name     string
}

// namesRead says which files were read. It is comparable.
type namesRead struct{ protocols, realms, dsfields, scopes bool }

// Read notes that one of ip's files was read, "rt_dsfield" for example, because
// a name was typed that may be in it.
func (s *NameState) Read(file string) {
	switch file {
	case "rt_protos":
		s.protocols = true
	case "rt_realms":
		s.realms = true
	case "rt_dsfield":
		s.dsfields = true
	case "rt_scopes":
		s.scopes = true
	}
}

// Rule returns the line of `ip rule show` for a rule, without the newline:
// "PRIORITY:", a tab, and [RuleText].
func Rule(r rpdb.Rule, n rpdb.Names) string { return RuleView{Names: n}.Rule(r) }

// RuleText returns the listing of a rule without its priority, as in
// "from 10.0.0.1 lookup 100".
func RuleText(r rpdb.Rule, n rpdb.Names) string { return RuleView{Names: n}.Text(r) }

// Rule returns the line of `ip rule show`, without the newline.
func (v RuleView) Rule(r rpdb.Rule) string { return string(NewRuleLister(v).AppendText(nil, &r)) }

// Text returns the line without what stands in front of the tab.
func (v RuleView) Text(r rpdb.Rule) string {
	_, text, _ := strings.Cut(v.Rule(r), ":\t")
	return text
}

// safe makes a name fit for a terminal, unless the view is raw.
func (v RuleView) safe(name string) string {
	if v.Raw {
		return name
	}
	return escape(name)
}

func (v RuleView) number(n uint64, name string) string {
	if v.Numeric {
		return strconv.FormatUint(n, 10)
	}
	return name
}

// tableName returns the name of a table, "" if it is shown as a number.
func (v RuleView) tableName(t rpdb.TableID) string {
	switch name := v.Names.Tables[t]; {
	case v.Numeric:
	case name != "":
		return name
	case rpdb.TableDefault <= t && t <= rpdb.TableLocal: // have built-in names
		return v.Names.Table(t)
	}
	return ""
}

func (v RuleView) group(g uint32) string {
	if v.Numeric {
		return decimal(g)
	}
	return v.Names.Group(g)
}

func (v RuleView) protocol(p rpdb.Protocol) string {
	if v.Numeric {
		return decimal(p)
	}
	s := v.State
	if s == nil {
		return v.Names.Protocol(p)
	}
	if s.protocol != p || s.name == "" { // rules of one originator come together
		s.protocol, s.name = p, rpdb.Names{}.Protocol(p)
	}
	if !s.protocols && digit(s.name[0]) > 9 {
		return s.name
	}
	s.protocols = true
	if name := v.Names.Protocols[p]; name != "" {
		return name
	}
	return s.name
}

// scope returns the name of a scope.
func (v RuleView) scope(n rpdb.Scope) string {
	switch builtin := n.String(); {
	case v.Numeric:
		return decimal(n)
	case v.State == nil:
	case !v.State.scopes && digit(builtin[0]) > 9:
		return builtin
	default:
		v.State.scopes = true
	}
	return v.Names.Scope(n)
}

// realm returns the name of a realm; ip has names for the first 256 only.
func (v RuleView) realm(n uint16) string {
	switch s := v.State; {
	case v.Numeric || n > 255:
		return decimal(n)
	case s != nil && n == 0 && (!s.realms || v.Names.Realms[0] == ""):
		return "unknown"
	case s != nil:
		s.realms = true
	}
	return v.Names.Realm(n)
}

// dsName returns the name of a DS field, "" if it has none.
func (v RuleView) dsName(field uint8) string {
	switch s := v.State; {
	case v.Numeric:
		return ""
	case s != nil && field == 0 && (!s.dsfields || v.Names.DSFields[0] == ""):
		return "0"
	case s != nil:
		s.dsfields = true
	}
	return v.Names.DSFields[field]
}

func (v RuleView) dsfield(tos uint8) string {
	if name := v.dsName(tos); name != "" {
		return name
	}
	return fmt.Sprintf("0x%02x", tos)
}

func (v RuleView) dscp(value uint8) string {
	if name := v.dsName(value << 2); name != "" && value < 64 {
		return name
	}
	return decimal(value)
}

func (v RuleView) ipProto(p rpdb.IPProto) string {
	if !v.Numeric && v.IPProto == nil {
		return IPProto(p)
	}
	if !v.Numeric {
		if name := v.IPProto(p); name != "" {
			return name
		}
	}
	return "ipproto-" + decimal(p)
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
	return "0x" + strconv.FormatUint(uint64(n), 16)
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
		return address(p.Addr())
	}
	return address(p.Addr()) + "/" + strconv.Itoa(p.Bits())
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
