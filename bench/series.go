package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Unit is what a figure is in.
type Unit string

// The units.
const (
	Seconds Unit = "s"
	Bytes   Unit = "B"
)

// Series is the figures of one contestant, a round each.
type Series struct {
	Name   string
	Unit   Unit
	Values []float64
}

// Min returns the least figure, 0 if there is none.
func (s Series) Min() float64 {
	if len(s.Values) == 0 {
		return 0
	}
	return slices.Min(s.Values)
}

// Median returns the figure in the middle, 0 if there is none.
func (s Series) Median() float64 { return median(s.Values) }

func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// over returns the median of the ratios of the rounds of two series. If they have
// different numbers of rounds it is the ratio of the medians.
func over(a, b Series) float64 {
	if len(a.Values) != len(b.Values) {
		return a.Median() / b.Median()
	}
	ratios := make([]float64, len(a.Values))
	for i := range ratios {
		ratios[i] = a.Values[i] / b.Values[i]
	}
	return median(ratios)
}

// show writes a figure with three digits and a unit of fitting size.
func (u Unit) show(v float64) string {
	scales := []struct {
		from float64
		unit string
	}{{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}}
	if u == Bytes {
		scales = scales[:0]
		for _, s := range []string{"GB", "MB", "kB", "B"} {
			scales = append(scales, struct {
				from float64
				unit string
			}{map[string]float64{"GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1}[s], s})
		}
	}
	for _, s := range scales {
		if v >= s.from || s == scales[len(scales)-1] {
			return digits(v/s.from) + " " + s.unit
		}
	}
	return ""
}

// digits writes a number with three digits, or all before the point.
func digits(v float64) string {
	precision := 2
	for limit := 10.0; v >= limit && precision > 0; limit *= 10 {
		precision--
	}
	return strconv.FormatFloat(v, 'f', precision, 64)
}

// count writes a number with commas.
func count(n int) string {
	s := strconv.Itoa(n)
	var parts []string
	for len(s) > 3 {
		parts, s = append(parts, s[len(s)-3:]), s[:len(s)-3]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// barKind is what a bar is about.
type barKind uint8

const (
	noBar  barKind = iota // reported
	faster                // the peer's time is at least so many times ours
	share                 // ours is at most this part of the peer's
	atMost                // ours is at most this
)

// Bar is what a line has to reach, and what it aims at. The zero Bar is none: the
// line is reported.
type Bar struct {
	kind       barKind
	limit, aim float64 // aim 0: none
}

// String writes the bar as the table shows it.
func (b Bar) String(u Unit) string {
	show := func(v float64) string {
		switch b.kind {
		case faster:
			return "at least " + strconv.FormatFloat(v, 'f', -1, 64) + "x"
		case share:
			return "at most " + strconv.FormatFloat(v, 'f', -1, 64) + "x"
		}
		return "at most " + u.show(v)
	}
	switch {
	case b.kind == noBar:
		return "-"
	case b.aim == 0:
		return show(b.limit)
	}
	return show(b.limit) + ", aim " + strings.TrimPrefix(strings.TrimPrefix(show(b.aim), "at least "), "at most ")
}

// Line is one line of the table: ours, and a peer if there is one.
type Line struct {
	What  string
	Ours  Series
	Peer  Series
	Bar   Bar
	Notes []string
	Err   error // nothing was measured, or not the same work was done
}

// ratio returns what the bar is about, and as the table shows it.
func (l Line) ratio() (float64, string) {
	switch {
	case len(l.Ours.Values) == 0:
		return 0, "-"
	case l.Bar.kind == atMost || len(l.Peer.Values) == 0:
		return l.Ours.Median(), "-"
	case l.Bar.kind == share:
		r := over(l.Ours, l.Peer)
		return r, digits(r) + "x of its"
	}
	r := over(l.Peer, l.Ours)
	return r, digits(r) + "x"
}

// verdict says whether the bar is reached.
func (l Line) verdict(judge bool) string {
	if l.Err != nil {
		return "FAILED"
	}
	if l.Bar.kind == noBar {
		return "reported"
	}
	if !judge {
		return "not judged: other sizes"
	}
	r, _ := l.ratio()
	reached := func(limit float64) bool {
		if l.Bar.kind == faster {
			return r >= limit
		}
		return r <= limit
	}
	switch {
	case !reached(l.Bar.limit):
		return "**no**"
	case l.Bar.aim != 0 && reached(l.Bar.aim):
		return "yes, the aim too"
	}
	return "yes"
}

func fail(what string, err error) []Line {
	return []Line{{What: what, Err: fmt.Errorf("%s: %w", what, err)}}
}
