package kerneltest

import (
	"net/netip"
	"slices"
	"syscall"

	"rpdb"
	"rpdb/kernel"
)

// routeWithState adds what the kernel computes when it lists a route: where a
// nexthop object leads, and which nexthops are dead or without carrier.
func (m *Memory) routeWithState(r rpdb.Route) rpdb.Route {
	r.Metrics = slices.Clone(r.Metrics)
	r.Nexthops = slices.Clone(r.Nexthops)
	if r.NexthopID != 0 {
		r.Nexthops = m.hops(r.NexthopID)
	}
	for i := range r.Nexthops {
		n := &r.Nexthops[i]
		l := m.link(n.Link)
		switch {
		case l == nil || isReject(r):
		case !l.IsUp() && !(r.Family == rpdb.IPv4 && r.Scope >= rpdb.ScopeHost):
			n.Flags |= rpdb.NexthopDead | rpdb.NexthopLinkdown
		case l.IsUp() && !l.HasCarrier():
			n.Flags |= rpdb.NexthopLinkdown
		}
	}
	return r
}

// put enters a route that the kernel makes itself, unless it is there.
func (m *Memory) put(r rpdb.Route) {
	for _, o := range m.routes[index(r.Family)] {
		if o.Equal(r) {
			return
		}
	}
	_ = m.insert(RouteAppend, r) // an equal one is the only reason to refuse
}

// insert enters a checked route at its place, as the verb has it.
func (m *Memory) insert(verb RouteVerb, r rpdb.Route) error {
	if r.Family == rpdb.IPv6 {
		return m.insert6(verb, r)
	}
	return m.insert4(verb, r)
}

// remove deletes one route, the given one.
func (m *Memory) remove(r rpdb.Route, tell bool) {
	list := m.routes[index(r.Family)]
	i := slices.IndexFunc(list, func(o rpdb.Route) bool { return o.Equal(r) })
	if i < 0 {
		return
	}
	m.routes[index(r.Family)] = slices.Delete(slices.Clone(list), i, i+1)
	if tell {
		m.tell(kernel.Event{Type: kernel.EventRoute, Deleted: true, Route: r})
	}
}

// sameNode reports whether two routes stand at one node of a table.
func sameNode(a, b rpdb.Route) bool {
	return a.Table == b.Table && a.Dst == b.Dst && a.Src == b.Src
}

// putRoute is RTM_NEWROUTE.
func (m *Memory) putRoute(verb RouteVerb, r rpdb.Route) error {
	if r.Table == rpdb.TableUnspec {
		r.Table = rpdb.TableMain
	}
	if r.Type == 0 {
		r.Type = rpdb.RouteUnicast
	}
	r.Nexthops = slices.Clone(r.Nexthops)
	for i := range r.Nexthops {
		r.Nexthops[i] = r.Nexthops[i].Canonical()
	}
	if r.NexthopID != 0 {
		switch {
		case m.nexthop(r.NexthopID) == nil:
			return refuse(syscall.EINVAL, "Nexthop id does not exist")
		case len(r.Nexthops) > 0:
			return refuse(syscall.EINVAL, "Nexthop specification and nexthop id are mutually exclusive")
		}
	}
	var err error
	if r.Family == rpdb.IPv6 {
		r, err = m.check6(r)
	} else {
		r, err = m.check4(r)
	}
	if err != nil {
		return err
	}
	if err := m.insert(verb, r); err != nil {
		return err
	}
	if r.Family == rpdb.IPv4 {
		m.tables[r.Table] = true
	}
	m.tell(kernel.Event{Type: kernel.EventRoute, Route: m.routeWithState(r)})
	return nil
}

// check4 is the validation of fib_create_info and what comes before it.
func (m *Memory) check4(r rpdb.Route) (rpdb.Route, error) {
	switch {
	case r.TOS&3 != 0:
		return r, refuse(syscall.EINVAL, "Invalid dsfield (tos): ECN bits must be 0")
	case r.Dst.Masked() != r.Dst:
		return r, refuse(syscall.EINVAL, "Invalid prefix for given prefix length")
	case r.Type > rpdb.RouteXResolve:
		return r, refuse(syscall.EINVAL, "Invalid route type")
	case isReject(r) && len(r.Nexthops) > 0:
		return r, refuse(syscall.EINVAL, "Gateway, device and multipath can not be specified for this route type")
	case r.Scope > rpdb.ScopeHost:
		return r, refuse(syscall.EINVAL, "Invalid scope")
	}
	if err := m.checkHops4(&r); err != nil {
		return r, err
	}
	if r.PrefSrc.IsValid() && !(r.Type == rpdb.RouteLocal && r.Dst == netip.PrefixFrom(r.PrefSrc, 32)) && !m.isLocal4(r.PrefSrc) {
		return r, refuse(syscall.EINVAL, "Invalid prefsrc address")
	}
	return r, nil
}

func (m *Memory) checkHops4(r *rpdb.Route) error {
	switch {
	case isReject(*r) || r.NexthopID != 0:
		return nil
	case len(r.Nexthops) == 0:
		return syscall.ENODEV
	case r.Scope == rpdb.ScopeHost && len(r.Nexthops) > 1:
		return refuse(syscall.EINVAL, "Route with host scope can not have multiple nexthops")
	case r.Scope == rpdb.ScopeHost && r.Nexthops[0].Via.IsValid():
		return refuse(syscall.EINVAL, "Route with host scope can not have a gateway")
	case r.Scope == rpdb.ScopeHost && m.link(r.Nexthops[0].Link) == nil:
		return syscall.ENODEV
	case r.Scope == rpdb.ScopeHost:
		return nil
	}
	for i, n := range r.Nexthops {
		checked, err := m.checkHop4(*r, n)
		if err != nil {
			return err
		}
		r.Nexthops[i] = checked
	}
	return nil
}

// checkHop4 is fib_check_nh: the interface must be up, and the gateway must be
// reached by a route that leads to it directly.
func (m *Memory) checkHop4(r rpdb.Route, n rpdb.Nexthop) (rpdb.Nexthop, error) {
	l := m.link(n.Link)
	switch {
	case n.Link != 0 && l == nil, n.Link == 0 && !n.Via.IsValid():
		return n, syscall.ENODEV
	case !n.Via.IsValid() && !l.IsUp():
		return n, refuse(syscall.ENETDOWN, "Device for nexthop is not up")
	case !n.Via.IsValid():
		return n, nil
	case r.Scope >= rpdb.ScopeLink:
		return n, refuse(syscall.EINVAL, "Nexthop has invalid scope")
	case n.Flags&rpdb.NexthopOnlink != 0 && l == nil:
		return n, syscall.ENODEV
	case (n.Flags&rpdb.NexthopOnlink != 0 || n.Via.Is6()) && l != nil && !l.IsUp():
		return n, refuse(syscall.ENETDOWN, "Nexthop device is not up")
	case n.Flags&rpdb.NexthopOnlink != 0:
		return n, nil
	case n.Via.Is6() && l == nil:
		return n, refuse(syscall.EINVAL, "Egress device not specified")
	case n.Via.Is6():
		return n, nil
	}
	res, errno := m.resolve4(n.Via, n.Link, r.Table)
	switch {
	case errno != 0:
		return n, refuse(errno, "Nexthop has invalid gateway")
	case res.typ != rpdb.RouteUnicast && res.typ != rpdb.RouteLocal:
		return n, refuse(syscall.EINVAL, "Nexthop has invalid gateway")
	case !m.isUp(res.link):
		return n, refuse(syscall.ENETDOWN, "Nexthop device is not up")
	}
	n.Link = res.link
	return n, nil
}

func (m *Memory) isLocal4(a netip.Addr) bool {
	for _, r := range m.routes[0] {
		if r.Table == rpdb.TableLocal && r.Type == rpdb.RouteLocal && r.Dst.Contains(a) {
			return true
		}
	}
	return false
}

// insert4 is fib_table_insert: at one node, routes stand by falling TOS and
// rising metric, and equals as the verbs put them.
func (m *Memory) insert4(verb RouteVerb, r rpdb.Route) error {
	list := m.routes[0]
	before := func(o rpdb.Route) bool { return o.TOS > r.TOS || (o.TOS == r.TOS && o.Metric < r.Metric) }
	equal := func(o rpdb.Route) bool { return sameNode(o, r) && o.TOS == r.TOS && o.Metric == r.Metric }
	first, last, at := -1, -1, len(list)
	same := -1
	for i, o := range list {
		switch {
		case equal(o):
			if first < 0 {
				first = i
			}
			last = i
			if same < 0 && o.Equal(r) {
				same = i
			}
		case sameNode(o, r) && !before(o) && at == len(list):
			at = i
		}
	}
	switch {
	case first < 0 && verb == RouteChange:
		return syscall.ENOENT
	case first < 0:
		m.routes[0] = slices.Insert(slices.Clone(list), at, r)
	case verb == RouteAdd:
		return syscall.EEXIST
	case (verb == RouteReplace || verb == RouteChange) && same == first:
	case same >= 0:
		return syscall.EEXIST
	case verb == RouteReplace || verb == RouteChange:
		m.routes[0] = slices.Clone(list)
		m.routes[0][first] = r
	case verb == RouteAppend:
		m.routes[0] = slices.Insert(slices.Clone(list), last+1, r)
	default:
		m.routes[0] = slices.Insert(slices.Clone(list), first, r)
	}
	return nil
}

// deleteRoute is RTM_DELROUTE: the first route that agrees in what is given.
func (m *Memory) deleteRoute(r rpdb.Route) error {
	if r.Table == rpdb.TableUnspec {
		r.Table = rpdb.TableMain
	}
	if r.Family == rpdb.IPv6 {
		return m.deleteRoute6(r)
	}
	if r.Dst.Masked() != r.Dst {
		return refuse(syscall.EINVAL, "Invalid prefix for given prefix length")
	}
	if !m.tables[r.Table] {
		return refuse(syscall.ESRCH, "FIB table does not exist")
	}
	i := m.firstRoute(r)
	if i < 0 {
		return syscall.ESRCH
	}
	m.remove(m.routes[0][i], true)
	return nil
}

// firstRoute is the search of fib_table_delete.
func (m *Memory) firstRoute(r rpdb.Route) int {
	return slices.IndexFunc(m.routes[0], func(o rpdb.Route) bool {
		return sameNode(o, r) && o.TOS == r.TOS && agrees(r.Type, o.Type) && agrees(r.Metric, o.Metric) &&
			(r.Scope == rpdb.ScopeNowhere || r.Scope == o.Scope) && agrees(r.PrefSrc, o.PrefSrc) &&
			agrees(r.Protocol, o.Protocol) && agrees(r.NexthopID, o.NexthopID) && hopsAgree(r.Nexthops, o.Nexthops)
	})
}

// hopsAgree is fib_nh_match: a single nexthop may leave out the interface or
// the gateway, several must all be there.
func hopsAgree(given, have []rpdb.Nexthop) bool {
	switch {
	case len(given) == 0:
		return true
	case len(given) == 1 && len(have) > 0:
		return agrees(given[0].Link, have[0].Link) && agrees(given[0].Via, have[0].Via)
	case len(given) != len(have):
		return false
	}
	for i := range given {
		if !agrees(given[i].Link, have[i].Link) || !agrees(given[i].Via, have[i].Via) ||
			max(given[i].Weight, 1) != max(have[i].Weight, 1) {
			return false
		}
	}
	return true
}

// putExactRoute is what Do makes of a route: the message of ip(8), after the
// checks that kernel.Conn makes itself.
func (m *Memory) putExactRoute(verb RouteVerb, r rpdb.Route) error {
	if err := expressible(r); err != nil {
		return err
	}
	if isReject(r) || r.NexthopID != 0 {
		r.Nexthops = nil
	}
	r.Flags = 0
	return m.putRoute(verb, r)
}

func expressible(r rpdb.Route) error {
	bits := r.Family.Bits()
	switch {
	case bits == 0:
		return refuse(syscall.EINVAL, "no family")
	case !r.Dst.IsValid() || r.Dst.Addr().BitLen() != bits:
		return refuse(syscall.EINVAL, "no destination of the family")
	case r.Src.IsValid() && r.Src.Addr().BitLen() != bits:
		return refuse(syscall.EINVAL, "source prefix of another family")
	case r.PrefSrc.IsValid() && r.PrefSrc.BitLen() != bits:
		return refuse(syscall.EINVAL, "src of another family")
	}
	return nil
}

// deleteExactRoute deletes r, and refuses where the kernel might take another.
func (m *Memory) deleteExactRoute(r rpdb.Route) error {
	if err := expressible(r); err != nil {
		return err
	}
	list := m.routes[index(r.Family)]
	i := slices.IndexFunc(list, func(o rpdb.Route) bool { return sameRoute(r, o) })
	if i < 0 {
		return syscall.ESRCH
	}
	if r.Family == rpdb.IPv4 {
		if hit := m.firstRoute(list[i]); hit >= 0 && hit != i {
			return &kernel.OtherRouteError{Hit: list[hit]}
		}
	}
	m.remove(list[i], true)
	return nil
}

// sameRoute compares by meaning, with what r leaves to the kernel filled in.
func sameRoute(r, stored rpdb.Route) bool {
	m, s := r.Canonical(), stored.Canonical()
	if m.Family == rpdb.IPv6 && r.Metric == 0 {
		m.Metric = s.Metric
	}
	if m.Family == rpdb.IPv6 && m.Protocol == rpdb.ProtocolUnspec {
		m.Protocol = s.Protocol
	}
	if len(m.Nexthops) == len(s.Nexthops) {
		for i := range m.Nexthops {
			if m.Nexthops[i].Link == 0 {
				m.Nexthops[i].Link = s.Nexthops[i].Link
			}
		}
	}
	return m.Equal(s)
}
