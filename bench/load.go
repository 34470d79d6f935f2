package main

import (
	"fmt"

	"rpdb"
)

// loadTable is the table that full tables are loaded into.
const loadTable rpdb.TableID = 100

func loadRows() []row {
	return []row{
		{"load-ipv4", "load the full IPv4 table", func(e *env) []Line {
			return e.load(rpdb.IPv4, Bar{kind: faster, limit: 1.8, aim: 2.4}, Bar{kind: atMost, limit: 150e6, aim: 32e6})
		}},
		{"load-ipv6", "load the full IPv6 table", func(e *env) []Line {
			return e.load(rpdb.IPv6, Bar{kind: faster, limit: 2.5, aim: 3.5}, Bar{})
		}},
	}
}

// load reads the same batch in fresh namespaces; the memory is that of runs of its own.
func (e *env) load(f rpdb.Family, bar, memory Bar) []Line {
	all, err := e.table(f)
	what := fmt.Sprintf("load %s %v routes", count(len(all)), f)
	if err != nil {
		return fail(what, err)
	}
	batch, err := e.write(fmt.Sprintf("routes-%v", f), len(all), func(i int) string { return routeLine(loadTable, all[i], i) })
	if err != nil {
		return fail(what, err)
	}
	var same judge
	turn := func(name, ip string, how func(w *world, input string, words ...string) (float64, error), more ...string) contestant {
		return contestant{name: name, turn: seen(func() (took float64, err error) {
			err = e.in(func(w *world) error {
				words := append([]string{ip, familyFlag(f), "-batch", batch}, more...)
				if took, err = how(w, "", words...); err != nil {
					return err
				}
				got, err := w.list(e.peer, "-N", familyFlag(f), "route", "show", "table", fmt.Sprint(loadTable))
				if err != nil {
					return err
				}
				return same.see(got, len(all))
			})
			return took, err
		})}
	}
	times, err := e.contest(Seconds, e.rounds, turn("our ip -batch", e.ip, (*world).run), turn("ip -batch", e.peer, (*world).run),
		turn("our ip -force -batch", e.ip, (*world).run, "-force"))
	if err != nil {
		return fail(what, err)
	}
	lines := versus(what, bar, times[:2])
	lines = append(lines, Line{What: what + ", whatever fails", Ours: times[2], Peer: times[1]})
	peaks, err := e.contest(Bytes, 1, turn("our ip -batch", e.ip, (*world).peak), turn("ip -batch", e.peer, (*world).peak))
	if err != nil {
		return append(lines, fail(what+", memory", err)...)
	}
	return append(lines, versus(what+", memory", memory, peaks)...)
}
