package policy

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rpdb"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the diff")

// A story is a file of sections, each begun by a line "-- name --".
type story map[string]string

func readStory(t *testing.T, file string) story {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, name := story{}, ""
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(line, " --\n") {
			name = strings.TrimSuffix(rest, " --\n")
			s[name] = ""
			continue
		}
		s[name] += line
	}
	return s
}

// check compares a section with what came out, or rewrites it.
func (s story) check(t *testing.T, file, got string) {
	t.Helper()
	if s["want"] == got {
		return
	}
	if !*update {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, s["want"])
		return
	}
	var b strings.Builder
	b.WriteString(s[""])
	for _, name := range []string{"host", "policy.yaml"} {
		if text, ok := s[name]; ok {
			fmt.Fprintf(&b, "-- %s --\n%s", name, text)
		}
	}
	fmt.Fprintf(&b, "-- want --\n%s", got)
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func stories(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories %s: %v", pattern, err)
	}
	return files
}

// host reads the section "host": one link, address, rule, route or name on
// each line.
func host(t *testing.T, text string) (*rpdb.Snapshot, rpdb.Names) {
	t.Helper()
	s := &rpdb.Snapshot{Sysctls: rpdb.Sysctls{Links: map[rpdb.LinkName]rpdb.LinkSysctls{}}}
	n := rpdb.Names{Tables: map[rpdb.TableID]string{}, Realms: map[uint16]string{}, Groups: map[uint32]string{}}
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 3 {
			t.Fatalf("host: %q", line)
		}
		switch w[0] {
		case "link":
			l := rpdb.Link{Index: rpdb.LinkIndex(len(s.Links) + 1), Name: rpdb.LinkName(w[1])}
			if w[2] == "up" {
				l.Flags |= rpdb.LinkUp
			}
			s.Links = append(s.Links, l)
			s.Sysctls.Links[l.Name] = rpdb.LinkSysctls{DisableIPv6: strings.Contains(line, "disable_ipv6")}
		case "addr":
			s.Addresses = append(s.Addresses, hostAddress(t, s, w))
		case "rule": // rule IFACE TABLE: our rule with oif
			s.Rules = append(s.Rules, rpdb.Rule{
				Family: rpdb.IPv4, Priority: 10020, Selector: rpdb.Selector{OIF: rpdb.LinkName(w[1])},
				Action: rpdb.ToTable(rpdb.TableID(hostNumber(t, w[2]))), Protocol: rpdb.ProtocolRPDB,
			})
		case "route": // route PREFIX IFACE TABLE: a foreign route on a link
			l, _ := s.LinkByName(rpdb.LinkName(w[2]))
			p := netip.MustParsePrefix(w[1])
			s.Routes = append(s.Routes, rpdb.Route{
				Family: rpdb.FamilyOf(p.Addr()), Table: rpdb.TableID(hostNumber(t, w[3])), Dst: p, Type: rpdb.RouteUnicast,
				Nexthops: []rpdb.Nexthop{{Link: l.Index}},
			})
		case "default":
			s.Routes = append(s.Routes, hostDefault(t, s, w))
		case "table":
			n.Tables[rpdb.TableID(hostNumber(t, w[1]))] = w[2]
		case "realm":
			n.Realms[uint16(hostNumber(t, w[1]))] = w[2]
		case "group":
			n.Groups[hostNumber(t, w[1])] = w[2]
		default:
			t.Fatalf("host: %q", line)
		}
	}
	return s, n
}

// hostDefault reads "default GATEWAY IFACE [WORD VALUE...]": a default route in
// table main, or in another; GATEWAY is "none" for an IPv4 route without one.
func hostDefault(t *testing.T, s *rpdb.Snapshot, w []string) rpdb.Route {
	t.Helper()
	l, _ := s.LinkByName(rpdb.LinkName(w[2]))
	r := rpdb.Route{Family: rpdb.IPv4, Table: rpdb.TableMain, Type: rpdb.RouteUnicast, Nexthops: []rpdb.Nexthop{{Link: l.Index}}, Protocol: rpdb.ProtocolDHCP}
	if w[1] != "none" {
		r.Nexthops[0].Via = netip.MustParseAddr(w[1])
		r.Family = rpdb.FamilyOf(r.Nexthops[0].Via)
	}
	for i := 3; i < len(w); i += 2 {
		switch w[i] {
		case "metric":
			r.Metric = hostNumber(t, w[i+1])
		case "tos":
			r.TOS = uint8(hostNumber(t, w[i+1]))
		case "pref":
			if err := r.Pref.UnmarshalText([]byte(w[i+1])); err != nil {
				t.Fatal(err)
			}
		case "table":
			r.Table = rpdb.TableID(hostNumber(t, w[i+1]))
		case "proto":
			r.Protocol = rpdb.Protocol(hostNumber(t, w[i+1]))
		case "family": // an IPv4 route may have an IPv6 gateway
			r.Family = rpdb.Family(hostNumber(t, w[i+1]))
		case "flags":
			r.Nexthops[0].Flags = rpdb.NexthopFlags(hostNumber(t, w[i+1]))
		case "and":
			l, _ := s.LinkByName(rpdb.LinkName(w[i+2]))
			r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Via: netip.MustParseAddr(w[i+1]), Link: l.Index})
			i++
		default:
			t.Fatalf("host: default route with %q", w[i])
		}
	}
	r.Dst = r.Family.Default()
	return r
}

func hostNumber(t *testing.T, text string) uint32 {
	t.Helper()
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(v)
}

// hostAddress reads "addr IFACE PREFIX [peer ADDR] [FLAG...]".
func hostAddress(t *testing.T, s *rpdb.Snapshot, w []string) rpdb.Address {
	t.Helper()
	l, ok := s.LinkByName(rpdb.LinkName(w[1]))
	if !ok {
		t.Fatalf("host: no link %q", w[1])
	}
	a := rpdb.Address{Link: l.Index, Prefix: netip.MustParsePrefix(w[2]), Flags: rpdb.AddressPermanent}
	if a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() {
		a.Scope = rpdb.ScopeLink
	}
	for i := 3; i < len(w); i++ {
		switch w[i] {
		case "peer":
			i++
			a.Peer = netip.MustParseAddr(w[i])
		case "dynamic":
			a.Flags &^= rpdb.AddressPermanent
		case "tentative":
			a.Flags |= rpdb.AddressTentative
		case "dadfailed":
			a.Flags |= rpdb.AddressDADFailed
		case "secondary":
			a.Flags |= rpdb.AddressSecondary
		case "host":
			a.Scope = rpdb.ScopeHost
		default:
			t.Fatalf("host: address flag %q", w[i])
		}
	}
	return a
}

// tell writes a Desired, a line for each thing.
func tell(s *rpdb.Snapshot, d rpdb.Desired) string {
	var b strings.Builder
	for _, t := range d.Tables {
		fmt.Fprintf(&b, "table %d %q\n", t.ID, t.Name)
	}
	for _, r := range d.Routes {
		fmt.Fprintf(&b, "%-4s %s%s  # %s%s\n", r.Route.Family.Flag(), tellRoute(s, r.Route), tellAdopts(r.Adopts), r.Name, map[bool]string{true: ", learned"}[r.Learned]+map[bool]string{true: ", leased"}[r.Leased])
	}
	for _, r := range d.Rules {
		at := ""
		if r.Pinned {
			at = fmt.Sprintf(" pref %d", r.Rule.Priority)
		}
		fmt.Fprintf(&b, "%-4s rule%s%s%s%s  # %s%s\n", r.Rule.Family.Flag(), at, tellRule(r), tellTranslation(r), tellAdopts(r.Adopts), r.Name, map[bool]string{true: ", leased"}[r.Leased])
	}
	for _, w := range d.Waiting {
		fmt.Fprintf(&b, "waiting: %s: %s (table %d)\n", w.Name, w.Reason, w.Table)
	}
	return b.String()
}

func tellRealm(r rpdb.Realms) string {
	if r == 0 {
		return ""
	}
	return fmt.Sprintf(" realms %d/%d", r.From(), r.To())
}

func tellProgram(n rpdb.Nexthop) string {
	t, ok := n.CopyTable()
	if !ok {
		return ""
	}
	return fmt.Sprintf(" program of %d", t)
}

// tellTranslation says what becomes of the source, and of which table the one
// that is looked up is a copy.
func tellTranslation(w rpdb.DesiredRule) string {
	if w.Translation == (rpdb.Translation{}) {
		return ""
	}
	t := w.Translation
	return fmt.Sprintf(" %v (from %v inbound %t notrack %t, copy of %d)", t, t.From, t.Inbound, t.NoTrack, w.CopyOf)
}

func tellAdopts(list []rpdb.Protocol) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" adopts %d", list)
}

func tellRoute(s *rpdb.Snapshot, r rpdb.Route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v table %d", r.Type, r.Dst, r.Table)
	for _, n := range r.Nexthops {
		fmt.Fprintf(&b, " [via %v dev %s weight %d flags %d%s]", n.Via, s.LinkName(n.Link), n.Weight, n.Flags, tellRealm(n.Realms)+tellProgram(n))
	}
	if r.PrefSrc.IsValid() {
		fmt.Fprintf(&b, " src %v", r.PrefSrc)
	}
	fmt.Fprintf(&b, " scope %v metric %d proto %d", r.Scope, r.Metric, r.Protocol)
	b.WriteString(tellRealm(r.Realms))
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos 0x%02x", r.TOS)
	}
	for _, m := range r.Metrics {
		fmt.Fprintf(&b, " metric%d=%d", m.Type, m.Value)
	}
	return b.String()
}

func tellRule(d rpdb.DesiredRule) string {
	var b strings.Builder
	k, r := d.Rule.Selector, d.Rule
	for _, part := range []struct {
		word string
		is   bool
		v    any
	}{
		{"not", k.Not, ""},
		{"from", k.From.IsValid(), k.From},
		{"to", k.To.IsValid(), k.To},
		{"tos", k.TOS != 0, k.TOS},
		{"dscp", k.DSCP.IsSet(), k.DSCP},
		{"fwmark", k.Mark != rpdb.Mark{}, fmt.Sprintf("%#x/%#x", k.Mark.Value, k.Mark.Mask)},
		{"iif", k.IIF != "", k.IIF},
		{"oif", k.OIF != "", k.OIF},
		{"l3mdev", k.L3MDev, ""},
		{"uidrange", k.UIDRange.IsSet(), k.UIDRange},
		{"ipproto", k.IPProto != 0, k.IPProto},
		{"sport", k.SPort != rpdb.Ports{}, k.SPort},
		{"dport", k.DPort != rpdb.Ports{}, k.DPort},
		{"flowlabel", k.FlowLabel != rpdb.FlowLabel{}, k.FlowLabel},
		{"tun_id", k.TunID != 0, k.TunID},
		{"", true, r.Action},
		{"to rule", d.GotoName != "", d.GotoName},
		{"suppress_prefixlength", r.Suppress.PrefixLength.IsSet(), first(r.Suppress.PrefixLength.Get())},
		{"suppress_ifgroup", r.Suppress.IfGroup.IsSet(), first(r.Suppress.IfGroup.Get())},
		{"realms", r.Realms != 0, fmt.Sprintf("%d/%d", r.Realms.From(), r.Realms.To())},
	} {
		if part.is {
			fmt.Fprintf(&b, " %s", strings.TrimSpace(fmt.Sprintf("%s %v", part.word, part.v)))
		}
	}
	return b.String()
}

func first[T any](v T, _ bool) T { return v }

func TestBadStories(t *testing.T) {
	for _, file := range stories(t, "testdata/bad/*.txt") {
		s := readStory(t, file)
		_, err := Parse("p.yaml", []byte(s["policy.yaml"]))
		if err == nil {
			t.Errorf("%s: no error", file)
			continue
		}
		s.check(t, file, tellErrors(t, err))
	}
}

func TestResolveStories(t *testing.T) {
	for _, file := range stories(t, "testdata/resolve/*.txt") {
		s := readStory(t, file)
		d, err := Parse("p.yaml", []byte(s["policy.yaml"]))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		snapshot, names := host(t, s["host"])
		desired, err := d.Resolve(snapshot, names)
		got := ""
		if err != nil {
			got = tellErrors(t, err)
		} else {
			got = tell(snapshot, desired)
		}
		s.check(t, file, got)
	}
}

// TestResolveInForce: what is wrong only since addresses moved waits, and keeps
// nothing else from being resolved.
func TestResolveInForce(t *testing.T) {
	s := readStory(t, "testdata/resolve/gateways.txt")
	d, err := Parse("p.yaml", []byte(s["policy.yaml"]+"rules:\n  - {name: last, lookup: main}\n"))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, names := host(t, s["host"])
	desired, err := d.ResolveInForce(snapshot, names)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, w := range desired.Waiting {
		reasons = append(reasons, w.Reason)
	}
	want := []string{
		"gateway 192.168.1.1 is in no network of eth0, which has 192.168.0.0/24, 192.168.5.0/24",
		"no IPv6 address on eth0",
		"gateway 10.10.0.10 is an address of this host itself, on eth1",
		"gateway 10.20.0.255 is the broadcast address of 10.20.0.0/24",
		"gateway 10.30.0.0 is the address of the network 10.30.0.0/24 itself",
		"gateway 2001:db8:5::1 is in no network of eth4, which has 2001:db8:4::/64",
		"gateway 10.99.0.1 is in no network of eth0, which has 192.168.0.0/24, 192.168.5.0/24",
	}
	if !slices.Equal(reasons, want) {
		t.Errorf("waits for %q", reasons)
	}
	if n := len(desired.Rules); n != 2 || desired.Rules[n-1].Name != "last" {
		t.Errorf("rules %v", desired.Rules)
	}
}

// tellErrors writes the errors, each with its hint below it.
func tellErrors(t *testing.T, err error) string {
	t.Helper()
	list, ok := err.(ErrorList)
	if !ok {
		t.Fatalf("%T is no ErrorList: %v", err, err)
	}
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintln(&b, e)
		if e.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", e.Hint)
		}
	}
	return b.String()
}
