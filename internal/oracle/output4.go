package oracle

import (
	"net/netip"
	"slices"

	"rpdb"
)

// output4 decides for a local packet; connect asks up to three times.
func (w world) output4(flow rpdb.Flow) rpdb.Decision {
	if flow.Socket != rpdb.Connect {
		return w.send4(flow)
	}
	early := flow
	if flow.IPProto == rpdb.TCP {
		early.SPort = 0
	}
	d := w.send4(early)
	if !d.Disposition.Delivered() {
		return d
	}
	sources := []netip.Addr{flow.Src}
	again := flow.SPort != early.SPort
	if !flow.Src.IsValid() || flow.Src.IsUnspecified() {
		again = true
		sources = []netip.Addr{d.Src}
		if !d.Src.IsValid() {
			sources = nil
			for _, h := range d.Either {
				l, _ := w.LinkByName(h.Link)
				sources = append(sources, w.address4(rpdb.Nexthop{Link: l.Index, Via: h.Via}, rpdb.ScopeGlobal))
			}
			if sources == nil {
				sources = []netip.Addr{{}}
			}
		}
	}
	if !again {
		return d
	}
	first, ambiguous := d, !d.Src.IsValid() && len(d.Either) > 0
	if ambiguous && d.Note != "" {
		return rpdb.Decision{}
	}
	for _, src := range sources {
		early.Src, flow.Src = src, src
		if d = w.send4(early); d.Disposition.Delivered() && early.SPort != flow.SPort {
			d = w.send4(flow)
		}
		if ambiguous && (d.Disposition != first.Disposition || d.Table != first.Table || d.Prefix != first.Prefix) {
			return rpdb.Decision{}
		}
	}
	if ambiguous {
		return first
	}
	return d
}

// send4 is one lookup for a local packet.
func (w world) send4(flow rpdb.Flow) rpdb.Decision {
	everybody := netip.MustParseAddr("255.255.255.255")
	p := packet{Flow: flow, output: true, anyPort: flow.Socket == rpdb.Connect}
	p.IIF = ""
	toMany := p.Dst.IsMulticast() || p.Dst == everybody
	if !p.sourceless() {
		if p.Src.IsMulticast() || p.Src == everybody {
			return refuse(rpdb.EINVAL)
		}
		owner, ok := w.owner4(p.Src)
		switch {
		case !ok:
			return refuse(rpdb.ENETUNREACH)
		case p.OIF == "" && toMany:
			return w.leave4(p, owner, rpdb.Decision{Type: rpdb.RouteUnicast}, rpdb.Hop{})
		}
	}
	if p.OIF != "" {
		l, ok := w.LinkByName(p.OIF)
		if !ok {
			return refuse(rpdb.ENODEV)
		}
		if !l.IsUp() {
			return refuse(rpdb.ENETUNREACH)
		}
		if netip.MustParsePrefix("224.0.0.0/24").Contains(p.Dst) || p.Dst == everybody || p.IPProto == 2 {
			return w.onLink4(p)
		}
		if p.sourceless() && p.Dst.IsMulticast() {
			p.Src = w.address4(rpdb.Nexthop{Link: l.Index}, rpdb.ScopeGlobal)
		}
		if p.sourceless() && p.Dst.IsUnspecified() {
			p.Src = w.address4(rpdb.Nexthop{Link: l.Index}, rpdb.ScopeHost)
		}
	}
	if p.Dst.IsUnspecified() {
		if p.sourceless() {
			p.Src = netip.MustParseAddr("127.0.0.1")
		}
		return rpdb.Decision{Disposition: rpdb.Local, Type: rpdb.RouteLocal, Hop: rpdb.Hop{Link: w.LinkName(1)}, Src: p.Src}
	}
	a := w.walk(p)
	if a.errno != 0 && p.OIF != "" && (w.vrfOf(p.OIF) == "" || p.Dst.IsMulticast()) {
		d := w.onLink4(p)
		if a.rule != nil && d.Disposition.Delivered() {
			d.Realms = a.rule.Realms
		}
		return d
	}
	if !a.found() {
		return w.decision(a)
	}
	return w.found4(p, a)
}

func hasSource(r *rpdb.Route) bool { return r.PrefSrc.IsValid() }

// onLink4 sends by the bound interface without a route.
func (w world) onLink4(p packet) rpdb.Decision {
	l, _ := w.LinkByName(p.OIF)
	if p.sourceless() {
		p.Src = w.address4(rpdb.Nexthop{Link: l.Index}, rpdb.ScopeLink)
	}
	return w.leave4(p, p.OIF, rpdb.Decision{Type: rpdb.RouteUnicast}, rpdb.Hop{})
}

// found4 sends by a route.
func (w world) found4(p packet, a answer) rpdb.Decision {
	inside := w.enterVRF(p)
	if routeType(a.route) == rpdb.RouteLocal {
		d := w.decision(a)
		d.Realms = w.realms(a)
		if p.sourceless() {
			p.Src = p.Dst
			if a.route.PrefSrc.IsValid() {
				p.Src = a.route.PrefSrc
			}
		}
		to := w.LinkName(1)
		if vrf := w.vrfOf(w.LinkName(a.hop.Link)); vrf != "" {
			to = vrf
		}
		return w.leave4(p, to, d, rpdb.Hop{})
	}
	a = w.choose4(a, inside)
	d := w.decision(a)
	d.Realms = w.realms(a)
	if p.sourceless() {
		p.Src = w.source4(inside, a)
	}
	if slices.ContainsFunc(a.turns, hasSource) {
		d.Note = "source"
	}
	return w.leave4(p, d.Link, d, d.Hop)
}

// source4 is the source for a packet without one, if it can be told.
func (w world) source4(p packet, a answer) netip.Addr {
	hops, _ := w.nexthops(a.route)
	if len(a.turns) > 0 {
		return netip.Addr{}
	}
	src := w.sourceOf(p, a.route, a.hop)
	for _, n := range hops {
		if len(a.either) > 0 && w.sourceOf(p, a.route, n) != src {
			return netip.Addr{}
		}
	}
	return src
}

// sourceOf is the source for a packet that takes one hop of a route. Where that
// leaves the packet's VRF, it is an address of the VRF, whatever the route says.
func (w world) sourceOf(p packet, r *rpdb.Route, n rpdb.Nexthop) netip.Addr {
	if p.vrf != "" && w.vrfOf(w.LinkName(n.Link)) != p.vrf {
		l, _ := w.LinkByName(p.vrf)
		return w.address4(rpdb.Nexthop{Link: l.Index}, rpdb.ScopeLink)
	}
	if r.PrefSrc.IsValid() {
		return r.PrefSrc
	}
	return w.address4(n, r.Scope)
}

// letsLoopbackOut reports whether packets from 127.0.0.0/8 leave by an interface.
func (w world) letsLoopbackOut(name rpdb.LinkName) bool {
	l, ok := w.LinkByName(name)
	localnet := w.Sysctls.All.RouteLocalnet || w.Sysctls.Links[name].RouteLocalnet
	return ok && (l.IsLoopback() || isVRF(l) || localnet)
}

// leave4 makes the last checks before a packet leaves by an interface.
func (w world) leave4(p packet, by rpdb.LinkName, d rpdb.Decision, hop rpdb.Hop) rpdb.Decision {
	if !p.sourceless() && p.Src.IsLoopback() {
		for _, h := range d.Either {
			if w.letsLoopbackOut(h.Link) != w.letsLoopbackOut(by) {
				return rpdb.Decision{}
			}
		}
		if !w.letsLoopbackOut(by) {
			return refuse(rpdb.EINVAL)
		}
	}
	d.Link, d.Via = by, hop.Via
	switch {
	case p.Dst == netip.MustParseAddr("255.255.255.255"):
		d.Type = rpdb.RouteBroadcast
	case p.Dst.IsMulticast():
		d.Type = rpdb.RouteMulticast
	}
	if d.Type == rpdb.RouteBroadcast || d.Type == rpdb.RouteMulticast && d.Prefix.Bits() < 4 {
		if len(d.Either) > 0 {
			return rpdb.Decision{}
		}
		d.Via = netip.Addr{}
	}
	d.Disposition = rpdb.Sent
	if d.Type == rpdb.RouteLocal {
		d.Disposition, d.Either = rpdb.Local, nil
	}
	if !p.sourceless() {
		d.Src = p.Src
	}
	return d
}
