package main

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed document.md
var documentText string

// document writes the page: how it is measured, the machine, the table, and what pages
// there are of others.
func (e *env) document(m Machine, lines []Line, others []string) (string, error) {
	t, err := template.New("document").Parse(documentText)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{
		"Machine": m, "Table": table(lines, e.scale == 1), "Rounds": e.rounds, "Source": e.source(), "Plot": plotFile,
		"Notes": notes(lines), "Missed": missed(lines, e.scale == 1), "Others": others,
	})
	return b.String(), err
}

func (e *env) source() string {
	if e.loaded == nil {
		return "not used"
	}
	return e.loaded.source
}

// table is the lines in Markdown. Their notes are numbered.
func table(lines []Line, judge bool) string {
	var b strings.Builder
	b.WriteString("| what | ours | min | median | the peer | min | median | ratio | bar | reached |\n")
	b.WriteString("|---|---|--:|--:|---|--:|--:|--:|---|---|\n")
	number := 0
	for _, l := range lines {
		what := l.What
		for range l.Notes {
			number++
			what += fmt.Sprintf(" [%d]", number)
		}
		_, ratio := l.ratio()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", what, cells(l.Ours), cells(l.Peer), ratio, l.Bar.String(l.Ours.Unit), l.verdict(judge))
	}
	return b.String()
}

func cells(s Series) string {
	if len(s.Values) == 0 {
		return "- | - | -"
	}
	return fmt.Sprintf("%s | %s | %s", s.Name, s.Unit.show(s.Min()), s.Unit.show(s.Median()))
}

// notes are the numbered notes of the table, and what failed.
func notes(lines []Line) string {
	var b strings.Builder
	number := 0
	for _, l := range lines {
		for _, n := range l.Notes {
			number++
			fmt.Fprintf(&b, "%d. %s\n", number, n)
		}
	}
	for _, l := range lines {
		if l.Err != nil {
			fmt.Fprintf(&b, "\nFailed: %v\n", l.Err)
		}
	}
	return b.String()
}

// missed counts the lines that failed or did not reach their bar.
func missed(lines []Line, judge bool) string {
	failed, short, judged := 0, 0, 0
	for _, l := range lines {
		switch v := l.verdict(judge); {
		case l.Err != nil:
			failed++
		case !judge, v == "reported":
		default:
			judged++
			if v == "**no**" {
				short++
			}
		}
	}
	if !judge {
		return fmt.Sprintf("No bar is judged, as the sizes are others; %d lines failed", failed)
	}
	return fmt.Sprintf("%d of %d bars are reached; %d lines failed", judged-short, judged, failed)
}
