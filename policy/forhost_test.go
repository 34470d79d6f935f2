package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/cli/bundle"
)

// TestForHost writes the policies of hosts that are given as ip lists them.
func TestForHost(t *testing.T) {
	for _, file := range stories(t, "testdata/forhost/*.txt") {
		t.Run(file, func(t *testing.T) {
			story := readStory(t, file)
			read, err := bundle.Read(story["host"], rpdb.Names{})
			if err != nil {
				t.Fatal(err)
			}
			text := ForHost(read.Snapshot, read.Names)
			story.check(t, file, text)
			checkForHost(t, read.Snapshot, read.Names)
			if again := ForHost(read.Snapshot, read.Names); again != text {
				t.Errorf("a second time it is\n%s", again)
			}
		})
	}
}

// checkForHost checks what holds for every host: the text is one that the parser
// takes, says what was meant, and resolves.
func checkForHost(t *testing.T, s *rpdb.Snapshot, n rpdb.Names) {
	t.Helper()
	text := ForHost(s, n)
	if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); at >= 0 {
		t.Fatalf("byte %d is not printable ASCII:\n%q", at, text)
	}
	doc, err := Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got, want := spelled(doc.Uplinks), spelled(meant(s, n)); !slices.Equal(got, want) {
		t.Fatalf("uplinks %q, meant %q\n%s", got, want, text)
	}
	if len(doc.Tables)+len(doc.Rules) > 0 {
		t.Fatalf("more than uplinks:\n%s", text)
	}
	want, err := doc.Resolve(s, n)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	waits := slices.ContainsFunc(s.Addresses, func(a rpdb.Address) bool { return !a.Usable() })
	if len(want.Waiting) > 0 && !waits {
		t.Fatalf("%v waits\n%s", want.Waiting[0], text)
	}
	for _, u := range doc.Uplinks {
		for _, g := range u.Gateways {
			if !slices.ContainsFunc(want.Routes, func(r rpdb.DesiredRoute) bool {
				same := r.Route.Nexthops[0].Via == g.Value.Addr || g.Value.IsAuto() && r.Route.Family == g.Value.Family
				return r.Route.IsDefault() && same && s.LinkName(r.Route.Nexthops[0].Link) == u.Interface
			}) {
				t.Fatalf("uplink %s: no default route via %v\n%s", u.Name, g.Value, text)
			}
		}
	}
}

// meant returns the uplinks that the text was made from.
func meant(s *rpdb.Snapshot, n rpdb.Names) []Uplink {
	var uplinks []Uplink
	for _, c := range newSurvey(s, n).uplinks {
		if len(c.uplink.Gateways) > 0 && len(uplinks) < maxUplinks {
			if c.uplink.Name == "" {
				c.uplink.Name = string(c.uplink.Interface)
			}
			uplinks = append(uplinks, c.uplink)
		}
	}
	return uplinks
}

// spelled is what two uplinks that say the same have in common.
func spelled(uplinks []Uplink) []string {
	var all []string
	for _, u := range uplinks {
		text := fmt.Sprintf("%q %q", u.Interface, u.Name)
		if u.Onlink {
			text += " onlink"
		}
		for _, g := range u.Gateways {
			text += " " + g.Value.String()
		}
		all = append(all, text)
	}
	return all
}

// TestForHostAnyHost does the same with hosts that chance makes, the same ones
// each time.
func TestForHostAnyHost(t *testing.T) {
	uplinks := 0
	for i := range uint64(400) {
		r := chance{rand.New(rand.NewPCG(i, 7))}
		s, n := r.host(), rpdb.Names{Tables: map[rpdb.TableID]string{100: pick(r, "eth0", "isp", "uplink-main", "wan\x1b[2J")}}
		checkForHost(t, s, n)
		uplinks += len(meant(s, n))
	}
	if uplinks < 20 {
		t.Errorf("%d uplinks in all the hosts say little", uplinks)
	}
}

// chance makes parts of hosts.
type chance struct{ *rand.Rand }

func pick[T any](r chance, from ...T) T { return from[r.IntN(len(from))] }

func (r chance) oneIn(n int) bool { return r.IntN(n) == 0 }

// name is one of an interface, which can hold almost any byte.
func (r chance) name() rpdb.LinkName {
	if r.oneIn(3) {
		name := make([]byte, 1+r.IntN(15))
		for i := range name {
			name[i] = byte(1 + r.IntN(255))
		}
		return rpdb.LinkName(name)
	}
	return pick[rpdb.LinkName](r, "eth0", "eth1", "main", "main", "uplink-main", "no", "0x1f", "-", "\xff\xfe", "a\"b\\", "\x1b[2J", "wg0", "tailscale0", "cali1", "\u00e9th", "{a}", "#", "\u2028")
}

// host has interfaces of any name, addresses that may be near each other, and
// default routes by gateways that may be anything.
func (r chance) host() *rpdb.Snapshot {
	s := &rpdb.Snapshot{Sysctls: rpdb.Sysctls{Links: map[rpdb.LinkName]rpdb.LinkSysctls{}}}
	for _, f := range rpdb.Families() {
		s.Rules = append(s.Rules, rpdb.DefaultRules(f)...)
	}
	for i := range 1 + r.IntN(5) {
		l := rpdb.Link{Index: rpdb.LinkIndex(i + 1), Name: r.name(), Kind: pick(r, "", "", "bridge", "veth")}
		if _, doubled := s.LinkByName(l.Name); doubled {
			break
		}
		if !r.oneIn(8) {
			l.Flags |= rpdb.LinkUp
		}
		if r.oneIn(10) {
			l.VRFTable = 10
		}
		if r.oneIn(4) {
			l.Master = rpdb.LinkIndex(r.IntN(6))
		}
		s.Sysctls.Links[l.Name] = rpdb.LinkSysctls{DisableIPv6: r.oneIn(10)}
		s.Links = append(s.Links, l)
		for range 1 + r.IntN(3) {
			s.Addresses = append(s.Addresses, r.address(l.Index))
		}
		for range 1 + r.IntN(3) {
			s.Routes = append(s.Routes, r.route(l.Index))
		}
	}
	for range r.IntN(4) {
		s.Rules = append(s.Rules, rpdb.Rule{
			Family: pick(r, rpdb.IPv4, rpdb.IPv6), Priority: rpdb.Priority(r.Uint32() >> r.IntN(32)), Selector: rpdb.Selector{IIF: r.name()},
			Action: rpdb.ToTable(pick[rpdb.TableID](r, 52, 100, 82000, 82001)), Protocol: pick[rpdb.Protocol](r, 0, 3, 4, 11, 82, 200),
		})
	}
	slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
	return s
}

func (r chance) address(l rpdb.LinkIndex) rpdb.Address {
	text := pick(r, "10.0.0.10/24", "10.0.0.11/24", "10.0.0.20/31", "10.1.0.9/16", "10.0.0.7/32", "2001:db8::10/64", "2001:db8::11/64", "2001:db8:1::1/128", "fe80::5/64", "127.0.0.9/8")
	a := rpdb.Address{Link: l, Prefix: netip.MustParsePrefix(text)}
	switch {
	case a.Prefix.Addr().IsLinkLocalUnicast():
		a.Scope = rpdb.ScopeLink
	case a.Prefix.Addr().Is6() && r.oneIn(6):
		a.Flags = rpdb.AddressTentative
	case text == "10.0.0.7/32":
		a.Peer = netip.MustParseAddr("10.0.0.1")
	}
	return a
}

func (r chance) route(l rpdb.LinkIndex) rpdb.Route {
	route := rpdb.Route{
		Family: rpdb.IPv4, Type: rpdb.RouteUnicast, Nexthops: []rpdb.Nexthop{{Link: l}}, Metric: pick[uint32](r, 0, 100, 1024),
		Table: pick[rpdb.TableID](r, 254, 254, 100, 52, 82000, 9), Protocol: pick[rpdb.Protocol](r, 3, 4, 9, 16, 82, 99),
	}
	gateway := pick(r, "", "10.0.0.1", "10.0.0.0", "10.0.0.255", "10.0.0.10", "10.0.0.21", "10.1.7.255", "127.0.0.1", "2001:db8::1", "fe80::1", "fe80::5", "192.0.2.1")
	if gateway != "" {
		route.Nexthops[0].Via = netip.MustParseAddr(gateway)
	}
	if route.Nexthops[0].Via.Is6() && !r.oneIn(10) {
		route.Family = rpdb.IPv6
	}
	route.Dst = route.Family.Default()
	if r.oneIn(4) {
		route.Dst = netip.MustParsePrefix(map[rpdb.Family]string{rpdb.IPv4: "172.16.0.0/12", rpdb.IPv6: "2001:db8:99::/48"}[route.Family])
	}
	return route
}

// TestForHostFilledIn fills in the gateways that the comments ask for, and takes
// the "#" away as they say.
func TestForHostFilledIn(t *testing.T) {
	for _, file := range []string{"howto", "gateless"} {
		story := readStory(t, "testdata/forhost/"+file+".txt")
		read, err := bundle.Read(story["host"], rpdb.Names{})
		if err != nil {
			t.Fatal(err)
		}
		text := ForHost(read.Snapshot, read.Names)
		if _, err := Parse("policy.yaml", []byte(uncommented(text))); err == nil {
			t.Errorf("%s: placeholders are taken for gateways", file)
		}
		for link, gateways := range map[string]string{"eth0": `192.168.0.1, "2001:db8:a::1"`, "eth1": `10.10.0.1, "2001:db8:b::1"`} {
			text = strings.ReplaceAll(text, "interface: "+link+"\n  #  gateways: [IPV4-GATEWAY, IPV6-GATEWAY]", "interface: "+link+"\n  #  gateways: ["+gateways+"]")
		}
		doc, err := Parse("policy.yaml", []byte(uncommented(text)))
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, uncommented(text))
			continue
		}
		want := []string{`"eth0" "eth0" 192.168.0.1 2001:db8:a::1`, `"eth1" "eth1" 10.10.0.1 2001:db8:b::1`}
		if got := spelled(doc.Uplinks); !slices.Equal(got, want) {
			t.Errorf("%s: uplinks %q, want %q", file, got, want)
		}
	}
}

// uncommented takes the "#" from what is no sentence: it stands right before
// the text.
func uncommented(text string) string {
	return regexp.MustCompile(`(?m)^( *)#(uplinks:|- |  gateways)`).ReplaceAllString(text, "$1$2")
}

// TestForHostNamesStayApart: an uplink that needs a name of its own does not get
// one that an interface or a table has.
func TestForHostNamesStayApart(t *testing.T) {
	read, err := bundle.Read(strings.ReplaceAll(readStory(t, "testdata/forhost/names.txt")["host"], "true", "uplink-main"), rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	names := rpdb.Names{Tables: map[rpdb.TableID]string{7: "uplink-main-x"}}
	checkForHost(t, read.Snapshot, names)
	want := []string{`"uplink-main" "uplink-main" 192.168.0.1`, `"1e3" "1e3" 10.10.0.1`, `"main" "uplink-main-x-x" 172.20.0.1`}
	if got := spelled(meant(read.Snapshot, names)); !slices.Equal(got, want) {
		t.Errorf("uplinks %q, want %q", got, want)
	}
}

// TestForHostManyUplinks has more interfaces with gateways than a policy may.
func TestForHostManyUplinks(t *testing.T) {
	s := &rpdb.Snapshot{Rules: rpdb.DefaultRules(rpdb.IPv4)}
	for i := range maxUplinks + 3 {
		l := rpdb.Link{Index: rpdb.LinkIndex(i + 2), Name: rpdb.LinkName(fmt.Sprintf("wan%d", i)), Flags: rpdb.LinkUp}
		s.Links = append(s.Links, l)
		net := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
		s.Addresses = append(s.Addresses, rpdb.Address{Link: l.Index, Prefix: netip.PrefixFrom(net.Next().Next(), 24)})
		s.Routes = append(s.Routes, rpdb.Route{
			Family: rpdb.IPv4, Table: rpdb.TableMain, Dst: rpdb.IPv4.Default(), Type: rpdb.RouteUnicast,
			Nexthops: []rpdb.Nexthop{{Via: net.Next(), Link: l.Index}},
		})
	}
	checkForHost(t, s, rpdb.Names{})
	if text := ForHost(s, rpdb.Names{}); !strings.Contains(text, "3 more interfaces are left out") {
		t.Errorf("what is left out is not said:\n%s", text[len(text)-400:])
	}
}
