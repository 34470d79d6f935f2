package iproute2

// RouteVerb is what "ip route" is told to do. The zero value is no verb.
type RouteVerb uint8

// The verbs of ip-route(8).
const (
	RouteList RouteVerb = 1 + iota
	RouteAdd
	RouteChange
	RouteReplace
	RoutePrepend
	RouteAppend
	RouteTest
	RouteDelete
	RouteGet
	RouteFlush
	RouteSave
	RouteRestore
	RouteShowDump
	RouteHelpVerb
)

// routeVerbWords is the order in which ip tries the verbs.
var routeVerbWords = []verbWord[RouteVerb]{
	{"add", RouteAdd},
	{"change", RouteChange},
	{"chg", RouteChange},
	{"replace", RouteReplace},
	{"prepend", RoutePrepend},
	{"append", RouteAppend},
	{"test", RouteTest},
	{"delete", RouteDelete},
	{"list", RouteList},
	{"show", RouteList},
	{"lst", RouteList},
	{"get", RouteGet},
	{"flush", RouteFlush},
	{"save", RouteSave},
	{"restore", RouteRestore},
	{"showdump", RouteShowDump},
	{"help", RouteHelpVerb},
}

// ParseRouteVerb reads the word after "ip route". The error is of type
// *[ParseError].
func ParseRouteVerb(word string) (RouteVerb, error) { return parseVerb(routeVerbWords, "route", word) }

// RouteVerbs lists the words of the verbs, for completion.
func RouteVerbs() []string { return allVerbs(routeVerbWords) }

// String returns the verb's word, as in "replace", and "" for no verb.
func (v RouteVerb) String() string { return verbName(routeVerbWords, v) }

// routeOption is what a keyword of routes does: how a change of the table
// reads its value, how one of its nexthops does, and how get and the listings
// do. Every keyword with the same meaning shares one.
type routeOption struct {
	name  string
	value ValueKind
	help  string
	add   func(*routeParser)       // nil: not for add, change, replace, append, prepend, test and delete
	hop   func(*hopParser)         // nil: not behind nexthop
	get   func(*routeGetParser)    // nil: not for get
	match func(*routeFilterParser) // nil: not for list, flush and save
}

// routeOptions are all options, in the order of the usage text. This table,
// with the orders below, is the grammar.
var routeOptions = []routeOption{
	{"to", PrefixValue, "destination", (*routeParser).to, nil, (*routeGetParser).to, (*routeFilterParser).to},
	{"from", PrefixValue, "source", (*routeParser).from, nil, (*routeGetParser).from, (*routeFilterParser).from},
	{"tos", DSFieldValue, "DS field", (*routeParser).tos, nil, (*routeGetParser).tos, (*routeFilterParser).tos},
	{"table", TableValue, "routing table", (*routeParser).table, nil, nil, (*routeFilterParser).table},
	{"vrf", VRFValue, "the table of a VRF", (*routeParser).vrf, nil, (*routeGetParser).vrf, (*routeFilterParser).vrf},
	{"protocol", ProtocolValue, "who installed the route", (*routeParser).protocol, nil, nil, (*routeFilterParser).protocol},
	{"scope", ScopeValue, "how far the destination is", (*routeParser).scope, nil, nil, (*routeFilterParser).scope},
	{"type", TypeValue, "what the route does with packets", nil, nil, nil, (*routeFilterParser).typ},
	{"metric", NumberValue, "order of routes to one prefix, smallest first", (*routeParser).priority, nil, nil, (*routeFilterParser).metric},
	{"cached", NoValue, "only routes that were cloned", nil, nil, nil, (*routeFilterParser).cached},
	{"iif", LinkValue, "interface of arrival", nil, nil, (*routeGetParser).iif, (*routeFilterParser).iif},
	{"mark", NumberValue, "firewall mark", nil, nil, (*routeGetParser).mark, (*routeFilterParser).mark},
	{"ttl-propagate", EnabledValue, "whether the TTL of a tunnel reaches the packet", (*routeParser).ttlPropagate, nil, nil, nil},
	{"encap", EncapValue, "lightweight tunnel", (*routeParser).encap, (*hopParser).encap, nil, nil},
	{"via", GatewayValue, "gateway", (*routeParser).via, (*hopParser).via, nil, (*routeFilterParser).via},
	{"dev", LinkValue, "interface", (*routeParser).dev, (*hopParser).dev, (*routeGetParser).oif, (*routeFilterParser).oif},
	{"nexthop", NexthopValue, "one of several ways, up to the end of the line", (*routeParser).nexthops, nil, nil, nil},
	{"weight", NumberValue, "share of a nexthop, 1 to 256", nil, (*hopParser).weight, nil, nil},
	{"onlink", NoValue, "the gateway is on the link, do not look it up", (*routeParser).onlink, (*hopParser).onlink, nil, nil},
	{"nhid", NumberValue, "nexthop object", (*routeParser).nexthopID, nil, nil, nil},
	{"as", AddressValue, "destination that MPLS writes into the packet", (*routeParser).as, (*hopParser).as, (*routeGetParser).as, nil},
	{"realms", RealmsValue, "realms for accounting", (*routeParser).realms, (*hopParser).realms, nil, (*routeFilterParser).realms},
	{"src", AddressValue, "preferred source address", (*routeParser).src, nil, nil, (*routeFilterParser).src},
	{"mtu", LockedValue, "path MTU", (*routeParser).metric, nil, nil, nil},
	{"advmss", LockedValue, "advertised MSS", (*routeParser).metric, nil, nil, nil},
	{"rtt", TimeValue, "first guess of the round trip time", (*routeParser).metric, nil, nil, nil},
	{"rttvar", TimeValue, "first guess of its variance", (*routeParser).metric, nil, nil, nil},
	{"reordering", LockedValue, "how far packets may be out of order", (*routeParser).metric, nil, nil, nil},
	{"window", LockedValue, "largest window to advertise", (*routeParser).metric, nil, nil, nil},
	{"cwnd", LockedValue, "limit of the congestion window", (*routeParser).metric, nil, nil, nil},
	{"initcwnd", LockedValue, "first congestion window", (*routeParser).metric, nil, nil, nil},
	{"ssthresh", LockedValue, "first slow start threshold", (*routeParser).metric, nil, nil, nil},
	{"rto_min", TimeValue, "smallest retransmission timeout, always locked", (*routeParser).metric, nil, nil, nil},
	{"hoplimit", LockedValue, "hop limit of packets", (*routeParser).metric, nil, nil, nil},
	{"initrwnd", LockedValue, "first receive window", (*routeParser).metric, nil, nil, nil},
	{"features", FeaturesValue, "ecn, tcp_usec_ts", (*routeParser).metric, nil, nil, nil},
	{"quickack", BoolValue, "whether to acknowledge at once", (*routeParser).metric, nil, nil, nil},
	{"congctl", NameValue, "congestion control", (*routeParser).metric, nil, nil, nil},
	{"pref", PreferenceValue, "preference of an IPv6 route (RFC 4191)", (*routeParser).preference, nil, nil, nil},
	{"expires", NumberValue, "seconds that an IPv6 route lives", (*routeParser).expires, nil, nil, nil},
	{"fastopen_no_cookie", BoolValue, "whether TCP Fast Open goes without cookies", (*routeParser).metric, nil, nil, nil},
	{"notify", NoValue, "tell of changes of the route", nil, nil, (*routeGetParser).notify, nil},
	{"connected", NoValue, "ask again with the source that was chosen", nil, nil, (*routeGetParser).connected, nil},
	{"uid", NumberValue, "user id of the local sender", nil, nil, (*routeGetParser).uid, nil},
	{"fibmatch", NoValue, "the route itself, not what became of it", nil, nil, (*routeGetParser).fibMatch, nil},
	{"sport", NumberValue, "source port", nil, nil, (*routeGetParser).sport, nil},
	{"dport", NumberValue, "destination port", nil, nil, (*routeGetParser).dport, nil},
	{"ipproto", IPProtoValue, "IP protocol", nil, nil, (*routeGetParser).ipProto, nil},
	{"flowlabel", FlowLabelValue, "IPv6 flow label", nil, nil, (*routeGetParser).flowLabel, nil},
}

// routeAddWords is the order in which the verbs that change a table try a
// word; any other word is a type or a destination.
var routeAddWords = []keyword{
	{"src", false, "src"},
	{"as", false, "as"},
	{"via", false, "via"},
	{"from", false, "from"},
	{"tos", false, "tos"},
	{"dsfield", true, "tos"},
	{"expires", false, "expires"},
	{"metric", true, "metric"},
	{"priority", true, "metric"},
	{"preference", false, "metric"},
	{"scope", false, "scope"},
	{"mtu", false, "mtu"},
	{"hoplimit", false, "hoplimit"},
	{"advmss", false, "advmss"},
	{"reordering", true, "reordering"},
	{"rtt", false, "rtt"},
	{"rto_min", false, "rto_min"},
	{"window", true, "window"},
	{"cwnd", true, "cwnd"},
	{"initcwnd", true, "initcwnd"},
	{"initrwnd", true, "initrwnd"},
	{"features", true, "features"},
	{"quickack", true, "quickack"},
	{"congctl", true, "congctl"},
	{"rttvar", true, "rttvar"},
	{"ssthresh", true, "ssthresh"},
	{"realms", true, "realms"},
	{"onlink", false, "onlink"},
	{"nexthop", false, "nexthop"},
	{"nhid", false, "nhid"},
	{"protocol", true, "protocol"},
	{"table", true, "table"},
	{"vrf", true, "vrf"},
	{"dev", false, "dev"},
	{"oif", false, "dev"},
	{"pref", true, "pref"},
	{"encap", false, "encap"},
	{"ttl-propagate", false, "ttl-propagate"},
	{"fastopen_no_cookie", true, "fastopen_no_cookie"},
	{"to", false, "to"},
}

// routeHopWords is the order behind "nexthop".
var routeHopWords = []keyword{
	{"via", false, "via"},
	{"dev", false, "dev"},
	{"weight", false, "weight"},
	{"onlink", false, "onlink"},
	{"realms", true, "realms"},
	{"encap", false, "encap"},
	{"as", false, "as"},
}

// routeGetWords is the order in which get tries a word; any other word is the
// destination.
var routeGetWords = []keyword{
	{"tos", false, "tos"},
	{"dsfield", true, "tos"},
	{"from", true, "from"},
	{"iif", true, "iif"},
	{"mark", true, "mark"},
	{"oif", true, "dev"},
	{"dev", false, "dev"},
	{"notify", true, "notify"},
	{"connected", true, "connected"},
	{"vrf", true, "vrf"},
	{"uid", true, "uid"},
	{"fibmatch", true, "fibmatch"},
	{"as", false, "as"},
	{"sport", true, "sport"},
	{"dport", true, "dport"},
	{"ipproto", true, "ipproto"},
	{"flowlabel", false, "flowlabel"},
	{"to", false, "to"},
}

// routeListWords is the order in which list, flush and save try a word; any
// other word is a destination.
var routeListWords = []keyword{
	{"table", true, "table"},
	{"vrf", true, "vrf"},
	{"cached", true, "cached"},
	{"cloned", true, "cached"},
	{"tos", false, "tos"},
	{"dsfield", true, "tos"},
	{"protocol", true, "protocol"},
	{"scope", true, "scope"},
	{"type", true, "type"},
	{"dev", false, "dev"},
	{"oif", false, "dev"},
	{"iif", false, "iif"},
	{"mark", false, "mark"},
	{"metric", true, "metric"},
	{"priority", true, "metric"},
	{"preference", false, "metric"},
	{"via", false, "via"},
	{"src", false, "src"},
	{"realms", true, "realms"},
	{"from", true, "from"},
	{"to", true, "to"},
}

// matchWords say how the prefix of a filter selects: routes inside of it,
// routes that cover it, or those with that very prefix.
var matchWords = []keyword{{"root", true, "root"}, {"match", true, "match"}, {"exact", true, "exact"}}

// lookUpRoute returns the option of a word in one of the orders above, if the word
// is in one.
func lookUpRoute(table []keyword, word string) (o routeOption, ok bool) {
	means := lookUp(table, word)
	if means == "" {
		return o, false
	}
	for i := range routeOptions {
		if routeOptions[i].name == means {
			return routeOptions[i], true
		}
	}
	return o, false
}

// RouteKeywords returns the words that a verb takes, in the order in which ip
// tries them, which decides what an abbreviation means. The last ones of a
// change are the types, and those of a listing say how a prefix selects. Verbs
// without words have none.
func RouteKeywords(v RouteVerb) []Keyword {
	switch {
	case v.changes():
		return append(describeRoute(routeAddWords), describeRoute(routeTypeWords)...)
	case v == RouteGet:
		return describeRoute(routeGetWords)
	case v == RouteList, v == RouteFlush, v == RouteSave:
		return append(describeRoute(routeListWords), describeRoute(matchWords)...)
	}
	return nil
}

// NexthopKeywords returns the words that may stand behind "nexthop".
func NexthopKeywords() []Keyword { return describeRoute(routeHopWords) }

func describeRoute(words []keyword) []Keyword {
	var list []Keyword
	for _, w := range words {
		k := Keyword{Word: w.word, Prefix: w.prefix, Field: w.means, Value: PrefixValue, Help: matchHelp(w.means)}
		if o, ok := lookUpRoute(words, w.word); ok {
			k.Value, k.Help = o.value, o.help
		}
		list = append(list, k)
	}
	return list
}

// matchHelp explains the words in front of a prefix, which are no options of
// their own.
func matchHelp(word string) string {
	switch word {
	case "root":
		return "routes inside of the prefix"
	case "match":
		return "routes that cover the prefix"
	case "exact":
		return "routes to the prefix itself"
	}
	return "type of the route"
}

// changes reports whether the verb makes or deletes one route.
func (v RouteVerb) changes() bool {
	switch v {
	case RouteAdd, RouteChange, RouteReplace, RoutePrepend, RouteAppend, RouteTest, RouteDelete:
		return true
	}
	return false
}
