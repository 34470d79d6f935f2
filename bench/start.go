package main

import (
	"fmt"

	"rpdb"
)

func startRows() []row {
	return []row{{"start", "start-up: list the rules of a new namespace", (*env).start}}
}

// startAlike checks that the programs list what there is: both called ip the same.
func (e *env) startAlike(w *world) error {
	four, six := len(rpdb.DefaultRules(rpdb.IPv4)), len(rpdb.DefaultRules(rpdb.IPv6))
	var ips, both judge
	for _, c := range []struct {
		program string
		judge   *judge
		lines   int
	}{{e.peer, &ips, four}, {e.ip, &ips, four}, {e.rpdb, &both, four + six}} {
		got, err := w.list(c.program, "rule", "show")
		if err == nil {
			err = c.judge.see(got, c.lines)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.program, err)
		}
	}
	return nil
}

func (e *env) start() []Line {
	// A figure is the mean of a number of runs: a single one is too short for a clock.
	bursts := max(20/e.scale, 1)
	var lines []Line
	err := e.in(func(w *world) error {
		if err := e.startAlike(w); err != nil {
			return err
		}
		turn := func(name string, words ...string) contestant {
			return contestant{name: name, turn: func() (float64, error) {
				total := 0.0
				for range bursts {
					took, err := w.run("", words...)
					if err != nil {
						return 0, err
					}
					total += took
				}
				return total / float64(bursts), nil
			}}
		}
		series, err := e.contest(Seconds, 3*e.rounds,
			turn("our ip rule show", e.ip, "rule", "show"),
			turn("ip rule show", e.peer, "rule", "show"),
			turn("rpdb rule show", e.rpdb, "rule", "show"))
		if err != nil {
			return err
		}
		note := fmt.Sprintf("Each figure is the mean of %d runs.", bursts)
		lines = []Line{
			{What: "start-up of our ip rule show", Ours: series[0], Peer: series[1], Bar: Bar{kind: share, limit: 1.1, aim: 1.0}, Notes: []string{note}},
			{What: "start-up of rpdb rule show", Ours: series[2], Peer: series[1], Bar: Bar{kind: share, limit: 1.6}, Notes: []string{"rpdb lists the rules of both families."}},
		}
		return nil
	})
	if err != nil {
		return fail("start-up", err)
	}
	return lines
}
