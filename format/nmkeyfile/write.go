package nmkeyfile

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
)

// Directory is where NetworkManager has its profiles. It takes no file there that
// others than root can read: mode 600.
const Directory = "/etc/NetworkManager/system-connections"

// Options say what [Write] has to know besides.
type Options struct {
	// Leases are of interfaces that get addresses for a time. NetworkManager can put
	// all routes of a lease into one table, and then has none of them in table main: it
	// has no words for what hangs on a lease besides.
	Leases []format.Lease
}

// Write returns a profile for the loopback interface, with all rules, one for each
// interface with routes, and a file with the names of tables for rt_tables.d, if they
// have any. A profile has the interface's static addresses; of a family without any
// the addresses come by DHCP or router advertisements. A profile takes the place of
// the one that its interface had.
//
// What NetworkManager has no words for is left out, and a [format.Loss]: so are rules
// of one priority of which the order counts, since NetworkManager adds them in none,
// and interfaces that a profile would have to make. The protocol of rules and routes
// is no loss: NetworkManager marks all of its own as static. An interface of no
// kind is taken for Ethernet.
func Write(s *rpdb.Snapshot, n rpdb.Names, o Options) ([]format.File, []format.Loss) {
	w := writer{snapshot: s, leases: o.Leases}
	for _, l := range iproute2.LeaseLosses(s, rpdb.Names{}, o.Leases, "NetworkManager", nil) {
		w.losses = append(w.losses, format.Loss{Object: l.Object[len("ip "):], Reason: l.Reason})
	}
	w.rules()
	w.routes()
	w.addresses()
	var files []format.File
	for _, l := range w.lists {
		files = append(files, w.file(l))
	}
	if f, ok := rttables.Companion(s, n); ok && len(files) > 0 {
		files = append(files, f)
	}
	return files, w.losses
}

// writer writes profiles.
type writer struct {
	snapshot *rpdb.Snapshot
	leases   []format.Lease
	lists    []*list // by interface
	losses   []format.Loss
}

// list is what a profile has.
type list struct {
	link   rpdb.LinkName
	rules  [2][]string // by family
	routes [2][][2]string
}

func index(f rpdb.Family) int {
	if f == rpdb.IPv6 {
		return 1
	}
	return 0
}

func (w *writer) list(link rpdb.LinkName) *list {
	for _, l := range w.lists {
		if l.link == link {
			return l
		}
	}
	w.lists = append(w.lists, &list{link: link})
	return w.lists[len(w.lists)-1]
}

// rules writes all rules into the profile of lo.
func (w *writer) rules() {
	for _, f := range rpdb.Families() {
		var rules []rpdb.Rule
		for _, r := range w.snapshot.RulesOf(f) {
			r = iproute2.PlainRule(r)
			same := func(o rpdb.Rule) bool { o.Protocol = r.Protocol; return o == r }
			if !slices.ContainsFunc(rules, same) { // of which NetworkManager would add one
				rules = append(rules, r)
			}
		}
		slices.SortStableFunc(rules, rpdb.Rule.Compare)
		inOrder := iproute2.OrderCounts(rules)
		for i, r := range rules {
			text, err := ruleText(r)
			if err == nil && inOrder[i] {
				err = fmt.Errorf("NetworkManager adds rules of one priority, %d, in no certain order", r.Priority)
			}
			if err != nil {
				w.losses = append(w.losses, format.Loss{Object: iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{})[len("ip "):], Reason: err.Error()})
				continue
			}
			l := w.list("lo")
			l.rules[index(f)] = append(l.rules[index(f)], text)
		}
	}
}

// routes writes each route into the profile of its interface.
func (w *writer) routes() {
	made := map[rpdb.RouteKey]rpdb.Route{}
	for _, r := range w.snapshot.Routes {
		text, options, err := routeText(r)
		link := rpdb.LinkName("lo")
		if err == nil {
			link, err = w.linkOf(r)
		}
		if there, ok := made[r.Key()]; ok && err == nil {
			if there.Equal(r) {
				continue
			}
			err = fmt.Errorf("NetworkManager adds routes of one prefix and metric in no certain order")
		}
		if err != nil {
			view := iproute2.RouteView{LinkName: w.snapshot.LinkName}
			w.losses = append(w.losses, format.Loss{Object: iproute2.RouteCommand(rpdb.Add, r, view)[len("ip "):], Reason: err.Error()})
			continue
		}
		made[r.Key()] = r
		l := w.list(link)
		l.routes[index(r.Family)] = append(l.routes[index(r.Family)], [2]string{text, options})
	}
}

// addresses finds those that the profiles of their interfaces cannot have.
func (w *writer) addresses() {
	for _, l := range w.lists {
		link, _ := w.snapshot.LinkByName(l.link)
		for _, f := range rpdb.Families() {
			for _, a := range w.snapshot.AddressesOf(f, link.Index) {
				if reason := unsaidAddress(a); isStatic(a) && reason != "" {
					w.losses = append(w.losses, format.Loss{Object: fmt.Sprintf("address add %v dev %s", a.Prefix, l.link), Reason: reason})
				}
			}
		}
	}
}

// isStatic reports whether an address is one that a profile has to have: others are
// given by somebody else.
func isStatic(a rpdb.Address) bool {
	ip := a.Prefix.Addr()
	return a.Flags&rpdb.AddressPermanent != 0 && !ip.IsLinkLocalUnicast() && !ip.IsLoopback()
}

// unsaidAddress says what of an address a profile has no words for, "" if it has.
func unsaidAddress(a rpdb.Address) string {
	switch {
	case a.Peer.IsValid():
		return "NetworkManager has no addresses with a peer"
	case a.Prefix.Addr().Is4() && a.Scope != rpdb.ScopeGlobal:
		return "NetworkManager has no scopes of addresses"
	case a.Flags&rpdb.AddressDeprecated != 0:
		return "NetworkManager has no deprecated addresses"
	}
	return ""
}

// linkOf is the interface whose profile a route belongs to: that of its first
// nexthop.
func (w *writer) linkOf(r rpdb.Route) (rpdb.LinkName, error) {
	nexthops := r.Canonical().Nexthops
	if len(nexthops) == 0 {
		return "lo", nil
	}
	l, ok := w.snapshot.Link(nexthops[0].Link)
	if !ok {
		return "", fmt.Errorf("the interface that it leads to is not known")
	}
	if l.Kind != "" && l.Kind != "veth" {
		return "", fmt.Errorf("a profile of %s, which is a %s, would have to say how it is made", l.Name, l.Kind)
	}
	return linkName(string(l.Name))
}

// file writes a profile.
func (w *writer) file(l *list) format.File {
	id, typ := "rpdb-"+string(l.link), "ethernet"
	if l.link == "lo" {
		typ = "loopback"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[connection]\nid=%s\ntype=%s\ninterface-name=%s\n", id, typ, l.link)
	for _, f := range rpdb.Families() {
		w.section(&b, l, f)
	}
	return format.File{Path: Directory + "/" + id + ".nmconnection", Text: b.String()}
}

// section writes what a profile has of a family.
func (w *writer) section(b *strings.Builder, l *list, f rpdb.Family) {
	name := "ipv4"
	if f == rpdb.IPv6 {
		name = "ipv6"
	}
	link, _ := w.snapshot.LinkByName(l.link)
	var addresses []string
	for _, a := range w.snapshot.AddressesOf(f, link.Index) {
		if isStatic(a) && unsaidAddress(a) == "" {
			addresses = append(addresses, a.Prefix.String())
		}
	}
	method := "auto"
	lease := slices.IndexFunc(w.leases, func(o format.Lease) bool { return o.Link == link.Index && o.Family == f })
	if len(addresses) > 0 && lease < 0 {
		method = "manual"
	}
	fmt.Fprintf(b, "\n[%s]\nmethod=%s\n", name, method)
	switch {
	case lease < 0:
	case w.leases[lease].Default:
		fmt.Fprintf(b, "route-metric=%d\n", w.leases[lease].Metric)
	default:
		b.WriteString("never-default=true\n")
	}
	for i, a := range addresses {
		fmt.Fprintf(b, "address%d=%s\n", i+1, a)
	}
	for i, r := range l.routes[index(f)] {
		fmt.Fprintf(b, "route%d=%s\nroute%d_options=%s\n", i+1, r[0], i+1, r[1])
	}
	for i, r := range l.rules[index(f)] {
		fmt.Fprintf(b, "routing-rule%d=%s\n", i+1, r)
	}
}
