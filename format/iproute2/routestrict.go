package iproute2

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
)

// Strict returns the route that was asked for, complete, or refuses: what the
// kernel would bend, cut or ignore is an error of type *[RefusalError] with
// every reason. What the kernel refuses on its own account is left to the
// kernel. A delete is read as the add of the route that is to go: see
// [RouteRequest.Is].
func (q RouteRequest) Strict() (rpdb.Route, error) {
	r := q.asAdd()
	var s refusals
	s.refuse(q.Family.Bits() == 0, "%s has routes of another kind than IPv4 and IPv6", familyWord(q.Family))
	s = append(s, q.doubts...)
	q.refuseKey(&s)
	switch q.Family {
	case rpdb.IPv4:
		q.refuseIPv4(&s)
	case rpdb.IPv6:
		q.refuseIPv6(&s)
	}
	q.refuseHops(&s)
	q.refuseTunnels(&s)
	q.refuseMetrics(&s)
	if len(s) > 0 {
		return rpdb.Route{}, &RefusalError{Reasons: s}
	}
	return r, nil
}

// refusals are the reasons why a request is not carried out.
type refusals []string

func (s *refusals) refuse(bad bool, format string, args ...any) {
	if bad {
		*s = append(*s, fmt.Sprintf(format, args...))
	}
}

// asAdd is Route with what an add fills in, also for a delete.
func (q RouteRequest) asAdd() rpdb.Route {
	if !q.Deletes() {
		return q.Route()
	}
	q.Verb = RouteAdd
	if !q.Typed("type") {
		q.Type = rpdb.RouteUnicast
	}
	if !q.Typed("scope") {
		q.Scope = q.scope()
	}
	if !q.Typed("protocol") {
		q.Protocol = rpdb.ProtocolBoot
	}
	return q.Route()
}

// Is reports whether a route of the kernel is the one that was asked for: equal
// in everything that it means. Its metric, its protocol and its scope count
// only if they were typed, and so does its type in a delete. A route with
// attributes that this program does not know is never the one.
func (q RouteRequest) Is(r rpdb.Route) bool {
	want := q.asAdd()
	if !q.Typed("metric") {
		want.Metric = r.Metric
	}
	if !q.Typed("protocol") {
		want.Protocol = r.Protocol
	}
	if !q.Typed("scope") {
		want.Scope = r.Scope
	}
	if q.Deletes() && !q.Typed("type") {
		want.Type = r.Type
	}
	return withPlainTunnels(want).Equal(withPlainTunnels(r))
}

// withPlainTunnels returns the route with its tunnels in a form that can be
// compared.
func withPlainTunnels(r rpdb.Route) rpdb.Route {
	r.Nexthops = slices.Clone(r.Nexthops)
	for i, n := range r.Nexthops {
		r.Nexthops[i].Encap = plainTunnel(n)
	}
	return r
}

// plainTunnel returns the attributes of a tunnel in the order of their numbers
// and without those that the kernel adds: it lists what is zero though nobody
// asked for it, and counts.
func plainTunnel(n rpdb.Nexthop) rpdb.Raw {
	var list []string
	for rest := string(n.Encap); ; {
		typ, value, next, ok := nextAttribute(rest)
		if !ok {
			break
		}
		rest = next
		counts := n.EncapType == encapSeg6Local && typ == localCounters
		if counts {
			value = "counts"
		}
		if strings.Trim(value, "\x00") != "" {
			list = append(list, string([]byte{byte(typ >> 8), byte(typ)})+value)
		}
	}
	slices.Sort(list)
	return rpdb.Raw(strings.Join(list, "\x00"))
}

// refuseKey finds parts of the destination and the table that would not become
// what was typed.
func (q RouteRequest) refuseKey(s *refusals) {
	for _, p := range []struct {
		what   string
		prefix rpdb.Opt[RouteAddress]
	}{{"to", q.To}, {"from", q.From}} {
		prefix := routePrefixOf(p.prefix)
		s.refuse(prefix.IsValid() && prefix != prefix.Masked(), "%s %v has bits set beyond its length: write %v", p.what, prefix, prefix.Masked())
	}
	_, long := q.LongTable.Get()
	s.refuse(q.Typed("table") && q.Typed("vrf"), "a route is in one table: a vrf names its own")
	s.refuse((q.Typed("table") || q.Typed("vrf")) && q.Table == 0 && !long, "table 0 is none: the kernel would take main")
	src, hasSrc := q.PrefSrc.Get()
	s.refuse(hasSrc && src.Bytes == "", "src has to be an address")
	s.refuse(q.NexthopID == rpdb.Some[uint32](0), "nhid 0 is no nexthop: the kernel would ignore it")
	s.refuse(q.Hop.NewDst.IsSet(), "as: only MPLS writes a new destination, an %v route would ignore it", q.Family)
	s.refuse(q.TTLPropagate.IsSet(), "ttl-propagate: only MPLS has it, an %v route would ignore it", q.Family)
}

// refuseIPv4 finds what IPv4 ignores.
func (q RouteRequest) refuseIPv4(s *refusals) {
	s.refuse(q.From.IsSet(), "from: IPv4 has no routes by source, it would be ignored; a rule with from and a table do that")
	s.refuse(q.Pref.IsSet(), "pref: only IPv6 routes have a preference, it would be ignored")
	s.refuse(q.Expires.IsSet(), "expires: only IPv6 routes expire, it would be ignored")
}

// refuseIPv6 finds what IPv6 ignores, or fills in by itself.
func (q RouteRequest) refuseIPv6(s *refusals) {
	s.refuse(q.Typed("realms"), "realms: IPv6 has none, they would be ignored")
	s.refuse(q.Typed("scope") && q.Scope != rpdb.ScopeGlobal, "scope: IPv6 routes have none, it would be ignored")
	s.refuse(q.Metric == rpdb.Some[uint32](0), "metric 0: IPv6 would make 1024 of it")
	s.refuse(q.Expires == rpdb.Some[uint32](0), "expires 0: the route would be gone at once, or never go")
	pref, hasPref := q.Pref.Get()
	known := pref == rpdb.PreferenceLow || pref == rpdb.PreferenceMedium || pref == rpdb.PreferenceHigh
	s.refuse(hasPref && !known, "pref %d is none: IPv6 would make medium of it", pref)
	if q.Type.IsError() || q.Type == rpdb.RouteThrow {
		s.refuse(hasPref && pref != rpdb.PreferenceMedium, "pref: IPv6 keeps none for %v routes", q.Type)
		leads := q.Hop.Gateway.IsSet() || q.Hop.Via.IsSet() || q.Hop.Link > loopbackIndex || len(q.Hops) > 0
		s.refuse(leads, "an IPv6 %v route leads nowhere: gateway and interface would be ignored", q.Type)
	}
	for _, h := range q.Hops {
		s.refuse(h.Realms.IsSet(), "realms: IPv6 has none, they would be ignored")
	}
}

// loopbackIndex is the index of lo in every network namespace. IPv6 shows it as
// the interface of routes that lead nowhere.
const loopbackIndex = 1

// refuseHops finds nexthops that would not be what was typed.
func (q RouteRequest) refuseHops(s *refusals) {
	for _, h := range append([]RouteHop{q.Hop}, q.Hops...) {
		gateway, ok := h.Gateway.Get()
		if !ok {
			gateway, ok = h.Via.Get()
		}
		addr := gateway.Addr()
		s.refuse(ok && (!addr.IsValid() || addr.IsUnspecified()), "via has to be the address of a gateway")
	}
	for _, h := range q.Hops {
		s.refuse(h.NewDst.IsSet(), "as: only MPLS writes a new destination, an %v route would ignore it", q.Family)
	}
	if len(q.Hops) == 0 {
		return
	}
	only := q.Hops[0]
	s.refuse(len(q.Hops) == 1 && only.Hops != 0, "weight %d: the only nexthop has all of the traffic, the kernel would forget the weight", int(only.Hops)+1)
	above := q.Hop.Gateway.IsSet() || q.Hop.Via.IsSet() || q.Hop.Encap.IsSet() || q.Hop.Flags != 0 || q.Hop.Link != 0
	s.refuse(above, "a route with nexthops has its gateways, interfaces, tunnels and onlink behind the words nexthop")
}

// refuseTunnels finds tunnels that must not be sent.
func (q RouteRequest) refuseTunnels(s *refusals) {
	for _, h := range append([]RouteHop{q.Hop}, q.Hops...) {
		e, ok := h.Encap.Get()
		if !ok || (e.Type != encapIP && e.Type != encapIP6) {
			continue
		}
		_, hasOptions := findAttribute(e.Attrs, tunnelOptions)
		s.refuse(hasOptions, "geneve_opts, vxlan_opts and erspan_opts: Linux 6.18 stops in the middle of reading them, and the host could change no route again until it is restarted")
	}
}

// refuseMetrics finds metrics that the kernel cuts, or forgets.
func (q RouteRequest) refuseMetrics(s *refusals) {
	const maxMTU, maxAdvMSS = 65535 - 15, 65535 - 40
	for _, m := range q.Metrics {
		name := metricWord(m.Type)
		switch m.Type {
		case rpdb.MetricLock, rpdb.MetricCongCtl, rpdb.MetricQuickAck, rpdb.MetricFastOpenNoCookie:
			continue
		case rpdb.MetricMTU:
			s.refuse(m.Value > maxMTU, "mtu %d: the kernel would make %d of it", m.Value, maxMTU)
		case rpdb.MetricAdvMSS:
			s.refuse(m.Value > maxAdvMSS, "advmss %d: the kernel would make %d of it", m.Value, maxAdvMSS)
		}
		s.refuse(m.Value == 0, "%s 0 sets nothing", name)
	}
}
