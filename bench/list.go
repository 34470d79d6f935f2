package main

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

func listRows() []row {
	return []row{
		{"list-rules", "list 10,000 rules, text and JSON", (*env).listRules},
		{"list-routes", "list the full IPv4 table, text and JSON", (*env).listRoutes},
	}
}

// listed is what is listed in a world, by the same words in both programs.
type listed struct {
	env     *env
	world   *world
	what    string
	words   []string
	bar     Bar
	few     int // routes of the short list
	library func(*netlink.Handle) (int, error)
	request uint16 // that has the kernel tell the list
	payload []byte
}

func (e *env) listRules() []Line {
	n := e.size(10_000)
	var lines []Line
	err := e.in(func(w *world) error {
		if err := w.pourRules(n, tenants(rpdb.IPv4, false)); err != nil {
			return err
		}
		l := listed{env: e, world: w, what: fmt.Sprintf("list %s rules", count(n)), bar: Bar{kind: share, limit: 0.6, aim: 0.35}, words: []string{"rule", "show"}}
		l.request, l.payload = unix.RTM_GETRULE, append([]byte{unix.AF_INET}, make([]byte, 11)...) // struct fib_rule_hdr
		l.library = func(h *netlink.Handle) (int, error) {
			all, err := h.RuleList(netlink.FAMILY_V4)
			return len(all), err
		}
		lines = append(l.lines("text"), l.lines("JSON", "-json")...)
		return nil
	})
	if err != nil {
		return fail("list rules", err)
	}
	return lines
}

func (e *env) listRoutes() []Line {
	all, err := e.table(rpdb.IPv4)
	if err != nil {
		return fail("list routes", err)
	}
	var lines []Line
	err = e.in(func(w *world) error {
		few := all[:min(e.size(10_000), len(all))]
		if err := w.pourRoutes(loadTable, all); err != nil {
			return err
		}
		if err := w.pourRoutes(shortTable, few); err != nil {
			return err
		}
		l := listed{
			env: e, world: w, few: len(few), what: fmt.Sprintf("list %s routes", count(len(all))), bar: Bar{kind: share, limit: 0.5},
			words: []string{"route", "show", "table", fmt.Sprint(loadTable)}, request: unix.RTM_GETROUTE,
		}
		if l.payload, err = kernel.EncodeRoute(rpdb.Route{Family: rpdb.IPv4, Table: loadTable}); err != nil {
			return err
		}
		l.library = func(h *netlink.Handle) (int, error) {
			found, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: int(loadTable)}, netlink.RT_FILTER_TABLE)
			return len(found), err
		}
		lines = append(l.lines("text"), l.memory("text")...)
		l.bar.aim = 0.25
		lines = append(append(lines, l.lines("JSON", "-json")...), l.memory("JSON", "-json")...)
		return nil
	})
	if err != nil {
		return fail("list routes", err)
	}
	return lines
}

// lines measures one form of the list. The outputs must be the same bytes.
func (l *listed) lines(form string, options ...string) []Line {
	what := l.what + ", " + form
	command := func(ip string) []string { return append(append([]string{ip, "-4"}, options...), l.words...) }
	var outputs [2]listing
	for i, ip := range []string{l.env.ip, l.env.peer} {
		var err error
		if outputs[i], err = l.world.list(command(ip)...); err != nil {
			return fail(what, err)
		}
	}
	if outputs[0] != outputs[1] {
		return fail(what, fmt.Errorf("not the same work: the outputs differ (%d and %d lines)", outputs[0].lines, outputs[1].lines))
	}
	turn := func(name, ip string) contestant {
		return contestant{name: name, turn: func() (float64, error) { return l.world.run("", command(ip)...) }}
	}
	all := []contestant{turn("our ip", l.env.ip), turn("ip", l.env.peer)}
	if form == "text" {
		all = append(all, contestant{name: "netlink", turn: l.byLibrary}, contestant{name: "the kernel's list alone", turn: l.byKernel})
	}
	series, err := l.env.contest(Seconds, l.env.rounds, all...)
	if err != nil {
		return fail(what, err)
	}
	lines := versus(what, l.bar, series)

	piped := func(name, ip string) contestant {
		return contestant{name: name, turn: func() (float64, error) { return l.world.piped(command(ip)...) }}
	}
	what += ", into a pipe"
	if series, err = l.env.contest(Seconds, l.env.rounds, piped("our ip", l.env.ip), piped("ip", l.env.peer)); err != nil {
		return append(lines, fail(what, err)...)
	}
	return append(lines, versus(what, Bar{}, series)...)
}

// byKernel has the kernel tell the list, and does nothing with it.
func (l *listed) byKernel() (took float64, err error) {
	err = l.world.Do(func() error {
		start := time.Now()
		n, err := dump(l.request, l.payload)
		took = time.Since(start).Seconds()
		if err == nil && n == 0 {
			err = fmt.Errorf("the kernel lists nothing")
		}
		return err
	})
	return took, err
}

// byLibrary reads the list into the library's values, without printing them.
func (l *listed) byLibrary() (took float64, err error) {
	err = l.world.Do(func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		start := time.Now()
		n, err := l.library(h)
		took = time.Since(start).Seconds()
		if err == nil && n == 0 {
			err = fmt.Errorf("the library lists nothing")
		}
		return err
	})
	return took, err
}

// shortTable holds a short list of routes.
const shortTable = loadTable + 1

// memory compares the memory of the list with that of a short one: it must not grow.
func (l *listed) memory(form string, options ...string) []Line {
	what := l.what + ", " + form + ", memory"
	peak := func(name, ip string, words []string) contestant {
		command := append(append([]string{ip, "-4"}, options...), words...)
		return contestant{name: name, turn: seen(func() (float64, error) { return l.world.peak("", command...) })}
	}
	short := []string{"route", "show", "table", fmt.Sprint(shortTable)}
	few := fmt.Sprintf("our ip, %s routes", count(l.few))
	series, err := l.env.contest(Bytes, 3, peak("our ip", l.env.ip, l.words), peak("ip", l.env.peer, l.words), peak(few, l.env.ip, short))
	if err != nil {
		return fail(what, err)
	}
	grows := Line{What: what + ", against a short list", Ours: series[0], Peer: series[2], Bar: Bar{kind: share, limit: 1.5}}
	return []Line{{What: what, Ours: series[0], Peer: series[1]}, grows}
}
