package iproute2

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
)

// Setup is what commands of ip(8) make of a host that has nothing but the rules
// of a new namespace: files that set a network up are read by running their
// commands on one. It is stricter than ip: what the kernel would bend or ignore
// is an error. Interfaces are there as soon as a command names them. The zero
// Setup is ready; it is not safe for concurrent use.
type Setup struct {
	// Snapshot holds what the commands have made; to change it is their
	// business. The rules of a new namespace are not in it.
	Snapshot rpdb.Snapshot
	// Names are the names that words may be.
	Names rpdb.Names

	rules  map[rulePlace][]rpdb.Rule
	routes map[rpdb.RouteKey]int // how many have the key
}

// rulePlace is where a rule stands among those of its family.
type rulePlace struct {
	family   rpdb.Family
	priority rpdb.Priority
}

func placeOf(r rpdb.Rule) rulePlace { return rulePlace{r.Family, r.Priority} }

// What ip fails with where nothing is wrong with the words.
var (
	ErrThere    = errors.New("it is there already, and ip would fail")
	ErrNotThere = errors.New("there is no such thing to delete")
)

// Clone returns a setup that is changed by itself.
func (s *Setup) Clone() *Setup {
	c := *s
	c.Snapshot.Rules, c.Snapshot.Routes = slices.Clone(s.Snapshot.Rules), slices.Clone(s.Snapshot.Routes)
	c.Snapshot.Links, c.Snapshot.Addresses = slices.Clone(s.Snapshot.Links), slices.Clone(s.Snapshot.Addresses)
	c.rules, c.routes = maps.Clone(s.rules), maps.Clone(s.routes)
	return &c
}

// Run runs the words after "ip" and its options, of which f is what -4 and -6
// say, 0 without them. It returns what was added, replaced or deleted of rules
// and routes, nothing for other commands, and if there is an error it has
// changed nothing but for interfaces.
func (s *Setup) Run(f rpdb.Family, words []string) ([]rpdb.Change, error) {
	if len(words) == 0 {
		return nil, errors.New("nothing follows ip")
	}
	// In the order in which ip looks for what a beginning stands for.
	for _, o := range []struct {
		name string
		run  func(*Setup, rpdb.Family, []string) ([]rpdb.Change, error)
	}{{"address", (*Setup).address}, {"route", (*Setup).route}, {"rule", (*Setup).rule}, {"link", (*Setup).link}} {
		if strings.HasPrefix(o.name, words[0]) && words[0] != "" {
			return o.run(s, f, words[1:])
		}
	}
	return nil, fmt.Errorf("only rules, routes, addresses and links are understood, not %q", words[0])
}

// rule runs the words after "ip rule".
func (s *Setup) rule(f rpdb.Family, words []string) ([]rpdb.Change, error) {
	if len(words) == 0 {
		return nil, errors.New("a listing sets nothing up")
	}
	verb, err := ParseRuleVerb(words[0])
	if err != nil {
		return nil, err
	}
	c := RuleContext{Family: ruleFamily(f), Names: s.Names}
	switch verb {
	case RuleAdd:
		q, err := c.ParseAdd(words[1:])
		if err != nil {
			return nil, err
		}
		return s.addRule(q)
	case RuleDelete:
		q, err := c.ParseDelete(words[1:])
		if err != nil {
			return nil, err
		}
		return s.deleteRule(q)
	}
	return nil, fmt.Errorf("ip rule %v is not understood, only add and del are", verb)
}

// ruleFamily is the family of a rule: without an option ip means IPv4, whatever
// the addresses are.
func ruleFamily(f rpdb.Family) rpdb.Family {
	if f == 0 {
		return rpdb.IPv4
	}
	return f
}

func (s *Setup) addRule(q RuleRequest) ([]rpdb.Change, error) {
	r, err := q.Strict()
	if err != nil {
		return nil, err
	}
	if !q.Given().Priority {
		if r.Priority, err = s.automatic(r.Family); err != nil {
			return nil, err
		}
	}
	if a := r.Action; a.Type() == rpdb.ActionGoto && a.Target() <= r.Priority {
		return nil, fmt.Errorf("goto %d leads backward from %d", a.Target(), r.Priority)
	}
	if slices.ContainsFunc(s.rules[placeOf(r)], func(o rpdb.Rule) bool { return TakenFor(r, o) }) {
		return nil, ErrThere
	}
	at := len(s.Snapshot.Rules)
	for at > 0 && s.Snapshot.Rules[at-1].Compare(r) > 0 {
		at--
	}
	s.Snapshot.Rules = slices.Insert(s.Snapshot.Rules, at, r)
	if s.rules == nil {
		s.rules = map[rulePlace][]rpdb.Rule{}
	}
	s.rules[placeOf(r)] = append(slices.Clip(s.rules[placeOf(r)]), r)
	return []rpdb.Change{rpdb.RuleChange(rpdb.Add, r)}, nil
}

// TakenFor reports whether the kernel would refuse to add a rule since it takes it
// for another of its priority, which is there. It looks neither at not nor at the target of a goto, and at some
// selectors only where the new rule has them.
func TakenFor(r, there rpdb.Rule) bool {
	r, there = r.Canonical(), there.Canonical()
	if placeOf(r) != placeOf(there) {
		return false
	}
	a, b := r.Selector, there.Selector
	if !agrees(a.From, b.From) || !agrees(a.To, b.To) || !agrees(a.TOS, b.TOS) || !agrees(a.DSCP, b.DSCP) ||
		!agrees(a.FlowLabel, b.FlowLabel) || !agrees(r.Realms, there.Realms) {
		return false
	}
	rest := func(r rpdb.Rule) rpdb.Rule {
		s := r.Selector
		r.Selector = rpdb.Selector{
			Mark: s.Mark, IIF: s.IIF, OIF: s.OIF, L3MDev: s.L3MDev, UIDRange: s.UIDRange,
			IPProto: s.IPProto, SPort: s.SPort, DPort: s.DPort, TunID: s.TunID,
		}
		r.Action = rpdb.RawAction(r.Action.Type(), r.Action.Table(), 0)
		r.Realms, r.Flags, r.Unknown = 0, 0, ""
		return r
	}
	return rest(r) == rest(there)
}

// automatic is the priority that the kernel gives to a rule without one: the one
// in front of the second rule of its list, the first of which is that of the
// local table.
func (s *Setup) automatic(f rpdb.Family) (rpdb.Priority, error) {
	lowest := rpdb.PriorityMain
	for _, r := range s.Snapshot.RulesOf(f) {
		if r.Priority < lowest {
			lowest = r.Priority
		}
	}
	if lowest <= 1 {
		return 0, errors.New("no priority is left for a rule without one: give it one")
	}
	return lowest - 1, nil
}

// deleteRule deletes the first rule that agrees in everything that was typed, as
// the kernel does.
func (s *Setup) deleteRule(q RuleRequest) ([]rpdb.Change, error) {
	if _, err := q.Strict(); err != nil {
		return nil, err
	}
	want := q.Rule().Canonical()
	at := 0
	if q.Given().Priority {
		at, _ = slices.BinarySearchFunc(s.Snapshot.Rules, want, rpdb.Rule.Compare)
	}
	for ; ; at++ {
		if at == len(s.Snapshot.Rules) || q.Given().Priority && s.Snapshot.Rules[at].Compare(want) > 0 {
			return nil, ErrNotThere
		}
		if r := s.Snapshot.Rules[at]; r.Family == want.Family && hits(want, r.Canonical()) {
			break
		}
	}
	gone := s.Snapshot.Rules[at]
	s.Snapshot.Rules = slices.Delete(s.Snapshot.Rules, at, at+1)
	s.rules[placeOf(gone)] = slices.DeleteFunc(slices.Clone(s.rules[placeOf(gone)]), func(r rpdb.Rule) bool { return r == gone })
	return []rpdb.Change{rpdb.RuleChange(rpdb.Delete, gone)}, nil
}

// hits reports whether a rule has everything that is not zero in what is wanted.
// The kernel does not look at not, and nobody who deletes a rule relies on that.
func hits(want, r rpdb.Rule) bool {
	a, b := want.Selector, r.Selector
	return a.Not == b.Not && agrees(a.From, b.From) && agrees(a.To, b.To) && agrees(a.TOS, b.TOS) && agrees(a.DSCP, b.DSCP) &&
		agrees(a.Mark, b.Mark) && agrees(a.IIF, b.IIF) && agrees(a.OIF, b.OIF) && agrees(a.L3MDev, b.L3MDev) &&
		agrees(a.UIDRange, b.UIDRange) && agrees(a.IPProto, b.IPProto) && agrees(a.SPort, b.SPort) && agrees(a.DPort, b.DPort) &&
		agrees(a.FlowLabel, b.FlowLabel) && agrees(a.TunID, b.TunID) &&
		agrees(want.Action.Type(), r.Action.Type()) && agrees(want.Action.Table(), r.Action.Table()) &&
		agrees(want.Action.Target(), r.Action.Target()) && agrees(want.Suppress.PrefixLength, r.Suppress.PrefixLength) &&
		agrees(want.Suppress.IfGroup, r.Suppress.IfGroup) && agrees(want.Realms, r.Realms) && agrees(want.Protocol, r.Protocol)
}

// agrees reports whether a value is the one wanted, of which zero is any.
func agrees[T comparable](want, have T) bool {
	var any T
	return want == any || want == have
}

// route runs the words after "ip route".
func (s *Setup) route(f rpdb.Family, words []string) ([]rpdb.Change, error) {
	if len(words) == 0 {
		return nil, errors.New("a listing sets nothing up")
	}
	verb, err := ParseRouteVerb(words[0])
	if err != nil {
		return nil, err
	}
	c := RouteContext{Family: f, Names: s.Names, LinkIndex: func(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
		return format.Link(&s.Snapshot, name), true
	}}
	switch verb {
	case RouteAdd, RouteReplace, RouteAppend, RouteDelete:
	case RouteFlush:
		return s.flushRoutes(c, words[1:])
	default:
		return nil, fmt.Errorf("ip route %s is not understood, only add, replace, append, del and flush are", words[0])
	}
	q, err := c.ParseRequest(verb, words[1:])
	if err != nil {
		return nil, err
	}
	r, err := q.Strict()
	switch {
	case err != nil:
		return nil, err
	case verb == RouteDelete:
		return s.deleteRoute(q, r)
	}
	return s.putRoute(verb, r)
}

// putRoute adds a route, or puts it in the place of another.
func (s *Setup) putRoute(verb RouteVerb, r rpdb.Route) ([]rpdb.Change, error) {
	if err := s.completeHops(&r); err != nil {
		return nil, err
	}
	key := r.Key()
	there := s.routes[key] > 0
	switch {
	case !there:
	case verb == RouteReplace:
		at := slices.IndexFunc(s.Snapshot.Routes, func(o rpdb.Route) bool { return o.Key() == key })
		s.Snapshot.Routes[at] = r
		return []rpdb.Change{rpdb.RouteChange(rpdb.Replace, r)}, nil
	case verb == RouteAdd:
		return nil, ErrThere
	case slices.ContainsFunc(s.Snapshot.Routes, func(o rpdb.Route) bool { return joins(o, r) }):
		return nil, errors.New("an IPv6 route that is appended becomes part of the one that is there: write it as one route, with a nexthop for each")
	case slices.ContainsFunc(s.Snapshot.Routes, r.Equal):
		return nil, ErrThere
	}
	s.Snapshot.Routes = append(s.Snapshot.Routes, r)
	if s.routes == nil {
		s.routes = map[rpdb.RouteKey]int{}
	}
	s.routes[key]++
	return []rpdb.Change{rpdb.RouteChange(rpdb.Add, r)}, nil
}

// joins reports whether the kernel would make one route of two: IPv6 does so if
// they have one key and both have a gateway.
func joins(a, b rpdb.Route) bool {
	leads := func(r rpdb.Route) bool {
		return slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return n.Via.IsValid() })
	}
	return a.Family == rpdb.IPv6 && a.Key() == b.Key() && leads(a) && leads(b)
}

// completeHops finds the interfaces of gateways that were given without one, as
// the kernel does: by the network that they are in.
func (s *Setup) completeHops(r *rpdb.Route) error {
	for i, n := range r.Nexthops {
		if n.Link != 0 || !n.Via.IsValid() {
			continue
		}
		link := s.towards(n)
		if link == 0 {
			return fmt.Errorf("no network of an interface here has the gateway %v: say with dev where it is", n.Via)
		}
		r.Nexthops[i].Link = link
	}
	return nil
}

// towards is the interface with the longest prefix that a gateway is in.
func (s *Setup) towards(n rpdb.Nexthop) (link rpdb.LinkIndex) {
	bits := -1
	for _, a := range s.Snapshot.Addresses {
		if a.Prefix.Masked().Contains(n.Via) && a.Prefix.Bits() > bits {
			link, bits = a.Link, a.Prefix.Bits()
		}
	}
	for _, r := range s.Snapshot.Routes {
		onLink := r.Table == rpdb.TableMain && r.Type == rpdb.RouteUnicast && len(r.Nexthops) == 1 && !r.Nexthops[0].Via.IsValid()
		if onLink && r.Dst.Contains(n.Via) && r.Dst.Bits() > bits {
			link, bits = r.Nexthops[0].Link, r.Dst.Bits()
		}
	}
	return link
}

// deleteRoute deletes the first route that agrees in what was typed: that with the
// lowest metric.
func (s *Setup) deleteRoute(q RouteRequest, want rpdb.Route) ([]rpdb.Change, error) {
	at := -1
	for i, r := range s.Snapshot.Routes {
		if q.hits(want, r) && (at < 0 || r.Key().Metric < s.Snapshot.Routes[at].Key().Metric) {
			at = i
		}
	}
	if at < 0 {
		return nil, ErrNotThere
	}
	gone := s.Snapshot.Routes[at]
	s.Snapshot.Routes = slices.Delete(s.Snapshot.Routes, at, at+1)
	s.routes[gone.Key()]--
	return []rpdb.Change{rpdb.RouteChange(rpdb.Delete, gone)}, nil
}

// hits reports whether a route has what a delete names.
func (q RouteRequest) hits(want, r rpdb.Route) bool {
	if want.Family != r.Family || want.Table != r.Table || want.Dst != r.Dst || want.Src != r.Src || want.TOS != r.TOS {
		return false
	}
	if q.Typed("metric") && want.Key() != r.Key() || q.Typed("protocol") && want.Protocol != r.Protocol ||
		q.Typed("type") && want.Type != r.Type || q.Typed("scope") && want.Scope != r.Scope ||
		want.PrefSrc.IsValid() && want.PrefSrc != r.PrefSrc {
		return false
	}
	for i, n := range want.Nexthops {
		if i >= len(r.Nexthops) || !agrees(n.Link, r.Nexthops[i].Link) || !agrees(n.Via, r.Nexthops[i].Via) {
			return false
		}
	}
	return true
}

// flushRoutes empties a table, and takes nothing but its name: what else a flush
// can select by depends on what others have made.
func (s *Setup) flushRoutes(c RouteContext, words []string) ([]rpdb.Change, error) {
	if len(words) == 1 {
		words = []string{"table", words[0]}
	}
	if len(words) != 2 || words[0] != "table" {
		return nil, errors.New("only a whole table can be flushed: ip route flush table NAME")
	}
	t, ok := s.Names.TableByName(words[1])
	if !ok || t == rpdb.TableUnspec || t == math.MaxUint32 {
		return nil, fmt.Errorf("no table is known by the name %q", words[1])
	}
	var gone []rpdb.Change
	s.Snapshot.Routes = slices.DeleteFunc(s.Snapshot.Routes, func(r rpdb.Route) bool {
		hit := r.Table == t && (r.Family == c.Family || c.Family == 0 && r.Family == rpdb.IPv4)
		if hit {
			gone = append(gone, rpdb.RouteChange(rpdb.Delete, r))
			s.routes[r.Key()]--
		}
		return hit
	})
	return gone, nil
}
