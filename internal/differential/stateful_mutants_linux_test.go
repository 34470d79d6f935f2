package differential

import (
	"strings"
	"testing"
)

// forgetful are faults of a follower, each of which forgets something. Its
// comparison with fresh readings must find each.
func forgetful() []mutant {
	const (
		state  = "kernel/follow_state_linux.go"
		routes = "kernel/follow_routes_linux.go"
		lists  = "kernel/follow_lists_linux.go"
		parts  = "kernel/follow_parts_linux.go"
	)
	return []mutant{
		{"gotos that find or lose their target", state, "case slices.ContainsFunc(list.items, leadsHere):", "case false && slices.ContainsFunc(list.items, leadsHere):"},
		{"that a new rule comes behind those of its priority", state, "slices.Insert(list.items, behind, r)", "slices.Insert(list.items, first, r)"},
		{"rules that name an interface", state, "s.doing.has(u) || named && slices.ContainsFunc(s.rules[f].items, names)", "named && false && slices.ContainsFunc(s.rules[f].items, names)"},
		{"nexthop objects of an interface", state, "s.doing.has(u) || slices.ContainsFunc(s.nexthops.items, func(o rpdb.NexthopObject) bool { return o.Nexthop.Link == i })", "s.doing.has(u)"},
		{"routes through an interface", state, "s.touch(f, func(r *rpdb.Route) bool { return leadsThrough(r, i) })", "s.touch(f, func(r *rpdb.Route) bool { return false })"},
		{"routes through the interface of an address", state, "return r.PrefSrc == a.Prefix.Addr() || leadsThrough(r, a.Link)", "return r.PrefSrc == a.Prefix.Addr()"},
		{"routes with a source that is gone", state, "return r.PrefSrc == a.Prefix.Addr() || leadsThrough(r, a.Link)", "return f == rpdb.IPv4 && leadsThrough(r, a.Link)"},
		{"dead members that an address revives", state, "n.Link == a.Link && n.Flags&rpdb.NexthopDead != 0", "false"},
		{"where an address stands", state, "s.dirty(u)\n\tcase deleted:\n\t\ts.addresses.own()", "if !deleted {\n\t\t\ts.addresses.own()\n\t\t\ts.addresses.items, s.changed = append(s.addresses.items, a), true\n\t\t}\n\tcase deleted:\n\t\ts.addresses.own()"},
		{"routes of a nexthop object", state, "return r.NexthopID == o.ID", "return false"},
		{"neighbours that go", state, "case deleted && !had:\n\t\treturn\n\tcase deleted:", "case deleted:\n\t\treturn\n\tcase false:"},
		{"settings that are told", state, "\t\ts.dirty(part{class: classLinks})\n\t\ts.dirty(part{class: classSettings})\n\tdefault:", "\tdefault:"},
		{"settings that are not told", state, "[]class{classLinks, classSettings, classAddresses, classNeighbours}", "[]class{classAddresses, classNeighbours}"},
		{"that the rules were customised", state, "if r.Family == rpdb.IPv4 || !deleted {", "if false {"},
		{"which of two routes of a key went", routes, "case deleted && n == 1 && t.items[at].Equal(r):", "case deleted && n >= 1:"},
		{"that a route may stand in front of others", routes, "case !deleted && n == 0:", "case !deleted && !replaces:"},
		{"that a route may take the place of another", routes, "case !deleted && n == 1 && replaces:", "case !deleted && replaces && n == 2:\n\tcase !deleted && replaces:"},
		{"that IPv6 is switched off on an interface", routes, "\ts.switched(&r)\n", ""},
		{"routes whose nexthop object is not told", routes, "return r.NexthopID != 0 && len(r.Nexthops) == 0", "return false"},
		{"that routes show whether links without carrier are ignored", lists, "\tif !changed {\n\t\treturn\n\t}\n\ts.touch", "\tif !changed || true {\n\t\treturn\n\t}\n\ts.touch"},
		{"tables beyond one", parts, "\t\ts.tables[u] = true\n", "\t\tclear(s.tables)\n\t\ts.tables[u] = true\n"},
	}
}

// TestFollowerMutants plants the faults one by one, as [TestMutants] does.
func TestFollowerMutants(t *testing.T) {
	if *mutate == "" {
		t.Skip("plants faults with -args -mutants . (make mutants)")
	}
	found, planted := 0, 0
	for _, m := range forgetful() {
		if *mutate != "." && !strings.Contains(m.name, *mutate) {
			continue
		}
		planted++
		t.Run(m.name, func(t *testing.T) {
			out, err := m.run(t, "-test.run", "TestFollower$", "-test.timeout", "0", "-steps", "40000", "-seed", "1", "-shrink=false", "-patience", "3s")
			if err == nil {
				t.Errorf("not found:\n%s", out)
				return
			}
			if !strings.Contains(out, "follower") && !strings.Contains(out, "engine with it") {
				t.Fatalf("%v:\n%s", err, out)
			}
			t.Log(firstFault(out))
			found++
		})
	}
	t.Logf("%d of %d planted faults found", found, planted)
}

// firstFault returns the line that says what was found.
func firstFault(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "follower is wrong") || strings.Contains(line, "do not agree") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(out)
}
