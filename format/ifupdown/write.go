package ifupdown

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
)

// Path is the file that [Write] writes.
const Path = "/etc/network/interfaces.rpdb"

// Options say what [Write] has to know besides.
type Options struct {
	// Leases are of interfaces that get addresses for a time.
	Leases []format.Lease
}

// Protocol is that of all rules which [Write] writes. A command that deletes a rule
// takes the first that has what it says, whatever more it has: by a protocol that
// nobody else gives to rules it takes none of somebody else.
const Protocol rpdb.Protocol = 83

// Write returns a file of stanzas with the rules and routes of a snapshot, to be
// read behind all other stanzas, and one with the names of tables for rt_tables.d, if
// they have any. The addresses of a snapshot are taken to be in the administrator's
// stanzas, and a comment says which are needed.
//
// Each line can be run again: a rule is deleted before it is added, a route replaces
// itself. Rules are of [Protocol], whoever made them. A rule that cannot be added makes ifup fail; a route that cannot be added
// does not, since that would cost the interface all else it has.
//
// What hangs on leases of DHCP is in [HookPath], which dhclient reads at each change
// of a lease. Nothing acts on router advertisements, or for other clients.
//
// What ip has no words for is left out, and a [format.Loss], and so is a route by
// several interfaces: ifupdown brings up one after the other.
func Write(s *rpdb.Snapshot, n rpdb.Names, o Options) ([]format.File, []format.Loss) {
	marked := *s
	marked.Rules = slices.Clone(s.Rules)
	for i := range marked.Rules {
		marked.Rules[i].Protocol = Protocol
	}
	w := writer{snapshot: &marked, stanzas: map[place]*lists{}}
	for _, f := range rpdb.Families() {
		w.family(f)
	}
	var files []format.File
	if text := w.hooks(o.Leases); text != "" {
		files = append(files, format.File{Path: HookPath, Text: text})
	}
	if text := w.text(); text != "" {
		files = append(files, format.File{Path: Path, Text: text})
	}
	if f, ok := rttables.Companion(s, n); ok && len(files) > 0 {
		files = append(files, f)
	}
	return files, w.losses
}

// place is a stanza: the family of an interface.
type place struct {
	link   rpdb.LinkName
	family rpdb.Family
}

// lists are the lines of a stanza.
type lists struct{ up, down []string }

type writer struct {
	snapshot *rpdb.Snapshot
	stanzas  map[place]*lists
	losses   []format.Loss
}

// family writes the rules and routes of a family.
func (w *writer) family(f rpdb.Family) {
	rules, routes, losses := iproute2.Exact(w.snapshot, f, unsaid)
	w.losses = append(w.losses, losses...)
	alike := map[rpdb.RouteKey][]rpdb.Route{}
	for _, r := range routes {
		alike[r.Key()] = append(alike[r.Key()], r)
	}
	for _, r := range routes {
		w.routes(alike[r.Key()])
		delete(alike, r.Key())
	}
	if len(rules) > 0 {
		w.rules(w.stanza(place{"lo", f}), rules)
	}
}

// rules writes rules, those of one priority together: first all that delete, since a
// delete takes the first rule of the priority that has what the command says, and
// that may be another with more selectors. So the longer commands come first.
func (w *writer) rules(l *lists, rules []rpdb.Rule) {
	slices.SortStableFunc(rules, rpdb.Rule.Compare)
	var downs []string
	for len(rules) > 0 {
		n := 1
		for n < len(rules) && rules[n].Priority == rules[0].Priority {
			n++
		}
		var dels, adds []string
		for _, r := range rules[:n] {
			add, _ := iproute2.ExactRule(rpdb.Add, r, rpdb.Names{}) // which Exact has seen to
			adds = append(adds, "ip "+add)
			dels = append(dels, "ip "+strings.Replace(add, "rule add", "rule del", 1))
		}
		slices.SortStableFunc(dels, moreSelective)
		for _, del := range dels {
			l.up = append(l.up, del+" 2>/dev/null || true")
			downs = append(downs, del+" || true")
		}
		l.up = append(l.up, adds...)
		rules = rules[n:]
	}
	l.down = append(downs, l.down...) // no rule to an empty table, here as well
}

// moreSelective orders commands that delete by how much they say, the longest first.
func moreSelective(a, b string) int {
	return cmp.Or(countSelectors(b)-countSelectors(a), len(b)-len(a))
}

// countSelectors counts the words of a command, but for "not", at which the kernel
// does not look when it deletes.
func countSelectors(command string) int {
	words := strings.Fields(command)
	if slices.Contains(words, "not") {
		return len(words) - 1
	}
	return len(words)
}

func (w *writer) stanza(p place) *lists {
	if w.stanzas[p] == nil {
		w.stanzas[p] = &lists{}
	}
	return w.stanzas[p]
}

// routes writes routes of one key into the stanzas of their interfaces. Where there
// are several, a replace would take the place of another, and to append one that is
// there changes nothing.
func (w *writer) routes(routes []rpdb.Route) {
	view := iproute2.RouteView{LinkName: w.snapshot.LinkName}
	verb := "route replace"
	if len(routes) > 1 {
		verb = "route append"
	}
	dels, adds := map[rpdb.LinkName][]string{}, map[rpdb.LinkName][]string{}
	var links []rpdb.LinkName
	for _, r := range routes {
		add, _ := iproute2.ExactRoute(rpdb.Add, r, view)
		link, err := w.linkOf(r)
		if err != nil {
			w.losses = append(w.losses, format.Loss{Object: add, Reason: err.Error()})
			continue
		}
		if dels[link] == nil {
			links = append(links, link)
		}
		dels[link] = append(dels[link], "ip "+strings.Replace(add, "route add", "route del", 1)+" 2>/dev/null || true")
		adds[link] = append(adds[link], "ip "+strings.Replace(add, "route add", verb, 1)+" || true")
	}
	for _, link := range links {
		slices.SortStableFunc(dels[link], moreSelective)
		l := w.stanza(place{link, routes[0].Family})
		l.up = append(l.up, adds[link]...)
		l.down = append(l.down, dels[link]...)
	}
}

// linkOf is the interface whose stanza a route belongs into.
func (w *writer) linkOf(r rpdb.Route) (rpdb.LinkName, error) {
	link := rpdb.LinkName("lo")
	for i, n := range r.Canonical().Nexthops {
		name := w.snapshot.LinkName(n.Link)
		switch {
		case name == "":
			return "", errors.New("the interface that it leads to is not known")
		case i > 0 && name != link:
			return "", fmt.Errorf("it leads to %s and %s, and ifupdown brings up one interface after the other", link, name)
		}
		link = name
	}
	if !isPlainLinkName(link) {
		return "", errors.New("ifupdown takes the name of the interface for something else")
	}
	return link, nil
}

// isPlainLinkName reports whether ifupdown, and a shell, take a name for what it is.
func isPlainLinkName(n rpdb.LinkName) bool {
	return strings.Trim(string(n), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

// unsaid says why the shell of ifupdown does not understand a command, if so.
func unsaid(command string) error {
	if strings.Contains(command, "$'") {
		return errors.New("the shell that ifupdown uses cannot spell the name of an interface in it")
	}
	return nil
}

const head = `# Rules and routes of policy routing, for ifupdown. This file has to be read
# behind all stanzas of its interfaces, by the last line of
# /etc/network/interfaces:
#     source ` + Path + `
# and never from interfaces.d, if that is read before the addresses are there.
# The rules are those of lo, so that they are there before the first interface,
# and stay when one goes.
`

// text writes the stanzas, lo first.
func (w *writer) text() string {
	var places []place
	for p := range w.stanzas {
		places = append(places, p)
	}
	if len(places) == 0 {
		return ""
	}
	slices.SortFunc(places, func(a, b place) int {
		switch {
		case a.link == b.link:
			return int(a.family) - int(b.family)
		case a.link == "lo":
			return -1
		case b.link == "lo":
			return 1
		}
		return strings.Compare(string(a.link), string(b.link))
	})
	var b strings.Builder
	b.WriteString(head)
	for _, p := range places {
		b.WriteString("\n")
		b.WriteString(w.needs(p))
		inet := "inet"
		if p.family == rpdb.IPv6 {
			inet = "inet6"
		}
		fmt.Fprintf(&b, "iface %s %s manual\n", p.link, inet)
		for _, line := range w.stanzas[p].up {
			fmt.Fprintf(&b, "    up   %s\n", line)
		}
		for _, line := range w.stanzas[p].down {
			fmt.Fprintf(&b, "    down %s\n", line)
		}
	}
	return b.String()
}

// needs is a comment with the addresses that have to be there.
func (w *writer) needs(p place) string {
	var list []string
	l, ok := w.snapshot.LinkByName(p.link)
	for _, a := range w.snapshot.AddressesOf(p.family, l.Index) {
		if a.Flags&rpdb.AddressPermanent != 0 && a.Prefix != (netip.Prefix{}) && !l.IsLoopback() {
			list = append(list, a.Prefix.String())
		}
	}
	if !ok || len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("# %s has to have %s.\n", p.link, strings.Join(list, " and "))
}
