package cli

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/sandbox"
)

func (a *app) viewTry(r *rehearsal) error {
	if a.json {
		return a.printJSON(r)
	}
	w := newPrinter(a.Out)
	w.printf("A host with %d %s, a gateway behind each that drops sources which are\n", len(r.spec.Uplinks), plural(len(r.spec.Uplinks), "uplink", "uplinks"))
	w.printf("not its own, and an outside world. Nothing of this host is touched.\n\n")
	w.printf("Before the policy\n")
	w.rows(r.Before)
	w.printf("\nThe policy\n")
	for _, s := range r.Steps {
		w.printf("  + %s\n", r.words.change(s.Change))
	}
	w.printf("\nAfter the policy\n")
	w.rows(r.After)
	for _, d := range r.Down {
		w.printf("\nWith %s down\n", safe(d.Link))
		w.rows(d.Results)
	}
	for _, u := range r.Untried {
		w.fill("  not tried: ", strings.Fields(safe(u)), lineWidth)
	}
	w.printf("\n")
	w.verdict(r)
	return w.err
}

// verdict sums a rehearsal up.
func (p *printer) verdict(r *rehearsal) {
	wrong, unanswered := 0, 0
	for _, t := range slices.Concat(r.Before, r.After, r.unboundWhileDown()) {
		if !t.Agrees {
			wrong++
		}
	}
	for _, t := range r.After {
		if t.Required && !t.Outcome.Answered {
			unanswered++
		}
	}
	total := len(r.Before) + len(r.After) + len(r.unboundWhileDown())
	silent := 0
	for _, t := range r.Before {
		if !t.Outcome.Answered {
			silent++
		}
	}
	p.printf("%d of %d probes went as the engine said.", total-wrong, total)
	p.printf(" Before: %d of %d questions from outside unanswered.\n", silent, len(r.Before))
	switch {
	case wrong > 0:
		p.printf("FAILED: the engine was wrong about %d %s.\n", wrong, plural(wrong, "probe", "probes"))
	case unanswered > 0:
		p.printf("FAILED: %d %s that an uplink must answer %s lost under this policy.\n",
			unanswered, plural(unanswered, "packet", "packets"), plural(unanswered, "is", "are"))
	default:
		p.printf("The policy works: every address answers%s.\n", byItsOwn(r))
	}
}

// byItsOwn says whether all answers left by the uplink that was asked.
func byItsOwn(r *rehearsal) string {
	for _, t := range r.After {
		for _, d := range t.Outcome.Departures {
			if t.Probe.Direction == sandbox.Inbound && d.Uplink != t.Probe.Uplink {
				return ", not all by their own uplink"
			}
		}
	}
	return " by its own uplink"
}

// rows prints one row for each name: the door, then TCP, UDP and ping.
func (p *printer) rows(results []tryResult) {
	p.printf("  %-38s %-10s %-8s %-8s %s\n", "", "LEAVES BY", "TCP", "UDP", "PING")
	for _, row := range rowsOf(results) {
		first := safe(row[0].Name)
		if len(first) > 38 { // on a line of its own
			p.printf("  %s\n", first)
			first = ""
		}
		line := "  " + pad(first, 38) + " " + pad(doors(row), 10)
		for _, proto := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
			line += " " + pad(cell(row, proto), 8)
		}
		p.printf("%s\n", strings.TrimRight(line, " "))
		p.disagreements(row)
	}
}

func pad(s string, width int) string {
	if len(s) >= width {
		return s
	}
	return s + strings.Repeat(" ", width-len(s))
}

// rowsOf puts the probes of one name and rule together, in the order of the first of
// each.
func rowsOf(results []tryResult) (rows [][]tryResult) {
	for _, t := range results {
		i := slices.IndexFunc(rows, func(row []tryResult) bool { return row[0].Name == t.Name && row[0].Rule == t.Rule })
		if i < 0 {
			i, rows = len(rows), append(rows, nil)
		}
		rows[i] = append(rows[i], t)
	}
	return rows
}

// doors names the interfaces that the packets of a row left by.
func doors(row []tryResult) string {
	var links []string
	for _, t := range row {
		for _, d := range t.Outcome.Departures {
			if name := safe(d.Link); !slices.Contains(links, name) {
				links = append(links, name)
			}
		}
	}
	if len(links) == 0 {
		return "-"
	}
	return strings.Join(links, ",")
}

// cell is the fate of a row's probe of one protocol.
func cell(row []tryResult, proto rpdb.IPProto) string {
	for _, t := range row {
		is := t.Probe.Protocol
		if is == rpdb.ICMPv6 {
			is = rpdb.ICMP
		}
		if is == proto {
			return fate(t.Outcome)
		}
	}
	return ""
}

func fate(o sandbox.Outcome) string {
	switch {
	case o.Answered:
		return "ok"
	case o.Errno != 0:
		return o.Errno.String()
	case o.Spoofed():
		return "dropped"
	case len(o.Departures) == 0:
		return "nothing"
	}
	return "lost"
}

// disagreements prints, under a row, as what the world saw it, where the engine was
// wrong, and why something was not answered.
func (p *printer) disagreements(row []tryResult) {
	said := map[string]bool{}
	for _, t := range row {
		texts := []string{translatedWords(t), t.Predicted.Reason}
		if !t.Agrees {
			texts[1] = "DISAGREES: the engine said " + foretold(t.Predicted)
		}
		for _, text := range texts {
			if text != "" && !said[text] {
				said[text] = true
				p.fill("      ", strings.Fields(safe(text)), lineWidth)
			}
		}
	}
}

// translatedWords says what became of the addresses of a forwarded probe, and by which
// rule; "" for others.
func translatedWords(t tryResult) string {
	seen, p := t.Outcome.Source, t.Probe
	var text string
	switch {
	case t.Rule == "" || !seen.IsValid():
		return ""
	case p.Direction == sandbox.Inbound && t.Outcome.Answered:
		text = fmt.Sprintf("reaches %v", p.Local)
	case p.Direction == sandbox.Inbound:
		text = fmt.Sprintf("%v answers as %v", p.Local, seen)
	case seen == p.Local:
		text = "untranslated"
	default:
		text = fmt.Sprintf("seen as %v", seen)
	}
	if t.Elsewhere {
		return text + fmt.Sprintf(" (another rule decides, not %s)", t.Rule)
	}
	return text + fmt.Sprintf(" (rule %s)", t.Rule)
}

func foretold(q prediction) string {
	var links []string
	for _, l := range q.Links {
		links = append(links, string(l))
	}
	word := "nothing leaves"
	if len(links) > 0 {
		word = "leaves by " + strings.Join(links, " or ")
	}
	if q.Source.IsValid() {
		word += " as " + q.Source.String()
	}
	switch {
	case q.Answered:
		word += ", answered"
	case q.Errno != 0:
		word = q.Errno.String()
	default:
		word += ", not answered"
	}
	if q.Reason != "" {
		word += " (" + q.Reason + ")"
	}
	return word
}
