package kernel

import (
	"cmp"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// followed is what a [Follower] knows of a namespace. It makes no exchange with
// the kernel: it is given events and lists, and says what is to be read.
//
// An event is taken in if it leaves one state possible. It may come late, when a
// list was read that has it already; what would then be done twice is told from
// what can be done once, and read again. What the kernel changes along with what it
// tells, it changes under the same lock but not always before it: links are then
// read too, which come first and wait for the lock.
type followed struct {
	// todo is what is to be read. What is being read is in doing; what an event
	// is about that comes meanwhile is in again.
	todo, doing, again partSet

	links      lent[rpdb.Link]          // by index
	addresses  lent[rpdb.Address]       // in the kernel's order
	nexthops   lent[rpdb.NexthopObject] // by id
	neighbours lent[rpdb.Neighbour]     // by link and address
	rules      map[rpdb.Family]*lent[rpdb.Rule]
	routes     routeTables
	settings   rpdb.Sysctls // Links is never changed, but replaced
	custom     map[rpdb.Family]rpdb.Customised
	kernel     string

	changed bool // since the last publishing
}

// lent is a list that a snapshot may share: then it is copied before it changes.
type lent[T any] struct {
	items []T
	given bool
}

// own makes the list one's own before a change.
func (l *lent[T]) own() {
	if l.given {
		l.items, l.given = slices.Clone(l.items), false
	}
}

// give returns the list for a snapshot.
func (l *lent[T]) give() []T {
	l.given = true
	return slices.Clip(l.items)
}

func newFollowed() followed {
	s := followed{
		rules:  map[rpdb.Family]*lent[rpdb.Rule]{},
		routes: routeTables{tables: map[part]*lent[rpdb.Route]{}},
		custom: map[rpdb.Family]rpdb.Customised{},
	}
	for _, f := range rpdb.Families() {
		s.rules[f] = &lent[rpdb.Rule]{}
	}
	s.lost()
	return s
}

// lost has everything read.
func (s *followed) lost() {
	for _, c := range readingOrder() {
		s.dirty(part{class: c})
	}
}

// untold has that read which the kernel does not tell. Links bring their settings.
func (s *followed) untold() {
	for _, c := range []class{classLinks, classSettings, classAddresses, classNeighbours} {
		s.dirty(part{class: c})
	}
}

// dirty has a part read.
func (s *followed) dirty(u part) {
	if s.doing.has(u) {
		s.again = s.again.with(u)
		return
	}
	s.todo = s.todo.with(u)
}

// open reports whether a part is to be read or being read, and sees to it that an
// event about it is not lost.
func (s *followed) open(u part) bool {
	if s.doing.has(u) {
		s.again = s.again.with(u)
		return true
	}
	return s.todo.has(u)
}

// begin returns the next part to be read in this round.
func (s *followed) begin() (part, bool) {
	u, ok := s.todo.first()
	if ok {
		s.todo, s.doing = s.todo.without(u), s.doing.with(u)
	}
	return u, ok
}

// finish ends a round.
func (s *followed) finish() { s.todo, s.doing, s.again = s.todo.and(s.again), partSet{}, partSet{} }

// abandon ends a round that failed: nothing that was read in it counts.
func (s *followed) abandon() {
	s.again = s.again.and(s.doing)
	s.finish()
}

// publish returns the snapshot if it is another than last, otherwise nil.
func (s *followed) publish(last *rpdb.Snapshot) *rpdb.Snapshot {
	if !s.changed && last != nil {
		return nil
	}
	s.changed = false
	now := &rpdb.Snapshot{
		Links: s.links.give(), Addresses: s.addresses.give(), Neighbours: s.neighbours.give(), Nexthops: s.nexthops.give(),
		Routes: s.routes.give(), Sysctls: s.settings,
		Custom4: s.custom[rpdb.IPv4], Custom6: s.custom[rpdb.IPv6], Kernel: s.kernel,
	}
	if last != nil && s.rules[rpdb.IPv4].given && s.rules[rpdb.IPv6].given {
		now.Rules = last.Rules
	} else {
		now.Rules = slices.Concat(s.rules[rpdb.IPv4].give(), s.rules[rpdb.IPv6].give())
	}
	return now
}

// take takes in what a message tells. What cannot be read is read again.
func (s *followed) take(m netlink.Message) {
	var err error
	switch m.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		n, ok, failed := decodeNeighbour(m.Data)
		if err = failed; err == nil && ok {
			s.neighbour(n, m.Type == unix.RTM_DELNEIGH)
		}
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		s.dirty(part{class: classLinks})
		s.dirty(part{class: classSettings})
	default:
		err = s.object(m)
	}
	if err == nil {
		return
	}
	s.dirty(part{class: classNeighbours})
	for c := range class(classes) {
		if touched(m).has(c) {
			s.dirty(part{class: c})
		}
	}
}

// object takes in what a message tells about an object with an [Event].
func (s *followed) object(m netlink.Message) error {
	ev, ok, err := decodeEvent(m)
	if !ok || err != nil {
		return err
	}
	switch ev.Type {
	case EventRule:
		s.rule(ev.Rule, ev.Deleted)
	case EventRoute:
		s.route(ev.Route, ev.Deleted, m.Flags&netlink.Replace != 0)
	case EventLink:
		_, conf, err := decodeLink(m.Data)
		if err != nil {
			return err
		}
		s.link(ev.Link, conf, ev.Deleted)
	case EventAddress:
		s.address(ev.Address, ev.Deleted)
	case EventNexthop:
		s.nexthop(ev.Nexthop, ev.Deleted)
	}
	return nil
}

// rule takes in a rule. A goto finds or loses its target without an event.
func (s *followed) rule(r rpdb.Rule, deleted bool) {
	if r.Family == rpdb.IPv4 || !deleted { // as the kernel counts: see customised
		s.customise(r.Family, rpdb.CustomisedYes)
	}
	u := part{class: ofFamily(r.Family, classRules4, classRules6)}
	if s.open(u) {
		return
	}
	list := s.rules[r.Family]
	first := sort.Search(len(list.items), func(i int) bool { return list.items[i].Priority >= r.Priority })
	behind, alike := first, []int(nil)
	for ; behind < len(list.items) && list.items[behind].Priority == r.Priority; behind++ {
		if withoutState(list.items[behind]) == withoutState(r) {
			alike = append(alike, behind)
		}
	}
	leadsHere := func(o rpdb.Rule) bool {
		return o.Action.Type() == rpdb.ActionGoto && o.Action.Target() == r.Priority
	}
	switch {
	case slices.ContainsFunc(list.items, leadsHere):
		s.dirty(u)
	case !deleted && len(alike) == 0: // behind all of the same priority, as the kernel puts it
		list.own()
		list.items, s.changed = slices.Insert(list.items, behind, r), true
	case deleted && len(alike) == 1:
		list.own()
		list.items, s.changed = slices.Delete(list.items, alike[0], alike[0]+1), true
	default:
		s.dirty(u)
	}
}

func (s *followed) customise(f rpdb.Family, c rpdb.Customised) {
	if s.custom[f] != rpdb.CustomisedYes && s.custom[f] != c {
		s.custom[f], s.changed = c, true
	}
}

// link takes in an interface. The kernel tells the same over and over; what is
// new is read again, with what changes along.
func (s *followed) link(l rpdb.Link, conf rpdb.LinkSysctls, deleted bool) {
	u := part{class: classLinks}
	old, had := s.linkOf(l.Index)
	if !s.open(u) && had && !deleted && old == l && s.settings.Links[l.Name] == conf {
		s.carrier(l)
		return
	}
	s.dirty(u)
	s.along(l.Index, !had || deleted || old.Name != l.Name)
	if deleted {
		s.forget(l.Index)
	}
}

// carrier has that read which does not know yet whether an interface has a carrier.
// A list shows it at once, but routes learn it up to a second later, just before
// the event, which then says nothing new.
func (s *followed) carrier(l rpdb.Link) {
	late := func(n rpdb.Nexthop) bool {
		down, dead := n.Flags&rpdb.NexthopLinkdown != 0, n.Flags&rpdb.NexthopDead != 0
		return n.Link == l.Index && (l.HasCarrier() && (down || dead) || !l.HasCarrier() && !down && !dead)
	}
	affected := false
	for _, f := range rpdb.Families() {
		if s.touch(f, func(r *rpdb.Route) bool { return slices.ContainsFunc(r.Nexthops, late) }) {
			affected = true
		}
	}
	if slices.ContainsFunc(s.nexthops.items, func(o rpdb.NexthopObject) bool { return late(o.Nexthop) }) {
		s.dirty(part{class: classNexthops})
		affected = true
	}
	if affected {
		s.dirty(part{class: classLinks})
	}
}

func (s *followed) linkOf(i rpdb.LinkIndex) (rpdb.Link, bool) {
	at, ok := slices.BinarySearchFunc(s.links.items, i, func(l rpdb.Link, i rpdb.LinkIndex) int { return cmp.Compare(l.Index, i) })
	if !ok {
		return rpdb.Link{}, false
	}
	return s.links.items[at], true
}

// along has all read that may change with an interface without an event: routes
// and nexthop objects that lead through it, and rules that name one, if it has
// got or lost a name.
func (s *followed) along(i rpdb.LinkIndex, named bool) {
	for _, f := range rpdb.Families() {
		s.touch(f, func(r *rpdb.Route) bool { return leadsThrough(r, i) })
		u := part{class: ofFamily(f, classRules4, classRules6)}
		names := func(r rpdb.Rule) bool { return r.Selector.IIF != "" || r.Selector.OIF != "" }
		if s.doing.has(u) || named && slices.ContainsFunc(s.rules[f].items, names) {
			s.dirty(u)
		}
	}
	u := part{class: classNexthops}
	if s.doing.has(u) || slices.ContainsFunc(s.nexthops.items, func(o rpdb.NexthopObject) bool { return o.Nexthop.Link == i }) {
		s.dirty(u)
	}
}

// forget drops the neighbours on an interface that is gone.
func (s *followed) forget(i rpdb.LinkIndex) {
	on := func(n rpdb.Neighbour) bool { return n.Link == i }
	if slices.ContainsFunc(s.neighbours.items, on) {
		s.neighbours.own()
		s.neighbours.items, s.changed = slices.DeleteFunc(s.neighbours.items, on), true
	}
}

// address takes in an address. Routes go with the last IPv4 address of their
// interface, and come back with a new one, where they are dead members of a route;
// IPv6 that is switched off on an interface takes the addresses and the routes.
// Routes lose a source that is gone, or go with it.
func (s *followed) address(a rpdb.Address, deleted bool) {
	f := rpdb.FamilyOf(a.Prefix.Addr())
	affected := s.touch(f, func(r *rpdb.Route) bool {
		if deleted {
			return r.PrefSrc == a.Prefix.Addr() || leadsThrough(r, a.Link)
		}
		return f == rpdb.IPv4 && slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool {
			return n.Link == a.Link && n.Flags&rpdb.NexthopDead != 0
		})
	})
	if affected {
		s.dirty(part{class: classLinks})
	}
	u := part{class: classAddresses}
	if s.open(u) {
		return
	}
	at := slices.IndexFunc(s.addresses.items, func(o rpdb.Address) bool {
		return o.Link == a.Link && o.Prefix == a.Prefix && o.Peer == a.Peer
	})
	switch {
	case at < 0 || f == rpdb.IPv4: // where a new one stands, and who is secondary now, a list says
		s.dirty(u)
	case deleted:
		s.addresses.own()
		s.addresses.items, s.changed = slices.Delete(s.addresses.items, at, at+1), true
	case !sameAddress(s.addresses.items[at], a):
		s.addresses.own()
		s.addresses.items[at], s.changed = a, true
	}
}

// nexthop takes in a nexthop object. Routes change and go with it without an event;
// a new one has none yet. Groups that it changes are told.
func (s *followed) nexthop(o rpdb.NexthopObject, deleted bool) {
	at, had := slices.BinarySearchFunc(s.nexthops.items, o.ID, func(o rpdb.NexthopObject, id uint32) int { return cmp.Compare(o.ID, id) })
	open := s.open(part{class: classNexthops})
	if open || had || deleted {
		s.dirty(part{class: classLinks})
		for _, f := range rpdb.Families() {
			s.touch(f, func(r *rpdb.Route) bool { return r.NexthopID == o.ID })
		}
	}
	if open {
		return
	}
	switch {
	case deleted && had:
		s.nexthops.own()
		s.nexthops.items, s.changed = slices.Delete(s.nexthops.items, at, at+1), true
	case deleted:
	case !had:
		s.nexthops.own()
		s.nexthops.items, s.changed = slices.Insert(s.nexthops.items, at, o), true
	case !sameNexthops(s.nexthops.items[at], o):
		s.nexthops.own()
		s.nexthops.items[at], s.changed = o, true
	}
}

// neighbour takes in a neighbour, which events tell in full.
func (s *followed) neighbour(n rpdb.Neighbour, deleted bool) {
	at, had := slices.BinarySearchFunc(s.neighbours.items, n, compareNeighbours)
	switch {
	case deleted && !had:
		return
	case deleted:
		s.neighbours.own()
		s.neighbours.items = slices.Delete(s.neighbours.items, at, at+1)
	case !had:
		s.neighbours.own()
		s.neighbours.items = slices.Insert(s.neighbours.items, at, n)
	case s.neighbours.items[at] == n:
		return
	default:
		s.neighbours.own()
		s.neighbours.items[at] = n
	}
	s.changed = true
}

func compareNeighbours(a, b rpdb.Neighbour) int {
	return cmp.Or(cmp.Compare(a.Link, b.Link), a.Addr.Compare(b.Addr))
}
