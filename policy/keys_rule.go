package policy

import (
	"math"
	"net/netip"

	"rpdb"
)

// The keys of a rule, in the order of ip-rule(8).
func ruleFields() []field[Rule] {
	return append(ruleHeadFields(), append(selectorFields(), actionFields()...)...)
}

func ruleHeadFields() []field[Rule] {
	priority := unsigned[rpdb.Priority]("1 to 9999, or 30000 to 4294967295, but not 32766 and 32767", 0, math.MaxUint32)
	return []field[Rule]{
		{"name", "What messages and `goto` call it; unique", name().shape, false, one(name(), func(r *Rule) *string { return &r.Name })},
		{"family", "The family; by default that of `from`, `to` or `flowlabel`, else both", familyWord().shape, false, one(familyWord(), func(r *Rule) *rpdb.Family { return &r.Family })},
		{"priority", "Pins the rule at a number; by default the tool chooses one from 10000 to 29999 that fits its place in the list", priority.shape, false, optional(priority, func(r *Rule) *rpdb.Opt[rpdb.Priority] { return &r.Priority })},
		{"adopt", "Whose rule at this priority that means the same goes, as this one takes its place", adoptShape(), false, readAdopt(func(r *Rule) *[]Located[string] { return &r.Adopt })},
	}
}

func selectorFields() []field[Rule] {
	tun := unsigned[uint64]("1 to 18446744073709551615", 1, math.MaxUint64)
	return []field[Rule]{
		{"not", "Inverts all selectors of the rule together", boolean().shape, false, one(boolean(), func(r *Rule) *bool { return &r.Selector.Not })},
		{"from", "The source", prefix().shape, false, one(prefix(), func(r *Rule) *netip.Prefix { return &r.Selector.From })},
		{"to", "The destination", prefix().shape, false, one(prefix(), func(r *Rule) *netip.Prefix { return &r.Selector.To })},
		{"tos", "The TOS; IPv4 knows the bits 0x1c of it only", tos().shape, false, one(tos(), func(r *Rule) *uint8 { return &r.Selector.TOS })},
		{"dscp", "The DSCP", dscp().shape, false, optional(dscp(), func(r *Rule) *rpdb.Opt[rpdb.DSCP] { return &r.Selector.DSCP })},
		{"fwmark", "The firewall mark", fwmark().shape, false, one(fwmark(), func(r *Rule) *rpdb.Mark { return &r.Selector.Mark })},
		{"iif", "The interface that a packet came in by; lo: generated here", interfaceName().shape, false, one(interfaceName(), func(r *Rule) *rpdb.LinkName { return &r.Selector.IIF })},
		{"oif", "The interface that the sender is bound to", interfaceName().shape, false, one(interfaceName(), func(r *Rule) *rpdb.LinkName { return &r.Selector.OIF })},
		{"l3mdev", "Flows of any VRF; without another action, the VRF's own table is looked up", boolean().shape, false, one(boolean(), func(r *Rule) *bool { return &r.Selector.L3MDev })},
		{"uidrange", "The user of a local sender", uidRange().shape, false, optional(uidRange(), func(r *Rule) *rpdb.Opt[rpdb.UIDRange] { return &r.Selector.UIDRange })},
		{"ipproto", "The IP protocol", ipProto().shape, false, one(ipProto(), func(r *Rule) *rpdb.IPProto { return &r.Selector.IPProto })},
		{"sport", "The source port", ports().shape, false, one(ports(), func(r *Rule) *rpdb.Ports { return &r.Selector.SPort })},
		{"dport", "The destination port", ports().shape, false, one(ports(), func(r *Rule) *rpdb.Ports { return &r.Selector.DPort })},
		{"flowlabel", "The IPv6 flow label", flowLabel().shape, false, one(flowLabel(), func(r *Rule) *rpdb.FlowLabel { return &r.Selector.FlowLabel })},
		{"tun_id", "The id of the tunnel that a packet came out of", tun.shape, false, one(tun, func(r *Rule) *uint64 { return &r.Selector.TunID })},
	}
}

func actionFields() []field[Rule] {
	length := unsigned[int32]("0 to 32, for IPv6 alone 0 to 128", 0, 128)
	table := reference("the name or number of a table", 1, math.MaxUint32)
	target := reference("the name of a later rule, or a priority", 1, math.MaxUint32)
	group := reference("the name or number of an interface group", 0, math.MaxUint32)
	return []field[Rule]{
		{"lookup", "Looks a table up; a miss goes on with the next rule", table.shape, false, placed(table, func(r *Rule) *Located[string] { return &r.Lookup })},
		{"table", "The same as `lookup`", table.shape, false, placed(table, func(r *Rule) *Located[string] { return &r.Lookup })},
		{"goto", "Goes on at a later rule", target.shape, false, placed(target, func(r *Rule) *Located[string] { return &r.Goto })},
		{"action", "Goes on, or ends the walk: silently, as unreachable, or as prohibited", actionWord().shape, false, one(actionWord(), func(r *Rule) *rpdb.Action { return &r.Action })},
		{"suppress_prefixlength", "Refuses what `lookup` finds if its prefix is this long or shorter; 0: default routes", length.shape, false, optional(length, func(r *Rule) *rpdb.Opt[int32] { return &r.SuppressPrefixLength })},
		{"suppress_ifgroup", "Refuses what `lookup` finds if it leaves by an interface of this group", group.shape, false, placed(group, func(r *Rule) *Located[string] { return &r.SuppressIfGroup })},
		{"realms", "The realms of what `lookup` finds, IPv4 only", realmsText().shape, false, placed(realmsText(), func(r *Rule) *Located[string] { return &r.Realms })},
		{"nat", "Translates the source of forwarded packets that `lookup` leads on", natShape(), false, readNAT},
		{"map-to", "The same as `nat`", natShape(), false, readNAT},
	}
}

func actionWord() scalar[rpdb.Action] {
	actions := map[string]rpdb.Action{
		"nop": rpdb.Nop(), "blackhole": rpdb.Blackhole(), "unreachable": rpdb.Unreachable(), "prohibit": rpdb.Prohibit(),
	}
	words := []string{"nop", "blackhole", "unreachable", "prohibit"}
	return word("an action", words, func(w string) rpdb.Action { return actions[w] })
}
