package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/fib"
	"rpdb/kernel"
)

func decideRows() []row {
	return []row{
		{"decide-kinds", "decisions among 10,000 rules by what they look at", (*env).decideKinds},
		{"decide-count", "decisions by the number of rules", (*env).decideCount},
	}
}

// flowCount is how many flows are put in turns; a power of two.
const flowCount = 1024

// decisions is a world with the full table of a family in main, behind the rules that
// are to be tried.
type decisions struct {
	family   rpdb.Family
	env      *env
	world    *world
	conn     *kernel.Conn
	fib      *kernelFIB
	snapshot *rpdb.Snapshot
	in       rpdb.LinkIndex
}

func (e *env) inDecisions(family rpdb.Family, f func(d *decisions) error) error {
	return e.in(func(w *world) error {
		d := &decisions{family: family, env: e, world: w}
		defer d.close()
		if err := d.prepare(); err != nil {
			return err
		}
		return f(d)
	})
}

func (d *decisions) prepare() error {
	w := d.world
	settings := map[string]string{
		"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.d0.rp_filter": "0", "net.ipv4.conf.d1.rp_filter": "0",
		// So that the engine, as the kernel's lookup for BPF, walks the rules once, and not
		// again for the way back. Flows that leave by the interface that they come in by
		// are walked for twice all the same, at the engine's cost.
		"net.ipv4.conf.all.accept_local": "1",
	}
	for key, value := range settings {
		if err := w.SetSysctl(key, value); err != nil {
			return err
		}
	}
	err := w.batch(
		fmt.Sprintf("route add default via 198.51.100.1 dev d1 table %d", otherTable),
		fmt.Sprintf("route add default via 2001:db8:b::1 dev d1 table %d", otherTable),
		fmt.Sprintf("rule add priority %d lookup main", mainPriority), "rule delete priority 32766",
	)
	if err == nil {
		err = w.optionBatch("-6", fmt.Sprintf("rule add priority %d lookup main", mainPriority), "rule delete priority 32766")
	}
	if err != nil {
		return err
	}
	all, err := d.env.table(d.family)
	if err != nil {
		return err
	}
	if err := w.pourRoutes(rpdb.TableMain, all); err != nil {
		return fmt.Errorf("full %v table: %w", d.family, err)
	}
	if d.in, err = w.link("d1"); err != nil {
		return err
	}
	if d.conn, err = kernel.Open(kernel.Options{NetNS: w.NetNS}); err != nil {
		return err
	}
	if d.snapshot, err = d.conn.Snapshot(context.Background()); err != nil {
		return err
	}
	d.fib, err = newKernelFIB(flowCount)
	return err
}

func (d *decisions) close() {
	if d.conn != nil {
		d.conn.Close()
	}
	if d.fib != nil {
		d.fib.Close()
	}
}

// with puts n rules in front of main for the time of f. Those of IPv6 stay until the
// world ends: with each that is deleted the kernel walks the whole table.
func (d *decisions) with(k kind, n int, f func() error) error {
	if err := d.world.pourRules(n, k.make); err != nil {
		return err
	}
	err := f()
	if k.family == rpdb.IPv6 {
		return err
	}
	gone := d.world.Do(func() error {
		return pour(unix.RTM_DELRULE, n, func(i int) ([]byte, error) { return kernel.EncodeRule(k.make(i)) })
	})
	if err == nil {
		err = gone
	}
	return err
}

// compare measures the engine against the kernel among n rules of a kind, and has them
// agree about each flow first. The engine is compiled from what the kernel lists.
func (d *decisions) compare(k kind, n int) (series []Series, err error) {
	ctx := context.Background()
	return series, d.with(k, n, func() error {
		table, err := d.env.table(k.family)
		if err != nil {
			return err
		}
		d.snapshot.Rules = nil
		for _, f := range rpdb.Families() {
			rules, err := d.conn.Rules(ctx, f)
			if err != nil {
				return err
			}
			d.snapshot.Rules = append(d.snapshot.Rules, rules...)
		}
		if found, want := len(d.snapshot.RulesOf(k.family)), n+len(rpdb.DefaultRules(k.family)); found != want {
			return fmt.Errorf("the kernel lists %d rules, not %d", found, want)
		}
		engine := fib.Compile(d.snapshot)
		flows := k.flows(flowCount, n, table)
		if err := d.fib.put(flows, d.in); err != nil {
			return err
		}
		passes := min(max(20_000/n, 1), 100)
		ask := func() (took float64, err error) {
			err = d.world.Do(func() error {
				took, err = d.fib.time(passes)
				return err
			})
			return took, err
		}
		if _, err := ask(); err != nil {
			return err
		}
		if err := d.agree(k, engine, flows); err != nil {
			return err
		}
		series, err = d.env.contest(Seconds, d.env.rounds,
			contestant{name: "fib.Lookup", turn: func() (float64, error) { return perLookup(engine, flows), nil }},
			contestant{name: "the kernel", turn: ask})
		return err
	})
}

// perLookup returns how long the engine takes for a decision, over a tenth of a second.
// It counts the time that its thread ran: the kernel's test run leaves out, too, when it
// did not.
func perLookup(engine *fib.FIB, flows []rpdb.Flow) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, n := threadTime(), 0
	for threadTime()-start < 100*time.Millisecond {
		for _, f := range flows {
			engine.Lookup(f)
		}
		n += len(flows)
	}
	return (threadTime() - start).Seconds() / float64(n)
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // never fails on Linux
	return time.Duration(t.Nano())
}

// agree compares both answers about each flow, and that half of the flows take the
// other table if some are to.
func (d *decisions) agree(k kind, engine *fib.FIB, flows []rpdb.Flow) error {
	others := 0
	for i, f := range flows {
		said, err := d.fib.answer(i, k.family)
		if err != nil {
			return err
		}
		ours := engine.Lookup(f)
		if ours.Table == otherTable {
			others++
		}
		if !agrees(d.snapshot, f, ours, said) {
			return fmt.Errorf("not the same decision about %+v: ours %+v, the kernel's %+v", f, ours, said)
		}
	}
	selects := !k.none && k.rule(0).Action.Type() != rpdb.ActionGoto
	if selects && others != len(flows)/2 || !selects && others != 0 {
		return fmt.Errorf("%d of %d flows take the other table", others, len(flows))
	}
	return nil
}

func agrees(s *rpdb.Snapshot, f rpdb.Flow, ours rpdb.Decision, said kernelAnswer) bool {
	if said.code != 0 {
		return !ours.Disposition.Delivered()
	}
	via := ours.Via
	if !via.IsValid() {
		via = f.Dst
	}
	return ours.Disposition == rpdb.Sent && ours.Link == s.LinkName(said.link) && via == said.via
}

func (e *env) decideKinds() []Line {
	var lines []Line
	one := func(d *decisions, k kind) {
		what := fmt.Sprintf("one %v decision, %s rules %s", k.family, count(e.size(10_000)), k.words)
		series, err := d.compare(k, e.size(10_000))
		if err != nil {
			lines = append(lines, fail(what, err)...)
			return
		}
		var notes []string
		if k.note != "" {
			notes = []string{k.note}
		}
		lines = append(lines, versus(what, k.bar, series, notes...)...)
	}
	for _, f := range rpdb.Families() {
		err := e.inDecisions(f, func(d *decisions) error {
			for _, k := range kinds() {
				if k.family == f {
					one(d, k)
				}
			}
			return nil
		})
		if err != nil {
			lines = append(lines, fail(fmt.Sprintf("%v decisions", f), err)...)
		}
	}
	return lines
}

func (e *env) decideCount() []Line {
	var lines []Line
	k := kinds()[0]
	err := e.inDecisions(k.family, func(d *decisions) error {
		for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
			n = e.size(n)
			what := fmt.Sprintf("one %v decision, %s rules", k.family, count(n))
			series, err := d.compare(k, n)
			if err != nil {
				lines = append(lines, fail(what, err)...)
				continue
			}
			for _, s := range series {
				e.point("decide", s.Name, n, s.Median())
			}
			lines = append(lines, versus(what, Bar{}, series)...)
		}
		return nil
	})
	if err != nil {
		return append(lines, fail("decisions by the number of rules", err)...)
	}
	return lines
}

// hostOf returns a host as the decision worlds are, without a kernel: n rules of a kind
// and routes in main.
func hostOf(k kind, n int, table []netip.Prefix) *rpdb.Snapshot {
	s := &rpdb.Snapshot{Custom4: rpdb.CustomisedYes, Custom6: rpdb.CustomisedYes}
	for i, name := range []rpdb.LinkName{"lo", "d0", "d1"} {
		s.Links = append(s.Links, rpdb.Link{Index: rpdb.LinkIndex(i + 1), Name: name, Flags: rpdb.LinkUp | rpdb.LinkLowerUp})
	}
	defaults := rpdb.DefaultRules(k.family)
	s.Rules = append(s.Rules, defaults[0])
	for i := range n {
		s.Rules = append(s.Rules, k.make(i))
	}
	defaults[1].Priority = mainPriority
	s.Rules = append(s.Rules, defaults[1])
	s.Routes = append(s.Routes, route(otherTable, netip.PrefixFrom(netip.IPv4Unspecified(), 0), 3, 0))
	for i, p := range table {
		s.Routes = append(s.Routes, route(rpdb.TableMain, p, 2, i))
	}
	s.Sysctls.IPv4Forward, s.Sysctls.All.Forwarding4, s.Sysctls.All.AcceptLocal = true, true, true
	s.Sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{"d0": {Forwarding4: true}, "d1": {Forwarding4: true}}
	return s
}
