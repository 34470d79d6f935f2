package ipcmd

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

func routeGrammar() grammar {
	return grammar{
		object: "route", words: (*generator).route, keyword: (*generator).routeKeyword, afterwards: (*generator).afterwards, host: routeHost(),
		options: []string{
			"-4", "-6", "-6", "-6", "-j", "-j", "-json", "-p", "-d", "-details", "-d", "-N", "-N", "-o", "-o", "-s", "-s", "-br", "-c",
			"-c=always", "-c=auto", "-color=never", "-pretty", "-a", "-h", "-iec", "-t", "-echo", "-echo",
		},
	}
}

// route makes a command behind the options.
func (g *generator) route(wrong bool) []string {
	g.family, g.wild = g.chooseFamily(), g.one(3)
	words := []string{pick(g, "route", "route", "route", "ro", "r")}
	switch n := g.IntN(100); {
	case n < 24:
		words = append(append(words, pick(g, "add", "add", "add", "a", "ad")), g.routeRequest()...)
	case n < 44:
		words = append(append(words, pick(g, "replace", "change", "chg", "append", "prepend", "test", "r", "c", "ap", "p", "t", "rep")), g.routeRequest()...)
	case n < 56:
		words = append(append(words, pick(g, "del", "delete", "d", "de")), g.routeDelete()...)
	case n < 76:
		words = append(append(words, pick(g, "list", "show", "lst", "l", "s", "sh", "ls")), g.routeFilter()...)
	case n < 90:
		words = append(append(words, pick(g, "get", "get", "g")), g.routeGet()...)
	case n < 94:
		words = append(append(words, pick(g, "flush", "f", "fl")), g.routeFilter()...)
	case n < 96 && !g.batching:
		words = append(append(words, pick(g, "save", "sa")), g.routeFilter()...)
	case n < 98 && !g.batching:
		words = append(words, pick(g, "restore", "showdump", "res", "showd"))
	case n < 99:
	default:
		words = append(words, pick(g, "help", "h", "foo", "remove", "", "adds", "chang", "flush", "flush cache", "get"))
		words = slices.Concat(words[:len(words)-1], strings.Fields(words[len(words)-1]))
	}
	if wrong && len(words) > 2 {
		g.spoil(words[2:])
	}
	if wrong && g.one(8) && len(words) > 2 {
		words = words[:len(words)-1]
	}
	return words
}

// chooseFamily returns the family that a command is about, 4 or 6: that of the
// options, mostly.
func (g *generator) chooseFamily() int {
	switch {
	case g.optionFamily != 0 && !g.one(20):
		return g.optionFamily
	case g.one(3):
		return 6
	}
	return 4
}

// by returns one of the words of the family of the command, and once in a while
// one of the other.
func (g *generator) by(ipv4, ipv6 []string) string {
	if (g.family == 6) != (g.wild && g.one(30)) {
		return pick(g, ipv6...)
	}
	return pick(g, ipv4...)
}

// or returns a word that makes sense, and in a wild command sometimes one that
// does so rarely or never.
func (g *generator) or(usual, odd string) string {
	if g.wild && g.one(3) {
		return pick(g, strings.Split(odd, "|")...)
	}
	return pick(g, strings.Split(usual, "|")...)
}

func (g *generator) routeKeyword() string {
	return pick(g, "src", "as", "to", "via", "from", "tos", "dsfield", "expires", "metric", "priority", "preference", "scope", "mtu", "lock",
		"hoplimit", "advmss", "reordering", "rtt", "rto_min", "window", "cwnd", "initcwnd", "initrwnd", "features", "quickack", "congctl",
		"rttvar", "ssthresh", "realms", "onlink", "nexthop", "nhid", "protocol", "table", "vrf", "dev", "oif", "pref", "encap",
		"ttl-propagate", "fastopen_no_cookie", "iif", "mark", "root", "match", "exact", "type", "cached", "cloned", "weight", "inet",
		"inet6", "connected", "uid", "fibmatch", "sport", "dport", "ipproto", "unicast", "blackhole")
}

func (g *generator) destination() string {
	if len(g.recent) > 0 && g.one(3) {
		return pick(g, g.recent...)[0]
	}
	return g.by(
		strings.Split(g.or("192.0.2.0/24|192.0.2.0/25|198.51.100.0/24|203.0.113.0/24|203.0.113.7|10.9.0.0/16|default",
			"203.0.113.7/32|0/0|10.9.1/24|192.0.2.1/24|0.0.0.0/0|10.0.0.0/8|0xcb.0.113.8/31|224.0.0.0/4|10.0.0.77|010.9|all|any"), "|"),
		strings.Split(g.or("2001:db8:5::/48|2001:db8:5:1::/64|2001:db8:5::7|2001:db8:6::/48|default",
			"2001:db8:6::/128|::/0|2001:db8:7::1/64|2001:db8::77|2001:DB8:8::/45|fd00::/8|all|any"), "|"))
}

func (g *generator) gateway(link string) []string {
	var via string
	switch {
	case g.wild && g.one(3):
		via = g.by(
			[]string{"10.0.0.2", "10.0.1.2", "10.0.2.2", "10.0.0.1", "192.0.2.1", "10.0.0.255", "inet6 2001:db8:9::9", "0.0.0.0", "any", "inet 10.0.0.2", "default"},
			[]string{"2001:db8::1", "2001:db8:9::9", "2001:db8:2::2", "inet6 fe80::2", "inet 10.0.0.2", "::", "ff02::1", "fe80::1"})
	case link == "w0":
		via = g.by([]string{"10.0.1.2", "10.0.1.3", "10.0.1.2", "inet6 fe80::2"}, []string{"2001:db8:1::2", "2001:db8:1::3", "fe80::2"})
	default:
		via = g.by([]string{"10.0.0.2", "10.0.0.3", "10.0.0.254", "10.0.0.2", "inet6 2001:db8::2"}, []string{"2001:db8::2", "2001:db8::3", "fe80::2"})
	}
	return append([]string{"via"}, strings.Fields(via)...)
}

func (g *generator) link() string {
	if g.wild && g.one(3) {
		return pick(g, "nosuch", "if3", "if99", "v1", "lo", "x0", "", "averyveryverylongname", "ifx", "if3x")
	}
	return pick(g, "v0", "v0", "v0", "w0", "w0", "x0")
}

func (g *generator) table() string {
	return g.or("main|100|100|200|1000|1000", "254|default|local|0x64|4294967295|256|0|unspec|all|77|x|4294967296")
}

// routeRequest makes the words of a route.
func (g *generator) routeRequest() []string {
	var w []string
	dead := false
	switch g.IntN(9) {
	case 0:
		w, dead = append(w, pick(g, "blackhole", "unreachable", "prohibit", "throw", "bl", "u", "proh")), !g.wild
	case 1:
		if g.wild {
			w = append(w, pick(g, "local", "unicast", "broadcast", "multicast", "anycast", "x", "nat", "to", "brd", "b", "p", "a", "m", "6", "0"))
		}
	}
	dst := g.destination()
	w = append(w, dst)
	switch n := g.IntN(20); {
	case g.wild && g.one(30):
		return nil
	case dead:
	case n < 12:
		w = append(w, g.nexthop()...)
	case n < 15:
		for range 1 + g.IntN(3) {
			w = append(w, "nexthop")
			w = append(w, g.nexthop()...)
			if g.one(2) {
				w = append(w, "weight", g.or("1|2|3|256", "257|0|0x10|x"))
			}
		}
	case n < 17:
		w = append(w, "nhid", g.by(strings.Split(g.or("10|11|12|13|14|15|16", "99|20|0|x"), "|"), strings.Split(g.or("20|21|22|23", "15|99|0|10"), "|")))
	default:
		w = append(w, pick(g, "dev", "dev", "oif"), g.link())
	}
	w = g.withAttributes(w)
	which := []string{dst}
	if i := slices.IndexFunc(w, func(word string) bool { return len(word) > 1 && strings.HasPrefix("table", word) }); i >= 0 {
		which = append(which, w[i:min(i+2, len(w))]...)
	}
	g.recent = append(g.recent[max(0, len(g.recent)-5):], which)
	return w
}

// nexthop makes a gateway, an interface, and sometimes more.
func (g *generator) nexthop() []string {
	var w []string
	link := g.link()
	if g.one(12) {
		w = append(w, g.encap()...)
	}
	via, dev := !g.one(8), !g.one(3)
	if via {
		w = append(w, g.gateway(link)...)
	}
	if dev || !via || slices.Contains(w, "inet6") || strings.HasPrefix(w[len(w)-1], "fe80") {
		w = append(w, "dev", link)
		if g.one(8) {
			w = append(w, g.or("onlink", "pervasive"))
		}
	}
	if g.one(16) && (g.wild || g.family == 4) {
		w = append(w, g.realms()...)
	}
	return w
}

func (g *generator) realms() []string {
	return []string{pick(g, "realms", "realm", "rea"), g.or("1|1/2|255/255|0x10/3", "5/|0|70000|cosmos|/2")}
}

// encap makes a tunnel of the kinds whose options the kernel of the tests can
// take: those that name geneve, vxlan or erspan stop Linux 6.18 for good.
func (g *generator) encap() []string {
	s := pick(g,
		"ip id 5 dst 192.0.2.1", "ip dst 192.0.2.1", "ip id 7 src 10.0.0.1 dst 192.0.2.1 ttl 64 tos 0x10", "ip id 1 dst 192.0.2.1 key",
		"ip id 1 dst 192.0.2.1 csum seq key", "ip id 0xffffffffffffffff dst 192.0.2.2 hoplimit 3", "ip", "ip id x dst 192.0.2.1",
		"ip6 dst 2001:db8::9", "ip6 id 5 src 2001:db8::1 dst 2001:db8::9 hoplimit 64 tc 0x20", "ip6 id 2 dst 2001:db8::9 key seq csum",
		"ip6 id 2 dst 192.0.2.1", "seg6 mode encap segs 2001:db8::7", "seg6 mode encap segs 2001:db8::7,2001:db8::8",
		"seg6 mode inline segs 2001:db8::7", "seg6 mode l2encap segs 2001:db8::7", "seg6 mode encap segs 192.0.2.1", "seg6 mode foo segs ::1",
		"seg6local action End", "seg6local action End.X nh6 2001:db8::9", "seg6local action End.T table 100",
		"seg6local action End.DX4 nh4 10.0.0.9", "seg6local action End.DT6 table main", "seg6local action End.DX6 nh6 fe80::9",
		"seg6local action End.B6 srh segs 2001:db8::7,2001:db8::8", "seg6local action End.B6.Encaps srh segs 2001:db8::7",
		"seg6local action End.DX2 oif v0", "seg6local action End count", "seg6local action foo", "seg6local", "seg6",
		"mpls 100", "mpls 100/200", "mpls 16/x", "mpls 100 ttl 5", "rpl segs 2001:db8::7", "xfrm if_id 5", "ioam6 trace prealloc type 0x800000 ns 0 size 12",
		"bpf headroom 5", "foo", "")
	if s == "" {
		return []string{"encap"}
	}
	return append([]string{"encap"}, strings.Fields(s)...)
}

// withAttributes appends what a route has besides nexthops. What stands behind a
// nexthop belongs to it, so that it goes in front.
func (g *generator) withAttributes(w []string) []string {
	var more []string
	for g.one(2) {
		more = append(more, g.routeAttribute()...)
	}
	if i := slices.Index(w, "nexthop"); i >= 0 {
		return slices.Concat(w[:i:i], more, w[i:])
	}
	return append(w, more...)
}

func (g *generator) routeAttribute() []string {
	switch g.IntN(14) {
	case 0, 1, 2:
		return []string{pick(g, "table", "table", "tab", "ta"), g.table()}
	case 3, 4:
		return []string{pick(g, "metric", "metric", "m", "priority", "preference", "prio"), g.or("10|20|10|1024", "0|0x10|4294967295|x|-1")}
	case 5:
		return []string{pick(g, "proto", "protocol", "prot"), g.or("static|82|bgp|boot|zebra", "kernel|0|255|256|x")}
	case 6:
		return []string{"scope", g.or("global|link|link|global", "host|site|nowhere|0|200|7|256|x")}
	case 7:
		return []string{"src", g.by(strings.Split(g.or("10.0.0.1|10.0.1.1|127.0.0.1", "10.0.0.9|any|0.0.0.0"), "|"), strings.Split(g.or("2001:db8::1|2001:db8:1::1", "fe80::1|::1|2001:db8::9|any"), "|"))}
	case 8:
		if g.family == 6 && !g.wild {
			return nil
		}
		return []string{pick(g, "tos", "dsfield", "ds"), g.or("0x10|4|8|0|1c", "0x20|EF|CS1|default|1|ff|100")}
	case 9:
		return g.realms()
	case 10:
		return append([]string{"pref"}, g.or("low|medium|high", "l|0|3|h|1|2|4"))
	case 11:
		return g.rareAttribute()
	}
	return g.metric()
}

func (g *generator) rareAttribute() []string {
	if !g.wild {
		return strings.Split(g.by([]string{"ttl-propagate enabled", "ttl-propagate disabled"},
			[]string{"expires 500", "expires 4294967295", "from 2001:db8:5::/48", "from 2001:db8::1"}), " ")
	}
	s := pick(g, "onlink", "expires 500", "expires 4294967295", "expires 100000000", "ttl-propagate enabled", "ttl-propagate x", "as 192.0.2.7",
		"as to 192.0.2.7", "vrf nosuch", "vrf v0", "vrf default", "from "+g.by([]string{"192.0.2.0/24", "10.0.0.1"}, []string{"2001:db8:5::/48", "2001:db8::1", "default", "::/0"}), "dev "+g.link())
	return strings.Split(s, " ")
}

// metric makes one of RTA_METRICS.
func (g *generator) metric() []string {
	switch g.IntN(10) {
	case 0, 1:
		return strings.Fields(g.or("mtu 1400|mtu lock 1400|mtu lock 9000", "mtu 0|mtu 70000|mtu x|mtu lock|mtu 4294967295"))
	case 2:
		return strings.Fields(g.or("hoplimit 10|hoplimit 255|advmss 1400|advmss lock 1000", "hoplimit 0|hoplimit 256|hoplimit lock 5|advmss 65536|advmss x"))
	case 3:
		return strings.Fields(g.or("rtt 100|rtt 100ms|rtt 2s|rtt lock 1|rttvar 50ms|rttvar lock 1s|rtt 1.5s|rttvar 7", "rtt 10us|rtt x|rtt 0|rtt -1|rtt 1e3|rtt 0x10"))
	case 4:
		return strings.Fields(g.or("rto_min 200ms|rto_min 1s|rto_min lock 5|rto_min 1000", "rto_min 4294967295|rto_min x|rto_min 0.5s"))
	case 5:
		return strings.Fields(g.or("congctl cubic|congctl reno|congctl lock reno|features ecn|feat ecn", "congctl nosuch|cong cubic|features foo|features ecn ecn"))
	}
	name := pick(g, "window", "cwnd", "initcwnd", "initrwnd", "ssthresh", "reordering", "quickack", "fastopen_no_cookie", "initc", "initr", "ssth", "reord", "win", "qu", "fast")
	return append([]string{name}, strings.Fields(g.or("1|10|1|65536|lock 3", "0|4294967295|lock 0|x|lock x"))...)
}

// routeDelete makes the words of a route to delete, few of them.
func (g *generator) routeDelete() []string {
	if g.one(3) {
		return g.routeRequest()
	}
	w := []string{g.destination()}
	if len(g.recent) > 0 && !g.one(4) {
		w = slices.Clone(pick(g, g.recent...))
		if g.one(2) {
			return w
		}
	}
	for g.one(2) {
		switch g.IntN(5) {
		case 0, 1:
			w = append(w, "table", g.table())
		case 2:
			w = append(w, "dev", g.link())
		case 3:
			w = append(w, g.gateway(g.link())...)
		case 4:
			w = append(w, g.routeAttribute()...)
		}
	}
	return w
}

func (g *generator) routeFilter() []string {
	var w []string
	for !g.one(3) {
		w = append(w, strings.Split(g.routeFilterWord(), " ")...)
	}
	return w
}

func (g *generator) routeFilterWord() string {
	prefix := g.destination()
	switch g.IntN(17) {
	case 0, 1, 2:
		return pick(g, "table ", "tab ", "table ") + pick(g, g.table(), "all", "all", "cache")
	case 3:
		return pick(g, "", "to ", "dst ", "t ") + pick(g, prefix, prefix, "all", "any")
	case 4, 5:
		return pick(g, "", "to ") + pick(g, "root ", "match ", "exact ", "r ", "e ") + pick(g, prefix, prefix, "all", "any")
	case 6:
		return pick(g, "from ", "from root ", "from match ", "from exact ", "f ") + g.by([]string{"0/0", "192.0.2.0/24", "all"}, []string{"2001:db8:5::/48", "::/0", "default", "2001:db8::1"})
	case 7, 8:
		return pick(g, "dev ", "oif ", "dev ") + g.link()
	case 9:
		return "iif " + g.link()
	case 10:
		return pick(g, "proto ", "protocol ") + g.or("static|kernel|boot|all|82|bgp", "0|any|256")
	case 11:
		return pick(g, "scope ", "sc ") + g.or("global|link|host|all|253", "nowhere|any|256")
	case 12:
		return "type " + g.or("unicast|local|broadcast|blackhole|multicast|throw|unreachable", "u|any|6|7|0|x")
	case 13:
		return pick(g, "metric ", "m ", "priority ", "preference ") + g.or("10|1024|256", "0|x")
	case 14:
		return strings.Join(g.gateway(g.link()), " ")
	case 15:
		return "src " + g.by([]string{"10.0.0.1", "10.0.1.1", "10.0.0.0/24"}, []string{"2001:db8::1", "2001:db8::/32"})
	}
	return g.or("cached|cloned|tos 0x10|dsfield 8|tos 0|realms 1/2|realm 5|realms 1/", "c|mark 1|mark 0|vrf nosuch|vrf v0|vrf default|realms /2|tos x")
}

func (g *generator) routeGet() []string {
	var w []string
	if g.one(8) {
		w = append(w, "to")
	}
	w = append(w, g.by(
		[]string{
			"10.0.0.1", "10.0.0.2", "10.0.1.2", "8.8.8.8", "192.0.2.1", "198.51.100.9", "203.0.113.7", "203.0.113.8", "10.9.0.1", "127.0.0.1",
			"224.0.0.1", "10.0.0.255", "255.255.255.255", "0.0.0.0", "192.0.2.1/24", "default", "10.0.2.9",
		},
		[]string{
			"2001:db8::1", "2001:db8::2", "2001:db8:5::7", "2001:db8:5:1::1", "2001:db8:6::1", "fe80::2", "ff02::1", "::1", "2001:db8:9::9",
			"::", "2001:db8:5::7/64", "2001:db8:2::9", "2001:db8:8::9",
		}))
	for g.one(2) {
		w = append(w, strings.Split(g.getWord(), " ")...)
	}
	return w
}

func (g *generator) getWord() string {
	source := g.by([]string{"10.0.0.1", "10.0.1.1", "10.0.1.55", "192.0.2.77", "10.0.0.1/24", "127.0.0.1", "0.0.0.0"},
		[]string{"2001:db8::1", "2001:db8:1::1", "2001:db8:1::55", "fe80::1", "::", "2001:db8::1/64"})
	switch g.IntN(13) {
	case 0, 1:
		return pick(g, "from ", "f ") + source
	case 2:
		return "from " + source + " iif " + g.link()
	case 3, 4:
		return pick(g, "oif ", "dev ", "o ") + g.link()
	case 5:
		return pick(g, "iif ", "i ") + g.link()
	case 6, 7:
		return pick(g, "mark ", "m ") + g.or("1|0|0x20|2", "4294967295|x")
	case 8:
		return pick(g, "uid ", "u ") + g.or("0|7|1000", "4294967295|x")
	case 9:
		return pick(g, "tos ", "dsfield ") + g.or("0x10|4|1c", "EF|0|ff")
	case 10:
		return g.or("fibmatch|fibm|connected", "c|vrf nosuch|vrf default|as 10.0.0.9|co")
	case 11:
		return "ipproto " + g.or("tcp|udp|6", "icmp|ipv6-icmp|200|x|0")
	}
	return "ipproto tcp " + g.or("dport 80|sport 1000|sport 5 dport 80", "dport 0|dport x|sport 65536")
}

// afterwards says where the output of a save goes, and where a restore reads.
func (g *generator) afterwards(c command, words []string) command {
	if len(words) < 2 || words[1] == "" {
		return c
	}
	file := filepath.Join(g.dir, fmt.Sprintf("saved%d", g.IntN(3)))
	switch verb := words[1]; {
	case strings.HasPrefix("save", verb) && len(verb) > 1:
		c.keep = file
	case strings.HasPrefix("restore", verb) && len(verb) > 2, strings.HasPrefix("showdump", verb) && len(verb) > 4:
		c.file = file
	}
	return c
}
