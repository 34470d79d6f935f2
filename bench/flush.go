package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

func flushRows() []row {
	return []row{
		{"flush-10k", "flush 10,000 rules", func(e *env) []Line { return e.flush(10_000, Bar{kind: faster, limit: 20, aim: 40}) }},
		{"flush-50k", "flush 50,000 rules", func(e *env) []Line { return e.flush(50_000, Bar{kind: faster, limit: 50, aim: 90}) }},
	}
}

// foreign is how many rules of another protocol stand among those that are flushed.
const foreign = 10

// flush flushes the rules of one protocol, by the same words in both. What the peer
// leaves is counted; ours must leave exactly what is foreign.
func (e *env) flush(n int, bar Bar) []Line {
	n = e.size(n)
	what := fmt.Sprintf("flush %s rules", count(n))
	words := []string{"rule", "flush", "protocol", strconv.Itoa(int(rpdb.ProtocolRPDB))}
	left := map[string][]float64{}
	turn := func(name string, flush func(*world) (float64, error)) contestant {
		return contestant{name: name, turn: func() (took float64, err error) {
			err = e.in(func(w *world) error {
				if err := w.pourRules(n+foreign, doomed(n)); err != nil {
					return err
				}
				if took, err = flush(w); err != nil {
					return err
				}
				rest, err := e.leftOf(w)
				left[name] = append(left[name], float64(rest))
				return err
			})
			return took, err
		}}
	}
	by := func(ip string) func(*world) (float64, error) {
		return func(w *world) (float64, error) { return w.run("", append([]string{ip, "-4"}, words...)...) }
	}
	const ours, theirs, whole, floor = "our ip rule flush", "ip rule flush", "the same until none is left", "the kernel's deletions alone"
	series, err := e.contest(
		Seconds, e.rounds, turn(ours, by(e.ip)), turn(theirs, by(e.peer)), turn(whole, e.untilNone(by(e.peer))),
		turn(floor, func(w *world) (float64, error) { return w.deleteDoomed(n) }),
	)
	if err != nil {
		return fail(what, err)
	}
	for _, name := range []string{ours, whole, floor} {
		for _, rest := range left[name] {
			if rest != 0 {
				return fail(what, fmt.Errorf("%s: %g of the rules are left", name, rest))
			}
		}
	}
	note := fmt.Sprintf("Ours left none, and none of %d foreign rules was touched. The system's ip left %s (median).", foreign, count(int(median(left[theirs]))))
	lines := versus(what, bar, series, note)
	lines[2].Notes = []string{"Requests that were made before, sent by one thread that does nothing else: what no program that deletes the rules can do without."}
	return lines
}

// untilNone repeats a flush until it has left none, and adds up what it takes.
func (e *env) untilNone(flush func(*world) (float64, error)) func(*world) (float64, error) {
	return func(w *world) (took float64, err error) {
		for last := math.MaxInt; last > 0; {
			once, err := flush(w)
			if err != nil {
				return 0, err
			}
			took += once
			rest, err := e.leftOf(w)
			if err != nil || rest >= last {
				return took, err // what is left is told
			}
			last = rest
		}
		return took, nil
	}
}

// deleteDoomed deletes the rules of [doomed] that are to go, in the order in which they
// stand, by requests that are ready.
func (w *world) deleteDoomed(n int) (float64, error) {
	var requests [][]byte
	rule := doomed(n)
	for i := range n + foreign {
		r := rule(i)
		if r.Protocol != rpdb.ProtocolRPDB {
			continue
		}
		b, err := kernel.EncodeRule(r)
		if err != nil {
			return 0, err
		}
		requests = append(requests, b)
	}
	return w.pourReady(unix.RTM_DELRULE, requests)
}

// doomed returns n rules of our protocol and some of another among them.
func doomed(n int) func(i int) rpdb.Rule {
	rule, every := tenants(rpdb.IPv4, false), (n+foreign)/foreign
	return func(i int) rpdb.Rule {
		r := rule(i)
		r.Protocol = rpdb.ProtocolRPDB
		if i%every == 0 && i/every < foreign {
			r.Protocol = rpdb.ProtocolStatic
		}
		return r
	}
}

// leftOf counts the rules that a flush has left, and checks that it took no other.
func (e *env) leftOf(w *world) (int, error) {
	text, err := w.output(nil, e.peer, "-N", "-4", "rule", "show")
	if err != nil {
		return 0, err
	}
	all := bytes.Count(text, []byte("\n"))
	own := bytes.Count(text, fmt.Appendf(nil, " proto %d\n", rpdb.ProtocolRPDB))
	if others := all - own; others != foreign+3 {
		return 0, fmt.Errorf("not the same work: %d rules of others are left, not %d", others, foreign+3)
	}
	return own, nil
}
