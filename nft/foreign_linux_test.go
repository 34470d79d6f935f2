package nft_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
	"rpdb/nft"
	"rpdb/nft/nfttest"
)

// A table with our name that somebody else made is left alone, in any family, and
// so is everything else.
func TestForeignTable(t *testing.T) {
	for _, family := range []string{"ip", "ip6", "inet", "arp", "bridge"} {
		t.Run(family, func(t *testing.T) {
			ns := kerneltest.Namespace(t)
			c := open(t, ns)
			program(t, ns, "add table "+family+" rpdb; add chain "+family+" rpdb theirs")
			before := program(t, ns, "list", "ruleset")
			s, err := c.Read(t.Context())
			if want := "table " + family + " rpdb"; err != nil || s.Foreign != want {
				t.Errorf("got %+v, %v", s, err)
			}
			for _, err := range []error{c.Replace(t.Context(), []rpdb.Translation{nfttest.Block4()}), c.Delete(t.Context())} {
				if !errors.Is(err, nft.ErrForeign) || !strings.Contains(err.Error(), family+" rpdb") {
					t.Errorf("got %v", err)
				}
			}
			if after := program(t, ns, "list", "ruleset"); after != before {
				t.Errorf("now there is\n%s", after)
			}
		})
	}
}

// What others have stays, whatever we do beside it.
func TestOtherTables(t *testing.T) {
	ns := kerneltest.Namespace(t)
	c := open(t, ns)
	program(t, ns, `
		table ip filter { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; } ; }
		table ip nat { map m { type ipv4_addr : ipv4_addr; } ; chain post { type nat hook postrouting priority srcnat; masquerade; } ; }
		table inet rpdb_too { comment "nat of rpdb, format 1"; }`)
	before := program(t, ns, "list", "ruleset")
	for _, list := range [][]rpdb.Translation{{nfttest.Block4()}, {nfttest.Block6(), nfttest.Block4()}, {nfttest.Block6()}, nil} {
		if err := c.Replace(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	if after := program(t, ns, "list", "ruleset"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// Whatever somebody does to our tables is seen, and what is untouched is still
// read; Replace puts it right.
func TestTampering(t *testing.T) {
	stateless := nfttest.Block4()
	stateless.Kind, stateless.Realm, stateless.Rule = rpdb.TranslateStateless, 10020, 10020
	stateless.From, stateless.To = prefix("10.7.0.0/24"), prefix("198.18.5.0/24")
	untracked := stateless
	untracked.NoTrack, untracked.Realm, untracked.Rule = true, 10030, 10030
	untracked.From, untracked.To = prefix("10.8.0.0/24"), prefix("198.18.6.0/24")
	list := []rpdb.Translation{nfttest.Block4(), stateless, untracked, nfttest.Block6()}
	all := []int{0, 1, 2, 3}
	for name, c := range map[string]struct {
		do    string
		still []int // of the list
	}{
		"a rule more":             {"add rule ip rpdb srcnat counter", all},
		"a rule in front":         {"insert rule ip rpdb prerouting drop", all},
		"one of ours twice":       {`add rule ip6 rpdb dstnat ip6 daddr 2001:db8:5::/64 dnat prefix to fd00:1::/64 comment "2001:db8:5::/64 to fd00:1::/64"`, all},
		"a chain":                 {"add chain ip rpdb more", all},
		"a set":                   {"add set ip rpdb s { type ipv4_addr; }", all},
		"a counter":               {"add counter ip6 rpdb c", all},
		"a rule less":             {"flush chain ip rpdb srcnat", []int{1, 2, 3}},
		"no inbound map":          {"delete chain ip rpdb dstnat", []int{1, 2, 3}},
		"no stateless inbound":    {"flush chain ip rpdb prerouting", []int{0, 3}},
		"half of it":              {`delete rule ip rpdb prerouting handle "untracked 10.8.0.0/24"`, []int{0, 1, 3}},
		"a rule changed":          {"flush chain ip rpdb srcnat; add rule ip rpdb srcnat ip saddr 10.1.0.0/24 snat to 203.0.113.9 comment \"rule 10010: nat 203.0.113.0/24, inbound\"", []int{1, 2, 3}},
		"no priority back":        {"flush chain ip6 rpdb restore", []int{0, 1, 2}},
		"a family less":           {"delete table ip6 rpdb", []int{0, 1, 2}},
		"a table put to sleep":    {"add table ip rpdb { flags dormant; comment \"nat of rpdb, format 1\"; }", all},
		"nothing left of a table": {"flush table ip6 rpdb", []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			ns := kerneltest.Namespace(t)
			conn := open(t, ns)
			must(t, conn.Replace(t.Context(), list))
			if strings.HasPrefix(c.do, "delete chain") {
				program(t, ns, "flush chain ip rpdb dstnat")
			}
			program(t, ns, withHandle(t, ns, c.do))
			s, err := conn.Read(t.Context())
			must(t, err)
			var want []rpdb.Translation
			for _, i := range c.still {
				want = append(want, list[i])
			}
			if !slices.Equal(s.Translations, want) {
				t.Errorf("got %+v\nwant %+v", s.Translations, want)
			}
			if len(s.Unknown) == 0 && slices.Equal(want, list) {
				t.Error("nothing is told")
			}
			must(t, conn.Replace(t.Context(), list))
			if s, err := conn.Read(t.Context()); err != nil || len(s.Unknown) > 0 || !slices.Equal(s.Translations, list) {
				t.Errorf("afterwards: %+v, %v", s, err)
			}
		})
	}
}

// withHandle puts the number of a rule in the place of its comment.
func withHandle(t *testing.T, ns *kernel.NetNS, do string) string {
	t.Helper()
	rest, comment, ok := strings.Cut(do, "handle ")
	if !ok {
		return do
	}
	for line := range strings.Lines(program(t, ns, "-a", "list", "table", "ip", "rpdb")) {
		if _, handle, found := strings.Cut(line, "comment "+comment+" # handle "); found {
			return rest + "handle " + handle
		}
	}
	t.Fatalf("no rule has the comment %s", comment)
	return ""
}

// Nobody without privilege may even look, and is told so.
func TestUnprivileged(t *testing.T) {
	ns := kerneltest.Namespace(t)
	c := open(t, ns)
	err := asNobody(func() error {
		_, err := c.Read(t.Context())
		return err
	})
	var failed *nft.Error
	if !errors.Is(err, unix.EPERM) || !errors.As(err, &failed) || failed.Op != "read" {
		t.Errorf("got %v", err)
	}
}

// A namespace that is none is told at once.
func TestNoNamespace(t *testing.T) {
	if c, err := nft.Open(nft.Options{NetNS: 1}); err == nil {
		c.Close()
		t.Error("opened in what is no namespace")
	}
}
