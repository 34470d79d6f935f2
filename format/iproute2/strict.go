package iproute2

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
)

// RefusalError says why a request is not carried out: the kernel would store
// something other than what was typed, or nothing of it. Each reason stands by
// itself.
type RefusalError struct{ Reasons []string }

// Error joins the reasons.
func (e *RefusalError) Error() string { return strings.Join(e.Reasons, "; ") }

// Strict returns the rule that was asked for, complete, or refuses: what the
// kernel would wrap, bend, ignore or fill in by itself is an error of type
// *[RefusalError] with every reason. What the kernel refuses on its own
// account is left to the kernel. Without a family option the addresses decide,
// and IPv4 if there are none. A delete is read as the add of the rule that is
// to go: see [RuleRequest.Is].
func (q RuleRequest) Strict() (rpdb.Rule, error) {
	r := q.asAdd()
	var reasons []string
	family, err := q.inferred()
	if err != nil {
		reasons = append(reasons, err.Error())
	}
	r.Family = family
	reasons = append(reasons, q.doubts...)
	reasons = append(reasons, q.refuseSelector()...)
	reasons = append(reasons, q.refuseAction(r)...)
	if len(reasons) > 0 {
		return rpdb.Rule{}, &RefusalError{Reasons: reasons}
	}
	return r, nil
}

// Is reports whether a rule of the kernel is the one that was asked for: equal
// in everything that it means, selectors, action, suppressors and realms. Its
// priority and its protocol count only if they were typed. A rule with
// attributes that this program does not know is never the one.
func (q RuleRequest) Is(r rpdb.Rule) bool {
	want := q.asAdd()
	want.Family, _ = q.inferred()
	if !q.given.Priority {
		want.Priority = r.Priority
	}
	if !q.Protocol.IsSet() {
		want.Protocol = r.Protocol
	}
	want.Flags = r.Flags
	return want.Canonical() == r.Canonical()
}

// asAdd is Rule with the action filled in that an add has without one.
func (q RuleRequest) asAdd() rpdb.Rule {
	r := q.Rule()
	if q.Delete && !q.given.Action {
		table := r.Action.Table()
		if !q.given.Table && !q.L3MDev {
			table = rpdb.TableMain
		}
		r.Action = rpdb.ToTable(table)
	}
	return r
}

// inferred returns the family: that of the options, else that of the addresses.
func (q RuleRequest) inferred() (rpdb.Family, error) {
	if q.familyGiven && q.Family.Bits() == 0 {
		return q.Family, fmt.Errorf("%v has no policy rules", q.Family)
	}
	from, _ := q.From.Get()
	to, _ := q.To.Get()
	f := rpdb.FamilyOf(from.Addr)
	if f == 0 {
		f = rpdb.FamilyOf(to.Addr)
	}
	if to := rpdb.FamilyOf(to.Addr); to != 0 && to != f {
		return q.Family, fmt.Errorf("from is %v and to is %v", f, to)
	}
	if nat, _ := q.NAT.Get(); f == 0 {
		f = nat.Family
	}
	if f == 0 || q.familyGiven {
		return q.Family, nil
	}
	return f, nil
}

// refuseSelector finds selectors that the kernel would not store.
func (q RuleRequest) refuseSelector() (reasons []string) {
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			reasons = append(reasons, fmt.Sprintf(format, args...))
		}
	}
	mark, hasMark := q.Mark.Get()
	mask, hasMask := q.MarkMask.Get()
	refuse(hasMark && mark == 0 && !hasMask, "fwmark 0 without a mask selects every packet: write 0/0xffffffff for packets without a mark")
	refuse(hasMask && mask == 0, "fwmark %s selects every packet: its mask is empty", masked(mark, mask, 0xffffffff))
	refuse(mark&^mask != 0 && hasMask && mask != 0, "fwmark %s: the kernel ignores the bits of the mark outside of the mask, and selects what %s does",
		masked(mark, mask, 0xffffffff), masked(mark&mask, mask, 0xffffffff))
	refuse(q.TunID == rpdb.Some[uint64](0), "tun_id 0 selects every packet")
	refuse(q.IPProto == rpdb.Some[rpdb.IPProto](0), "ipproto 0 selects every packet")
	if l, ok := q.FlowLabel.Get(); ok {
		refuse(l.Mask == 0, "flowlabel %s selects every packet: its mask is empty", masked(l.Value, l.Mask, 0xfffff))
	}
	if d, ok := q.DSCPMask.Get(); ok {
		refuse(d == 0, "dscp with an empty mask selects every packet")
	}
	for _, a := range []rpdb.Opt[RuleAddress]{q.From, q.To} {
		if a, ok := a.Get(); ok && a.Bits == 0 && a.Addr.IsValid() {
			refuse(!a.Addr.IsUnspecified(), "%v/0 selects every address", a.Addr)
		}
	}
	return reasons
}

// refuseAction finds actions that are none, or other ones than typed.
func (q RuleRequest) refuseAction(r rpdb.Rule) (reasons []string) {
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			reasons = append(reasons, fmt.Sprintf(format, args...))
		}
	}
	a := r.Action
	table := a.Type() == rpdb.ActionTable
	target, jumps := q.Goto.Get()
	refuse(q.nats > 0, "nat: the kernel has no route NAT, it would store a rule that drops the packets; \"rpdb rule add ... nat\", and a rule of a policy with the key nat, translate")
	refuse(q.NAT.IsSet() && (!table || q.L3MDev), "nat translates packets that a table leads on: name the table, and no other action")
	refuse(q.NAT.IsSet() && q.Realms.IsSet(), "realms: a rule with nat has a realm of its own, by which its packets are known")
	refuse(table && a.Table() == 0 && !q.L3MDev, "a rule without an action: the kernel would make up a table; give one, or nop")
	if q.given.Table && !table && q.nats == 0 {
		q.actions = append(q.actions, fmt.Sprintf("table %d", a.Table()))
	}
	named := slices.Compact(q.actions)
	refuse(len(named) > 1, "a rule has one action: %s", strings.Join(named, " or "))
	refuse(!table && (q.SuppressLen.IsSet() || q.SuppressGroup.IsSet()), "suppress_prefixlength and suppress_ifgroup count only for rules that look a table up")
	refuse(jumps && q.given.Priority && target <= r.Priority, "goto %d leads backward from %d: a goto leads to a greater priority", target, r.Priority)
	refuse(q.Realms.IsSet() && r.Realms != 0 && r.Family == rpdb.IPv6, "realms are for IPv4 only, IPv6 would drop them")
	if long, ok := q.LongTable.Get(); ok {
		refuse(q.Table != 0, "table %d would win over table %d", long, q.Table)
	}
	if _, ok := q.SuppressLen.Get(); ok && r.Family.Bits() > 0 {
		n, _ := r.Suppress.PrefixLength.Get()
		refuse(int(n) > r.Family.Bits(), "suppress_prefixlength %d: %v prefixes have at most %d bits", n, r.Family, r.Family.Bits())
	}
	return reasons
}
