package oracle

import (
	"cmp"
	"net/netip"

	"rpdb"
)

// forwards reports whether an interface takes IPv4 packets to send on.
func (w world) forwards(name rpdb.LinkName) bool {
	y, ok := w.Sysctls.Links[name]
	if !ok {
		return w.Sysctls.IPv4Forward
	}
	return y.Forwarding4
}

// input4 decides for a packet that came in.
func (w world) input4(flow rpdb.Flow) rpdb.Decision {
	everybody := netip.MustParseAddr("255.255.255.255")
	p := packet{Flow: flow}
	p.UID, p.OIF = 0, ""
	all, own := w.Sysctls.All, w.Sysctls.Links[p.IIF]
	if _, ok := w.LinkByName(p.IIF); !ok {
		return refuse(rpdb.ENODEV)
	}
	switch {
	case p.Dst.IsMulticast():
		return rpdb.Decision{}
	case p.Src.IsMulticast() || p.Src == everybody:
		return drop(rpdb.EINVAL)
	case p.Dst == everybody || p.sourceless() && p.Dst.IsUnspecified():
		return w.broadcast(p, rpdb.Decision{})
	case p.sourceless() || p.Dst.IsUnspecified():
		return drop(rpdb.EINVAL)
	case (p.Dst.IsLoopback() || p.Src.IsLoopback()) && !all.RouteLocalnet && !own.RouteLocalnet:
		return drop(rpdb.EINVAL)
	}
	a := w.walk(p)
	d := w.decision(a)
	switch {
	case a.unknown:
		return d
	case a.errno != 0 && !w.forwards(p.IIF):
		return drop(rpdb.EHOSTUNREACH)
	case a.errno != 0:
		d.ICMP = map[rpdb.Errno]rpdb.ICMPError{
			rpdb.ENETUNREACH: {Type: 3}, rpdb.EHOSTUNREACH: {Type: 3, Code: 1}, rpdb.EACCES: {Type: 3, Code: 13},
		}[a.errno]
		return d
	}
	d.Realms = w.realms(a)
	switch typ := routeType(a.route); {
	case typ == rpdb.RouteBroadcast:
		return w.broadcast(p, d)
	case typ == rpdb.RouteLocal:
		d.Disposition, d.Hop, d.Src = rpdb.Local, w.here(w.LinkName(a.hop.Link)), p.Src
		return w.checkBack(p, d, []rpdb.LinkName{""}, p.Dst)
	case !w.forwards(p.IIF):
		return drop(rpdb.EHOSTUNREACH)
	case typ != rpdb.RouteUnicast:
		return drop(rpdb.EINVAL)
	}
	a = w.choose4(a, p)
	d = w.decision(a)
	d.Disposition, d.Src, d.Realms = rpdb.Sent, p.Src, w.realms(a)
	ways := []rpdb.LinkName{d.Link}
	for _, h := range d.Either {
		ways = append(ways, h.Link)
	}
	return w.checkBack(p, d, ways, p.Dst)
}

// here is the interface of local delivery.
func (w world) here(in rpdb.LinkName) rpdb.Hop {
	return rpdb.Hop{Link: cmp.Or(w.vrfOf(in), w.LinkName(1))}
}

func (w world) broadcast(p packet, d rpdb.Decision) rpdb.Decision {
	d.Disposition, d.Type, d.Hop, d.Either = rpdb.Local, rpdb.RouteBroadcast, rpdb.Hop{Link: w.LinkName(1)}, nil
	if p.sourceless() {
		return d
	}
	d.Src = p.Src
	return w.checkBack(p, d, []rpdb.LinkName{""}, netip.IPv4Unspecified())
}

// checkBack looks the way back to the source up, for every way on that the
// packet may take.
func (w world) checkBack(p packet, d rpdb.Decision, ways []rpdb.LinkName, dst netip.Addr) rpdb.Decision {
	ok, known, tag := w.back(p, ways[0], dst)
	for _, way := range ways[1:] {
		again, sure, _ := w.back(p, way, dst)
		known = known && sure && again == ok
	}
	switch {
	case !known:
		return rpdb.Decision{}
	case !ok:
		return drop(rpdb.EINVAL)
	}
	d.Realms = merge(d.Realms, tag)
	return d
}

// back is the reverse-path check of one way on; "" is local delivery.
func (w world) back(p packet, way rpdb.LinkName, dst netip.Addr) (ok, known bool, tag rpdb.Realms) {
	all, own := w.Sysctls.All, w.Sysctls.Links[p.IIF]
	filter := max(all.RPFilter, own.RPFilter)
	acceptLocal := all.AcceptLocal || own.AcceptLocal
	redirects := way == p.IIF && !(all.NoSendRedirects && own.NoSendRedirects)
	if filter == 0 && !w.usesRealms() && !redirects {
		if acceptLocal {
			return true, true, 0
		}
		if w.pristine(rpdb.IPv4) && !w.customLocal() {
			return !w.hasAddress(p.Src), true, 0
		}
	}
	q := packet{Flow: rpdb.Flow{Dst: p.Src, Src: dst, IIF: way, TOS: p.TOS}, vrf: w.vrfOf(p.IIF)}
	if all.SrcValidMark || own.SrcValidMark {
		q.Mark = p.Mark
	}
	if w.looksAtPorts() {
		q.IPProto, q.SPort, q.DPort = p.IPProto, p.DPort, p.SPort
	}
	a := w.walk(q)
	switch {
	case a.unknown:
		return false, false, 0
	case a.errno != 0:
		return filter == 0, true, 0
	case routeType(a.route) != rpdb.RouteUnicast && !(routeType(a.route) == rpdb.RouteLocal && acceptLocal):
		return false, true, 0
	}
	of := w.hopRealms(a)
	var rule rpdb.Realms
	if a.rule != nil {
		rule = a.rule.Realms
	}
	tag = rpdb.NewRealms(cmp.Or(of.To(), rule.To()), rule.From())
	l, _ := w.LinkByName(p.IIF)
	hops, _ := w.nexthops(a.route)
	for _, n := range hops {
		if n.Link == l.Index || n.Link != 0 && w.LinkName(n.Link) == w.vrfOf(p.IIF) && w.vrfOf(p.IIF) != "" {
			return true, true, tag
		}
	}
	if routeType(a.route) == rpdb.RouteLocal && l.IsLoopback() {
		return true, true, tag
	}
	if len(w.AddressesOf(rpdb.IPv4, l.Index)) == 0 {
		return filter == 0, true, 0
	}
	return filter != 1, true, tag
}

func (w world) usesRealms() bool {
	for _, r := range w.RulesOf(rpdb.IPv4) {
		if r.Realms != 0 {
			return true
		}
	}
	for i := range w.Routes {
		r := &w.Routes[i]
		hops, _ := w.nexthops(r)
		for _, n := range hops {
			if r.Family == rpdb.IPv4 && n.Realms != 0 {
				return true
			}
		}
		if r.Family == rpdb.IPv4 && r.Realms != 0 {
			return true
		}
	}
	return false
}

func (w world) customLocal() bool {
	for _, r := range w.Routes {
		if r.Family == rpdb.IPv4 && r.Type == rpdb.RouteLocal && r.Protocol != rpdb.ProtocolKernel {
			return true
		}
	}
	return false
}

func (w world) looksAtPorts() bool {
	for _, r := range w.RulesOf(rpdb.IPv4) {
		s := r.Selector
		if s.IIF != "lo" && (s.IPProto != 0 || s.SPort != rpdb.Ports{} || s.DPort != rpdb.Ports{}) {
			return true
		}
	}
	return false
}

func (w world) hopRealms(a answer) rpdb.Realms {
	hops, _ := w.nexthops(a.route)
	if a.hop.Realms == 0 && len(hops) == 1 {
		return a.route.Realms
	}
	return a.hop.Realms
}

// realms are those of the nexthop, completed by those of the rule.
func (w world) realms(a answer) rpdb.Realms {
	if a.rule == nil {
		return w.hopRealms(a)
	}
	return merge(w.hopRealms(a), a.rule.Realms)
}

func merge(a, b rpdb.Realms) rpdb.Realms {
	return rpdb.NewRealms(cmp.Or(a.From(), b.From()), cmp.Or(a.To(), b.To()))
}
