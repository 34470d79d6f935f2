package fib

import (
	"net/netip"

	"rpdb"
)

// output6 decides for a packet generated here. A socket without a source asks
// again with one only if the first lookup failed (ip6_dst_lookup_tail).
func (f *FIB) output6(flow rpdb.Flow, rec *recorder) rpdb.Decision {
	if flow.Socket != rpdb.RouteGet && flow.Dst.IsUnspecified() {
		flow.Dst = netip.IPv6Loopback()
	}
	d := f.ask6(flow, Output, rec)
	if flow.Socket == rpdb.RouteGet || d.Disposition != rpdb.Refused || !unspecified(flow.Src) {
		return d
	}
	src, ok := f.source6(flow.Dst, nil, nil)
	if !ok {
		return d
	}
	flow.Src = src
	return f.ask6(flow, Repeat, rec)
}

// ask6 makes one lookup and records it.
func (f *FIB) ask6(flow rpdb.Flow, purpose Purpose, rec *recorder) rpdb.Decision {
	rec.begin(purpose, &flow)
	var k key
	k.set(&flow)
	if purpose == Repeat {
		k.by = SourceRules6
	}
	d := f.route6(&k, flow, rec)
	rec.source(&k)
	rec.end(&d)
	return d
}

// route6 is ip6_route_output_flags.
func (f *FIB) route6(k *key, flow rpdb.Flow, rec *recorder) rpdb.Decision {
	k.output, k.iif, k.reach = true, loopback, !f.sysctls.forward6
	k.anySPort = flow.Socket == rpdb.Connect && flow.IPProto == rpdb.TCP
	if flow.OIF != "" {
		l := f.byName[flow.OIF]
		if l == nil {
			return refused(rpdb.ENODEV, "the interface that the sender is bound to does not exist")
		}
		k.oif = l.Index
		k.strict = flow.Socket != rpdb.RouteGet || !k.hasSrc
	}
	k.strict = k.strict || needsStrict6(k.dst)
	f.setVRF(k)
	k.want = k.oif
	var v verdict
	var d rpdb.Decision
	f.walk(&f.v6, k, &v, rec)
	v.decision(k, &d)
	if v.outcome == hit {
		f.deliver6(k, &v, &d)
	}
	return d
}

// needsStrict6 reports whether an address means something only together with
// an interface (rt6_need_strict).
func needsStrict6(a netip.Addr) bool {
	return a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback()
}

// deliver6 completes the answer for a route found.
func (f *FIB) deliver6(k *key, v *verdict, d *rpdb.Decision) {
	d.Disposition, d.Realms = rpdb.Sent, v.hop.program
	if len(v.either) > 0 {
		d.Note = noteMultipath
	}
	if isLocal6(v.route.typ) {
		d.Disposition, d.Hop, d.Either, d.Realms = rpdb.Local, f.localHop6(v), nil, 0
	}
	switch {
	case k.hasSrc:
		d.Src = k.src
	case !unspecified(k.src): // chosen for a rule that asks for it
		d.Src, k.by, k.out = k.src, sourceBy6(v.route), v.hop.link
	case v.route.nhid != 0: // the kernel asks the first member of a group
		first := &v.route.hops[0]
		d.Src, _ = f.source6(k.dst, v.route, first)
		k.by, k.out = sourceBy6(v.route), first.link
	case len(v.either) == 0 || v.route.prefsrc.IsValid():
		d.Src, _ = f.source6(k.dst, v.route, v.hop)
		k.by, k.out = sourceBy6(v.route), v.hop.link
	}
}

// sourceBy6 is how the source of a packet that leaves by a route is chosen.
func sourceBy6(r *route) SourceBy {
	if r.prefsrc.IsValid() {
		return SourceRoute
	}
	return SourceRules6
}

// isLocal6 reports whether routes of a type deliver to this host.
func isLocal6(t rpdb.RouteType) bool { return t == rpdb.RouteLocal || t == rpdb.RouteAnycast }

// localHop6 is the interface that delivers locally (ip6_rt_get_dev_rcu).
func (f *FIB) localHop6(v *verdict) rpdb.Hop {
	l := v.hop.link
	switch {
	case l == nil || l.vrf == nil:
		return rpdb.Hop{Link: f.name(loopback)}
	case l != l.vrf && needsStrict6(v.node.destination().Addr()):
		return rpdb.Hop{Link: f.name(loopback)}
	}
	return rpdb.Hop{Link: l.vrf.Name}
}
