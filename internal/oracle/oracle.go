package oracle

import (
	"net/netip"
	"slices"

	"rpdb"
)

// Decide returns what the kernel decides for a flow. It is deterministic, does
// not change the snapshot, and is meant for small ones: every lookup reads all
// of it. Note is left empty; every other field is as the engine fills it.
func Decide(s *rpdb.Snapshot, flow rpdb.Flow) rpdb.Decision {
	d := world{s, flow.Dst.Is4(), s.RulesOf(flow.Family())}.decide(flow)
	d.Note = ""
	return d
}

func (w world) decide(flow rpdb.Flow) rpdb.Decision {
	flow.Dst, flow.Src = flow.Dst.WithZone(""), flow.Src.WithZone("")
	if !flow.Dst.IsValid() || flow.Src.IsValid() && flow.Src.Is4() != flow.Dst.Is4() {
		return rpdb.Decision{}
	}
	withPorts := []rpdb.IPProto{0, rpdb.TCP, rpdb.UDP, 33, 50, 51, 132, 136}
	if flow.IsInput() && !slices.Contains(withPorts, flow.IPProto) {
		flow.SPort, flow.DPort = 0, 0
	}
	if flow.Dst.Is4() {
		if flow.IsInput() {
			return w.input4(flow)
		}
		return w.output4(flow)
	}
	if flow.IsInput() {
		return w.input6(flow)
	}
	return w.output6(flow)
}

// world answers questions about a snapshot.
type world struct {
	*rpdb.Snapshot
	v4    bool
	rules []rpdb.Rule // of the family that is asked about
}

// RulesOf is that of the snapshot, which need not be gone through each time.
func (w world) RulesOf(f rpdb.Family) []rpdb.Rule {
	if w.v4 == (f == rpdb.IPv4) {
		return w.rules
	}
	return w.Snapshot.RulesOf(f)
}

// packet is what the rules see.
type packet struct {
	rpdb.Flow
	output  bool
	anyPort bool          // the source port is not chosen yet
	vrf     rpdb.LinkName // the VRF it belongs to
	prefer  rpdb.LinkName // IPv6: the interface wanted
	strict  bool          // IPv6: and no other
	asked   netip.Addr    // IPv6: the source that a rule has looked for
}

func (p packet) sourceless() bool { return !p.Src.IsValid() || p.Src.IsUnspecified() }

// lacksSource reports whether IPv6 rules have no source to compare: what came
// in has one, and be it ::.
func (p packet) lacksSource() bool { return p.sourceless() && (p.output || !p.Src.IsValid()) }

// source is the source, the one that a rule found, or the unspecified address.
func (p packet) source() netip.Addr {
	if p.asked.IsValid() {
		return p.asked
	}
	if p.sourceless() {
		return p.Family().Unspecified()
	}
	return p.Src
}

// answer is the end of a walk.
type answer struct {
	unknown bool
	errno   rpdb.Errno // 0: found
	rule    *rpdb.Rule
	table   rpdb.TableID
	route   *rpdb.Route
	hop     rpdb.Nexthop
	either  []rpdb.Hop
	turns   []*rpdb.Route // default routes that take turns
	asked   netip.Addr    // IPv6: the source that a rule has looked for
}

func (a answer) found() bool { return !a.unknown && a.errno == 0 }

// decision fills in what the walk alone says.
func (w world) decision(a answer) rpdb.Decision {
	var d rpdb.Decision
	if a.rule != nil {
		d.Rule = rpdb.Some(a.rule.Priority)
	}
	if a.unknown {
		return d
	}
	if a.errno != 0 {
		d.Disposition, d.Errno = rpdb.Refused, a.errno
	}
	if a.route != nil {
		d.Table, d.Type, d.Prefix = a.table, routeType(a.route), a.route.Dst.Masked()
	}
	if a.found() {
		d.Hop, d.Either = w.hop(a.hop), a.either
	}
	return d
}

// hop names a nexthop. A gateway of IPv4 that is our own address is none.
func (w world) hop(n rpdb.Nexthop) rpdb.Hop {
	via := n.Via
	if via.Is4() && w.hasAddress(via) {
		via = netip.Addr{}
	}
	return rpdb.Hop{Link: w.LinkName(n.Link), Via: via}
}

func (w world) hasAddress(a netip.Addr) bool {
	return slices.ContainsFunc(w.Addresses, func(x rpdb.Address) bool { return x.Prefix.Addr() == a })
}

// vrfOf returns the VRF that an interface is or belongs to.
func (w world) vrfOf(name rpdb.LinkName) rpdb.LinkName {
	l, _ := w.LinkByName(name)
	if isVRF(l) {
		return name
	}
	if m, ok := w.Link(l.Master); ok && isVRF(m) {
		return m.Name
	}
	return ""
}

func isVRF(l rpdb.Link) bool { return l.VRFTable != 0 || l.Kind == "vrf" }

func (w world) neighbour(n rpdb.Nexthop) rpdb.NeighbourState {
	for _, x := range w.Neighbours {
		if n.Via.IsValid() && x.Link == n.Link && x.Addr == n.Via {
			return x.State
		}
	}
	return 0
}

func routeType(r *rpdb.Route) rpdb.RouteType {
	if r.Type == 0 {
		return rpdb.RouteUnicast
	}
	return r.Type
}

func tableID(r *rpdb.Route) rpdb.TableID {
	if r.Table == 0 {
		return rpdb.TableMain
	}
	return r.Table
}

func refuse(e rpdb.Errno) rpdb.Decision { return rpdb.Decision{Disposition: rpdb.Refused, Errno: e} }

func drop(e rpdb.Errno) rpdb.Decision { return rpdb.Decision{Disposition: rpdb.Martian, Errno: e} }
