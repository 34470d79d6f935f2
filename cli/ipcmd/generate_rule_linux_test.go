package ipcmd

import (
	"fmt"
	"strings"
)

func ruleGrammar() grammar {
	return grammar{
		object: "rule", words: (*generator).rule, keyword: (*generator).ruleKeyword,
		options: []string{
			"-4", "-4", "-6", "-6", "-6", "-j", "-j", "-json", "-p", "-d", "-details", "-N", "-o", "-s", "-br", "-c", "-c=always",
			"-c=auto", "-color=never", "--6", "-json", "-pretty", "-a", "-h", "-iec", "-r", "-t", "-ts", "-echo", "-echo", "-echo",
		},
	}
}

// rule makes a command behind the options.
func (g *generator) rule(wrong bool) []string {
	words := []string{pick(g, "rule", "rule", "rule", "ru", "rul")}
	switch n := g.IntN(100); {
	case n < 45:
		words = append(append(words, pick(g, "add", "add", "add", "a", "ad")), g.request(wrong)...)
	case n < 65:
		words = append(append(words, pick(g, "del", "delete", "d", "de")), g.request(wrong)...)
	case n < 90:
		words = append(append(words, pick(g, "list", "show", "lst", "l", "s", "sh", "ls")), g.filter(wrong)...)
	case n < 93:
		words = append(append(words, pick(g, "flush", "f", "fl")), g.filter(wrong)...)
	case n < 98:
	default:
		words = append(words, pick(g, "help", "h", "foo", "remove", "change", "", "save x", "sav pref 1", "adds"))
	}
	if wrong && len(words) > 2 {
		g.spoil(words[2:])
	}
	if wrong && g.one(8) && len(words) > 2 {
		words = words[:len(words)-1]
	}
	return words
}

func (g *generator) ruleKeyword() string {
	return pick(g, "not", "from", "to", "preference", "order", "priority", "tos", "dsfield", "fwmark", "realms", "protocol", "tun_id",
		"table", "lookup", "suppress_prefixlength", "sup_pl", "suppress_ifgroup", "sup_group", "dev", "iif", "oif", "l3mdev",
		"uidrange", "nat", "map-to", "ipproto", "sport", "dport", "type", "goto", "nop", "blackhole", "unreachable", "prohibit",
		"local", "broadcast", "brd", "anycast", "multicast", "throw", "unicast", "xresolve", "src", "dst")
}

// request makes the words of a rule.
func (g *generator) request(wrong bool) []string {
	var w []string
	for n := g.IntN(4); n >= 0; n-- {
		w = append(w, g.selector(wrong)...)
	}
	if !g.one(3) {
		w = append(w, pick(g, "pref", "pref", "priority", "order", "p", "pr"), pick(g, "10", "10", "20", "30", "0", "32766", "0x10", "010", fmt.Sprint(g.Uint32())))
	}
	if !g.one(4) {
		w = append(w, g.action()...)
	}
	if g.one(40) {
		return nil
	}
	return w
}

func (g *generator) selector(wrong bool) []string {
	if !g.before(withMasks) && g.one(4) {
		return g.younger()
	}
	switch g.IntN(19) {
	case 0, 1, 2:
		return []string{"from", g.prefix(wrong)}
	case 3, 4:
		return []string{"to", g.prefix(wrong)}
	case 5:
		return []string{pick(g, "tos", "dsfield", "ds"), pick(g, "0x10", "4", "8", "0", "1c", "0x20", "EF", "CS1", "AF11", "default", "1")}
	case 6, 7:
		return []string{"fwmark", pick(g, "1", "0x10/0xff", "0", "0/0", "0/0xff", "4294967295", "1/2", "07/0x7", "0xffffffff/0xf0000000")}
	case 8:
		return []string{pick(g, "realms", "realm", "r"), pick(g, "1", "1/2", "5/", "0", "70000", "255/255", "0x10/3")}
	case 9:
		return []string{pick(g, "protocol", "proto", "pro"), pick(g, "static", "kernel", "0", "7", "82", "bgp", "255", "boot", "zebra")}
	case 10:
		return []string{pick(g, "tun_id", "tun", "t"), pick(g, "5", "0", "-1", "18446744073709551615", "0x100", "9007199254740993")}
	case 11:
		return []string{pick(g, "suppress_prefixlength", "sup_pl", "s", "sup"), pick(g, "0", "1", "32", "33", "2147483647")}
	case 12:
		return []string{pick(g, "suppress_ifgroup", "sup_group"), pick(g, "0", "default", "5", "2147483647")}
	case 13, 14:
		return []string{pick(g, "iif", "oif", "dev"), g.name()}
	case 15:
		return []string{"uidrange", pick(g, "0-0", "1-2", "1000-2000", "5-3", "1-2x", " 3-4", "4294967296-4294967297", "1-4294967295", "7-7")}
	case 16:
		return []string{"ipproto", pick(g, "tcp", "udp", "6", "0", "icmp", "ospf", "OSPFIGP", "200", "ipv6-icmp", "sctp", "255", "UDP", "06")}
	case 17:
		return []string{pick(g, "sport", "dport"), pick(g, "53", "1-2", "1000-2000", "0", "5-3", "1", "65534", "1-65535", "65535")}
	}
	return []string{pick(g, "not", "not", "l3mdev")}
}

// younger makes a selector that releases before withMasks do not know.
func (g *generator) younger() []string {
	switch g.IntN(7) {
	case 0:
		return []string{
			pick(g, "pref", "fwmark", "table", "tun_id", "goto", "realms", "suppress_prefixlength"),
			pick(g, "0b11", "0B1", "0b", "0b2", "-0b1", "+0b10", "0b100000000000000000000000000000000", "0b101/0b111", "0X1F", "-0x1", " 5", "5 "),
		}
	case 1, 2:
		return []string{"dscp", pick(g, "0", "1", "8", "10", "63", "64", "257", "0x2e", "012", "EF", "CS1", "AF11", "default", "ef", "b8", "08", "28",
			"1/1", "8/0x38", "10/0x3f", "10/0x3c", "0/0", "0/0x3f", "0/1", "CS1/0x38", "EF/0x3f", "1/0", "1/256", "1/64", "1/", "/1", "1/zz",
			"1/EF", "256/256", "-1", "300")}
	case 3, 4:
		return []string{"flowlabel", pick(g, "0", "5", "0x12345", "0xfffff", "0x100000", "0/0", "0x12300/0xfff00", "1/0x100000",
			"0x12345/0xfffff", "1/0", "0/1", "0/0xff", "x", "1/x", "1/", "/1", "-1", "010/0x8", "4294967295", "4294967296")}
	}
	return []string{pick(g, "sport", "dport"), pick(g, "0x35", "065", "53/0xffff", "80/0xfff0", "0x50/0xfff0", "0/0xff", "1/0", "3/x", "3/", "/3",
		"0x10/0xf", "1-2/3", "x-3", "3-x", "3-", "-3", "0x10-0x20", "65536", "65535/0xffff", "1/65536", "1-65536", "+5", " 5", "5 ", "1--2",
		"1-2-3", "-", "080")}
}

func (g *generator) action() []string {
	switch g.IntN(12) {
	case 0:
		return []string{pick(g, "goto", "g", "got"), pick(g, "20", "30", "32766", "100000", "0", "40")}
	case 1:
		return []string{pick(g, "nop", "n", "blackhole", "bl", "unreachable", "u", "prohibit", "proh", "b", "x", "a", "m 1.2.3.4")}
	case 2:
		return []string{pick(g, "local", "broadcast", "brd", "anycast", "multicast", "throw", "unicast", "xresolve", "7", "0", "255", "0x8", "10")}
	case 3:
		return []string{"type", pick(g, "blackhole", "unicast", "nop", "goto", "prohibit", "6", "1")}
	case 4:
		return []string{pick(g, "nat", "map-to", "map"), pick(g, "192.0.2.1", "10", "0", "x", "2001:db8::1")}
	}
	return []string{pick(g, "table", "lookup", "ta", "tab"), pick(g, "100", "main", "local", "default", "255", "256", "1000", "4294967295", "0", "unspec", "0x64", "300")}
}

func (g *generator) filter(wrong bool) []string {
	var w []string
	for !g.one(3) {
		if !g.before(withMasks) && g.one(4) {
			w = append(w, g.younger()...)
			continue
		}
		switch g.IntN(14) {
		case 0, 1:
			w = append(w, pick(g, "pref", "priority", "order", "p"), pick(g, "10", "20", "32766", "0"))
		case 2, 3:
			w = append(w, pick(g, "from", "src", "f"), g.prefix(wrong))
		case 4:
			w = append(w, pick(g, "to", "dst", "d"), g.prefix(wrong))
		case 5:
			w = append(w, g.prefix(wrong))
		case 6, 7:
			w = append(w, pick(g, "table", "lookup", "l", "ta"), pick(g, "main", "100", "300", "0", "all", "local"))
		case 8:
			w = append(w, "fwmark", pick(g, "1", "0", "0x10/0xff", "1/2", "0/0xff"))
		case 9:
			w = append(w, pick(g, "iif", "oif", "dev"), g.name())
		case 10:
			w = append(w, pick(g, "tos", "dsfield"), pick(g, "0x10", "4", "0", "EF"))
		case 11:
			w = append(w, "uidrange", pick(g, "0-0", "1-2", "1000-2000"))
		case 12:
			w = append(w, pick(g, "tun_id", "t"), pick(g, "5", "0", "0x100"))
		case 13:
			w = append(w, pick(g, "not", "l3mdev", "ipproto tcp", "ipproto 0", "sport 53", "dport 1-2", "sport 1000-2000"))
			last := strings.Fields(w[len(w)-1])
			w = append(w[:len(w)-1], last...)
		}
	}
	return w
}
