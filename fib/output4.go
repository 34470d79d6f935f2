package fib

import (
	"net/netip"

	"rpdb"
)

// output4 decides for a packet generated here. connect(2) asks again with the
// source that the first answer picked, and TCP once more when it has chosen
// its source port (ip_route_connect, ip_route_newports).
func (f *FIB) output4(flow rpdb.Flow, rec *recorder) rpdb.Decision {
	if flow.Socket != rpdb.Connect {
		return f.ask4(flow, Output, rec)
	}
	early := flow
	if flow.IPProto == rpdb.TCP {
		early.SPort = 0
	}
	d := f.ask4(early, Output, rec)
	if !d.Disposition.Delivered() {
		return d
	}
	if unspecified(flow.Src) {
		if !d.Src.IsValid() && len(d.Either) > 0 {
			return f.repeatEach4(early, flow, d, rec)
		}
		early.Src, flow.Src = d.Src, d.Src
		if d = f.ask4(early, Repeat, rec); !d.Disposition.Delivered() {
			return d
		}
	}
	if early.SPort != flow.SPort {
		d = f.ask4(flow, Repeat, rec)
	}
	return d
}

// repeatEach4 asks again for every source that the first answer may have
// picked. Only if all end among the first one's hops is that the answer.
func (f *FIB) repeatEach4(early, flow rpdb.Flow, first rpdb.Decision, rec *recorder) rpdb.Decision {
	if first.Note == noteDefaultsSource {
		return unknown(first.Note)
	}
	for _, h := range first.Either {
		src, _ := f.selectAddr4(f.byName[h.Link], h.Via, rpdb.ScopeGlobal)
		early.Src, flow.Src = src, src
		d := f.ask4(early, Repeat, rec)
		if d.Disposition.Delivered() && early.SPort != flow.SPort {
			d = f.ask4(flow, Repeat, rec)
		}
		if d.Disposition != first.Disposition || d.Table != first.Table || d.Prefix != first.Prefix {
			return unknown("the source depends on a multipath choice, and the route on the source")
		}
	}
	return first
}

// ask4 makes one lookup and records it.
func (f *FIB) ask4(flow rpdb.Flow, purpose Purpose, rec *recorder) rpdb.Decision {
	rec.begin(purpose, &flow)
	var k key
	k.set(&flow)
	d := f.route4(&k, flow, rec)
	rec.source(&k)
	rec.end(&d)
	return d
}

// route4 is ip_route_output_key_hash: what bypasses the rules, the walk, and
// what becomes of its answer.
func (f *FIB) route4(k *key, flow rpdb.Flow, rec *recorder) rpdb.Decision {
	k.output, k.iif = true, loopback
	k.anySPort = flow.Socket == rpdb.Connect
	if k.hasSrc {
		if d, done := f.checkSource4(k, flow); done {
			return d
		}
	}
	var bound *link
	if flow.OIF != "" {
		bound = f.byName[flow.OIF]
		switch {
		case bound == nil:
			return refused(rpdb.ENODEV, "the interface that the sender is bound to does not exist")
		case !bound.IsUp():
			return refused(rpdb.ENETUNREACH, "the interface that the sender is bound to is down")
		case isLocalMulticast4(k.dst) || k.dst == broadcast4() || k.proto == igmp:
			if !k.hasSrc {
				k.src, k.by = f.selectAddr4(bound, netip.Addr{}, rpdb.ScopeLink)
			}
			return f.onLink4(k, bound, "sent on the bound interface without a lookup")
		}
		k.oif = bound.Index
		f.sourceOfBound4(k, bound)
	}
	if k.dst.IsUnspecified() {
		return f.toSelf4(k)
	}
	var v verdict
	var d rpdb.Decision
	f.walk(&f.v4, k, &v, rec)
	if v.outcome == unclear {
		v.decision(k, &d)
		return d
	}
	if v.outcome == denied {
		if bound != nil && (k.l3mdev == 0 || k.dst.IsMulticast()) {
			if unspecified(k.src) {
				k.src, k.by = f.selectAddr4(bound, netip.Addr{}, rpdb.ScopeLink)
			}
			return v.withRealms(f.onLink4(k, bound, noteAssumedOnLink))
		}
		v.decision(k, &d)
		return d
	}
	return f.deliver4(k, &v, rec)
}

// withRealms gives a packet that no route takes, but that is sent all the same,
// the realms of the rule that denied it.
func (v *verdict) withRealms(d rpdb.Decision) rpdb.Decision {
	if v.rule != nil && d.Disposition.Delivered() {
		d.Realms = v.rule.Realms
	}
	return d
}

const noteAssumedOnLink = "no route: assumed to be on the link of the bound interface"

const igmp rpdb.IPProto = 2

// checkSource4 refuses sources that no packet of this host may carry, and
// sends multicast by the interface that owns the source.
func (f *FIB) checkSource4(k *key, flow rpdb.Flow) (d rpdb.Decision, done bool) {
	if k.src.IsMulticast() || k.src == broadcast4() {
		return refused(rpdb.EINVAL, "the source is no address of a host"), true
	}
	if flow.OIF == "" && (k.dst.IsMulticast() || k.dst == broadcast4()) {
		if l := f.owner4(k.src); l != nil {
			return f.onLink4(k, l, "sent by the interface of the source without a lookup"), true
		}
	}
	switch {
	case f.isLocal4(k.src):
	case f.lacksLocal4():
		return unknown(noteNoLocal), true
	default:
		return refused(rpdb.ENETUNREACH, "the source is not an address of this host"), true
	}
	return rpdb.Decision{}, false
}

// owner4 returns the interface that an address is assigned to, or that table
// local has it on (__ip_dev_find).
func (f *FIB) owner4(a netip.Addr) *link {
	for _, l := range f.links {
		for i := range l.addrs4 {
			if l.addrs4[i].Prefix.Addr() == a {
				return l
			}
		}
	}
	if h := f.localRoute4(a); h != nil {
		return h.link
	}
	return nil
}

// sourceOfBound4 picks the source before the lookup where the kernel does.
func (f *FIB) sourceOfBound4(k *key, bound *link) {
	switch {
	case k.hasSrc:
	case k.dst.IsMulticast():
		k.src, k.by = f.selectAddr4(bound, netip.Addr{}, rpdb.ScopeGlobal)
	case k.dst.IsUnspecified():
		k.src, k.by = f.selectAddr4(bound, netip.Addr{}, rpdb.ScopeHost)
	}
	if !k.src.IsValid() {
		k.src = netip.IPv4Unspecified()
	}
	k.hasSrc = !k.src.IsUnspecified()
}

// toSelf4 answers for the destination 0.0.0.0, which is this host.
func (f *FIB) toSelf4(k *key) rpdb.Decision {
	if !k.hasSrc {
		k.src, k.by = loopback4(), SourceDestination
	}
	k.dst = k.src
	return rpdb.Decision{
		Disposition: rpdb.Local, Type: rpdb.RouteLocal, Hop: rpdb.Hop{Link: f.name(loopback)}, Src: k.src,
		Note: "0.0.0.0 is this host",
	}
}

// onLink4 sends a packet straight to its destination by an interface.
func (f *FIB) onLink4(k *key, l *link, note string) rpdb.Decision {
	d := rpdb.Decision{Type: rpdb.RouteUnicast, Hop: rpdb.Hop{Link: l.Name}, Note: note}
	return f.send4(k, l, d, sourceOrNone(k.src))
}

func sourceOrNone(a netip.Addr) netip.Addr {
	if unspecified(a) {
		return netip.Addr{}
	}
	return a
}

// deliver4 answers for a route found.
func (f *FIB) deliver4(k *key, v *verdict, rec *recorder) rpdb.Decision {
	if v.route.typ == rpdb.RouteLocal {
		return f.deliverLocal4(k, v)
	}
	f.path4(v.table, k, &v.result)
	rec.path(v)
	var d rpdb.Decision
	v.decision(k, &d)
	d.Realms = realms4(v)
	src := sourceOrNone(k.src)
	if !src.IsValid() && len(v.either) == 0 {
		src, k.by = f.source4(k, v.route, v.hop)
	} else if !src.IsValid() {
		src, k.by = f.commonSource4(k, v)
	}
	if len(v.either) > 0 && d.Note == "" {
		d.Note = noteMultipath
	}
	return f.send4(k, v.hop.link, d, src)
}

const noteMultipath = "the multipath hash cannot be foreseen"

// commonSource4 returns the source that all hops of a route agree on, invalid
// if they differ.
func (f *FIB) commonSource4(k *key, v *verdict) (netip.Addr, SourceBy) {
	if v.note != "" { // default routes that take turns
		return netip.Addr{}, SourceNone
	}
	src, by := f.source4(k, v.route, &v.route.hops[0])
	for i := range v.route.hops {
		if other, _ := f.source4(k, v.route, &v.route.hops[i]); other != src {
			return netip.Addr{}, SourceNone
		}
	}
	return src, by
}

// source4 returns the source for a packet without one (fib_result_prefsrc);
// in a VRF that the route leaves, an address of the VRF.
func (f *FIB) source4(k *key, r *route, h *hop) (netip.Addr, SourceBy) {
	vrf := f.byIndex[k.l3mdev]
	if vrf == nil || h.link.vrfIndex() == k.l3mdev {
		return source4(r, h)
	}
	return f.selectAddr4(vrf, netip.Addr{}, rpdb.ScopeLink)
}

// deliverLocal4 answers for a local route: by loopback, or by the VRF.
func (f *FIB) deliverLocal4(k *key, v *verdict) rpdb.Decision {
	var d rpdb.Decision
	v.decision(k, &d)
	d.Realms = realms4(v)
	dev := f.byIndex[loopback]
	if v.hop.link != nil && v.hop.link.vrf != nil {
		dev = v.hop.link.vrf
	}
	src := sourceOrNone(k.src)
	if !src.IsValid() {
		src, k.by = v.route.prefsrc, SourceRoute
	}
	if !src.IsValid() {
		src, k.by = k.dst, SourceDestination
	}
	d.Hop, d.Either = rpdb.Hop{}, nil
	if dev != nil {
		d.Hop.Link = dev.Name
	}
	return f.send4(k, dev, d, src)
}

// send4 finishes a decision that leads out by an interface
// (__mkroute_output).
func (f *FIB) send4(k *key, dev *link, d rpdb.Decision, src netip.Addr) rpdb.Decision {
	d.Src = src
	if src.IsLoopback() {
		leaves, doubt := f.letsLoopbackOut(dev, d)
		if doubt != "" {
			return unknown(doubt)
		}
		if !leaves {
			return refused(rpdb.EINVAL, "a loopback source cannot leave the host")
		}
	}
	switch {
	case k.dst == broadcast4():
		d.Type = rpdb.RouteBroadcast
	case k.dst.IsMulticast():
		d.Type = rpdb.RouteMulticast
	}
	if d.Type == rpdb.RouteBroadcast || d.Type == rpdb.RouteMulticast && d.Prefix.Bits() < 4 {
		if len(d.Either) > 0 {
			return unknown(d.Note)
		}
		d.Via = netip.Addr{}
	}
	d.Disposition = rpdb.Sent
	if d.Type == rpdb.RouteLocal {
		d.Disposition = rpdb.Local
	}
	return d
}

// letsLoopbackOut reports whether a packet from 127.0.0.0/8 may take the
// interface of a decision, and why that cannot be told: of several that the
// kernel may choose from, some may let it out and others not.
func (f *FIB) letsLoopbackOut(dev *link, d rpdb.Decision) (leaves bool, doubt string) {
	leaves, known := dev.letsLoopbackOut()
	if !known {
		return false, noteLocalnet
	}
	for _, h := range d.Either {
		if other, known := f.byName[h.Link].letsLoopbackOut(); !known || other != leaves {
			return false, d.Note
		}
	}
	return leaves, ""
}

// letsLoopbackOut of no interface is false.
func (l *link) letsLoopbackOut() (leaves, known bool) {
	switch {
	case l == nil:
		return false, true
	case l.IsLoopback() || l.isVRF():
		return true, true
	}
	return l.localnet, !l.unknown.Has(rpdb.SettingRouteLocalnet)
}

// realms4 returns the realms that a packet gets: those of the nexthop, and
// where these are zero those of the rule (set_class_tag).
func realms4(v *verdict) rpdb.Realms {
	var of rpdb.Realms
	if v.hop != nil {
		of = v.hop.nexthop.Realms
		if of == 0 && len(v.route.hops) == 1 {
			of = v.route.realms
		}
	}
	if v.rule == nil {
		return of
	}
	return fillRealms(of, v.rule.realms)
}

func fillRealms(a, b rpdb.Realms) rpdb.Realms {
	from, to := a.From(), a.To()
	if from == 0 {
		from = b.From()
	}
	if to == 0 {
		to = b.To()
	}
	return rpdb.NewRealms(from, to)
}
