package kernel

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpdb"
)

// known is a follower's knowledge of a small namespace, with nothing to be read:
// e0 (2) and e1 (3), rules of both families, and a table for each way in which
// routes can depend on something else.
func known() *followed {
	s := newFollowed()
	s.todo = partSet{}
	up := rpdb.LinkUp | rpdb.LinkLowerUp
	s.links.items = []rpdb.Link{{Index: 1, Name: "lo", Flags: up}, {Index: 2, Name: "e0", Flags: up}, {Index: 3, Name: "e1", Flags: up}}
	s.settings.Links = map[rpdb.LinkName]rpdb.LinkSysctls{"e0": {RPFilter: 1}}
	s.addresses.items = []rpdb.Address{
		{Link: 2, Prefix: prefix("192.0.2.1/24")}, {Link: 3, Prefix: prefix("198.51.100.1/24")}, {Link: 2, Prefix: prefix("2001:db8::1/64")},
	}
	s.nexthops.items = []rpdb.NexthopObject{
		{ID: 1, Family: rpdb.IPv4, Nexthop: rpdb.Nexthop{Link: 2, Via: addr("192.0.2.9")}},
		{ID: 5, Group: []rpdb.GroupMember{{ID: 1, Weight: 1}}},
	}
	for _, f := range rpdb.Families() {
		s.rules[f].items = []rpdb.Rule{
			{Family: f, Priority: 0, Action: rpdb.ToTable(255)},
			{Family: f, Priority: 10, Action: rpdb.ToTable(10)},
			{Family: f, Priority: 10, Action: rpdb.ToTable(11)},
			{Family: f, Priority: 20, Action: rpdb.Goto(30)},
			{Family: f, Priority: 40, Selector: rpdb.Selector{IIF: "e0"}, Action: rpdb.Nop()},
		}
	}
	via := func(link rpdb.LinkIndex) []rpdb.Nexthop { return []rpdb.Nexthop{{Link: link}} }
	for _, r := range []rpdb.Route{
		{Family: rpdb.IPv4, Table: 10, Dst: prefix("10.0.0.0/8"), Type: rpdb.RouteUnicast, Nexthops: via(2)},
		{Family: rpdb.IPv4, Table: 11, Dst: prefix("10.0.0.0/8"), Type: rpdb.RouteUnicast, Nexthops: via(3), PrefSrc: addr("192.0.2.1")},
		{Family: rpdb.IPv4, Table: 12, Dst: prefix("10.0.0.0/8"), Type: rpdb.RouteUnicast, Nexthops: via(3), NexthopID: 5},
		{Family: rpdb.IPv4, Table: 13, Dst: prefix("10.0.0.0/8"), Type: rpdb.RouteUnicast, Nexthops: []rpdb.Nexthop{{Link: 3, Flags: rpdb.NexthopLinkdown | rpdb.NexthopDead}, {Link: 3}}},
		{Family: rpdb.IPv4, Table: 14, Dst: prefix("10.0.0.0/8"), Type: rpdb.RouteBlackhole},
		{Family: rpdb.IPv6, Table: 10, Dst: prefix("2001:db8:a::/48"), Type: rpdb.RouteUnicast, Metric: 1, Nexthops: via(2)},
		{Family: rpdb.IPv6, Table: 11, Dst: prefix("2001:db8:a::/48"), Type: rpdb.RouteUnicast, Metric: 1, Nexthops: via(3), PrefSrc: addr("2001:db8::1")},
		{Family: rpdb.IPv6, Table: 12, Dst: prefix("2001:db8:a::/48"), Type: rpdb.RouteUnicast, Metric: 1, Nexthops: []rpdb.Nexthop{{Link: 2, Via: addr("2001:db8::9")}, {Link: 3, Via: addr("2001:db8:1::9")}}},
	} {
		s.putTable(tablePart(r.Family, r.Table), []rpdb.Route{r})
	}
	s.changed = false
	return &s
}

// todoOf lists what is to be read.
func todoOf(s *followed) (list []string) {
	todo := partSet{}.and(s.todo)
	for {
		u, ok := todo.first()
		if !ok {
			return list
		}
		list = append(list, u.String())
		todo = todo.without(u)
	}
}

// What an event leaves open is read again, and nothing else.
func TestFollowedReadsAgain(t *testing.T) {
	four := func(p rpdb.Priority, a rpdb.Action) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: a}
	}
	route := func(text string, table rpdb.TableID) rpdb.Route {
		p := prefix(text)
		return rpdb.Route{Family: rpdb.FamilyOf(p.Addr()), Table: table, Dst: p, Type: rpdb.RouteBlackhole}
	}
	down, renamed := rpdb.Link{Index: 2, Name: "e0"}, rpdb.Link{Index: 2, Name: "x0", Flags: rpdb.LinkUp | rpdb.LinkLowerUp}
	const throughE0 = "links; nexthop objects; routes (IPv4) of table 10; routes (IPv6) of table 10; routes (IPv6) of table 12"
	for _, c := range []struct {
		name  string
		event func(*followed)
		want  string
	}{
		{"a new rule", func(s *followed) { s.rule(four(15, rpdb.Nop()), false) }, ""},
		{"a rule goes", func(s *followed) { s.rule(four(10, rpdb.ToTable(10)), true) }, ""},
		{"a goto finds its target", func(s *followed) { s.rule(four(30, rpdb.Nop()), false) }, "rules (IPv4)"},
		{"a rule that is known comes", func(s *followed) { s.rule(four(10, rpdb.ToTable(10)), false) }, "rules (IPv4)"},
		{"a rule that is not known goes", func(s *followed) { s.rule(four(10, rpdb.ToTable(12)), true) }, "rules (IPv4)"},
		{"a new route", func(s *followed) { s.route(route("10.1.0.0/16", 10), false, false) }, ""},
		{"a new route of a new table", func(s *followed) { s.route(route("2001:db8::/32", 99), false, false) }, ""},
		{"a second route of a key", func(s *followed) { s.route(route("10.0.0.0/8", 10), false, false) }, "routes (IPv4) of table 10"},
		{"a route in place of another", func(s *followed) { s.route(route("10.0.0.0/8", 10), false, true) }, ""},
		{"a known route comes", func(s *followed) { s.route(route("10.0.0.0/8", 14), false, false) }, ""},
		{"a route goes", func(s *followed) { s.route(route("10.0.0.0/8", 14), true, false) }, ""},
		{"a route that is not known goes", func(s *followed) { s.route(route("10.9.0.0/16", 14), true, false) }, "routes (IPv4) of table 14"},
		{"a member of a route goes", func(s *followed) {
			r := s.routes.tables[tablePart(rpdb.IPv6, 12)].items[0]
			r.Nexthops = r.Nexthops[:1]
			s.route(r, true, false)
		}, "routes (IPv6) of table 12"},
		{"IPv6 is switched off", func(s *followed) {
			s.route(rpdb.Route{Family: rpdb.IPv6, Table: 255, Dst: prefix("ff00::/8"), Type: rpdb.RouteMulticast, Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{{Link: 3}}}, true, false)
		}, "links; routes (IPv6) of table 12; routes (IPv6) of table 255"},
		{"a link says what a route did not know yet", func(s *followed) { s.link(s.links.items[2], rpdb.LinkSysctls{}, false) }, "links; routes (IPv4) of table 13"},
		{"a link says the same again", func(s *followed) { s.link(s.links.items[1], rpdb.LinkSysctls{RPFilter: 1}, false) }, ""},
		{"a link has another setting", func(s *followed) { s.link(s.links.items[1], rpdb.LinkSysctls{}, false) }, throughE0},
		{"a link goes down", func(s *followed) { s.link(down, rpdb.LinkSysctls{RPFilter: 1}, false) }, throughE0},
		{"a link gets another name", func(s *followed) { s.link(renamed, rpdb.LinkSysctls{RPFilter: 1}, false) }, strings.Replace(throughE0, "objects;", "objects; rules (IPv4); rules (IPv6);", 1)},
		{"a link goes", func(s *followed) { s.link(s.links.items[1], rpdb.LinkSysctls{RPFilter: 1}, true) }, strings.Replace(throughE0, "objects;", "objects; rules (IPv4); rules (IPv6);", 1)},
		{"a new link", func(s *followed) { s.link(rpdb.Link{Index: 9, Name: "e9"}, rpdb.LinkSysctls{}, false) }, "links; rules (IPv4); rules (IPv6)"},
		{"an address goes", func(s *followed) { s.address(rpdb.Address{Link: 2, Prefix: prefix("192.0.2.1/24")}, true) }, "links; addresses; routes (IPv4) of table 10; routes (IPv4) of table 11"},
		{"an IPv6 address goes", func(s *followed) { s.address(rpdb.Address{Link: 2, Prefix: prefix("2001:db8::1/64")}, true) }, "links; routes (IPv6) of table 10; routes (IPv6) of table 11; routes (IPv6) of table 12"},
		{"an address revives a route", func(s *followed) { s.address(rpdb.Address{Link: 3, Prefix: prefix("198.51.100.2/24")}, false) }, "links; addresses; routes (IPv4) of table 13"},
		{"an IPv6 address is checked", func(s *followed) {
			s.address(rpdb.Address{Link: 2, Prefix: prefix("2001:db8::1/64"), Flags: rpdb.AddressDeprecated}, false)
		}, ""},
		{"a new nexthop object", func(s *followed) { s.nexthop(rpdb.NexthopObject{ID: 3, Family: rpdb.IPv4}, false) }, ""},
		{"a nexthop object goes", func(s *followed) { s.nexthop(rpdb.NexthopObject{ID: 5}, true) }, "links; routes (IPv4) of table 12"},
		{"a nexthop object is replaced", func(s *followed) { s.nexthop(rpdb.NexthopObject{ID: 5}, false) }, "links; routes (IPv4) of table 12"},
		{"a neighbour", func(s *followed) { s.neighbour(rpdb.Neighbour{Link: 2, Addr: addr("192.0.2.9")}, false) }, ""},
	} {
		s := known()
		c.event(s)
		if got := strings.Join(todoOf(s), "; "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// Where a rule is put, and which goes.
func TestFollowedRules(t *testing.T) {
	s := known()
	tables := func() (list []rpdb.TableID) {
		for _, r := range s.rules[rpdb.IPv4].items {
			list = append(list, r.Action.Table())
		}
		return list
	}
	s.rule(rpdb.Rule{Family: rpdb.IPv4, Priority: 10, Action: rpdb.ToTable(12)}, false)
	if got := tables(); !slices.Equal(got, []rpdb.TableID{255, 10, 11, 12, 0, 0}) {
		t.Errorf("after an addition %v", got)
	}
	s.rule(rpdb.Rule{Family: rpdb.IPv4, Priority: 10, Action: rpdb.ToTable(11)}, true)
	if got := tables(); !slices.Equal(got, []rpdb.TableID{255, 10, 12, 0, 0}) {
		t.Errorf("after a deletion %v", got)
	}
	if s.custom[rpdb.IPv4] != rpdb.CustomisedYes || s.custom[rpdb.IPv6] != rpdb.CustomisedUnknown {
		t.Errorf("customised: %v", s.custom)
	}
	s.rule(rpdb.Rule{Family: rpdb.IPv6, Priority: 10, Action: rpdb.ToTable(11)}, true)
	if s.custom[rpdb.IPv6] != rpdb.CustomisedUnknown {
		t.Error("IPv6 counts a deletion")
	}
}

// An event about something that is being read, or that a change of a link may have
// touched meanwhile, has it read once more; what has not been begun is read anyway.
func TestFollowedWhileReading(t *testing.T) {
	s := known()
	rules, table := part{class: classRules4}, tablePart(rpdb.IPv4, 14)
	s.dirty(rules)
	s.dirty(table)
	s.rule(rpdb.Rule{Family: rpdb.IPv4, Priority: 15, Action: rpdb.Nop()}, false)
	if len(s.rules[rpdb.IPv4].items) != 5 {
		t.Error("a rule was added to a list that is out of date")
	}
	for u, ok := s.begin(); ok; u, ok = s.begin() {
		if u != rules && u != table {
			t.Errorf("reads %v", u)
		}
	}
	s.rule(rpdb.Rule{Family: rpdb.IPv4, Priority: 16, Action: rpdb.Nop()}, false)
	s.link(rpdb.Link{Index: 3, Name: "e1"}, rpdb.LinkSysctls{}, false)
	s.finish()
	for _, want := range []string{"links", "rules (IPv4)", "routes (IPv4) of table 14"} {
		if !slices.Contains(todoOf(s), want) {
			t.Errorf("%s: not read again, but %v", want, todoOf(s))
		}
	}
	s = known()
	s.dirty(rules)
	s.begin()
	s.abandon()
	if got := todoOf(s); !slices.Equal(got, []string{"rules (IPv4)"}) {
		t.Errorf("after a failure %v are read", got)
	}
}

// What a list says of a link has the consequences of its event.
func TestFollowedLinksAreRead(t *testing.T) {
	s := known()
	links := slices.Clone(s.links.items)
	links[1].Flags = 0
	s.putLinks(links, s.settings.Links)
	if got := strings.Join(todoOf(s), "; "); got != "nexthop objects; routes (IPv4) of table 10; routes (IPv6) of table 10; routes (IPv6) of table 12" {
		t.Errorf("reads %s", got)
	}
	s = known()
	s.neighbour(rpdb.Neighbour{Link: 3, Addr: addr("192.0.2.9")}, false)
	s.putLinks(slices.Clone(s.links.items[:2]), s.settings.Links)
	if len(s.neighbours.items) != 0 || !slices.Contains(todoOf(s), "rules (IPv6)") {
		t.Errorf("an interface is gone: %d neighbours, reads %v", len(s.neighbours.items), todoOf(s))
	}
	s = known()
	s.putLinks(slices.Clone(s.links.items), map[rpdb.LinkName]rpdb.LinkSysctls{"e0": {RPFilter: 1}, "e1": {IgnoreLinkdown4: true}})
	if got := todoOf(s); !slices.Equal(got, []string{"routes (IPv4) of table 13"}) {
		t.Errorf("links without carrier are ignored: reads %v", got)
	}
}

// A list of all tables says which have no routes any more, and may give those of two
// tables in turns.
func TestFollowedTablesAreRead(t *testing.T) {
	s := known()
	route := func(table rpdb.TableID, text string) rpdb.Route {
		return rpdb.Route{Family: rpdb.IPv4, Table: table, Dst: prefix(text), Type: rpdb.RouteBlackhole}
	}
	list := []rpdb.Route{route(254, "10.0.0.0/8"), route(255, "127.0.0.0/8"), route(254, "128.0.0.0/1"), route(254, "128.0.0.0/8"), route(255, "192.0.2.1/32")}
	s.putRoutes(tablePart(rpdb.IPv4, 0), slices.Clone(list))
	now := s.publish(nil)
	if n := len(now.Table(rpdb.IPv4, 10)) + len(now.Table(rpdb.IPv4, 14)); n != 0 || len(now.Table(rpdb.IPv6, 10)) != 1 {
		t.Errorf("%d routes that are gone, %d of IPv6", n, len(now.Table(rpdb.IPv6, 10)))
	}
	order := func(table rpdb.TableID) (texts []string) {
		for _, r := range now.Table(rpdb.IPv4, table) {
			texts = append(texts, r.Dst.String())
		}
		return texts
	}
	if got := order(254); !slices.Equal(got, []string{"10.0.0.0/8", "128.0.0.0/8", "128.0.0.0/1"}) {
		t.Errorf("main has %v", got)
	}
	if got := order(255); !slices.Equal(got, []string{"127.0.0.0/8", "192.0.2.1/32"}) {
		t.Errorf("local has %v", got)
	}
	s.changed = false
	s.putRoutes(tablePart(rpdb.IPv4, 0), slices.Clone(list))
	if s.changed {
		t.Error("the same list is a change")
	}
}

// A snapshot that was handed out never changes, and one without a change is not
// handed out.
func TestFollowedPublishes(t *testing.T) {
	s := known()
	first := s.publish(nil)
	before := fmt.Sprintf("%+v", *first)
	if s.publish(first) != nil {
		t.Error("published twice")
	}
	s.rule(rpdb.Rule{Family: rpdb.IPv4, Priority: 5, Action: rpdb.Nop()}, false)
	s.route(rpdb.Route{Family: rpdb.IPv4, Table: 10, Dst: prefix("9.0.0.0/8"), Type: rpdb.RouteThrow}, false, false)
	s.route(s.routes.tables[tablePart(rpdb.IPv4, 14)].items[0], true, false)
	s.nexthop(rpdb.NexthopObject{ID: 2}, false)
	s.neighbour(rpdb.Neighbour{Link: 2, Addr: addr("192.0.2.9"), State: rpdb.NeighbourStale}, false)
	s.neighbour(rpdb.Neighbour{Link: 2, Addr: addr("192.0.2.9"), State: rpdb.NeighbourReachable}, false)
	s.address(rpdb.Address{Link: 2, Prefix: prefix("2001:db8::1/64"), Flags: rpdb.AddressDeprecated}, false)
	second := s.publish(first)
	if after := fmt.Sprintf("%+v", *first); after != before {
		t.Errorf("the first snapshot has changed:\n%s\n%s", before, after)
	}
	if len(second.Rules) != len(first.Rules)+1 || len(second.Routes) != len(first.Routes) || len(second.Neighbours) != 1 || len(second.Nexthops) != 3 {
		t.Errorf("the second is %+v", *second)
	}
	if r := second.Routes[0]; r.Dst != prefix("9.0.0.0/8") {
		t.Errorf("the first route is %v", r)
	}
	s.customise(rpdb.IPv6, rpdb.CustomisedYes)
	if third := s.publish(second); &third.Routes[0] != &second.Routes[0] || &third.Rules[0] != &second.Rules[0] {
		t.Error("what did not change is not shared")
	}
}

// Every field that a dump fills counts when two entries are compared.
func TestFollowedComparesEveryField(t *testing.T) {
	compare := func(zero any, same func(a, b reflect.Value) bool) {
		typ := reflect.TypeOf(zero)
		for i := range typ.NumField() {
			v := reflect.New(typ).Elem()
			switch field := v.Field(i); field.Kind() {
			case reflect.Slice:
				field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			case reflect.Struct:
				switch field.Addr().Interface().(type) {
				case *netip.Prefix:
					field.Set(reflect.ValueOf(prefix("192.0.2.0/24")))
				case *netip.Addr:
					field.Set(reflect.ValueOf(addr("192.0.2.1")))
				default:
					set(field.Field(0))
				}
			case reflect.Map: // Links, which are compared with the interfaces
				continue
			default:
				set(field)
			}
			if same(v, reflect.New(typ).Elem()) {
				t.Errorf("%v.%s does not count", typ, typ.Field(i).Name)
			}
		}
	}
	compare(rpdb.Route{}, func(a, b reflect.Value) bool {
		return sameEntry(a.Interface().(rpdb.Route), b.Interface().(rpdb.Route))
	})
	compare(rpdb.NexthopObject{}, func(a, b reflect.Value) bool {
		return sameNexthops(a.Interface().(rpdb.NexthopObject), b.Interface().(rpdb.NexthopObject))
	})
	compare(rpdb.Sysctls{}, func(a, b reflect.Value) bool {
		return sameSettings(a.Interface().(rpdb.Sysctls), b.Interface().(rpdb.Sysctls))
	})
}

// set gives a field a value other than zero.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Struct:
		v.Set(reflect.ValueOf(addr("192.0.2.1")))
	default:
		v.SetUint(1)
	}
}

// One more table than it is worth, and the whole family is read.
func TestPartSet(t *testing.T) {
	var s partSet
	for i := range rpdb.TableID(maxTables) {
		s = s.with(tablePart(rpdb.IPv4, i+1))
	}
	if s.classes != 0 || !s.has(tablePart(rpdb.IPv4, 1)) || s.has(tablePart(rpdb.IPv4, 0)) || s.String() != "routes (IPv4) of table 1" {
		t.Errorf("%v", s)
	}
	s = s.with(tablePart(rpdb.IPv4, 99)).with(tablePart(rpdb.IPv4, 100))
	if len(s.tables) != 0 || !s.has(tablePart(rpdb.IPv4, 7777)) || s.String() != "routes (IPv4)" {
		t.Errorf("%v", s)
	}
	s = s.without(tablePart(rpdb.IPv4, 0))
	if !s.empty() || s.String() != "nothing" {
		t.Errorf("%v", s)
	}
}
