package main

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"rpdb"
)

// env is what all rows share.
type env struct {
	ctx            context.Context // ends when the run is interrupted
	peer, ip, rpdb string          // the system's ip, and our two programs
	rounds, scale  int
	data           string // the folder with the routing table
	tmp            string
	log            func(format string, args ...any)

	loaded *tables
	curves map[string]*Curve // by plot and contestant
}

// row is a part of the benchmark that can be run alone.
type row struct {
	name, about string
	run         func(*env) []Line
}

// rows returns all, in the order of the document.
func rows() []row {
	var all []row
	all = append(all, applyRows()...)
	all = append(all, flushRows()...)
	all = append(all, loadRows()...)
	all = append(all, listRows()...)
	all = append(all, startRows()...)
	all = append(all, decideRows()...)
	return append(all, engineRows()...)
}

// selected returns the rows whose names match.
func selected(pattern string) ([]row, error) {
	match, err := regexp.Compile("^(" + pattern + ")")
	if err != nil {
		return nil, err
	}
	var some []row
	for _, r := range rows() {
		if match.MatchString(r.name) {
			some = append(some, r)
		}
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("no row begins with %q: -list tells their names", pattern)
	}
	return some, nil
}

// measure runs rows, until the run is interrupted. One that fails, or panics, does not
// keep the others from running.
func (e *env) measure(some []row) []Line {
	var lines []Line
	for _, r := range some {
		if e.ctx.Err() != nil {
			break
		}
		start := time.Now()
		e.log("%s: %s", r.name, r.about)
		got := e.guarded(r)
		for _, l := range got {
			e.log("  %s", l.summary(e.scale == 1))
		}
		e.log("  (%.0f s)", time.Since(start).Seconds())
		lines = append(lines, got...)
	}
	return lines
}

func (e *env) guarded(r row) (lines []Line) {
	defer func() {
		if p := recover(); p != nil {
			lines = fail(r.about, fmt.Errorf("panic: %v", p))
		}
	}()
	return r.run(e)
}

// summary is the line for a terminal.
func (l Line) summary(judge bool) string {
	if l.Err != nil {
		return fmt.Sprintf("%s: FAILED: %v", l.What, l.Err)
	}
	_, ratio := l.ratio()
	s := fmt.Sprintf("%s: %s %s", l.What, l.Ours.Name, l.Ours.Unit.show(l.Ours.Median()))
	if len(l.Peer.Values) > 0 {
		s += fmt.Sprintf(", %s %s, %s", l.Peer.Name, l.Peer.Unit.show(l.Peer.Median()), ratio)
	}
	return fmt.Sprintf("%s (%s: %s)", s, l.Bar.String(l.Ours.Unit), l.verdict(judge))
}

// size returns a size of the issue at the scale of this run.
func (e *env) size(n int) int { return max(n/e.scale, 4) }

func (e *env) file(name string) string { return filepath.Join(e.tmp, name) }

// write makes a file of lines.
func (e *env) write(name string, n int, line func(i int) string) (string, error) {
	f, err := os.Create(e.file(name))
	if err != nil {
		return "", err
	}
	w := newLineWriter(f)
	for i := range n {
		w.line(line(i))
	}
	return f.Name(), w.close()
}

// table returns the full table of a family.
func (e *env) table(f rpdb.Family) ([]netip.Prefix, error) {
	if e.loaded == nil {
		t, err := loadTables(e.data, e.scale)
		if err != nil {
			return nil, err
		}
		e.loaded = t
	}
	return e.loaded.prefixes[f], nil
}

// contestant has its turn in each round, or in the first few.
type contestant struct {
	name   string
	rounds int // 0: all
	// turn prepares, measures and judges what it did. The figure is in the unit of
	// the contest.
	turn func() (float64, error)
}

// contest lets the contestants have their turns, in another order each round, and
// returns a series for each. None has a turn after the run was interrupted.
func (e *env) contest(unit Unit, rounds int, all ...contestant) ([]Series, error) {
	series := make([]Series, len(all))
	for i, c := range all {
		series[i] = Series{Name: c.name, Unit: unit}
	}
	for round := range rounds {
		for turn := range all {
			i := (turn + round) % len(all)
			if c := all[i]; c.rounds == 0 || round < c.rounds {
				if err := e.ctx.Err(); err != nil {
					return nil, err
				}
				runtime.GC()
				v, err := c.turn()
				if err != nil {
					return nil, fmt.Errorf("round %d of %s: %w", round+1, c.name, err)
				}
				series[i].Values = append(series[i].Values, v)
			}
		}
	}
	return series, nil
}

// versus makes the lines of a contest: the first contestant against each other one, of
// which the first is the peer that the bar is about.
func versus(what string, bar Bar, series []Series, notes ...string) []Line {
	lines := []Line{{What: what, Ours: series[0], Bar: bar, Notes: notes}}
	for i, s := range series[1:] {
		if i == 0 {
			lines[0].Peer = s
			continue
		}
		lines = append(lines, Line{What: what, Ours: series[0], Peer: s})
	}
	return lines
}

// lineWriter writes lines until the first error, which close returns.
type lineWriter struct {
	file *os.File
	buf  *bufio.Writer
}

func newLineWriter(f *os.File) *lineWriter { return &lineWriter{f, bufio.NewWriter(f)} }

func (w *lineWriter) line(s string) {
	w.buf.WriteString(s)
	w.buf.WriteByte('\n')
}

func (w *lineWriter) close() error {
	err := w.buf.Flush()
	if closed := w.file.Close(); err == nil {
		err = closed
	}
	return err
}
