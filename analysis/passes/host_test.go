package passes

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rpdb"
	"rpdb/analysis"
)

// host is a machine read from a file of testdata, in a few words of ip:
//
//	stock                                   the kernel's rules, and lo
//	link eth0 [kind K] [master M] [vrf T] [down] [nocarrier]
//	address eth0 192.168.0.10/24 [scope link] [tentative]
//	sysctl NAME [VALUE]
//	rule -4 100 not from 10.0.0.0/8 fwmark 0x1/0xff lookup 100
//	norule -4 0                             takes a rule away again
//	route -4 default via 192.168.0.1 dev eth0 table 100
//	route -6 default via fe80::1 dev eth0 table 84500 program
//	route -6 default via fe80::1 dev eth0 table 100 out 84500
//	nat REALM PRIORITY COPY-OF FROM TO [inbound]
//
// Each address brings the routes that the kernel makes for it. What follows a
// "#" is a comment, and in it
//
//	want error "text" reason "text" fix "text"
//
// expects a finding about what the line says, or about a family if the line
// is nothing but the comment; the texts are parts of what it says. A line may
// expect several, and reason and fix may be left out.
type host struct {
	t     *testing.T
	s     rpdb.Snapshot
	wants []*want
	next  rpdb.LinkIndex
}

// want is one expected finding.
type want struct {
	line     int
	subject  string
	severity analysis.Severity
	message  string
	reason   string
	fix      string
}

func readHost(t *testing.T, text string) *host {
	h := &host{t: t, next: 2}
	h.s.Sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{}
	h.s.Custom4, h.s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
	for i, line := range strings.Split(text, "\n") {
		statement, comment, _ := strings.Cut(line, "#")
		var subject analysis.Subject
		if w := strings.Fields(statement); len(w) > 0 {
			subject = h.statement(i+1, words(w))
		}
		h.expect(i+1, subject, comment)
	}
	slices.SortStableFunc(h.s.Rules, rpdb.Rule.Compare)
	return h
}

func (h *host) statement(line int, w words) analysis.Subject {
	h.t.Helper()
	verb, w := w[0], w[1:]
	switch verb {
	case "stock":
		h.stock()
	case "link":
		return h.link(w)
	case "address":
		return h.address(w)
	case "sysctl":
		h.sysctl(w)
	case "rule":
		r := w.rule(h.t)
		h.s.Rules = append(h.s.Rules, r)
		return analysis.OfRule(r)
	case "norule":
		f, p := w.family(h.t), number[rpdb.Priority](h.t, w[1])
		h.s.Rules = slices.DeleteFunc(h.s.Rules, func(r rpdb.Rule) bool { return r.Family == f && r.Priority == p })
	case "route":
		r := h.route(w)
		h.s.Routes = append(h.s.Routes, r)
		return analysis.OfRoute(r)
	case "nat":
		h.s.NAT.Translations = append(h.s.NAT.Translations, rpdb.Translation{
			Family: rpdb.FamilyOf(prefix(w[3]).Addr()), Kind: rpdb.TranslateBlock, Realm: number[uint16](h.t, w[0]), Rule: number[rpdb.Priority](h.t, w[1]),
			CopyOf: number[rpdb.TableID](h.t, w[2]), From: prefix(w[3]), To: prefix(w[4]), Inbound: len(w) > 5,
		})
	default:
		h.t.Fatalf("line %d: unknown word %q", line, verb)
	}
	return analysis.Subject{}
}

// expect reads the expectations of a comment.
func (h *host) expect(line int, subject analysis.Subject, comment string) {
	h.t.Helper()
	parts := strings.Split(comment, `"`)
	var last *want
	for i := 0; i+1 < len(parts); i += 2 {
		w := strings.Fields(strings.ReplaceAll(parts[i], "#", ""))
		if len(w) == 0 {
			h.t.Fatalf("line %d: a text without a word before it", line)
		}
		switch key := w[len(w)-1]; {
		case len(w) == 2 && w[0] == "want":
			last = &want{line: line, subject: subject.String(), message: parts[i+1]}
			if err := last.severity.UnmarshalText([]byte(key)); err != nil {
				h.t.Fatalf("line %d: %v", line, err)
			}
			h.wants = append(h.wants, last)
		case last != nil && key == "reason":
			last.reason = parts[i+1]
		case last != nil && key == "fix":
			last.fix = parts[i+1]
		default:
			h.t.Fatalf("line %d: unknown expectation %q", line, parts[i])
		}
	}
}

func (h *host) stock() {
	for _, f := range rpdb.Families() {
		h.s.Rules = append(h.s.Rules, rpdb.DefaultRules(f)...)
	}
	lo := rpdb.LinkUp | rpdb.LinkLoopback | rpdb.LinkRunning | rpdb.LinkLowerUp
	h.s.Links = append(h.s.Links, rpdb.Link{Index: 1, Name: "lo", Flags: lo})
	h.address(words{"lo", "127.0.0.1/8", "scope", "host"})
	h.address(words{"lo", "::1/128", "scope", "host"})
	h.s.Routes = append(h.s.Routes, rpdb.Route{
		Family: rpdb.IPv4, Table: rpdb.TableLocal, Dst: netip.MustParsePrefix("127.0.0.0/8"),
		Type: rpdb.RouteLocal, Nexthops: []rpdb.Nexthop{{Link: 1}},
	})
}

func (h *host) link(w words) analysis.Subject {
	l := rpdb.Link{Index: h.next, Name: rpdb.LinkName(unquote(h.t, w[0]))}
	l.Flags = rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
	h.next++
	for w = w[1:]; len(w) > 0; w = w[1:] {
		switch w[0] {
		case "down":
			l.Flags = 0
		case "nocarrier":
			l.Flags = rpdb.LinkUp
		case "kind":
			l.Kind = w.value(h.t, &w)
		case "master":
			master, _ := h.s.LinkByName(rpdb.LinkName(w.value(h.t, &w)))
			l.Master = master.Index
		case "vrf":
			l.Kind, l.VRFTable = "vrf", number[rpdb.TableID](h.t, w.value(h.t, &w))
		default:
			h.t.Fatalf("link %s: unknown word %q", l.Name, w[0])
		}
	}
	h.s.Links = append(h.s.Links, l)
	return analysis.OfLink(l)
}

// address adds an address and what the kernel makes of it: a local route, and
// where the link is up a connected one.
func (h *host) address(w words) analysis.Subject {
	l, ok := h.s.LinkByName(rpdb.LinkName(unquote(h.t, w[0])))
	if !ok {
		h.t.Fatalf("address %s: no link %s", w[1], w[0])
	}
	a := rpdb.Address{Link: l.Index, Prefix: netip.MustParsePrefix(w[1]), Flags: rpdb.AddressPermanent}
	for w = w[2:]; len(w) > 0; w = w[1:] {
		switch w[0] {
		case "tentative":
			a.Flags |= rpdb.AddressTentative
		case "scope":
			if err := a.Scope.UnmarshalText([]byte(w.value(h.t, &w))); err != nil {
				h.t.Fatal(err)
			}
		default:
			h.t.Fatalf("address %v: unknown word %q", a.Prefix, w[0])
		}
	}
	h.s.Addresses = append(h.s.Addresses, a)
	table := rpdb.TableMain
	if master, _ := h.s.Link(l.Master); master.VRFTable != 0 {
		table = master.VRFTable
	}
	route := rpdb.Route{Family: rpdb.FamilyOf(a.Prefix.Addr()), Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{{Link: l.Index}}}
	local := route
	local.Table, local.Type = rpdb.TableLocal, rpdb.RouteLocal
	local.Dst = netip.PrefixFrom(a.Prefix.Addr(), a.Prefix.Addr().BitLen())
	if table != rpdb.TableMain {
		local.Table = table
	}
	h.s.Routes = append(h.s.Routes, local)
	if l.IsUp() && !a.Prefix.IsSingleIP() && !l.IsLoopback() {
		route.Table, route.Type, route.Dst = table, rpdb.RouteUnicast, a.Prefix.Masked()
		if route.Family == rpdb.IPv4 {
			route.Scope, route.PrefSrc = rpdb.ScopeLink, a.Prefix.Addr()
		} else {
			route.Metric = 256
		}
		h.s.Routes = append(h.s.Routes, route)
	}
	return analysis.OfAddress(a, l)
}

func (h *host) sysctl(w words) {
	all := &h.s.Sysctls.All
	switch w[0] {
	case "forwarding4":
		h.s.Sysctls.IPv4Forward = true
	case "forwarding6":
		h.s.Sysctls.IPv6Forward = true
	case "rp_filter":
		all.RPFilter = number[uint8](h.t, w[1])
	case "ignore_linkdown4":
		all.IgnoreLinkdown4 = true
	case "kernel":
		h.s.Kernel = w[1]
	case "uncustomised6":
		h.s.Custom6 = rpdb.CustomisedNo
	default:
		h.t.Fatalf("unknown sysctl %q", w[0])
	}
}

// route reads a route; each "nexthop" begins a further one.
func (h *host) route(w words) rpdb.Route {
	f := w.family(h.t)
	r := rpdb.Route{Family: f, Table: rpdb.TableMain, Type: rpdb.RouteUnicast}
	w = w[1:]
	if err := r.Type.UnmarshalText([]byte(w[0])); err == nil {
		w = w[1:]
	} else {
		r.Type = rpdb.RouteUnicast
	}
	if r.Dst = f.Default(); w[0] != "default" {
		r.Dst = netip.MustParsePrefix(w[0])
	}
	hop := &rpdb.Nexthop{}
	for w = w[1:]; len(w) > 0; w = w[1:] {
		switch w[0] {
		case "nexthop":
			hop = &rpdb.Nexthop{}
		case "via":
			hop.Via = netip.MustParseAddr(w.value(h.t, &w))
		case "dev":
			l, ok := h.s.LinkByName(rpdb.LinkName(unquote(h.t, w.value(h.t, &w))))
			if !ok {
				h.t.Fatalf("%v: no such link", r)
			}
			hop.Link = l.Index
			r.Nexthops = append(r.Nexthops, *hop)
		case "table":
			r.Table, _ = rpdb.Names{}.TableByName(w.value(h.t, &w))
		case "metric":
			r.Metric = number[uint32](h.t, w.value(h.t, &w))
		case "src":
			r.PrefSrc = netip.MustParseAddr(w.value(h.t, &w))
		case "tos":
			r.TOS = number[uint8](h.t, w.value(h.t, &w))
		case "realms":
			r.Realms = number[rpdb.Realms](h.t, w.value(h.t, &w))
		case "proto":
			r.Protocol = number[rpdb.Protocol](h.t, w.value(h.t, &w))
		case "out": // the program of another copy
			for i := range r.Nexthops {
				r.Nexthops[i] = r.Nexthops[i].WithCopyProgram(number[rpdb.TableID](h.t, w[1]))
			}
			w.value(h.t, &w)
		case "program": // of the copy that the table is
			r = r.AsCopy(r.Table)
		default:
			h.t.Fatalf("%v: unknown word %q", r, w[0])
		}
	}
	if f == rpdb.IPv6 && r.Metric == 0 {
		r.Metric = 1024
	}
	return r
}

// words are the words of a statement.
type words []string

// value takes the word behind the first one of the rest.
func (w words) value(t *testing.T, rest *words) string {
	t.Helper()
	if len(w) < 2 {
		t.Fatalf("no value for %q", w[0])
	}
	*rest = w[1:]
	return w[1]
}

func (w words) family(t *testing.T) rpdb.Family {
	t.Helper()
	switch w[0] {
	case "-4":
		return rpdb.IPv4
	case "-6":
		return rpdb.IPv6
	}
	t.Fatalf("want -4 or -6, got %q", w[0])
	return 0
}

// rule reads the words after "rule".
func (w words) rule(t *testing.T) rpdb.Rule {
	t.Helper()
	r := rpdb.Rule{Family: w.family(t), Priority: number[rpdb.Priority](t, w[1])}
	for w = w[2:]; len(w) > 0; w = w[1:] {
		switch w[0] {
		case "not":
			r.Selector.Not = true
		case "l3mdev":
			r.Selector.L3MDev, r.Action = true, rpdb.ToTable(0)
		case "nop":
			r.Action = rpdb.Nop()
		case "blackhole":
			r.Action = rpdb.Blackhole()
		case "unreachable":
			r.Action = rpdb.Unreachable()
		case "prohibit":
			r.Action = rpdb.Prohibit()
		case "unknown":
			r.Unknown = "\x05\x00\x63\x00\x01\x00\x00\x00"
		default:
			key := w[0]
			setRule(t, &r, key, w.value(t, &w))
		}
	}
	return r
}

func setRule(t *testing.T, r *rpdb.Rule, key, v string) {
	t.Helper()
	s := &r.Selector
	switch key {
	case "from":
		if v != "all" {
			s.From = prefix(v)
		}
	case "to":
		s.To = prefix(v)
	case "iif":
		s.IIF = rpdb.LinkName(unquote(t, v))
	case "oif":
		s.OIF = rpdb.LinkName(unquote(t, v))
	case "fwmark":
		value, mask, masked := strings.Cut(v, "/")
		s.Mark = rpdb.Mark{Value: number[uint32](t, value), Mask: 1<<32 - 1}
		if masked {
			s.Mark.Mask = number[uint32](t, mask)
		}
	case "dscp":
		value, mask, _ := strings.Cut(v, "/")
		s.DSCP = rpdb.Some(rpdb.DSCP{Value: number[uint8](t, value), Mask: number[uint8](t, mask)})
	case "uidrange":
		first, last, _ := strings.Cut(v, "-")
		s.UIDRange = rpdb.Some(rpdb.UIDRange{First: number[uint32](t, first), Last: number[uint32](t, last)})
	case "suppress_prefixlength":
		r.Suppress.PrefixLength = rpdb.Some(number[int32](t, v))
	case "suppress_ifgroup":
		r.Suppress.IfGroup = rpdb.Some(number[uint32](t, v))
	case "realms":
		r.Realms = number[rpdb.Realms](t, v)
	case "proto":
		r.Protocol = number[rpdb.Protocol](t, v)
	case "lookup":
		table, _ := rpdb.Names{}.TableByName(v)
		r.Action = rpdb.ToTable(table)
	case "goto":
		r.Action = rpdb.Goto(number[rpdb.Priority](t, v))
	case "action":
		r.Action = rpdb.RawAction(number[rpdb.ActionType](t, v), rpdb.TableMain, 0)
	default:
		t.Fatalf("%v: unknown word %q", *r, key)
	}
}

func prefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p
	}
	a := netip.MustParseAddr(s)
	return netip.PrefixFrom(a, a.BitLen())
}

func number[T ~uint8 | ~uint16 | ~uint32 | ~int32](t *testing.T, s string) T {
	t.Helper()
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil || int64(T(n)) != n {
		t.Fatalf("parse number %q", s)
	}
	return T(n)
}

// unquote reads the escapes of a name.
func unquote(t *testing.T, s string) string {
	t.Helper()
	u, err := strconv.Unquote(`"` + s + `"`)
	if err != nil {
		t.Fatalf("parse name %q: %v", s, err)
	}
	return u
}

// String shows an expectation as the file does.
func (w want) String() string {
	return fmt.Sprintf("line %d: %v %q about %q, reason %q, fix %q", w.line, w.severity, w.message, w.subject, w.reason, w.fix)
}
