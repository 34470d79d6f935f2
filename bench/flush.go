package main

import (
	"bytes"
	"fmt"
	"strconv"

	"rpdb"
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
	turn := func(name, ip string) contestant {
		return contestant{name: name, turn: func() (took float64, err error) {
			err = e.in(func(w *world) error {
				if err := w.pourRules(n+foreign, doomed(n)); err != nil {
					return err
				}
				if took, err = w.run("", append([]string{ip, "-4"}, words...)...); err != nil {
					return err
				}
				rest, err := e.leftOf(w)
				left[name] = append(left[name], float64(rest))
				return err
			})
			return took, err
		}}
	}
	series, err := e.contest(Seconds, e.rounds, turn("our ip rule flush", e.ip), turn("ip rule flush", e.peer))
	if err != nil {
		return fail(what, err)
	}
	for _, rest := range left["our ip rule flush"] {
		if rest != 0 {
			return fail(what, fmt.Errorf("ours left %g of the rules", rest))
		}
	}
	note := fmt.Sprintf("Ours left none, and none of %d foreign rules was touched. The system's ip left %s (median).", foreign, count(int(median(left["ip rule flush"]))))
	return versus(what, bar, series, note)
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
