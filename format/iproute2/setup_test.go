package iproute2_test

import (
	"errors"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/internal/corpus"
)

// runAll runs command lines as "ip ..." has them.
func runAll(s *iproute2.Setup, lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		f := rpdb.Family(0)
		switch words[0] {
		case "-4":
			f, words = rpdb.IPv4, words[1:]
		case "-6":
			f, words = rpdb.IPv6, words[1:]
		}
		if _, err := s.Run(f, words); err != nil {
			return err
		}
	}
	return nil
}

func listing(s *iproute2.Setup) string {
	var b strings.Builder
	for _, r := range s.Snapshot.Rules {
		b.WriteString(iproute2.RuleCommand(rpdb.Add, r, s.Names)[len("ip "):] + "\n")
	}
	for _, r := range s.Snapshot.Routes {
		b.WriteString(iproute2.RouteCommand(rpdb.Add, r, iproute2.RouteView{Names: s.Names, LinkName: s.Snapshot.LinkName})[len("ip "):] + "\n")
	}
	for _, a := range s.Snapshot.Addresses {
		b.WriteString(a.Prefix.String() + " dev " + string(s.Snapshot.LinkName(a.Link)) + " scope " + a.Scope.String() + "\n")
	}
	return b.String()
}

func TestSetup(t *testing.T) {
	for _, c := range []struct{ commands, want string }{
		// The howto: without priorities the last rule comes first.
		{
			"rule add from 10.10.0.10 lookup rt2\nrule add to 10.10.0.10 table rt2\n-6 rule add lookup rt2",
			"-4 rule add pref 32764 to 10.10.0.10 lookup rt2\n-4 rule add pref 32765 from 10.10.0.10 lookup rt2\n-6 rule add pref 32765 lookup rt2\n",
		},
		{"rule add pref 7 from 10.0.0.1 lookup rt2\nrule add pref 7 from 10.0.0.2 lookup rt2\nrule del pref 7", "-4 rule add pref 7 from 10.0.0.2 lookup rt2\n"},
		{"rule add pref 7 from 10.0.0.1 lookup rt2\nru d from 10.0.0.1", ""},
		{"route add default via 10.0.0.1 dev eth0 table rt2\nroute replace default via 10.0.0.2 dev eth0 table rt2", "-4 route add default via 10.0.0.2 dev eth0 table rt2\n"},
		{"route add default via 10.0.0.1 dev eth0 table rt2\nroute append default via 10.0.0.2 dev eth0 table rt2", "-4 route add default via 10.0.0.1 dev eth0 table rt2\n-4 route add default via 10.0.0.2 dev eth0 table rt2\n"},
		{"route add default via 10.0.0.1 dev eth0 table rt2\n-6 route add default via 2001:db8::1 dev eth0 table rt2\n-4 route flush table rt2", "-6 route add default via 2001:db8::1 dev eth0 table rt2\n"},
		{"route add default via 10.0.0.1 dev eth0 table rt2\nroute del default table rt2", ""},
		{"link set dev eth0 up\naddress add 10.0.0.9/24 dev eth0\nroute add default via 10.0.0.1 table rt2", "-4 route add default via 10.0.0.1 dev eth0 table rt2\n10.0.0.9/24 dev eth0 scope global\n"},
		{"addr add 127.0.0.2 dev lo nodad label lo:1\naddr add fe80::1/64 dev eth0", "127.0.0.2/32 dev lo scope host\nfe80::1/64 dev eth0 scope link\n"},
	} {
		s := iproute2.Setup{Names: rpdb.Names{Tables: map[rpdb.TableID]string{1: "rt2"}}}
		if err := runAll(&s, strings.Split(c.commands, "\n")...); err != nil {
			t.Errorf("%s\n%v", c.commands, err)
		} else if got := listing(&s); got != c.want {
			t.Errorf("%s\ngot\n%swant\n%s", c.commands, got, c.want)
		}
	}
}

func TestSetupRefuses(t *testing.T) {
	for commands, want := range map[string]string{
		"rule":                   "a listing sets nothing up",
		"rule flush":             "ip rule flush is not understood",
		"rule add from 10.0.0.1": "", // looks main up
		"rule add pref 7 lookup 9\nrule add pref 7 lookup 9":                                 "it is there already",
		"rule add pref 7 fwmark 0 lookup 9":                                                  "selects every packet",
		"rule add pref 7 from 2001:db8::1 lookup 9":                                          "2001:db8::1",
		"rule add pref 7 goto 7":                                                             "leads backward",
		"rule add goto 7":                                                                    "leads backward",
		"rule add pref 1 lookup 9\nrule add lookup 9":                                        "no priority is left",
		"rule add pref 7 from 10.0.0.1 lookup 9\nrule add pref 7 lookup 9":                   "it is there already", // so does the kernel
		"rule add pref 7 not from 10.0.0.1 lookup 9\nrule add pref 7 from 10.0.0.1 lookup 9": "it is there already",
		"rule del pref 7":                                                                    iproute2.ErrNotThere.Error(),
		"rule add pref 7 lookup 9\nrule del pref 7 lookup 8":                                 iproute2.ErrNotThere.Error(),
		"rule add pref 7 from 10.0.0.1 lookup 9\nrule del not pref 7":                        iproute2.ErrNotThere.Error(),
		"route add default via 10.0.0.1 table 9":                                             "say with dev",
		"route add default dev e\nroute add default dev f":                                   "it is there already",
		"route append default dev e\nroute append default dev e":                             "it is there already",
		"-6 route add default via fe80::1 dev e\n-6 route append default via fe80::1 dev f":  "part of the one that is there",
		"route change default dev e":                                                         "ip route change is not understood",
		"route flush table 9 proto static":                                                   "only a whole table",
		"route del default":                                                                  iproute2.ErrNotThere.Error(),
		"address add 10.0.0.1/24 dev e\naddress add 10.0.0.1/24 dev e":                       "it is there already",
		"address add 10.0.0.1/24":                                                            "needs an interface",
		"address add 10.0.0.1/24 peer 10.0.0.2 dev e":                                        `"peer"`,
		"-6 address add 10.0.0.1/24 dev e":                                                   "no address of IPv6",
		"link set eth0 master vrf0":                                                          "only ip link set",
		"neigh add 10.0.0.1 dev e":                                                           "only rules, routes, addresses and links",
	} {
		var s iproute2.Setup
		err := runAll(&s, strings.Split(commands, "\n")...)
		switch {
		case want == "" && err != nil, want != "" && err == nil:
			t.Errorf("%s\nerror %v, want %q", commands, err, want)
		case want != "" && !strings.Contains(err.Error(), want):
			t.Errorf("%s\nerror %v, want %q", commands, err, want)
		case want == iproute2.ErrNotThere.Error() && !errors.Is(err, iproute2.ErrNotThere):
			t.Errorf("%s: %v is not ErrNotThere", commands, err)
		}
	}
}

// What Exact says is what there is, and what it cannot say it tells.
func TestExactIsReadBack(t *testing.T) {
	said := 0
	for seed := range uint64(30) {
		world := corpus.New(seed).Snapshot()
		for _, f := range rpdb.Families() {
			rules, routes, _ := iproute2.Exact(world, f, nil)
			said += len(rules) + len(routes)
			for _, r := range rules {
				command, err := iproute2.ExactRule(rpdb.Add, r, rpdb.Names{})
				words, _ := iproute2.Split(command)
				if err != nil || len(words) < 3 {
					t.Fatalf("%v: %q, %v", r, command, err)
				}
				s := iproute2.Setup{}
				if _, err := s.Run(f, words[1:]); err != nil || len(s.Snapshot.Rules) != 1 || s.Snapshot.Rules[0] != iproute2.PlainRule(r) {
					t.Fatalf("seed %d: %q: %v\ngot  %+v\nwant %+v", seed, command, err, s.Snapshot.Rules, r)
				}
			}
		}
	}
	if said < 1000 {
		t.Errorf("only %d rules and routes were said: the worlds hold too little", said)
	}
}

func TestExactLosesTheJumpWithItsTarget(t *testing.T) {
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{
		{Family: rpdb.IPv4, Priority: 10, Action: rpdb.Goto(20)},
		{Family: rpdb.IPv4, Priority: 20, Action: rpdb.Goto(30)},
		{Family: rpdb.IPv4, Priority: 25, Action: rpdb.Goto(99)},
		{Family: rpdb.IPv4, Priority: 30, Action: rpdb.Nop(), Unknown: "\x05\x00\x99\x00\x01"},
	}}
	rules, _, losses := iproute2.Exact(s, rpdb.IPv4, nil)
	if len(rules) != 1 || rules[0].Priority != 25 || len(losses) != 3 {
		t.Errorf("rules %v, losses %v", rules, losses)
	}
}
