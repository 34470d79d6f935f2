package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"rpdb/analysis/cost"
)

// shownChanges is how many changes of a saving are printed; JSON has all.
const shownChanges = 4

func (a *app) viewCost(r *costReport) error {
	if a.json {
		return a.printJSON(r)
	}
	w := newPrinter(a.Out)
	v := newWords(r.snapshot.LinkName, a.loadNames())
	for _, f := range r.Families {
		w.costFamily(v, f)
	}
	if r.NotMeasured != "" {
		w.printf("Not measured: %s.\n", r.NotMeasured)
	}
	w.wrap("Times are foretold by a model of Linux 6.18; a machine may be a factor of two away. Nothing was changed.")
	return w.err
}

func (p *printer) costFamily(v words, f familyCost) {
	p.printf("%v: %d %s\n", f.Family.Family, f.Rules, plural(f.Rules, "rule", "rules"))
	if f.Walks > 0 {
		p.costWalk("A packet that no selector is for", f.Typical, f.Walks)
		p.costWalk("The longest walk", f.Worst, f.Walks)
	} else {
		p.item("", "A lookup costs "+nanoseconds(f.Typical.Lookup)+".")
	}
	if m := f.Measured; m != nil {
		p.item("measured: ", m.text())
	}
	for _, fact := range f.Facts {
		p.item("why: ", withReason(fact.Message, fact.Reason))
	}
	for _, s := range f.Savings {
		p.item("save: ", fmt.Sprintf("%s: %d rules instead of %d for %s", s.Message, s.After, s.Before, s.Who))
		p.fill("        ", strings.Fields(safe(s.Reason)), textWidth(p.w))
		for i, c := range s.Changes {
			if i == shownChanges && len(s.Changes) > shownChanges+1 {
				p.printf("        ... and %d more (all of them with --json)\n", len(s.Changes)-i)
				break
			}
			p.printf("        %s\n", v.change(c))
		}
	}
}

func (p *printer) costWalk(who string, w cost.Walk, walks int) {
	text := fmt.Sprintf("%s asks %d %s and %d %s: %s a lookup", who, w.Rules, plural(w.Rules, "rule", "rules"),
		w.Tables, plural(w.Tables, "table", "tables"), nanoseconds(w.Lookup))
	if w.Forwarded != w.Lookup {
		times := "once"
		if walks > 1 {
			times = "twice"
		}
		text += fmt.Sprintf(", %s to forward one: %s", times, nanoseconds(w.Forwarded))
	}
	p.item("", text+".")
}

// item prints what something is about and what is said of it.
func (p *printer) item(head, text string) {
	p.fill("  "+head, strings.Fields(safe(text)), textWidth(p.w))
}

func withReason(message, reason string) string {
	if reason == "" {
		return message
	}
	return message + "; " + reason
}

// text says what was measured, and whether it says something.
func (m *measuredCost) text() string {
	asked := fmt.Sprintf("%d %s", m.Rules, plural(m.Rules, "rule", "rules"))
	where := fmt.Sprintf("route get %v, which asks %s, took %s, and %s in a fresh namespace without rules, most of it the exchange", m.Dst, asked, nanosecond(m.Here), nanosecond(m.Fresh))
	if m.More <= m.Noise {
		return where + fmt.Sprintf("; differences below %s cannot be told from noise", nanosecond(m.Noise))
	}
	return where + fmt.Sprintf(": %s more; %s were foretold for the rules", nanosecond(m.More), nanoseconds(m.Foretold))
}

// nanoseconds writes a range, as in "4.1 to 13 us".
func nanoseconds(r cost.Range) string {
	low, high := nanosecond(r.Low), nanosecond(r.High)
	number, unit, _ := strings.Cut(low, " ")
	if _, other, _ := strings.Cut(high, " "); other == unit {
		low = number
	}
	return low + " to " + high
}

// nanosecond writes a time with two digits.
func nanosecond(ns float64) string {
	unit := "ns"
	for _, larger := range []string{"us", "ms", "s"} {
		if ns < 999.5 {
			break
		}
		ns, unit = ns/1000, larger
	}
	if ns < 9.95 && unit != "ns" {
		return strconv.FormatFloat(ns, 'f', 1, 64) + " " + unit
	}
	return strconv.FormatFloat(math.Round(ns), 'f', 0, 64) + " " + unit
}
