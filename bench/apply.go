package main

import (
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"rpdb"
)

// application is one set of rules that is to be applied to a fresh namespace.
type application struct {
	env    *env
	family rpdb.Family
	n      int
	equal  bool // priorities
	saved  string
	batch  string
	judge  judge
}

func applyRows() []row {
	all := []string{"ip -batch", "netlink", "our ip -batch", additionsAlone}
	return []row{
		{"apply-10k", "apply 10,000 rules", func(e *env) []Line {
			return e.apply(10_000, false, Bar{faster, 50, 100}, 0, all...)
		}},
		{"apply-50k", "apply 50,000 rules", func(e *env) []Line {
			return e.apply(50_000, false, Bar{faster, 300, 600}, 2, "ip -batch", additionsAlone)
		}},
		{"apply-flat", "apply 100,000 rules, against 10,000", (*env).applyFlat},
		{"apply-equal", "apply 10,000 rules of one priority", func(e *env) []Line {
			return e.apply(10_000, true, Bar{kind: faster, limit: 2, aim: 2.5}, 0, "ip -batch", "our ip -batch", additionsAlone)
		}},
		{"apply-ipv6", "apply 10,000 IPv6 rules", func(e *env) []Line { return e.applyFamily(rpdb.IPv6, 10_000) }},
		{"apply-small", "apply few rules, for the plot", (*env).applySmall},
	}
}

// application writes what the contestants read.
func (e *env) application(f rpdb.Family, n int, equal bool) (*application, error) {
	a := &application{env: e, family: f, n: e.size(n), equal: equal}
	rule := tenants(f, equal)
	name := fmt.Sprintf("rules-%v-%d-%v", f, a.n, equal)
	var err error
	a.batch, err = e.write(name, a.n, func(i int) string { return ruleLine(rule(i)) })
	if err != nil {
		return nil, err
	}
	a.saved = e.file(name + ".saved")
	return a, e.in(func(w *world) error {
		if err := w.pourRules(a.n, rule); err != nil {
			return err
		}
		dump, err := w.output(nil, e.peer, familyFlag(f), "rule", "save")
		if err != nil {
			return err
		}
		return os.WriteFile(a.saved, dump, 0o600)
	})
}

// turn applies in a fresh world and has the result judged.
func (a *application) turn(apply func(w *world) (float64, error)) func() (float64, error) {
	return func() (took float64, err error) {
		err = a.env.in(func(w *world) error {
			if took, err = apply(w); err != nil {
				return err
			}
			got, err := w.rules(familyFlag(a.family))
			if err != nil {
				return err
			}
			return a.judge.see(got, a.n+len(rpdb.DefaultRules(a.family)))
		})
		return took, err
	}
}

// ours is the way in which this project applies a whole set of rules: it reads what
// is there, writes what is missing, and reads back.
func (a *application) ours(w *world) (float64, error) {
	return w.run(a.saved, a.env.rpdb, "rule", "restore")
}

func (a *application) contestants(rounds int, peers ...string) []contestant {
	program := func(ip string) func(w *world) (float64, error) {
		return func(w *world) (float64, error) { return w.run("", ip, familyFlag(a.family), "-batch", a.batch) }
	}
	all := []contestant{{name: "rpdb rule restore", turn: a.turn(a.ours)}}
	for _, p := range peers {
		c := contestant{name: p, rounds: rounds}
		switch p {
		case "ip -batch":
			c.turn = a.turn(program(a.env.peer))
		case "our ip -batch":
			c.turn = a.turn(program(a.env.ip))
		case "netlink":
			c.turn = a.turn(a.library)
		case additionsAlone:
			c.turn, c.rounds = a.turn(a.byKernel), 0
		}
		all = append(all, c)
	}
	return all
}

// additionsAlone is the floor under all that add rules.
const additionsAlone = "the kernel's additions alone"

// byKernel has the kernel add the rules by requests that are ready, in the order that
// suits it best.
func (a *application) byKernel(w *world) (float64, error) {
	requests, err := w.ruleRequests(a.n, tenants(a.family, a.equal))
	if err != nil {
		return 0, err
	}
	return w.pourReady(unix.RTM_NEWRULE, requests)
}

// library adds the rules one by one, as a program does that uses the library.
func (a *application) library(w *world) (took float64, err error) {
	rule := tenants(a.family, a.equal)
	err = w.Do(func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		start := time.Now()
		for i := range a.n {
			if err := h.RuleAdd(libraryRule(rule(i))); err != nil {
				return fmt.Errorf("rule %d: %w", i, err)
			}
		}
		took = time.Since(start).Seconds()
		return nil
	})
	return took, err
}

func (e *env) apply(n int, equal bool, bar Bar, peerRounds int, peers ...string) []Line {
	priorities := "distinct priorities"
	if equal {
		priorities = "one priority"
	}
	return e.applyLines(rpdb.IPv4, n, equal, priorities, bar, peerRounds, peers...)
}

func (e *env) applyLines(f rpdb.Family, n int, equal bool, words string, bar Bar, peerRounds int, peers ...string) []Line {
	what := fmt.Sprintf("apply %s %v rules, %s", count(e.size(n)), f, words)
	a, err := e.application(f, n, equal)
	if err != nil {
		return fail(what, err)
	}
	series, err := e.contest(Seconds, e.rounds, a.contestants(peerRounds, peers...)...)
	if err != nil {
		return fail(what, err)
	}
	if !equal && f == rpdb.IPv4 {
		for _, s := range series {
			if s.Name != additionsAlone {
				e.point("apply", s.Name, a.n, s.Median())
			}
		}
	}
	lines := versus(what, bar, series)
	if peerRounds > 0 && peerRounds < e.rounds {
		lines[0].Notes = append(lines[0].Notes, fmt.Sprintf("The peer had %d rounds, since one takes minutes; ours had %d.", peerRounds, e.rounds))
	}
	return lines
}

func (e *env) applyFamily(f rpdb.Family, n int) []Line {
	return e.applyLines(f, n, false, "distinct priorities", Bar{}, 0, "ip -batch", "our ip -batch", additionsAlone)
}

// applySmall is for the plot.
func (e *env) applySmall() []Line {
	var lines []Line
	for _, n := range []int{100, 1000} {
		lines = append(lines, e.apply(n, false, Bar{}, 0, "ip -batch", "netlink", "our ip -batch")...)
	}
	return lines
}

// applyFlat compares ten times as many rules.
func (e *env) applyFlat() []Line {
	what := fmt.Sprintf("apply %s rules, against %s", count(e.size(100_000)), count(e.size(10_000)))
	var all []contestant
	for _, n := range []int{100_000, 10_000} {
		a, err := e.application(rpdb.IPv4, n, false)
		if err != nil {
			return fail(what, err)
		}
		all = append(all, contestant{name: count(a.n) + " rules", turn: a.turn(a.ours)})
	}
	series, err := e.contest(Seconds, e.rounds, all...)
	if err != nil {
		return fail(what, err)
	}
	e.point("apply", "rpdb rule restore", e.size(100_000), series[0].Median())
	return versus(what, Bar{kind: share, limit: 15, aim: 12}, series)
}

// libraryRule is a rule in the library's words.
func libraryRule(r rpdb.Rule) *netlink.Rule {
	l := netlink.NewRule()
	l.Family = netlink.FAMILY_V4
	if r.Family == rpdb.IPv6 {
		l.Family = netlink.FAMILY_V6
	}
	from := r.Selector.From
	l.Src = ipNet(from)
	l.Priority, l.Table = int(r.Priority), int(r.Action.Table())
	return l
}
