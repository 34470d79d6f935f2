package differential

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"rpdb"
)

// differsFrom says in what a snapshot that was followed is not what was read
// afresh; "" if it is the same by meaning. Told leaves out what the kernel does not
// tell.
func differsFrom(followed, fresh *rpdb.Snapshot, told bool) string {
	a, b := byMeaning(followed, told), byMeaning(fresh, told)
	for _, part := range []struct {
		name string
		a, b any
	}{
		{"rules", a.Rules, b.Rules},
		{"links", a.Links, b.Links},
		{"addresses", a.Addresses, b.Addresses},
		{"neighbours", a.Neighbours, b.Neighbours},
		{"nexthop objects", a.Nexthops, b.Nexthops},
		{"routes", a.Routes, b.Routes},
		{"settings", a.Sysctls, b.Sysctls},
	} {
		if !reflect.DeepEqual(part.a, part.b) {
			return part.name + ":" + onlyIn("followed", part.a, part.b) + onlyIn("read   ", part.b, part.a)
		}
	}
	for f, c := range map[rpdb.Family][2]rpdb.Customised{rpdb.IPv4: {a.Custom4, b.Custom4}, rpdb.IPv6: {a.Custom6, b.Custom6}} {
		if c[0] != c[1] && c[0] != rpdb.CustomisedYes {
			return fmt.Sprintf("customised (%v): followed %v, read %v", f, c[0], c[1])
		}
	}
	return ""
}

// onlyIn lists what one list has and the other has not, or where the order of the
// same things differs.
func onlyIn(name string, a, b any) (text string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Kind() != reflect.Slice {
		return fmt.Sprintf("\n  %s %s", name, js(a))
	}
	for i := range x.Len() {
		if i >= y.Len() || !reflect.DeepEqual(x.Index(i).Interface(), y.Index(i).Interface()) {
			text += fmt.Sprintf("\n  %s [%d] %s", name, i, js(x.Index(i).Interface()))
		}
		if len(text) > 2000 {
			return text + "\n  ..."
		}
	}
	return text
}

// byMeaning returns a snapshot in a form in which what means the same is equal.
func byMeaning(s *rpdb.Snapshot, told bool) rpdb.Snapshot {
	c := *s
	c.Rules = append([]rpdb.Rule{}, s.Rules...)
	c.Links = append([]rpdb.Link{}, s.Links...)
	for i, l := range c.Links {
		if told && !l.IsUp() {
			c.Links[i].Group = 0 // the kernel tells of it when the interface comes up
		}
	}
	c.Addresses, c.Nexthops = []rpdb.Address{}, []rpdb.NexthopObject{}
	for _, a := range s.Addresses {
		if told && !a.Usable() {
			continue // the kernel tells of it when it has been checked
		}
		a.Preferred, a.Valid = 0, 0
		c.Addresses = append(c.Addresses, a)
	}
	for _, o := range s.Nexthops {
		o.Group = slices.Clip(o.Group)
		c.Nexthops = append(c.Nexthops, o)
	}
	c.Routes = make([]rpdb.Route, 0, len(s.Routes))
	for _, r := range s.Routes {
		r.Expires = 0
		if len(r.Metrics) == 0 {
			r.Metrics = nil
		}
		if len(r.Nexthops) == 0 {
			r.Nexthops = nil
		}
		c.Routes = append(c.Routes, r)
	}
	slices.SortStableFunc(c.Routes, func(a, b rpdb.Route) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Dst.String(), b.Dst.String()),
			cmp.Compare(a.Src.String(), b.Src.String()), cmp.Compare(a.TOS, b.TOS), cmp.Compare(a.Metric, b.Metric))
	})
	c.Neighbours = neighboursThatCount(s, told)
	if told {
		c.Sysctls = toldSettings(s.Sysctls)
	}
	return c
}

// neighboursThatCount are those through which packets go or do not go. Entries that
// the kernel makes for multicast addresses, and those that were never of use, come
// without an event.
func neighboursThatCount(s *rpdb.Snapshot, told bool) []rpdb.Neighbour {
	list := []rpdb.Neighbour{}
	for _, n := range s.Neighbours {
		switch {
		case n.State&(rpdb.NeighbourPermanent|rpdb.NeighbourReachable|rpdb.NeighbourStale|rpdb.NeighbourDelay|rpdb.NeighbourProbe) != 0:
			n.State = rpdb.NeighbourReachable
		case told, n.State == rpdb.NeighbourNoARP:
			continue
		}
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b rpdb.Neighbour) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Addr.Compare(b.Addr))
	})
	return list
}

// toldSettings are the settings whose changes the kernel tells.
func toldSettings(y rpdb.Sysctls) rpdb.Sysctls {
	of := func(l rpdb.LinkSysctls) rpdb.LinkSysctls {
		return rpdb.LinkSysctls{
			Forwarding4: l.Forwarding4, Forwarding6: l.Forwarding6, RPFilter: l.RPFilter,
			IgnoreLinkdown4: l.IgnoreLinkdown4, IgnoreLinkdown6: l.IgnoreLinkdown6,
		}
	}
	t := rpdb.Sysctls{IPv4Forward: y.IPv4Forward, IPv6Forward: y.IPv6Forward, All: of(y.All), Links: map[rpdb.LinkName]rpdb.LinkSysctls{}}
	for name, l := range y.Links {
		t.Links[name] = of(l)
	}
	return t
}
