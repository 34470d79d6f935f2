package kernel

import (
	"fmt"

	"rpdb"
	"rpdb/kernel/netlink"
)

// missingInRule names what the kernel dropped from the rule that was meant,
// and the first version of Linux that keeps it.
func missingInRule(meant, stored rpdb.Rule) (feature, since string) {
	m, s := meant.Canonical(), stored.Canonical()
	a, b := m.Selector, s.Selector
	dscpA, _ := a.DSCP.Get()
	dscpB, _ := b.DSCP.Get()
	for _, f := range []struct {
		lost           bool
		feature, since string
	}{
		{a.DSCP.IsSet() && !b.DSCP.IsSet(), "dscp", "6.12"},
		{dscpA.Mask != dscpB.Mask, "the mask of dscp", "6.15"},
		{a.FlowLabel != b.FlowLabel, "flowlabel", "6.14"},
		{a.SPort.Mask != b.SPort.Mask && a.SPort.First == b.SPort.First, "the mask of sport", "6.15"},
		{a.DPort.Mask != b.DPort.Mask && a.DPort.First == b.DPort.First, "the mask of dport", "6.15"},
		{a.SPort != b.SPort, "sport", "4.17"},
		{a.DPort != b.DPort, "dport", "4.17"},
		{a.IPProto != b.IPProto, "ipproto", "4.17"},
		{a.UIDRange != b.UIDRange, "uidrange", "4.10"},
		{a.L3MDev != b.L3MDev, "l3mdev", "4.8"},
		{a.TunID != b.TunID, "tun_id", "4.3"},
		{m.Suppress.PrefixLength != s.Suppress.PrefixLength, "suppress_prefixlength", "3.12"},
		{m.Suppress.IfGroup != s.Suppress.IfGroup, "suppress_ifgroup", "3.12"},
		{a.OIF != b.OIF, "oif", "2.6.33"},
		{m.Protocol != s.Protocol, "protocol", "4.17"},
		{m.Realms != s.Realms, "realms", ""},
	} {
		if f.lost {
			return f.feature, f.since
		}
	}
	if m.Unknown != s.Unknown {
		return firstAttribute(m.Unknown), ""
	}
	return "an attribute of the rule", ""
}

// missingInRoute is missingInRule for a route.
func missingInRoute(meant, stored rpdb.Route) (feature, since string) {
	for _, f := range []struct {
		lost           bool
		feature, since string
	}{
		{meant.NexthopID != stored.NexthopID, "nhid", "5.3"},
		{meant.Pref != stored.Pref, "pref", "4.1"},
		{meant.TOS != stored.TOS, "tos", ""},
		{meant.Src != stored.Src, "the source prefix (option IPV6_SUBTREES)", ""},
		{meant.Realms != stored.Realms, "realms (option IP_ROUTE_CLASSID)", ""},
		{meant.PrefSrc != stored.PrefSrc, "src", ""},
		{len(meant.Metrics) != len(stored.Metrics), "a metric", ""},
		{len(meant.Nexthops) != len(stored.Nexthops), "nexthops", ""},
	} {
		if f.lost {
			return f.feature, f.since
		}
	}
	if meant.Unknown != stored.Unknown {
		return firstAttribute(meant.Unknown), ""
	}
	return "an attribute of the route", ""
}

// firstAttribute names the first of raw attributes by its number.
func firstAttribute(raw rpdb.Raw) string {
	d := netlink.NewDecoder([]byte(raw))
	if !d.Next() {
		return "an attribute"
	}
	return fmt.Sprintf("attribute %d", d.Type())
}
