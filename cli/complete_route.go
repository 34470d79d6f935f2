package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// completeRoute offers what may follow "rpdb route", as [app.completeRule] does
// for rules.
func (a *app) completeRoute(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeObject(cmd, before, begun, commandPart{routeOptions(), func(v *hostOffers, f rpdb.Family, words []string) {
		v.addRouteCommand(ownRouteVerbs(), f, words)
	}})
}

// routeOptions are the options of "rpdb route".
func routeOptions() [][2]string {
	options := ruleOptions()
	i := slices.IndexFunc(options, func(o [2]string) bool { return o[0] == "-details" })
	options[i][1] = "also show what is left out as the default"
	return append(options, listingOptions()...)
}

// listingOptions are those that only say how routes are listed.
func listingOptions() [][2]string {
	return [][2]string{
		{"-oneline", "each route on one line"},
		{"-statistics", "also show how often a route was used"},
	}
}

// routeVerb is a verb of routes, for completion.
type routeVerb struct {
	word, about string
	grammar     iproute2.RouteVerb // what words follow it
	there       bool               // it is about routes that are there
}

// ipRouteVerbs are the verbs of ip-route(8).
func ipRouteVerbs() []routeVerb {
	return []routeVerb{
		{"list", "print routes", iproute2.RouteList, true},
		{"get", "which way a packet goes", iproute2.RouteGet, false},
		{"add", "add a route", iproute2.RouteAdd, false},
		{"replace", "put a route in the place of the one with its prefix and metric", iproute2.RouteReplace, true},
		{"change", "the same, if there is one", iproute2.RouteChange, true},
		{"append", "add a route behind those of its prefix and metric", iproute2.RouteAppend, true},
		{"prepend", "add it before them", iproute2.RoutePrepend, true},
		{"test", "is this route there?", iproute2.RouteTest, true},
		{"delete", "delete a route", iproute2.RouteDelete, true},
		{"flush", "delete routes", iproute2.RouteFlush, true},
		{"save", "write routes to standard output, for restore", iproute2.RouteSave, true},
		{"restore", "read routes from standard input and add them", iproute2.RouteRestore, false},
		{"showdump", "print the routes of standard input", iproute2.RouteShowDump, false},
		{"help", "print the grammar", iproute2.RouteHelpVerb, false},
	}
}

// ownRouteVerbs are those of "rpdb route".
func ownRouteVerbs() []routeVerb {
	return slices.Insert(ipRouteVerbs(), 3, routeVerb{"ensure", "add a route unless it is there", iproute2.RouteAdd, false})
}

// addRouteCommand offers a verb, or what may follow it.
func (v *hostOffers) addRouteCommand(verbs []routeVerb, f rpdb.Family, words []string) {
	if len(words) == 0 {
		for _, verb := range verbs {
			v.add(verb.word, verb.about)
		}
		return
	}
	meant, err := iproute2.ParseRouteVerb(words[0])
	i := slices.IndexFunc(verbs, func(verb routeVerb) bool {
		return verb.word == words[0] || err == nil && verb.word == meant.String()
	})
	if i < 0 {
		return
	}
	l := newRouteLine(verbs[i], f)
	for _, word := range words[1:] {
		l.read(word)
	}
	v.addRouteWord(l)
}

// routeLine is how far the words behind a verb of routes have come.
type routeLine struct {
	wordLine
	asks  bool   // the words of get
	hop   bool   // behind "nexthop"
	lead  string // a word that stood before a value, such as "lock"
	ended bool   // what follows is not known: the words of a tunnel
}

func newRouteLine(verb routeVerb, f rpdb.Family) *routeLine {
	return &routeLine{asks: verb.grammar == iproute2.RouteGet, wordLine: wordLine{
		there: verb.there, family: f, bare: "to", group: typeGroup,
		keywords: iproute2.RouteKeywords(verb.grammar), given: map[string]bool{},
	}}
}

// typeGroup says that a route has one type.
func typeGroup(k iproute2.Keyword) string {
	var t rpdb.RouteType
	if t.UnmarshalText([]byte(k.Field)) == nil {
		return "a type"
	}
	return ""
}

// leads reports whether a word stands before a value and is none.
func leads(k iproute2.Keyword, word string) bool {
	switch k.Value {
	case iproute2.LockedValue, iproute2.TimeValue:
		return word == "lock"
	case iproute2.GatewayValue:
		return slices.Contains([]string{"inet", "inet6", "mpls", "bridge", "link"}, word)
	case iproute2.PrefixValue:
		return slices.Contains([]string{"root", "match", "exact"}, word)
	}
	return false
}

// read takes one complete word.
func (l *routeLine) read(word string) {
	if l.wants != nil && l.lead == "" && leads(*l.wants, word) {
		l.lead = word
		return
	}
	l.lead = ""
	tunnel := l.wants != nil && l.wants.Value == iproute2.EncapValue
	l.wordLine.read(word)
	switch {
	case tunnel:
		l.ended = true
	case l.wants != nil && l.wants.Value == iproute2.NexthopValue, word == "nexthop":
		// The words behind it are of one nexthop, up to the next.
		l.hop, l.ended, l.wants, l.given = true, false, nil, map[string]bool{}
		l.keywords = append(iproute2.NexthopKeywords(), iproute2.Keyword{Word: "nexthop", Field: "nexthop", Help: "the next way"})
		l.bare = ""
	}
}

// routeWords are the words that are offered for routes. Fields that are not
// here are read and not offered: they add nothing ("to"), or nobody has used
// them for decades ("mark" of a filter, nat).
func routeWords() []fieldWords {
	return []fieldWords{
		{"root", "root"},
		{"match", "match"},
		{"exact", "exact"},
		{"blackhole", "blackhole"},
		{"unreachable", "unreachable"},
		{"prohibit", "prohibit"},
		{"throw", "throw"},
		{"local", "local"},
		{"broadcast", "broadcast brd"},
		{"anycast", "anycast"},
		{"multicast", "multicast"},
		{"unicast", "unicast"},
		{"from", "from"},
		{"via", "via"},
		{"dev", "dev oif"},
		{"onlink", "onlink"},
		{"table", "table"},
		{"vrf", "vrf"},
		{"metric", "metric priority preference"},
		{"src", "src"},
		{"protocol", "protocol"},
		{"scope", "scope"},
		{"type", "type"},
		{"tos", "tos dsfield"},
		{"nexthop", "nexthop"},
		{"weight", "weight"},
		{"nhid", "nhid"},
		{"realms", "realms"},
		{"pref", "pref"},
		{"expires", "expires"},
		{"encap", "encap"},
		{"mtu", "mtu"},
		{"advmss", "advmss"},
		{"hoplimit", "hoplimit"},
		{"window", "window"},
		{"rtt", "rtt"},
		{"rttvar", "rttvar"},
		{"rto_min", "rto_min"},
		{"initcwnd", "initcwnd"},
		{"initrwnd", "initrwnd"},
		{"cwnd", "cwnd"},
		{"ssthresh", "ssthresh"},
		{"reordering", "reordering"},
		{"features", "features"},
		{"quickack", "quickack"},
		{"congctl", "congctl"},
		{"fastopen_no_cookie", "fastopen_no_cookie"},
		{"ttl-propagate", "ttl-propagate"},
		{"as", "as"},
		{"iif", "iif"},
		{"mark", "mark"},
		{"uid", "uid"},
		{"ipproto", "ipproto"},
		{"sport", "sport"},
		{"dport", "dport"},
		{"flowlabel", "flowlabel"},
		{"fibmatch", "fibmatch"},
		{"connected", "connected"},
		{"cached", "cached cloned"},
		{"notify", "notify"},
	}
}

// addRouteWord offers the next word of a line.
func (v *hostOffers) addRouteWord(l *routeLine) {
	switch {
	case l.ended:
		return
	case l.wants != nil:
		v.addRouteValue(l)
		return
	case l.bare != "" && !l.given[l.bare] && l.keywords != nil:
		v.addDestinations(l)
	}
	v.addKeywords(&l.wordLine, routeWords(), routeTakes)
}

// routeTakes reports whether a keyword makes sense where the line is.
func routeTakes(l *wordLine, k iproute2.Keyword) bool {
	switch {
	case k.Field == "nexthop":
		return true
	case l.given[k.Field], typeGroup(k) != "" && (l.given[typeGroup(k)] || l.given["to"]):
		return false
	case k.Field == "root", k.Field == "match", k.Field == "exact":
		return !l.given["to"]
	case k.Field == "flowlabel", k.Field == "pref", k.Field == "expires":
		return l.family != rpdb.IPv4
	case k.Field == "realms", k.Field == "scope", k.Field == "tos":
		return l.family != rpdb.IPv6
	case k.Field == "nhid":
		return !l.given["via"] && !l.given["dev"]
	case k.Field == "via", k.Field == "dev":
		return !l.given["nhid"]
	}
	return true
}

// addDestinations offers prefixes: those that there are routes to, and those
// that the host is in.
func (v *hostOffers) addDestinations(l *routeLine) {
	if l.asks {
		return // any address may be meant
	}
	v.add("default", "every address")
	if l.there {
		for _, r := range v.routes(l.family) {
			if !r.IsDefault() {
				v.add(r.Dst.String(), "in table "+v.names.Table(r.Table))
			}
		}
		return
	}
	v.addAddresses(l.family, true)
}

// addRouteValue offers values of the keyword that was typed last.
func (v *hostOffers) addRouteValue(l *routeLine) {
	switch k := *l.wants; k.Value {
	case iproute2.PrefixValue:
		if l.asks && k.Field == "from" {
			v.addAddresses(l.family, false)
		}
		v.addDestinations(l)
	case iproute2.AddressValue:
		if k.Field == "src" {
			v.addAddresses(l.family, false)
		}
	case iproute2.GatewayValue:
		v.addGateways(l)
	case iproute2.LinkValue:
		v.addLinks()
	case iproute2.TableValue:
		if l.there && l.keywords != nil {
			v.add("all", "every table")
		}
		v.addTables()
	case iproute2.VRFValue:
		v.addVRFs()
	case iproute2.ProtocolValue:
		v.addProtocols()
	case iproute2.RealmsValue:
		v.addRealms()
	case iproute2.IPProtoValue:
		for _, name := range []string{"tcp", "udp", "icmp", "ipv6-icmp"} { // all that the kernel can be asked about
			v.add(name, "")
		}
	case iproute2.DSFieldValue:
		v.addDSFields(false)
	default:
		v.addRouteWordValue(l, k)
	}
}

// addRouteWordValue offers values that are words of the grammar, and numbers
// that are in use.
func (v *hostOffers) addRouteWordValue(l *routeLine, k iproute2.Keyword) {
	words := map[iproute2.ValueKind]string{
		iproute2.ScopeValue: "global site link host nowhere", iproute2.PreferenceValue: "low medium high",
		iproute2.EnabledValue: "enabled disabled", iproute2.FeaturesValue: "ecn tcp_usec_ts", iproute2.BoolValue: "0 1",
		iproute2.EncapValue: "mpls ip ip6 ila seg6 seg6local rpl ioam6 xfrm",
		iproute2.TypeValue:  "unicast local broadcast anycast multicast blackhole unreachable prohibit throw",
	}
	for word := range strings.FieldsSeq(words[k.Value]) {
		v.add(word, "")
	}
	switch {
	case k.Value == iproute2.NameValue:
		algorithms, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
		for word := range strings.FieldsSeq(string(algorithms)) {
			v.add(word, "")
		}
	case (k.Value == iproute2.LockedValue || k.Value == iproute2.TimeValue) && l.lead == "":
		v.add("lock", "neither path MTU discovery nor TCP may change it")
	case k.Field == "nhid":
		v.addNexthops()
	case k.Field == "metric" && l.there:
		for _, r := range v.routes(l.family) {
			if r.Metric != 0 {
				v.add(fmt.Sprint(r.Metric), r.String())
			}
		}
	case k.Value == iproute2.NumberValue || k.Value == iproute2.FlowLabelValue:
		for _, r := range v.rules(l.family) { // the rules ask about marks, users and ports
			v.add(askedFor(r.Selector, k.Field), fmt.Sprintf("rule %d", r.Priority))
		}
	}
}

// addGateways offers the gateways that routes lead by.
func (v *hostOffers) addGateways(l *routeLine) {
	f := l.family
	if l.lead != "" {
		f = 0
		_ = f.UnmarshalText([]byte(l.lead)) // 0 for families without gateways that routes list
	}
	for _, r := range v.routes(0) {
		for _, h := range r.Nexthops {
			if h.Via.IsValid() && (f == 0 || rpdb.FamilyOf(h.Via) == f) {
				v.add(h.Via.String(), "of "+r.String())
			}
		}
	}
	if l.lead == "" && l.family != rpdb.IPv6 {
		v.add("inet6", "an IPv6 gateway of an IPv4 route")
	}
}

// addNexthops offers nexthop objects by their id.
func (v *hostOffers) addNexthops() {
	var objects []rpdb.NexthopObject
	if v.state != nil {
		objects = v.state.Nexthops
	} else if conn, err := v.a.open(); err == nil {
		defer conn.Close()
		ctx, cancel := context.WithTimeout(v.ctx, completionTime)
		defer cancel()
		objects, _ = conn.Nexthops(ctx)
	}
	for _, n := range objects {
		about := fmt.Sprintf("a group of %d", len(n.Group))
		switch {
		case n.Blackhole:
			about = "blackhole"
		case n.Nexthop.Via.IsValid():
			about = "via " + n.Nexthop.Via.String()
		case len(n.Group) == 0:
			about = "on the link"
		}
		v.add(fmt.Sprint(n.ID), about)
	}
}

// addVRFs offers the VRFs that there are.
func (v *hostOffers) addVRFs() {
	var links []rpdb.Link
	if v.state != nil {
		links = v.state.Links
	} else if conn, err := v.a.open(); err == nil {
		defer conn.Close()
		links, _ = conn.Links(v.ctx)
	}
	for _, l := range links {
		if l.VRFTable != 0 {
			v.add(string(l.Name), "table "+v.names.Table(l.VRFTable))
		}
	}
}

// maxOffered is how many routes are read for offers: more would not help.
const maxOffered = 500

var errEnough = errors.New("enough for offers")

// routes returns routes of a family, 0 for both, as far as they can be read in
// time; of a full table only the beginning.
func (v *hostOffers) routes(f rpdb.Family) (list []rpdb.Route) {
	take := func(r rpdb.Route) error {
		if len(list) == maxOffered {
			return errEnough
		}
		if (f == 0 || r.Family == f) && r.Table != rpdb.TableLocal {
			r.Nexthops = slices.Clone(r.Nexthops)
			list = append(list, r)
		}
		return nil
	}
	if v.state != nil {
		for _, r := range v.state.Routes {
			_ = take(r)
		}
		return list
	}
	_ = v.a.inNetNS(func(o kernel.Options) error {
		socket, err := kernel.OpenSocket(o)
		if err != nil {
			return err
		}
		defer socket.Close()
		ctx, cancel := context.WithTimeout(v.ctx, completionTime)
		defer cancel()
		filter, err := iproute2.RouteContext{}.ParseRouteFilter(iproute2.RouteList, []string{"table", "all"})
		if err != nil {
			return err
		}
		_, err = socket.ListRoutes(ctx, filter.Dump(), func(m kernel.RouteMessage) error { return take(m.Route) })
		return err
	})
	return list
}
