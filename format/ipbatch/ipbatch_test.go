package ipbatch_test

import (
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/ipbatch"
	"rpdb/internal/corpus"
	"rpdb/internal/formattest"
)

const dualUplink4 = `# Routes, then rules, of IPv4: ip -4 -batch /etc/rpdb/export/ip-4.batch
route replace default via 192.0.2.1 dev eth0 metric 100 proto 4
route replace 192.0.2.0/24 dev eth0 src 192.0.2.10 table 101 proto 4
route replace default via 192.0.2.1 dev eth0 table 101 proto 4
route replace default via 198.51.100.1 dev eth1 metric 200 proto 4
route replace 198.51.100.0/24 dev eth1 src 198.51.100.10 table 102 proto 4
route replace default via 198.51.100.1 dev eth1 table 102 proto 4
rule add pref 1000 lookup 254 suppress_prefixlength 0 protocol 4
rule add pref 1010 from 192.0.2.10 lookup 101 protocol 4
rule add pref 1020 from 198.51.100.10 lookup 102 protocol 4
rule add pref 1021 from 198.51.100.10 unreachable protocol 4
rule add pref 1030 fwmark 0x20/0xff lookup 101 protocol 4
rule add pref 1040 ipproto tcp dport 25 lookup 102 protocol 4
rule add pref 1050 iif lan0 lookup 102 protocol 4
rule add pref 1060 uidrange 2000-2999 lookup 102 protocol 4
`

func TestDualUplink(t *testing.T) {
	names := rpdb.Names{Tables: map[rpdb.TableID]string{101: "isp-a", 102: "isp-b"}}
	files, losses := ipbatch.Write(corpus.DualUplink(), names, ipbatch.Options{})
	if len(losses) != 0 || len(files) != 3 {
		t.Fatalf("%d files, losses %v", len(files), losses)
	}
	if got := files[0].Text; got != dualUplink4 {
		t.Errorf("got\n%swant\n%s", got, dualUplink4)
	}
	if f := files[2]; f.Path != "/etc/iproute2/rt_tables.d/rpdb-export.conf" || f.Text != "101\tisp-a\n102\tisp-b\n" {
		t.Errorf("names: %+v", f)
	}
	got, back, err := ipbatch.Read(files)
	if err != nil || back.Tables[101] != "isp-a" {
		t.Fatalf("read back: names %v, %v", back.Tables, err)
	}
	formattest.Compare(t, got, corpus.DualUplink())
}

// Everything that a batch says is read back, and what it does not say is a loss.
func TestRoundTrip(t *testing.T) {
	lost, kept := 0, 0
	for seed := range uint64(30) {
		world := corpus.New(seed).Snapshot()
		files, losses := ipbatch.Write(world, rpdb.Names{}, ipbatch.Options{})
		got, _, err := ipbatch.Read(files)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want := formattest.Meaning(world)
		back := formattest.Meaning(got)
		for _, line := range back {
			if !slices.Contains(want, line) {
				t.Fatalf("seed %d: %s is not in the world", seed, line)
			}
		}
		if len(back)+len(losses) < len(want) {
			t.Fatalf("seed %d: %d objects read, %d lost, of %d", seed, len(back), len(losses), len(want))
		}
		lost, kept = lost+len(losses), kept+len(back)
	}
	if kept < 1000 || lost*8 > kept {
		t.Errorf("%d objects kept, %d lost", kept, lost)
	}
}

func TestLosses(t *testing.T) {
	rule := func(r rpdb.Rule) *rpdb.Snapshot {
		r.Family, r.Priority, r.Action = rpdb.IPv4, 100, rpdb.ToTable(7)
		return &rpdb.Snapshot{Rules: []rpdb.Rule{r}}
	}
	for _, c := range []struct {
		s    *rpdb.Snapshot
		want string
	}{
		{rule(rpdb.Rule{Selector: rpdb.Selector{IIF: "a#b"}}), "cannot spell the name"},
		{rule(rpdb.Rule{Selector: rpdb.Selector{IIF: "it's"}}), "cannot spell the name"},
		{rule(rpdb.Rule{Flags: rpdb.RulePermanent}), "nobody can delete"},
		{rule(rpdb.Rule{Unknown: "\x05\x00\x99\x00\x01"}), "attributes that nobody here knows"},
		{&rpdb.Snapshot{Routes: []rpdb.Route{{Family: rpdb.IPv4, Table: 7, Type: rpdb.RouteUnicast, NexthopID: 5}}}, "nexthop object 5"},
	} {
		files, losses := ipbatch.Write(c.s, rpdb.Names{}, ipbatch.Options{})
		if len(files) != 0 || len(losses) != 1 || !strings.Contains(losses[0].Reason, c.want) {
			t.Errorf("files %v, losses %v, want %q", files, losses, c.want)
		}
	}
}

func TestFamilyIsInTheName(t *testing.T) {
	for name, want := range map[string]rpdb.Family{
		"rules4": rpdb.IPv4, "/etc/ip-6.batch": rpdb.IPv6, "site16.txt": 0, "rules": 0, "6": rpdb.IPv6, "v6.d/rules": 0,
	} {
		s, _, err := ipbatch.Read([]format.File{{Path: name, Text: "rule add pref 5 lookup 7\n"}})
		if want == 0 {
			want = rpdb.IPv4 // as ip without an option
		}
		if err != nil || len(s.RulesOf(want)) != 1 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestErrorsNameFileAndLine(t *testing.T) {
	_, _, err := ipbatch.Read([]format.File{
		{Path: "rules4", Text: "# nothing\nrule add pref 5 lookup isp-a\n\nrule flush\n"},
		{Path: "rules6", Text: "rule add pref 5 lookup 7\nrule add pref 5 \\\n lookup 7\nrule add iif 'x\n"},
	})
	want := strings.TrimSpace(`
rules4:2: command "rule add pref 5 lookup isp-a": argument "isp-a" is wrong: invalid table ID
rules4:4: command "rule flush": ip rule flush is not understood, only add and del are
rules6:3: command "rule add pref 5 lookup 7": it is there already, and ip would fail
rules6:4: command: Unterminated quoted string`)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// FuzzRead: what is read can be written, and read again to the same.
func FuzzRead(f *testing.F) {
	f.Add("rules4", dualUplink4)
	f.Add("a6", "route add default via fe80::1 dev e\nrule add not from 2001:db8::/32 goto 40000 pref 3\n")
	f.Add("b", "addr add 10.0.0.1/8 dev e\nroute append 10.0.0.0/8 nexthop via 10.0.0.2 weight 3 nexthop dev f\\\n onlink\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		s, names, err := ipbatch.Read([]format.File{{Path: name, Text: text}})
		if err != nil {
			return
		}
		files, losses := ipbatch.Write(s, names, ipbatch.Options{})
		back, _, err := ipbatch.Read(files)
		if err != nil {
			t.Fatalf("%v\n%v", err, files)
		}
		if len(losses) == 0 {
			formattest.Compare(t, back, s)
		}
	})
}
