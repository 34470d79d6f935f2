package main

import (
	"cmp"
	"fmt"
	"html"
	"maps"
	"math"
	"slices"
	"strings"
)

// plotFile is the name of the plot, beside the document.
const plotFile = "benchmarks.svg"

// Point is one median, in seconds.
type Point struct {
	Rules int
	Took  float64
}

// Curve is one contestant of one plot.
type Curve struct {
	Plot, Name string
	Points     []Point
}

// point notes a median for the plot. A later one of the same number of rules replaces
// an earlier one.
func (e *env) point(plot, name string, rules int, took float64) {
	key := plot + " " + name
	if e.curves == nil {
		e.curves = map[string]*Curve{}
	}
	c := e.curves[key]
	if c == nil {
		c = &Curve{Plot: plot, Name: name}
		e.curves[key] = c
	}
	c.Points = slices.DeleteFunc(c.Points, func(p Point) bool { return p.Rules == rules })
	c.Points = append(c.Points, Point{rules, took})
	slices.SortFunc(c.Points, func(a, b Point) int { return cmp.Compare(a.Rules, b.Rules) })
}

func (e *env) curvesOf(plot string) []Curve {
	var found []Curve
	for _, key := range slices.Sorted(maps.Keys(e.curves)) {
		if c := e.curves[key]; c.Plot == plot {
			found = append(found, *c)
		}
	}
	return found
}

// Of a panel, in pixels.
const (
	panelWidth, panelHeight      = 460, 400
	left, right, top, bottom     = 70, 20, 40, 50
	plotWidth                    = panelWidth - left - right
	plotHeight                   = panelHeight - top - bottom
	secondsPerNanosecond         = 1e-9
	fewestPowers, smallestFigure = 1, secondsPerNanosecond
)

// plot draws both panels, each with logarithmic axes.
func (e *env) plot() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", 2*panelWidth, panelHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", 2*panelWidth, panelHeight)
	panel(&b, 0, "one decision, rules of 1 mask shape and a full table", e.curvesOf("decide"))
	panel(&b, panelWidth, "apply rules of distinct priorities", e.curvesOf("apply"))
	b.WriteString("</svg>\n")
	return b.String()
}

// axis maps powers of ten onto pixels.
type axis struct{ low, high int } // exponents

func axisOf(values []float64) axis {
	if len(values) == 0 {
		return axis{0, fewestPowers}
	}
	a := axis{int(math.Floor(math.Log10(slices.Min(values)))), int(math.Ceil(math.Log10(slices.Max(values))))}
	a.high = max(a.high, a.low+fewestPowers)
	return a
}

// at returns where a value lies, 0 to 1.
func (a axis) at(v float64) float64 {
	return (math.Log10(max(v, smallestFigure)) - float64(a.low)) / float64(a.high-a.low)
}

func panel(b *strings.Builder, offset int, title string, curves []Curve) {
	var rules, times []float64
	for _, c := range curves {
		for _, p := range c.Points {
			rules, times = append(rules, float64(p.Rules)), append(times, max(p.Took, smallestFigure))
		}
	}
	x, y := axisOf(rules), axisOf(times)
	fmt.Fprintf(b, `<g transform="translate(%d,%d)">`+"\n", offset+left, top)
	fmt.Fprintf(b, `<text x="%d" y="-16" text-anchor="middle" font-size="14">%s</text>`+"\n", plotWidth/2, html.EscapeString(title))
	grid(b, x, y)
	colours := []string{"#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad"}
	for i, c := range curves {
		draw(b, x, y, c, colours[i%len(colours)], i)
	}
	b.WriteString("</g>\n")
}

func grid(b *strings.Builder, x, y axis) {
	for p := x.low; p <= x.high; p++ {
		at := int(x.at(math.Pow10(p)) * plotWidth)
		fmt.Fprintf(b, `<line x1="%d" y1="0" x2="%d" y2="%d" stroke="#ddd"/>`, at, at, plotHeight)
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", at, plotHeight+18, count(int(math.Pow10(p))))
	}
	for p := y.low; p <= y.high; p++ {
		at := plotHeight - int(y.at(math.Pow10(p))*plotHeight)
		fmt.Fprintf(b, `<line x1="0" y1="%d" x2="%d" y2="%d" stroke="#ddd"/>`, at, plotWidth, at)
		fmt.Fprintf(b, `<text x="-8" y="%d" text-anchor="end">%s</text>`+"\n", at+4, power(p))
	}
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="none" stroke="#444"/>`, plotWidth, plotHeight)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">rules</text>`+"\n", plotWidth/2, plotHeight+38)
}

// power writes a power of ten seconds: 100 us.
func power(p int) string {
	units := []string{"s", "ms", "us", "ns"}
	i := min(max((2-p)/3, 0), len(units)-1)
	return fmt.Sprintf("%s %s", count(int(math.Round(math.Pow10(p+3*i)))), units[i])
}

func draw(b *strings.Builder, x, y axis, c Curve, colour string, number int) {
	var path []string
	for _, p := range c.Points {
		px, py := x.at(float64(p.Rules))*plotWidth, plotHeight-y.at(p.Took)*plotHeight
		path = append(path, fmt.Sprintf("%.1f,%.1f", px, py))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s, %s rules: %s</title></circle>`+"\n", px, py, colour,
			html.EscapeString(c.Name), count(p.Rules), Seconds.show(p.Took))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, " "), colour)
	fmt.Fprintf(b, `<text x="10" y="%d" fill="%s">%s</text>`+"\n", 18+16*number, colour, html.EscapeString(c.Name))
}
