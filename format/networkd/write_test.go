package networkd_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/networkd"
	"rpdb/internal/corpus"
)

// bundle is files in one text.
func bundle(files []format.File) string {
	var b strings.Builder
	for _, f := range files {
		b.WriteString("-- " + f.Path + " --\n" + f.Text)
	}
	return b.String()
}

// golden compares a text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is another. got:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestWriteDualUplink(t *testing.T) {
	s, _, err := networkd.Read(dualUplink(t))
	if err != nil {
		t.Fatal(err)
	}
	n := rpdb.Names{Tables: map[rpdb.TableID]string{101: "uplink-a", 102: "7", 254: "haupt", 103: "unused"}}
	files, losses := networkd.Write(s, n, networkd.Options{})
	for _, l := range losses {
		t.Errorf("lost %v", l)
	}
	golden(t, "testdata/dual-uplink.written", bundle(files))
	again, names, err := networkd.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	got, want := lineSet(again, n, nil), lineSet(s, n, nil)
	if got != want {
		t.Errorf("read again:\n%s\nwant:\n%s", got, want)
	}
	if len(names.Tables) != 1 || names.Tables[101] != "uplink-a" {
		t.Errorf("names %v", names.Tables)
	}
}

func sortedLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// TestWriteLostTarget: a goto whose target is lost would let packets through to the
// rules that it jumps over, so it is lost with it, and so is a goto to that.
func TestWriteLostTarget(t *testing.T) {
	var s rpdb.Snapshot
	for _, f := range rpdb.Families() {
		for _, line := range []string{"pref 1 iif lan0 goto 2", "pref 2 iif lan1 goto 9", "pref 3 iif lan0 goto 10", "pref 5 lookup 101", "pref 9 dscp 8 nop", "pref 10 nop"} {
			r, _, err := iproute2.ParseRule(f, strings.Fields(line), rpdb.Names{})
			if err != nil {
				t.Fatal(err)
			}
			s.Rules = append(s.Rules, r)
		}
	}
	files, losses := networkd.Write(&s, rpdb.Names{}, networkd.Options{Version: 257})
	var lost []string
	for _, l := range losses {
		lost = append(lost, strings.TrimPrefix(l.String(), "ip -"))
	}
	slices.Sort(lost)
	const no = "networkd has no selector for the DSCP alone"
	if want := []string{
		"4 rule add pref 1 iif lan0 goto 2 protocol static: the rule that it jumps to, 2, cannot be said",
		"4 rule add pref 2 iif lan1 goto 9 protocol static: the rule that it jumps to, 9, cannot be said",
		"4 rule add pref 9 dscp 8 nop: " + no,
		"6 rule add pref 1 iif lan0 goto 2 protocol static: the rule that it jumps to, 2, cannot be said",
		"6 rule add pref 2 iif lan1 goto 9 protocol static: the rule that it jumps to, 9, cannot be said",
		"6 rule add pref 9 dscp 8 nop: " + no,
	}; !slices.Equal(lost, want) {
		t.Errorf("lost\n%s", strings.Join(lost, "\n"))
	}
	if text := bundle(files); strings.Count(text, "GoTo=10") != 1 || strings.Contains(text, "GoTo=2") || strings.Contains(text, "GoTo=9") || strings.Count(text, "Family=both") != 3 {
		t.Errorf("written\n%s", text)
	}
}

// TestWriteLosses is the table of what networkd cannot say, by version.
func TestWriteLosses(t *testing.T) {
	const all = 1 << 30
	for _, c := range []struct {
		rule  string
		until int // the last version that cannot say it; 0: all can
	}{
		{"from all lookup 101 suppress_prefixlength 0", 0},
		{"from all lookup 101 suppress_ifgroup 0", 0},
		{"from 192.0.2.1 unreachable", 0},
		{"fwmark 0x20/0xff lookup 101", 0},
		{"fwmark 0/0xff lookup 101", 256},
		{"ipproto tcp dport 25 lookup 101", 0},
		{"sport 1-100 lookup 101", 0},
		{"iif lan0 oif lo lookup 101", 0},
		{"uidrange 2000-2999 lookup 101", 0},
		{"uidrange 2000-65535 lookup 101", all},
		{"not from 192.0.2.1 lookup 101", 0},
		{"goto 2000", 256},
		{"nop", 256},
		{"l3mdev", 255},
		{"tos 0x08 lookup 101", 0},
		{"dscp 8 lookup 101", all},
		{"dport 0x10/0xf0 lookup 101", all},
		{"tun_id 5 lookup 101", all},
		{"realms 5 lookup 101", all},
		{"ipproto 253 lookup 101", all},
		{"iif default lookup 101", all},
		{"from all type 9 lookup 101", all},
	} {
		r, _, err := iproute2.ParseRule(rpdb.IPv4, append([]string{"pref", "1000"}, strings.Fields(c.rule)...), rpdb.Names{})
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		for _, version := range []int{0, 252, 255, 256, 257, 300} {
			files, losses := networkd.Write(&rpdb.Snapshot{Rules: []rpdb.Rule{r}}, rpdb.Names{}, networkd.Options{Version: version})
			lost := max(version, networkd.Oldest) <= c.until
			if lost != (len(losses) == 1) || lost != (len(files) == 0) {
				t.Errorf("%d: %s: lost %v, %d files", version, c.rule, losses, len(files))
			}
			for _, l := range losses {
				if !strings.HasPrefix(l.Object, "ip -4 rule add pref 1000 ") || l.Reason == "" {
					t.Errorf("%s: lost as %v", c.rule, l)
				}
			}
		}
	}
}

func TestWriteEqualPriorities(t *testing.T) {
	rule := func(f rpdb.Family, p rpdb.Priority, table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: f, Priority: p, Action: rpdb.ToTable(table)}
	}
	from := func(prefix string, table rpdb.TableID) rpdb.Rule {
		r := rule(rpdb.IPv4, 6, table)
		r.Selector.From = netip.MustParsePrefix(prefix)
		return r
	}
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{
		rule(rpdb.IPv4, 5, 1), rule(rpdb.IPv4, 5, 2), rule(rpdb.IPv6, 5, 1), rule(rpdb.IPv4, 4, 3), rule(rpdb.IPv4, 4, 3),
		from("192.0.2.0/24", 1), from("198.51.100.0/24", 2), from("198.51.100.7/32", 3),
	}}
	files, losses := networkd.Write(s, rpdb.Names{}, networkd.Options{})
	if want := "-- /etc/systemd/network/10-lo.network --\n[Match]\nName=lo\n\n[RoutingPolicyRule]\nFamily=ipv4\nPriority=4\nTable=3\n\n[RoutingPolicyRule]\nFamily=ipv6\nPriority=5\nTable=1\n\n[RoutingPolicyRule]\nPriority=6\nFrom=192.0.2.0/24\nTable=1\n"; bundle(files) != want {
		t.Errorf("got\n%s", bundle(files))
	}
	var lost []string
	for _, l := range losses {
		lost = append(lost, l.Object)
	}
	if want := []string{
		"ip -4 rule add pref 4 lookup 3", "ip -4 rule add pref 5 lookup 1", "ip -4 rule add pref 5 lookup 2",
		"ip -4 rule add pref 6 from 198.51.100.0/24 lookup 2", "ip -4 rule add pref 6 from 198.51.100.7 lookup 3",
	}; !slices.Equal(lost, want) {
		t.Errorf("lost\n%s", strings.Join(lost, "\n"))
	}
}

// TestWriteRandom writes random worlds and reads them again: what comes back
// and what is lost are the world.
func TestWriteRandom(t *testing.T) {
	n := rpdb.Names{Tables: map[rpdb.TableID]string{100: "red"}}
	lost, kept := 0, 0
	for seed := range uint64(100) {
		s := corpus.New(seed).Snapshot()
		s.Rules = slices.DeleteFunc(s.Rules, func(r rpdb.Rule) bool { return r.Protocol == rpdb.ProtocolKernel })
		s.Routes = slices.DeleteFunc(s.Routes, func(r rpdb.Route) bool { return r.Protocol == rpdb.ProtocolKernel })
		for i := range s.Rules { // rules of equal priorities are lost
			s.Rules[i].Priority += rpdb.Priority(i)
		}
		version := 252 + int(seed%8)
		files, losses := networkd.Write(s, n, networkd.Options{Version: version})
		again, _, err := networkd.Read(files)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, bundle(files))
		}
		got, want := lineSet(again, n, nil), lineSet(s, n, losses)
		if got != want {
			t.Fatalf("seed %d, version %d: got\n%s\nwant\n%s", seed, version, got, want)
		}
		lost, kept = lost+len(losses), kept+len(again.Rules)+len(again.Routes)
	}
	if lost < 100 || kept < 1000 {
		t.Errorf("lost %d, kept %d: too few to tell anything", lost, kept)
	}
}

// lineSet is a snapshot without what is lost, by meaning.
func lineSet(s *rpdb.Snapshot, n rpdb.Names, losses []format.Loss) string {
	gone := map[string]bool{}
	for _, l := range losses {
		gone[l.Object] = true
	}
	c := &rpdb.Snapshot{Links: s.Links}
	view := iproute2.RouteView{Names: n, LinkName: s.LinkName}
	for _, r := range s.Routes {
		if r = r.Canonical(); !gone[iproute2.RouteCommand(rpdb.Add, r, view)] {
			c.Routes = append(c.Routes, r)
		}
	}
	for _, r := range s.Rules {
		if gone[iproute2.RuleCommand(rpdb.Add, r, n)] {
			continue
		}
		r = r.Canonical()
		r.Protocol = rpdb.ProtocolStatic
		if r.Selector.Mark.Mask == 0 {
			r.Selector.Mark = rpdb.Mark{}
		}
		if t := r.Action.Type(); t != rpdb.ActionTable {
			r.Action = rpdb.RawAction(t, 0, r.Action.Target())
		}
		c.Rules = append(c.Rules, r)
	}
	for _, a := range s.Addresses {
		a.Flags &= rpdb.AddressDeprecated
		c.Addresses = append(c.Addresses, a)
	}
	return sortedLines(told(c, rpdb.Names{}))
}

func TestWriteLinks(t *testing.T) {
	s := &rpdb.Snapshot{}
	eth0, star := format.Link(s, "eth0"), format.Link(s, "a*")
	s.Links[0].Group = 7
	s.Addresses = []rpdb.Address{
		{Link: eth0, Prefix: netip.MustParsePrefix("10.9.0.1/32"), Peer: netip.MustParseAddr("10.9.0.2")},
		{Link: eth0, Prefix: netip.MustParsePrefix("2001:db8::1/64"), Flags: rpdb.AddressDeprecated | rpdb.AddressNoDAD | rpdb.AddressPermanent},
		{Link: eth0, Prefix: netip.MustParsePrefix("198.51.100.1/24"), Scope: rpdb.ScopeLink},
		{Link: star, Prefix: netip.MustParsePrefix("203.0.113.1/24")},
	}
	files, losses := networkd.Write(s, rpdb.Names{}, networkd.Options{})
	again, n, err := networkd.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	const want = `eth0 group 7
10.9.0.1/32 dev eth0 scope global peer 10.9.0.2
2001:db8::1/64 dev eth0 scope global deprecated nodad
198.51.100.1/24 dev eth0 scope link
`
	if got := told(again, n); got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := fmt.Sprint(losses); got != `[ip address add 203.0.113.1/24 dev "a*": the name of the interface has no plain form in Name= of [Match]]` {
		t.Errorf("lost %s", got)
	}
}
