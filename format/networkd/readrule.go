package networkd

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"rpdb"
)

// ruleReader collects what one [RoutingPolicyRule] says.
type ruleReader struct {
	*reader
	rule     rpdb.Rule
	families []rpdb.Family // of Family=
	table    rpdb.TableID
	priority rpdb.Opt[rpdb.Priority]
	action   string // of Type=
	target   rpdb.Priority
}

// rule reads a section, which is one rule or, for both families, two.
func (r *reader) rule(s section) {
	b := &ruleReader{reader: r, table: rpdb.TableMain, rule: rpdb.Rule{Protocol: rpdb.ProtocolStatic}}
	before := len(r.errs)
	for _, a := range r.distinct(s) {
		set, ok := ruleKeys()[a.key]
		if !ok {
			r.refuseAt(s, a, errors.New("[RoutingPolicyRule] has no such key"))
			continue
		}
		r.refuseAt(s, a, set(b, a.value))
	}
	if len(r.errs) > before {
		return
	}
	families, err := b.finish()
	if err != nil {
		r.refuse(s.file, s.line, "section", s.name, err.Error())
		return
	}
	for _, f := range families {
		b.rule.Family = f
		r.snapshot.Rules = append(r.snapshot.Rules, b.rule)
	}
}

// distinct returns the assignments of a section that have a value, and refuses the
// others. Every key but those of lists may stand once.
func (r *reader) distinct(s section, lists ...string) (valued []assignment) {
	seen := map[string]bool{}
	for _, l := range lists {
		seen[l] = false
	}
	for _, a := range s.assignments {
		isList := len(lists) > 0 && a.key == lists[0]
		switch {
		case a.value == "":
			r.refuseAt(s, a, errors.New("it has no value"))
		case seen[a.key] && !isList:
			r.refuseAt(s, a, errors.New("it is there twice, and networkd takes the last"))
		}
		seen[a.key] = true
		if a.value != "" {
			valued = append(valued, a)
		}
	}
	if len(s.assignments) == 0 {
		r.refuse(s.file, s.line, "section", s.name, "it says nothing")
	}
	return valued
}

func ruleKeys() map[string]func(*ruleReader, string) error {
	return map[string]func(*ruleReader, string) error{
		"Family":                 (*ruleReader).setFamily,
		"Priority":               (*ruleReader).setPriority,
		"From":                   func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.From, v, prefix) },
		"To":                     func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.To, v, prefix) },
		"FirewallMark":           func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.Mark, v, mark) },
		"TypeOfService":          func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.TOS, v, upTo[uint8](255)) },
		"IncomingInterface":      func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.IIF, v, linkName) },
		"OutgoingInterface":      func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.OIF, v, linkName) },
		"SourcePort":             func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.SPort, v, ports) },
		"DestinationPort":        func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.DPort, v, ports) },
		"IPProtocol":             func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.IPProto, v, ipProtocol) },
		"InvertRule":             func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.Not, v, boolean) },
		"L3MasterDevice":         func(b *ruleReader, v string) error { return setTo(&b.rule.Selector.L3MDev, v, boolean) },
		"User":                   (*ruleReader).setUser,
		"SuppressPrefixLength":   func(b *ruleReader, v string) error { return setOpt(&b.rule.Suppress.PrefixLength, v, upTo[int32](128)) },
		"SuppressInterfaceGroup": func(b *ruleReader, v string) error { return setOpt(&b.rule.Suppress.IfGroup, v, upTo[uint32](1<<31-1)) },
		"Table":                  func(b *ruleReader, v string) error { return setTo(&b.table, v, b.reader.table) },
		"Type":                   (*ruleReader).setType,
		"GoTo":                   func(b *ruleReader, v string) error { return setTo(&b.target, v, target) },
	}
}

func setTo[T any](to *T, value string, read func(string) (T, error)) (err error) {
	*to, err = read(value)
	return err
}

func setOpt[T comparable](to *rpdb.Opt[T], value string, read func(string) (T, error)) error {
	v, err := read(value)
	*to = rpdb.Some(v)
	return err
}

func upTo[T ~uint8 | ~uint16 | ~uint32 | ~int32](high uint64) func(string) (T, error) {
	return func(value string) (T, error) { return number[T](value, 0, high) }
}

func target(value string) (rpdb.Priority, error) { return number[rpdb.Priority](value, 1, 1<<32-1) }

// mark reads "7" or "7/255". networkd makes no mask of a mark 0 without one.
func mark(value string) (rpdb.Mark, error) {
	text, maskText, masked := strings.Cut(value, "/")
	m := rpdb.Mark{Mask: 1<<32 - 1}
	var err error
	if m.Value, err = number[uint32](text, 0, 1<<32-1); err == nil && masked {
		m.Mask, err = number[uint32](maskText, 0, 1<<32-1)
	}
	switch {
	case err != nil:
		return rpdb.Mark{}, errors.New("it is no mark, as in 7 or 7/255")
	case m.Value == 0 && !masked, m.Mask == 0:
		return rpdb.Mark{}, errors.New("it matches every mark: leave it out, or give a mask")
	}
	return m, nil
}

func (b *ruleReader) setFamily(value string) error {
	switch value {
	case "ipv4":
		b.families = []rpdb.Family{rpdb.IPv4}
	case "ipv6":
		b.families = []rpdb.Family{rpdb.IPv6}
	case "both":
		both := rpdb.Families()
		b.families = both[:]
	default:
		return errors.New("it is none of ipv4, ipv6, both")
	}
	return nil
}

func (b *ruleReader) setPriority(value string) error {
	return setOpt(&b.priority, value, upTo[rpdb.Priority](1<<32-1))
}

func (b *ruleReader) setUser(value string) error {
	if value[0] < '0' || value[0] > '9' {
		return errors.New("which number the user has is not known here")
	}
	first, last, err := span[uint32](value, 0, 1<<32-2)
	if err == nil && (isNoUser(first) || isNoUser(last)) {
		err = errors.New("networkd takes 65535 for no user, and would leave the selector out")
	}
	b.rule.Selector.UIDRange = rpdb.Some(rpdb.UIDRange{First: first, Last: last})
	return err
}

// isNoUser reports whether networkd does not take a number for that of a user.
func isNoUser(uid uint32) bool { return uid == 65535 || uid == 1<<32-1 }

func (b *ruleReader) setType(value string) error {
	switch value {
	case "table", "goto", "nop", "blackhole", "unreachable", "prohibit":
		b.action = value
		return nil
	}
	return errors.New("it is none of table, goto, nop, blackhole, unreachable, prohibit")
}

// finish puts the rule together and returns its families.
func (b *ruleReader) finish() ([]rpdb.Family, error) {
	var ok bool
	if b.rule.Priority, ok = b.priority.Get(); !ok {
		return nil, errors.New("it has no Priority=, and networkd then takes one that is free when it starts")
	}
	if err := b.finishAction(); err != nil {
		return nil, err
	}
	return familiesOf(b.families, b.rule.Selector.From, b.rule.Selector.To)
}

// finishAction makes the action of Type=, GoTo= and Table=.
func (b *ruleReader) finishAction() error {
	isGoto := b.action == "goto" || b.action == "" && b.target != 0
	switch {
	case isGoto && b.target == 0:
		return errors.New("a goto needs GoTo=")
	case isGoto && b.target <= b.rule.Priority:
		return fmt.Errorf("GoTo=%d is not behind Priority=%d", b.target, b.rule.Priority)
	case !isGoto && b.target != 0:
		return fmt.Errorf("GoTo= has no meaning beside Type=%s", b.action)
	case isGoto:
		b.rule.Action = rpdb.Goto(b.target)
		return nil
	}
	switch b.action {
	case "nop":
		b.rule.Action = rpdb.Nop()
	case "blackhole":
		b.rule.Action = rpdb.Blackhole()
	case "unreachable":
		b.rule.Action = rpdb.Unreachable()
	case "prohibit":
		b.rule.Action = rpdb.Prohibit()
	default:
		if b.rule.Selector.L3MDev { // its table is that of the VRF
			b.table = rpdb.TableUnspec
		}
		b.rule.Action = rpdb.ToTable(b.table)
	}
	return nil
}

// familiesOf returns the families of what says them, or has prefixes of one.
func familiesOf(said []rpdb.Family, prefixes ...netip.Prefix) ([]rpdb.Family, error) {
	var found rpdb.Family
	for _, p := range prefixes {
		if !p.IsValid() {
			continue
		}
		f := rpdb.FamilyOf(p.Addr())
		if found != 0 && found != f {
			return nil, errors.New("its addresses are of two families")
		}
		found = f
	}
	switch {
	case found == 0 && said == nil:
		return []rpdb.Family{rpdb.IPv4}, nil
	case found == 0:
		return said, nil
	case len(said) == 2, len(said) == 1 && said[0] != found:
		return nil, errors.New("its addresses are of another family than Family= says")
	}
	return []rpdb.Family{found}, nil
}
