package cli

import (
	"slices"
	"strings"
	"testing"

	"rpdb/format/iproute2"
)

func TestCompletionOfRoutes(t *testing.T) {
	_, ns := completionHost(t)
	pressTabs(t, ns, []tab{
		{"route ", "list get add ensure replace change append prepend test delete flush save restore showdump help", "eth0 from"},
		{"route a", "add append", "list"},
		{"route -", "-4 -6 -json -details -netns -oneline", "-batch -color"},
		{"route add ", "default blackhole unreachable 192.0.2.0/24 2001:db8:a::/64 via dev", "root fibmatch nat xresolve"},
		{"route -4 add ", "default 192.0.2.0/24", "2001:db8:a::/64 expires"},
		{"route add default ", "via dev table metric nexthop nhid mtu src", "default blackhole to"},
		{"route add blackhole ", "default 192.0.2.0/24", "unreachable"},
		{"route add default v", "via vrf", "dev"},
		{"route add default via ", "inet6", "dev"},
		{"route add default dev ", "lo eth0", "via"},
		{"route add default dev eth0 ", "via table", "dev nhid"},
		{"route add default table ", "main local 1001 1002 1003", "all"},
		{"route add default ta 2", "254 255 253", "main"},
		{"route add default src ", "192.0.2.10", "192.0.2.0/24"},
		{"route add 2001:db8::/32 ", "pref expires", "scope realms"},
		{"route add 192.0.2.0/24 ", "scope realms", "pref expires"},
		{"route add default scope ", "global link host", "main"},
		{"route add default mtu ", "lock", "mtu"},
		{"route add default mtu lock ", "", "lock"},
		{"route add default mtu lock 1400 ", "via", "mtu"},
		{"route add default pref ", "low medium high", ""},
		{"route add default protocol ", "static boot bgp rpdb", "main"},
		{"route add default features ", "ecn tcp_usec_ts", ""},
		{"route add default encap ", "mpls ip6 seg6", "via"},
		{"route add default encap ip id ", "", "via"},
		{"route add default nexthop ", "via dev weight onlink nexthop", "table mtu"},
		{"route add default nexthop via ", "inet6", "dev"},
		{"route add default nexthop dev eth0 ", "via weight nexthop", "dev table"},
		{"route add default nexthop dev eth0 nexthop ", "via dev weight", "table"},
		{"route ensure ", "default", "ensure root"},
		{"route list ", "default root match exact table dev protocol type scope", "nexthop mtu"},
		{"route list root ", "default", "table"},
		{"route list root default ", "table dev", "root"},
		{"route list table ", "all main 1001", "eth0"},
		{"route list type ", "blackhole unicast", "main"},
		{"route delete default ", "via dev table", "default"},
		{"route flush table ", "all main", ""},
		{"route save ", "table", "restore"},
		{"route restore ", "", "table"},
		{"route get ", "from iif dev mark uid ipproto fibmatch connected", "table nexthop via"},
		{"route get 192.0.2.1 ", "from mark", "192.0.2.1 flowlabel"},
		{"route get 192.0.2.1 iif ", "lo eth0", "from"},
		{"route get 192.0.2.1 ipproto ", "tcp udp icmp", "gre"},
		{"route get 192.0.2.1 mark ", "0x10", ""},
		{"route get 192.0.2.1 dport ", "443", ""},
		{"route get from ", "192.0.2.10", "192.0.2.0/24 default"},
		{"route nonsense ", "", "from"},
		{"ip ", "rule route monitor", "list"},
		{"ip route ", "list add get flush", "ensure"},
		{"ip r a", "add append", "list"},
		{"ip -6 ro add default dev ", "eth0", ""},
	})
}

func TestCompletionOfRoutesSaysWhat(t *testing.T) {
	_, ns := completionHost(t)
	for _, c := range []struct{ line, word, about string }{
		{"route add ", "192.0.2.0/24", "network of eth0"},
		{"route add default ", "metric", "order of routes to one prefix, smallest first"},
		{"route list ", "root", "routes inside of the prefix"},
		{"route -", "-details", "also show what is left out as the default"},
		{"route add default table ", "1002", "rule 100"},
	} {
		got := pressTab(t, append([]string{"-n", ns}, strings.Split(c.line, " ")...)...)
		if about, ok := got.about[c.word]; !ok || about != c.about {
			t.Errorf("rpdb %s<TAB>: %s is said to be %q, want %q", c.line, c.word, about, c.about)
		}
	}
}

func TestCompletionOfRoutesIsSafe(t *testing.T) {
	host, ns := completionHost(t)
	makeOddLinks(t, host)
	for _, line := range []string{"route add default dev ", "route list dev ", "route list table all dev ", "ip route get 192.0.2.1 iif "} {
		checkSafe(t, ns, line)
	}
}

// TestRouteWordsAreAll compares the words that are offered with the grammar. What
// is never offered stands here with its reason.
func TestRouteWordsAreAll(t *testing.T) {
	never := map[string]string{
		"to": "adds nothing to the prefix behind it", "nat": "the kernel has no route NAT", "xresolve": "the kernel has no such routes",
	}
	offered := map[string]string{}
	for _, w := range routeWords() {
		offered[w.field] = w.words
	}
	keywords := iproute2.NexthopKeywords()
	for _, verb := range []iproute2.RouteVerb{iproute2.RouteAdd, iproute2.RouteDelete, iproute2.RouteGet, iproute2.RouteList, iproute2.RouteFlush} {
		keywords = append(keywords, iproute2.RouteKeywords(verb)...)
	}
	for _, k := range keywords {
		words, isOffered := offered[k.Field]
		_, isNever := never[k.Field]
		switch {
		case isOffered == isNever:
			t.Errorf("%s: offered %v, and never offered %v", k.Word, isOffered, isNever)
		case isOffered && !slices.Contains(strings.Fields(words), k.Word):
			t.Errorf("%s: is not among the words of %s: %q", k.Word, k.Field, words)
		}
	}
}
