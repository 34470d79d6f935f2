package fib

import (
	"cmp"
	"net/netip"

	"rpdb"
)

// input4 decides for a packet that came in by an interface
// (ip_route_input_slow).
func (f *FIB) input4(flow *rpdb.Flow, d *rpdb.Decision, rec *recorder) {
	dropPorts(flow)
	rec.begin(Input, flow)
	r := reverse{f: f, flow: *flow, in: f.byName[flow.IIF], rec: rec}
	r.conf = r.in.checkSettings()
	var k key
	k.set(flow)
	k.uid, k.anySPort = 0, false
	check := f.receive4(&k, &r, d)
	rec.end(d)
	if check {
		r.check(d)
	}
	if r.doubt != "" {
		*d = doubtful(*d, r.doubt)
	}
}

// receive4 does the forward lookup. If check is true, the answer still depends
// on the reverse-path check r, which is then ready.
func (f *FIB) receive4(k *key, r *reverse, d *rpdb.Decision) (check bool) {
	if r.in == nil {
		*d = refused(rpdb.ENODEV, "the ingress interface does not exist")
		return false
	}
	k.iif = r.in.Index
	if martian4(k, r.in, d) {
		return false
	}
	if k.dst == broadcast4() || !k.hasSrc {
		return f.toBroadcast4(k, d, r)
	}
	v := &r.way
	f.walk(&f.v4, k, v, r.rec)
	if v.outcome == hit && v.route.typ == rpdb.RouteUnicast && r.forwards() {
		f.forward4(k, v, r, d)
		return true
	}
	v.decision(k, d)
	switch {
	case v.outcome == unclear:
		return false
	case v.outcome == denied && !r.forwards():
		*d = martian(rpdb.EHOSTUNREACH, noteForwarding4)
		return false
	case v.outcome == denied:
		d.ICMP = icmp4(d.Errno)
		return false
	}
	d.Realms = realms4(v)
	switch {
	case v.route.typ == rpdb.RouteBroadcast:
		return f.toBroadcast4(k, d, r)
	case v.route.typ == rpdb.RouteLocal:
		d.Disposition, d.Hop, d.Src = rpdb.Local, f.localHop(v.hop.link), k.src
		return true
	case !r.forwards():
		*d = martian(rpdb.EHOSTUNREACH, noteForwarding4)
	default:
		*d = martian(rpdb.EINVAL, "a route of this type takes no forwarded packets")
	}
	return false
}

const noteForwarding4 = "forwarding is off on the ingress interface"

// forward4 chooses the path and checks the way back for it.
func (f *FIB) forward4(k *key, v *verdict, r *reverse, d *rpdb.Decision) {
	f.path4(v.table, k, &v.result)
	r.rec.path(v)
	v.decision(k, d)
	d.Disposition, d.Src, d.Realms = rpdb.Sent, k.src, realms4(v)
	if len(d.Either) > 0 {
		d.Note = noteMultipath
		r.either = d.Either
	}
	r.egress = v.hop.link
}

// localHop is the interface that delivers locally.
func (f *FIB) localHop(l *link) rpdb.Hop {
	if l != nil && l.vrf != nil {
		return rpdb.Hop{Link: l.vrf.Name}
	}
	return rpdb.Hop{Link: f.name(loopback)}
}

// toBroadcast4 delivers a broadcast; d is what the rules said of it, if they
// were asked.
func (f *FIB) toBroadcast4(k *key, d *rpdb.Decision, r *reverse) (check bool) {
	d.Disposition, d.Type, d.Hop, d.Either = rpdb.Local, rpdb.RouteBroadcast, f.localHop(nil), nil
	if !k.hasSrc {
		return false
	}
	d.Src = k.src
	r.anyDst = true
	return true
}

// martian4 drops what needs no lookup to be recognised as wrong.
func martian4(k *key, in *link, d *rpdb.Decision) (done bool) {
	toAll := k.dst == broadcast4() || k.dst.IsUnspecified() && !k.hasSrc
	switch {
	case k.dst.IsMulticast():
		*d = unknown("multicast membership is not in the snapshot")
	case k.src.IsMulticast() || k.src == broadcast4():
		*d = martian(rpdb.EINVAL, "the source is no address of a host")
	case toAll:
		return false
	case !k.hasSrc:
		*d = martian(rpdb.EINVAL, "the packet has no source")
	case k.dst.IsUnspecified():
		*d = martian(rpdb.EINVAL, "0.0.0.0 is no destination")
	case !k.dst.IsLoopback() && !k.src.IsLoopback():
		return false
	case in.unknown.Has(rpdb.SettingRouteLocalnet):
		*d = unknown(noteLocalnet)
	case !in.localnet:
		*d = martian(rpdb.EINVAL, "a loopback address came in from outside")
	default:
		return false
	}
	return true
}

// icmp4 is the ICMP error that answers a packet that could not be forwarded
// (ip_error).
func icmp4(e rpdb.Errno) rpdb.ICMPError {
	switch e {
	case rpdb.ENETUNREACH:
		return rpdb.ICMPError{Type: 3, Code: 0}
	case rpdb.EHOSTUNREACH:
		return rpdb.ICMPError{Type: 3, Code: 1}
	case rpdb.EACCES:
		return rpdb.ICMPError{Type: 3, Code: 13}
	}
	return rpdb.ICMPError{}
}

// reverse is the check of the way back to the source of an incoming packet
// (fib_validate_source).
type reverse struct {
	f      *FIB
	flow   rpdb.Flow // the packet as it came in
	in     *link
	egress *link // nil: delivered locally
	either []rpdb.Hop
	anyDst bool // broadcast: the lookup has no source
	rec    *recorder
	conf   checkSettings
	doubt  string  // what the snapshot would have to tell for the answer to be sure
	way    verdict // of the lookup made last
	walked bool    // whether the check made it
}

// check applies the check to a decision: d itself if it passes, with the
// realms of the way back, or the drop.
func (r *reverse) check(d *rpdb.Decision) {
	pass, tag, note := r.pass()
	for i, h := range r.either {
		if i == 0 {
			continue // done
		}
		r.egress = r.f.byName[h.Link]
		if p, _, _ := r.pass(); p != pass {
			pass, note = ReverseUnknown, ""
		}
	}
	switch pass {
	case ReversePass:
		d.Realms = fillRealms(d.Realms, tag)
	case ReverseUnknown:
		*d = unknown(cmp.Or(note, "the reverse-path check depends on a multipath choice"))
	default:
		*d = martian(rpdb.EINVAL, note)
	}
}

// once makes the check for one egress and one choice of settings. tag holds the
// realms that the way back gives to the packet.
func (r *reverse) once() (v ReverseVerdict, tag rpdb.Realms, note string) {
	r.walked = false
	v, tag, why := r.judge()
	r.rec.reverse(r, v, why)
	if why == ReverseUnclear {
		return v, tag, r.way.note
	}
	return v, tag, why.note()
}

// judge decides whether the full check is made.
func (r *reverse) judge() (ReverseVerdict, rpdb.Realms, ReverseReason) {
	f := r.f
	redirects := r.conf.redirects && r.turnsBack()
	if r.conf.rpFilter == 0 && !f.realms && f.v4.realms == 0 && !redirects && !r.conf.whole {
		switch {
		case r.conf.acceptSelf:
			return ReversePass, 0, ReverseOff
		case f.v4.pristine && !f.customLocal:
			if f.local4[r.flow.Src] {
				return ReverseDrop, 0, ReverseOwnSource
			}
			return ReversePass, 0, ReverseOff
		}
	}
	return r.full()
}

// full is __fib_validate_source.
func (r *reverse) full() (ReverseVerdict, rpdb.Realms, ReverseReason) {
	f := r.f
	var k key
	r.key(&k)
	v := &r.way
	f.walk(&f.v4, &k, v, r.rec)
	r.walked = true
	if r.rec != nil {
		r.rec.end(v.reverseDecision(f, &k))
	}
	lenient := ReversePass
	if r.conf.rpFilter != 0 {
		lenient = ReverseDrop
	}
	switch {
	case v.outcome == unclear:
		return ReverseUnknown, 0, ReverseUnclear
	case v.outcome == denied:
		return lenient, 0, ReverseNoRoute
	case v.route.typ != rpdb.RouteUnicast && (v.route.typ != rpdb.RouteLocal || !r.conf.acceptSelf):
		if v.route.typ == rpdb.RouteLocal {
			return ReverseDrop, 0, ReverseOwnSource
		}
		return ReverseDrop, 0, ReverseBroadcast
	}
	tag := reverseTag(v)
	noAddress, sure := len(r.in.addrs4) == 0, !f.gaps.parts.Has(rpdb.PartAddresses)
	switch {
	case v.route.uses(r.in) || v.route.typ == rpdb.RouteLocal && r.in.IsLoopback():
		return ReversePass, tag, ReverseSame
	case noAddress && !sure && r.conf.rpFilter == 2:
		v.note = noteAddresses
		return ReverseUnknown, 0, ReverseUnclear
	case noAddress && sure:
		return lenient, 0, ReverseNoAddress
	case r.conf.rpFilter == 1:
		return ReverseDrop, 0, ReverseOther
	}
	return ReversePass, tag, ReverseOther
}

// key sets the lookup of the way back: the packet turned round, coming in by the
// interface that it would leave by.
func (r *reverse) key(k *key) {
	f := r.f
	flow := r.flow
	flow.Dst, flow.Src = r.flow.Src, r.flow.Dst
	if r.anyDst {
		flow.Src = netip.IPv4Unspecified()
	}
	flow.SPort, flow.DPort = r.flow.DPort, r.flow.SPort
	flow.UID, flow.TunID, flow.OIF = 0, 0, ""
	if !r.conf.markSrc {
		flow.Mark = 0
	}
	// The kernel looks for ports only if a rule asks for them of packets that
	// came in; then a rule for "iif lo" sees them here too.
	if f.v4.ports == 0 {
		flow.IPProto, flow.SPort, flow.DPort = 0, 0, 0
	}
	flow.IIF = "lo"
	k.set(&flow)
	k.iif, k.l3mdev = loopback, r.in.vrfIndex()
	if r.egress != nil {
		flow.IIF, k.iif = r.egress.Name, r.egress.Index
	}
	r.rec.begin(ReversePath, &flow)
}

// uses reports whether one of the route's nexthops is on the interface
// (fib_info_nh_uses_dev).
func (r *route) uses(l *link) bool {
	for i := range r.hops {
		if r.hops[i].link == nil {
			continue
		}
		if r.hops[i].link == l || l.vrf == r.hops[i].link {
			return true
		}
	}
	return false
}

// reverseTag returns the realms that the way back gives: the destination realm
// of the route back, or of its rule, as the source realm; and the source realm
// of the rule as the destination realm (fib_combine_itag).
func reverseTag(v *verdict) rpdb.Realms {
	from := v.hop.nexthop.Realms
	if from == 0 && len(v.route.hops) == 1 {
		from = v.route.realms
	}
	var of rpdb.Realms
	if v.rule != nil {
		of = v.rule.realms
	}
	return rpdb.NewRealms(cmp.Or(from.To(), of.To()), of.From())
}

// reverseDecision says where the way back leads, for the trace.
func (v *verdict) reverseDecision(f *FIB, k *key) *rpdb.Decision {
	var d rpdb.Decision
	v.decision(k, &d)
	if v.outcome == hit {
		d.Disposition = rpdb.Sent
		if v.route.typ == rpdb.RouteLocal {
			d.Disposition, d.Hop = rpdb.Local, f.localHop(v.hop.link)
		}
	}
	return &d
}
