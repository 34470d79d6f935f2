package oracle

import (
	"net/netip"
	"slices"

	"rpdb"
)

// pristine reports whether the rules of a family were never changed.
func (w world) pristine(f rpdb.Family) bool {
	custom := w.Custom4
	if f == rpdb.IPv6 {
		custom = w.Custom6
	}
	if custom != rpdb.CustomisedUnknown {
		return custom == rpdb.CustomisedNo
	}
	now, fresh := w.RulesOf(f), rpdb.DefaultRules(f)
	same := func(a, b rpdb.Rule) bool { return a.Canonical() == b.Canonical() }
	return slices.EqualFunc(now, fresh, same)
}

// walk asks the rules.
func (w world) walk(p packet) answer {
	p = w.enterVRF(p)
	f := p.Family()
	rules := w.RulesOf(f)
	if w.pristine(f) {
		rules = rpdb.DefaultRules(f)
		if f == rpdb.IPv4 {
			a := w.table4([]rpdb.TableID{rpdb.TableLocal, rpdb.TableMain}, p)
			if a.route != nil && routeType(a.route) != rpdb.RouteThrow {
				a.table, a.rule = rpdb.TableMain, &rules[1]
				if tableID(a.route) == rpdb.TableLocal {
					a.rule = &rules[0]
				}
				return a
			}
			rules = rules[2:]
		}
	}
	for i := 0; i < len(rules); i++ {
		r := &rules[i]
		if !w.matches(r, p) {
			continue
		}
		if r.Action.Type() == rpdb.ActionGoto {
			target := slices.IndexFunc(rules, func(o rpdb.Rule) bool { return o.Priority == r.Action.Target() })
			if target > i && r.Unknown != "" {
				return answer{unknown: true, rule: r}
			}
			if target > i {
				i = target - 1
			}
			continue
		}
		if a, done := w.act(r, &p); done {
			a.rule, a.asked = r, p.asked
			if r.Unknown != "" {
				return answer{unknown: true, rule: r}
			}
			return a
		}
	}
	return answer{errno: rpdb.ENETUNREACH}
}

func (w world) enterVRF(p packet) packet {
	switch {
	case p.vrf != "":
	case p.OIF != "":
		p.vrf = w.vrfOf(p.OIF)
		if p.vrf == p.OIF {
			p.OIF = ""
		}
	case p.IsInput():
		p.vrf = w.vrfOf(p.IIF)
	}
	return p
}

// act does what a matching rule says; not done means the next rule.
func (w world) act(r *rpdb.Rule, p *packet) (answer, bool) {
	switch r.Action.Type() {
	case rpdb.ActionNop:
		return answer{}, false
	case rpdb.ActionUnreachable:
		return answer{errno: rpdb.ENETUNREACH}, true
	case rpdb.ActionProhibit:
		return answer{errno: rpdb.EACCES}, true
	case rpdb.ActionTable:
	default:
		return answer{errno: rpdb.EINVAL}, true
	}
	table := r.Action.Table()
	if r.Selector.L3MDev {
		table = rpdb.TableMain
		if p.vrf != "" {
			l, _ := w.LinkByName(p.vrf)
			table = l.VRFTable
		}
		if table == 0 {
			return answer{unknown: true}, true
		}
	}
	var a answer
	if p.Dst.Is4() {
		a = w.table4([]rpdb.TableID{table}, *p)
	} else {
		a = w.table6(table, *p)
	}
	a.table = table
	switch {
	case a.unknown || a.errno != 0:
		return a, true
	case a.route == nil || routeType(a.route) == rpdb.RouteThrow:
		return answer{}, false
	}
	if findsSource(r, *p) {
		src, ok := w.source6(p.Dst, nil, w.LinkName(a.hop.Link))
		if !ok {
			return answer{unknown: true}, true
		}
		if !r.Selector.From.Contains(src) {
			return answer{}, false
		}
		p.asked = src // and stays so, even if the route is refused now
	}
	refused, unsure := w.suppressed(r, a)
	if unsure {
		return answer{unknown: true}, true
	}
	return a, !refused
}

func findsSource(r *rpdb.Rule, p packet) bool {
	return p.Dst.Is6() && p.lacksSource() && r.Selector.From.Bits() > 0 && r.Flags&rpdb.RuleFindSaddr != 0
}

func (w world) suppressed(r *rpdb.Rule, a answer) (refused, unsure bool) {
	if length, ok := r.Suppress.PrefixLength.Get(); ok && w.disputed(a.route, length) {
		return false, true
	}
	if length, ok := r.Suppress.PrefixLength.Get(); ok && length != -1 && int32(a.route.Dst.Bits()) <= length {
		return true, false
	}
	group, ok := r.Suppress.IfGroup.Get()
	if !ok {
		return false, false
	}
	inGroup := func(n rpdb.Nexthop) bool {
		l, ok := w.Link(n.Link)
		return ok && l.Group == group
	}
	hops, _ := w.nexthops(a.route)
	if a.route.Family == rpdb.IPv4 {
		return inGroup(hops[0]), false
	}
	if len(a.either) > 0 {
		all := slices.IndexFunc(hops, func(n rpdb.Nexthop) bool { return inGroup(n) != inGroup(a.hop) })
		if all >= 0 {
			return false, true
		}
	}
	return inGroup(a.hop), false
}

// disputed reports whether IPv6 routes that lead over a nexthop object of this
// one would be judged differently: the kernel may take one for the other.
func (w world) disputed(r *rpdb.Route, length int32) bool {
	if r.Family == rpdb.IPv4 || r.NexthopID == 0 {
		return false
	}
	short, long := false, false
	for i := range w.Routes {
		o := &w.Routes[i]
		if o.Family != rpdb.IPv6 || o.NexthopID == 0 {
			continue
		}
		shares := slices.ContainsFunc(w.members(o.NexthopID), func(id uint32) bool {
			return slices.Contains(w.members(r.NexthopID), id)
		})
		if shares {
			fits := int32(o.Dst.Bits()) <= length
			short, long = short || fits, long || !fits
		}
	}
	return short && long
}

// members lists the nexthops of an object.
func (w world) members(id uint32) []uint32 {
	o, _ := w.object(id)
	if len(o.Group) == 0 {
		return []uint32{id}
	}
	var ids []uint32
	for _, m := range o.Group {
		ids = append(ids, m.ID)
	}
	return ids
}

// matches reports whether a rule applies.
func (w world) matches(r *rpdb.Rule, p packet) bool {
	return w.all(&r.Selector, r, p) != r.Selector.Not
}

// all is the conjunction of the selectors.
func (w world) all(s *rpdb.Selector, r *rpdb.Rule, p packet) bool {
	iif := p.IIF
	if p.output || iif == "" {
		iif = "lo"
	}
	uids, hasUID := s.UIDRange.Get()
	dscp, hasDSCP := s.DSCP.Get()
	tos := s.TOS == 0 || s.TOS == p.TOS&0x1c
	if p.Dst.Is6() {
		tos = s.TOS == 0 || s.TOS/4 == p.TOS/4
	}
	return w.link(s.IIF, iif, p.vrf) && w.link(s.OIF, p.OIF, p.vrf) &&
		(s.Mark.Value^p.Mark)&s.Mark.Mask == 0 &&
		(s.TunID == 0 || s.TunID == p.TunID) &&
		(!s.L3MDev || p.vrf != "") &&
		(!hasUID || uids.First <= p.UID && p.UID <= uids.Last) &&
		within(s.To, p.Dst) && (within(s.From, p.source()) && !(p.Dst.Is6() && p.lacksSource() && s.From.Bits() > 0) || findsSource(r, p)) &&
		tos && (!hasDSCP || (dscp.Value^p.TOS>>2)&dscp.Mask == 0) &&
		(s.FlowLabel.Value^p.FlowLabel)&s.FlowLabel.Mask == 0 &&
		(s.IPProto == 0 || s.IPProto == p.IPProto) && port(s.SPort, p.SPort) && port(s.DPort, p.DPort)
}

// link compares an interface selector.
func (w world) link(want, is, vrf rpdb.LinkName) bool {
	if want == "" {
		return true
	}
	l, exists := w.LinkByName(want)
	return exists && (want == is || isVRF(l) && want == vrf)
}

func within(p netip.Prefix, a netip.Addr) bool {
	return !p.IsValid() || p.Bits() == 0 || p.Masked().Contains(a)
}

func port(k rpdb.Ports, p uint16) bool {
	if k == (rpdb.Ports{}) {
		return true
	}
	if k.Mask != 0 {
		return k.First&k.Mask == p&k.Mask
	}
	return p >= k.First && p <= k.Last
}
