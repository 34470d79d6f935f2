package netplan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/netplan"
	"rpdb/internal/corpus"
	"rpdb/internal/formattest"
)

// TestWriteLosses is the table of what netplan cannot say.
func TestWriteLosses(t *testing.T) {
	for _, c := range []struct {
		rule string
		want string // "": a loss
	}{
		{"from 192.0.2.1 lookup 101", `{from: "192.0.2.1/32", table: 101, priority: 1000}`},
		{"to 192.0.2.0/24 tos 0x08 fwmark 0x20 lookup main", `{to: "192.0.2.0/24", type-of-service: 8, mark: 32, table: 254, priority: 1000}`},
		{"fwmark 0x20 lookup 101", `{from: "0.0.0.0/0", mark: 32, table: 101, priority: 1000}`},
		{"lookup 101", `{from: "0.0.0.0/0", table: 101, priority: 1000}`},
		{"from all lookup 101 suppress_prefixlength 0", ""},
		{"from 192.0.2.1 unreachable", ""},
		{"fwmark 0x20/0xff lookup 101", ""},
		{"fwmark 0/0xff lookup 101", ""},
		{"fwmark 0/0xffffffff lookup 101", ""},
		{"fwmark 0x80000000 lookup 101", ""},
		{"lookup 2147483648", ""},
		{"ipproto tcp dport 25 lookup 101", ""},
		{"iif lan0 lookup 101", ""},
		{"oif lan0 lookup 101", ""},
		{"uidrange 2000-2999 lookup 101", ""},
		{"not from 192.0.2.1 lookup 101", ""},
		{"goto 2000", ""},
		{"nop", ""},
		{"l3mdev", ""},
		{"dscp 8 lookup 101", ""},
		{"realms 5 lookup 101", ""},
	} {
		r, _, err := iproute2.ParseRule(rpdb.IPv4, append([]string{"pref", "1000"}, strings.Fields(c.rule)...), rpdb.Names{})
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		files, losses := netplan.Write(&rpdb.Snapshot{Rules: []rpdb.Rule{r}}, rpdb.Names{}, netplan.Options{})
		switch {
		case c.want == "":
			if len(files) != 0 || len(losses) != 1 || !strings.HasPrefix(losses[0].Object, "ip -4 rule add pref 1000 ") || losses[0].Reason == "" {
				t.Errorf("%s: files %v, lost %v", c.rule, files, losses)
			}
		case len(losses) != 0 || len(files) != 1:
			t.Errorf("%s: lost %v", c.rule, losses)
		default:
			want := "network:\n  version: 2\n  ethernets:\n    lo:\n      renderer: networkd\n      routing-policy:\n        - " + c.want + "\n"
			if files[0].Text != want || files[0].Path != netplan.Path {
				t.Errorf("%s: got\n%s", c.rule, files[0].Text)
			}
		}
	}
}

// TestWriteInterfaces says which interfaces have words, and which addresses.
func TestWriteInterfaces(t *testing.T) {
	s := &rpdb.Snapshot{}
	eth, bridge, odd, group := format.Link(s, "on"), format.Link(s, "br0"), format.Link(s, "a!b"), format.Link(s, "eth9")
	s.Links[1].Kind, s.Links[3].Group = "bridge", 7
	p := corpus.DualUplink().Addresses[0].Prefix
	for _, i := range []rpdb.LinkIndex{eth, bridge, odd} {
		s.Addresses = append(s.Addresses, rpdb.Address{Link: i, Prefix: p})
	}
	s.Addresses = append(s.Addresses, rpdb.Address{Link: group, Prefix: p, Peer: p.Addr().Next()}, rpdb.Address{Link: group, Prefix: p, Scope: rpdb.ScopeLink})
	files, losses := netplan.Write(s, rpdb.Names{}, netplan.Options{})
	if want := "network:\n  version: 2\n  ethernets:\n    \"on\":\n      renderer: networkd\n      addresses:\n        - \"" + p.String() + "\"\n"; len(files) != 1 || files[0].Text != want {
		t.Errorf("got\n%v", files)
	}
	var got []string
	for _, l := range losses {
		got = append(got, l.Reason)
	}
	want := []string{
		"netplan has no groups of interfaces", "br0 is a bridge, and netplan wants to make it itself",
		"the name of the interface has no plain form in netplan", "netplan has no addresses with a peer", "netplan has no scopes of addresses",
	}
	if !slices.Equal(got, want) {
		t.Errorf("lost\n%s", strings.Join(got, "\n"))
	}
}

// TestWriteEqualPriorities: of rules of one priority those are written whose order
// does not matter.
func TestWriteEqualPriorities(t *testing.T) {
	from := func(prefix string, table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: 6, Action: rpdb.ToTable(table), Selector: rpdb.Selector{From: netip.MustParsePrefix(prefix)}}
	}
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{from("198.51.100.0/24", 2), from("198.51.100.7/32", 3), from("192.0.2.0/24", 1)}}
	files, losses := netplan.Write(s, rpdb.Names{}, netplan.Options{})
	want := "ip -4 rule add pref 6 from 192.0.2.0/24 lookup 1 protocol static"
	if got := formattest.Meaning(read(t, files)); !slices.Equal(got, []string{want}) || len(losses) != 2 {
		t.Errorf("got %q, lost %v", got, losses)
	}
}

// TestWriteRandom writes random worlds and reads them again: what comes back
// and what is lost are the world.
func TestWriteRandom(t *testing.T) {
	lost, kept := 0, 0
	for seed := range uint64(30) {
		s := formattest.Policy(corpus.New(seed).Snapshot())
		for i := range s.Links {
			s.Links[i].Kind, s.Links[i].Group = "", 0
		}
		for i := range s.Rules { // rules of equal priorities are lost
			s.Rules[i].Priority += rpdb.Priority(i)
			s.Rules[i].Protocol = rpdb.ProtocolStatic
		}
		slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
		for i := range s.Routes {
			s.Routes[i].Protocol = rpdb.ProtocolStatic
		}
		files, losses := netplan.Write(s, rpdb.Names{}, netplan.Options{})
		again := read(t, files)
		gone := map[string]bool{}
		for _, l := range losses {
			gone[l.Object] = true
		}
		want := *s
		want.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r rpdb.Rule) bool { return gone[iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{})] })
		want.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool {
			return gone[iproute2.RouteCommand(rpdb.Add, r.Canonical(), iproute2.RouteView{LinkName: s.LinkName})]
		})
		formattest.Compare(t, again, &want)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, files[0].Text)
		}
		lost, kept = lost+len(losses), kept+len(again.Rules)+len(again.Routes)
	}
	if lost < 100 || kept < 150 {
		t.Errorf("lost %d, kept %d: too few to tell anything", lost, kept)
	}
}
