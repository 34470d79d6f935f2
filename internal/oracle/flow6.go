package oracle

import (
	"net/netip"

	"rpdb"
)

func hard6(a netip.Addr) bool { return a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback() }

// output6 decides for a local packet; a socket asks again with a source if the
// first answer is an error.
func (w world) output6(flow rpdb.Flow) rpdb.Decision {
	if flow.Socket != rpdb.RouteGet && flow.Dst.IsUnspecified() {
		flow.Dst = netip.IPv6Loopback()
	}
	d := w.send6(flow)
	if flow.Socket != rpdb.RouteGet && d.Disposition == rpdb.Refused && (packet{Flow: flow}).sourceless() {
		if src, ok := w.source6(flow.Dst, nil, ""); ok {
			flow.Src = src
			return w.send6(flow)
		}
	}
	return d
}

func (w world) send6(flow rpdb.Flow) rpdb.Decision {
	p := packet{Flow: flow, output: true}
	p.IIF = ""
	p.anyPort = flow.Socket == rpdb.Connect && flow.IPProto == rpdb.TCP
	if _, ok := w.LinkByName(p.OIF); !ok && p.OIF != "" {
		return refuse(rpdb.ENODEV)
	}
	p.strict = hard6(p.Dst) || p.OIF != "" && (p.sourceless() || flow.Socket != rpdb.RouteGet)
	p.prefer = p.OIF
	if w.vrfOf(p.OIF) == p.OIF {
		p.prefer = ""
	}
	a := w.walk(p)
	d := w.decision(a)
	if !a.found() {
		return d
	}
	d.Disposition = rpdb.Sent
	if p.sourceless() {
		by := a.hop
		if hops, _ := w.nexthops(a.route); a.route.NexthopID != 0 {
			by, a.either = hops[0], nil
		}
		if len(a.either) == 0 || a.route.PrefSrc.IsValid() {
			d.Src, _ = w.source6(p.Dst, a.route, w.LinkName(by.Link))
		}
	} else {
		d.Src = p.Src
	}
	if local6(a.route) {
		d.Disposition, d.Hop, d.Either = rpdb.Local, w.here6(a), nil
	} else {
		d.Realms = programRealm(a)
	}
	if a.asked.IsValid() {
		d.Src = a.asked
	}
	return d
}

func local6(r *rpdb.Route) bool { return r.Type == rpdb.RouteLocal || r.Type == rpdb.RouteAnycast }

// here6 is the interface of local delivery.
func (w world) here6(a answer) rpdb.Hop {
	name := w.LinkName(a.hop.Link)
	vrf := w.vrfOf(name)
	if vrf == "" || name != vrf && hard6(a.route.Dst.Masked().Addr()) {
		return rpdb.Hop{Link: w.LinkName(1)}
	}
	return rpdb.Hop{Link: vrf}
}

// input6 decides for a packet that came in.
func (w world) input6(flow rpdb.Flow) rpdb.Decision {
	p := packet{Flow: flow, prefer: flow.IIF, strict: hard6(flow.Dst)}
	p.UID, p.OIF = 0, ""
	in, ok := w.LinkByName(p.IIF)
	switch {
	case !ok:
		return refuse(rpdb.ENODEV)
	case p.Dst.IsMulticast():
		return rpdb.Decision{}
	case p.Src.IsMulticast(), (p.Src.IsLoopback() || p.Dst.IsLoopback()) && !in.IsLoopback():
		return drop(rpdb.EINVAL)
	}
	a := w.walk(p)
	d := w.decision(a)
	nobody := p.Src.IsValid() && p.sourceless()
	switch {
	case a.unknown || a.errno != 0 && nobody:
		return d
	case a.errno == rpdb.EACCES:
		d.ICMP = rpdb.ICMPError{Type: 1, Code: 1}
		return d
	case a.errno == rpdb.EINVAL:
		return d
	case a.errno != 0:
		d.ICMP = rpdb.ICMPError{Type: 1}
		return d
	}
	if !p.sourceless() {
		d.Src = p.Src
	} else {
		d.Src = a.asked
	}
	switch {
	case local6(a.route):
		d.Disposition, d.Hop, d.Either = rpdb.Local, w.here6(a), nil
	case !w.Sysctls.IPv6Forward:
		return drop(rpdb.EHOSTUNREACH)
	case nobody && a.hop.Link != in.Index:
		return drop(rpdb.EINVAL)
	case d.Src.IsLinkLocalUnicast() && a.hop.Link != in.Index:
		d = drop(rpdb.EINVAL)
		d.ICMP = rpdb.ICMPError{Type: 1, Code: 2}
	default:
		d.Disposition, d.Realms = rpdb.Sent, programRealm(a)
	}
	return d
}

// programRealm is the realm of the copy whose program the nexthop carries.
func programRealm(a answer) rpdb.Realms {
	if t, ok := a.hop.CopyTable(); ok {
		realm, _ := rpdb.RealmOfCopy(t)
		return rpdb.NewRealms(0, realm)
	}
	return 0
}
