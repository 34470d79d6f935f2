package kerneltest

import (
	"cmp"
	"net/netip"
	"slices"
	"syscall"

	"rpdb"
)

// The lookups that the kernel makes while it checks a gateway. They are not
// those of a packet: nothing but the destination and the interface is known,
// and only routes count that lead to the gateway directly.

// resolved is where a gateway was found.
type resolved struct {
	typ  rpdb.RouteType
	link rpdb.LinkIndex
}

// errnoMiss and errnoThrow stand for "go on with the next rule".
const (
	errnoMiss  = syscall.EAGAIN
	errnoThrow = syscall.ENOTSUP
)

// resolve4 is the lookup of fib_check_nh_v4_gw: first the route's own table,
// then all rules.
func (m *Memory) resolve4(gw netip.Addr, link rpdb.LinkIndex, own rpdb.TableID) (resolved, syscall.Errno) {
	if own != rpdb.TableMain {
		if res, errno := m.lookup(rpdb.IPv4, gw, link, own); errno == 0 {
			return res, 0
		}
	}
	if m.custom[0] == rpdb.CustomisedNo {
		res, errno := m.lookup(rpdb.IPv4, gw, link, rpdb.TableLocal, rpdb.TableMain)
		if errno == errnoMiss || errno == errnoThrow {
			res, errno = m.lookup(rpdb.IPv4, gw, link, rpdb.TableDefault)
		}
		if errno == errnoMiss || errno == errnoThrow {
			errno = syscall.ENETUNREACH
		}
		return res, errno
	}
	return m.walk(rpdb.IPv4, gw, link)
}

// resolve6 is ip6_route_check_nh: the gateway must be found without another
// gateway in between.
func (m *Memory) resolve6(gw netip.Addr, link rpdb.LinkIndex, own rpdb.TableID) (rpdb.LinkIndex, bool) {
	if res, errno := m.lookup(rpdb.IPv6, gw, link, own); errno == 0 {
		return res.link, true
	}
	res, errno := m.walk(rpdb.IPv6, gw, link)
	return res.link, errno == 0
}

// walk asks the rules in order.
func (m *Memory) walk(f rpdb.Family, gw netip.Addr, link rpdb.LinkIndex) (resolved, syscall.Errno) {
	list := m.rules[index(f)]
	if f == rpdb.IPv6 && m.custom[1] == rpdb.CustomisedNo {
		list = rpdb.DefaultRules(f)
	}
	for i := 0; i < len(list); i++ {
		r := list[i]
		if m.matches(r, gw, link) == r.Selector.Not {
			continue
		}
		switch r.Action.Type() {
		case rpdb.ActionGoto:
			if to := slices.IndexFunc(list, func(o rpdb.Rule) bool { return o.Priority == r.Action.Target() }); to > i {
				i = to - 1
			}
		case rpdb.ActionNop:
		case rpdb.ActionTable:
			res, errno := m.lookup(f, gw, link, r.Action.Table())
			if errno == errnoThrow && f == rpdb.IPv6 {
				return res, syscall.EHOSTUNREACH // a throw is a hit here, and not on link
			}
			if errno != errnoMiss && errno != errnoThrow && !m.suppressed(r, f, gw, res) {
				return res, errno
			}
		case rpdb.ActionUnreachable:
			return resolved{}, syscall.ENETUNREACH
		case rpdb.ActionProhibit:
			return resolved{}, syscall.EACCES
		default:
			return resolved{}, syscall.EINVAL
		}
	}
	return resolved{}, syscall.ENETUNREACH
}

// suppressed compares what a rule refuses with the best route to the gateway.
func (m *Memory) suppressed(r rpdb.Rule, f rpdb.Family, gw netip.Addr, res resolved) bool {
	if g, ok := r.Suppress.IfGroup.Get(); ok && m.link(res.link) != nil && m.link(res.link).Group == g {
		return true
	}
	limit, ok := r.Suppress.PrefixLength.Get()
	longest := -1
	for _, o := range m.candidates(f, gw, r.Action.Table()) {
		longest = max(longest, o.Dst.Bits())
	}
	return ok && longest <= int(limit)
}

// matches compares a selector with the flow of the check, in which nothing is
// known but the destination and the interface.
func (m *Memory) matches(r rpdb.Rule, gw netip.Addr, link rpdb.LinkIndex) bool {
	s := r.Selector
	uid, hasUID := s.UIDRange.Get()
	dscp, hasDSCP := s.DSCP.Get()
	oif := ""
	if l := m.link(link); l != nil {
		oif = string(l.Name)
	}
	from := !s.From.IsValid() || s.From.Bits() == 0 || (gw.Is4() && s.From.Contains(netip.IPv4Unspecified()))
	return from && (!s.To.IsValid() || s.To.Bits() == 0 || s.To.Contains(gw)) &&
		s.TOS == 0 && (!hasDSCP || dscp.Matches(0)) && s.Mark.Matches(0) && (s.IIF == "" || s.IIF == "lo") &&
		(s.OIF == "" || string(s.OIF) == oif) && !s.L3MDev && (!hasUID || uid.Matches(0)) &&
		s.IPProto == 0 && s.SPort.Matches(0) && s.DPort.Matches(0) && s.FlowLabel.Matches(0) && s.TunID == 0
}

// candidates lists the routes of some tables that cover an address, the
// longest prefix first.
func (m *Memory) candidates(f rpdb.Family, a netip.Addr, tables ...rpdb.TableID) (list []rpdb.Route) {
	for _, t := range tables {
		for _, r := range m.routes[index(f)] {
			if r.Table == t && r.Dst.Contains(a) {
				list = append(list, r)
			}
		}
	}
	slices.SortStableFunc(list, func(x, y rpdb.Route) int { return cmp.Compare(y.Dst.Bits(), x.Dst.Bits()) })
	return list
}

// lookup finds the first usable route to a gateway in some tables, taken as
// one. IPv4 skips routes that have a gateway themselves (their scope is too
// wide); for IPv6 such a route ends the search.
func (m *Memory) lookup(f rpdb.Family, gw netip.Addr, link rpdb.LinkIndex, tables ...rpdb.TableID) (resolved, syscall.Errno) {
	for _, r := range m.candidates(f, gw, tables...) {
		if r.TOS != 0 || (f == rpdb.IPv4 && r.Scope < rpdb.ScopeLink && !isReject(r)) {
			continue
		}
		if errno, reject := rejection(r); reject && (f == rpdb.IPv4 || link == 0) {
			return resolved{}, errno
		} else if reject {
			continue
		}
		for _, n := range m.routeWithState(r).Nexthops {
			if n.Flags&rpdb.NexthopDead != 0 || (link != 0 && n.Link != link && r.Type != rpdb.RouteLocal) {
				continue
			}
			if f == rpdb.IPv6 && n.Via.IsValid() {
				return resolved{}, syscall.EHOSTUNREACH
			}
			return resolved{r.Type, n.Link}, 0
		}
	}
	return resolved{}, errnoMiss
}

// rejection returns the errno of a route that leads to an error.
func rejection(r rpdb.Route) (syscall.Errno, bool) {
	switch r.Type {
	case rpdb.RouteBlackhole:
		return syscall.EINVAL, true
	case rpdb.RouteUnreachable:
		return syscall.EHOSTUNREACH, true
	case rpdb.RouteProhibit:
		return syscall.EACCES, true
	case rpdb.RouteThrow:
		return errnoThrow, true
	}
	return 0, false
}
