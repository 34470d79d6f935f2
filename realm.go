package rpdb

import "slices"

// The tables that can be copies of others for rules that translate, and the realm
// of the first of them.
const (
	firstCopy, lastCopy TableID = 82500, 84999

	firstCopyRealm uint16 = 10500
)

// RealmOfCopy returns the realm that the routes of a table carry if it is the
// copy that a rule has for itself whose packets are translated, and whether a
// table can be one. Tables and realms belong to each other for good, so that what
// nftables knows of a realm stays right wherever the rule stands.
//
// A realm of a rule alone would not do: the kernel keeps what it has found by a
// nexthop with the realm of whoever came first, for all rules that lead there
// (rt_cache_route). Routes with other realms have nexthops of their own.
func RealmOfCopy(t TableID) (realm uint16, ok bool) {
	if t < firstCopy || t > lastCopy {
		return 0, false
	}
	return firstCopyRealm + uint16(t-firstCopy), true
}

// IsCopyRealm reports whether a realm is that of a copy.
func IsCopyRealm(realm uint16) bool {
	_, ok := CopyOfRealm(realm)
	return ok
}

// CopyOfRealm returns the copy that has a realm, and whether there is one.
func CopyOfRealm(realm uint16) (TableID, bool) {
	t := firstCopy + TableID(realm) - TableID(firstCopyRealm)
	return t, realm >= firstCopyRealm && t <= lastCopy
}

// AsCopy returns a route as it stands in a copy ([RealmOfCopy]), where nftables knows
// its packets. In IPv4 they have the realm of the copy: of a single way that is the
// route's, and of several each has its own. In IPv6 each way has the program of the
// copy, in the place of the tunnel that it may have ([Nexthop.WithCopyProgram]).
func (r Route) AsCopy(of TableID) Route {
	r.Table = of
	realm, _ := RealmOfCopy(of)
	if len(r.Nexthops) == 1 && r.Family == IPv4 {
		r.Realms = NewRealms(0, realm)
		return r
	}
	r.Nexthops = slices.Clone(r.Nexthops)
	for i, n := range r.Nexthops {
		switch {
		case r.Family == IPv4:
			r.Nexthops[i].Realms = NewRealms(0, realm)
		case r.Type == RouteUnicast:
			r.Nexthops[i] = n.WithCopyProgram(of)
		}
	}
	return r
}

// MoveCopy returns a route as it stands in another table: where it carries the
// realm or the program ([CopyProgram]) of the table that it was in, it carries that
// of the other one.
func (r Route) MoveCopy(to TableID) Route {
	from := r.Table
	was, ok := RealmOfCopy(from)
	is, _ := RealmOfCopy(to)
	r.Table = to
	if !ok || was == is {
		return r
	}
	swap := func(of Realms) Realms {
		if of == NewRealms(0, was) {
			return NewRealms(0, is)
		}
		return of
	}
	r.Realms = swap(r.Realms)
	hops := make([]Nexthop, 0, len(r.Nexthops))
	for _, n := range r.Nexthops {
		n.Realms = swap(n.Realms)
		if t, has := n.CopyTable(); has && t == from {
			n = n.WithCopyProgram(to)
		}
		hops = append(hops, n)
	}
	if r.Nexthops != nil {
		r.Nexthops = hops
	}
	return r
}

// MoveCopy returns a rule that looks up another table, and carries the realm of
// that one where it carries that of the one that it looked up.
func (r Rule) MoveCopy(to TableID) Rule {
	was, ok := RealmOfCopy(r.Action.Table())
	is, _ := RealmOfCopy(to)
	if ok && r.Realms == NewRealms(0, was) {
		r.Realms = NewRealms(0, is)
	}
	r.Action = ToTable(to)
	return r
}
