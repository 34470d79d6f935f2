package analysis

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
)

// finder returns an analyzer that reports the diagnostics, then fails if err
// is not nil.
func finder(name string, err error, found ...Diagnostic) *Analyzer {
	return &Analyzer{Name: name, Doc: "reports what it is told.", Run: func(p *Pass) error {
		for _, d := range found {
			p.Report(d)
		}
		return err
	}}
}

func TestRunOrder(t *testing.T) {
	first := finder("first", nil,
		Diagnostic{Family: rpdb.IPv6, Severity: Note, Message: "6 note"},
		Diagnostic{Severity: Error, Message: "both"},
		Diagnostic{Family: rpdb.IPv4, Severity: Warning, Message: "4 warning a"},
	)
	second := finder("second", nil,
		Diagnostic{Family: rpdb.IPv4, Severity: Warning, Message: "4 warning b"},
		Diagnostic{Family: rpdb.IPv4, Severity: Error, Message: "4 error"},
	)
	found, err := Run(&rpdb.Snapshot{}, []*Analyzer{first, second})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		got = append(got, d.Check+": "+d.Message)
	}
	want := []string{"second: 4 error", "first: 4 warning a", "second: 4 warning b", "first: 6 note", "first: both"}
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if !HasErrors(found) || HasErrors(found[1:3]) {
		t.Error("HasErrors does not tell errors from warnings")
	}
}

// TestRunFails checks that one check that cannot be made does not hide what
// the others found.
func TestRunFails(t *testing.T) {
	cause := errors.New("no light")
	found, err := Run(&rpdb.Snapshot{}, []*Analyzer{
		finder("broken", cause), finder("works", nil, Diagnostic{Message: "seen"}),
	})
	if !errors.Is(err, cause) || err.Error() != "run check broken: no light" {
		t.Errorf("error %v", err)
	}
	if len(found) != 1 || found[0].Check != "works" {
		t.Errorf("found %v", found)
	}
}

func TestValidate(t *testing.T) {
	good := finder("good", nil)
	cases := []struct {
		analyzers []*Analyzer
		want      string
	}{
		{[]*Analyzer{good}, ""},
		{nil, ""},
		{[]*Analyzer{good, finder("good", nil)}, `validate analyzer "good": the name is taken`},
		{[]*Analyzer{finder("", nil)}, "validate analyzers: one has no name"},
		{[]*Analyzer{nil}, "validate analyzers: one has no name"},
		{[]*Analyzer{{Name: "mute", Run: good.Run}}, `validate analyzer "mute": no documentation or nothing to run`},
		{[]*Analyzer{{Name: "idle", Doc: "reports nothing."}}, `validate analyzer "idle": no documentation or nothing to run`},
	}
	for _, c := range cases {
		err := Validate(c.analyzers)
		if got := errorText(err); got != c.want {
			t.Errorf("Validate: %q, want %q", got, c.want)
		}
		if _, runErr := Run(&rpdb.Snapshot{}, c.analyzers); (runErr == nil) != (err == nil) {
			t.Errorf("Run: %v, but Validate: %v", runErr, err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDiagnosticJSON(t *testing.T) {
	rule := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(7)}
	d := Diagnostic{
		Check: "emptytable", Severity: Warning, Family: rpdb.IPv4, Subject: OfRule(rule),
		Message: "rule 100 looks up table 7", Fixes: DeleteRule(&rpdb.Snapshot{}, rule),
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"severity":"warning"`, `"family":"inet"`, `"subject":{"rule":{`, `"fixes":[{"message":"delete rule 100"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s does not contain %s", text, part)
		}
	}
	var back Diagnostic
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if *back.Subject.Rule != rule || back.Severity != Warning || *back.Fixes[0].Changes[0].Rule != rule {
		t.Errorf("read back as %+v", back)
	}
	if err := json.Unmarshal([]byte(`{"severity":"fatal"}`), &back); err == nil || !strings.Contains(err.Error(), `parse severity "fatal": unknown word`) {
		t.Errorf("severity fatal: %v", err)
	}
	if got := Severity(9).String(); got != "severity 9" {
		t.Errorf("Severity(9) is %q", got)
	}
}

func TestSubjectString(t *testing.T) {
	link := rpdb.Link{Index: 2, Name: "eth\x1b1"}
	address := rpdb.Address{Link: 2, Prefix: netip.MustParsePrefix("10.10.0.10/24")}
	route := rpdb.Route{Family: rpdb.IPv6, Table: 100, Dst: rpdb.IPv6.Default()}
	for want, s := range map[string]Subject{
		"":                               {},
		"rule 100 (IPv4)":                OfRule(rpdb.Rule{Family: rpdb.IPv4, Priority: 100}),
		"route default table 100 (IPv6)": OfRoute(route),
		`eth\x1b1`:                       OfLink(link),
		`10.10.0.10/24 on eth\x1b1`:      OfAddress(address, link),
	} {
		if got := s.String(); got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
	}
}

func TestDeleteRule(t *testing.T) {
	rule := func(p rpdb.Priority, a rpdb.Action) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: a}
	}
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{
		rule(100, rpdb.Goto(200)), rule(101, rpdb.Goto(300)),
		rule(200, rpdb.Nop()), rule(300, rpdb.Nop()), rule(300, rpdb.ToTable(7)),
		{Family: rpdb.IPv6, Priority: 200},
	}}
	for i, want := range []bool{true, true, false, true, true, true} {
		if got := DeleteRule(s, s.Rules[i]); (got != nil) != want {
			t.Errorf("%v: fixes %v", s.Rules[i], got)
		}
	}
	for _, r := range []rpdb.Rule{{Flags: rpdb.RulePermanent}, {Unknown: "x"}} {
		if fixes := DeleteRule(s, r); fixes != nil {
			t.Errorf("%+v: fixes %v, want none", r, fixes)
		}
	}
}

func TestText(t *testing.T) {
	for name, want := range map[rpdb.LinkName]string{
		"eth0.5@x": "eth0.5@x", "a\x1b[2Jb": `a\x1b[2Jb`, "\xff": `\xff`, "t\u00e9l0": `t\u00e9l0`, `q"\`: `q\"\\`,
	} {
		if got := Name(name); got != want {
			t.Errorf("Name(%q) is %q, want %q", name, got, want)
		}
	}
	if got := Table(254) + ", " + Table(1001); got != "table main, table 1001" {
		t.Errorf("tables are %q", got)
	}
	doc := PackageDoc("// Package x reports\n// things. More.\n//\n//   - a list\npackage x\n")
	if doc != "reports\nthings. More.\n\n  - a list" {
		t.Errorf("documentation %q", doc)
	}
	if got := Title(&Analyzer{Doc: doc}); got != "reports things" {
		t.Errorf("title %q", got)
	}
	for _, source := range []string{"package x\n", "// Something else.\npackage x\n"} {
		if got := PackageDoc(source); got != "" {
			t.Errorf("PackageDoc(%q) is %q", source, got)
		}
	}
}
