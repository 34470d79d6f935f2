package answers

import (
	_ "embed"
	"fmt"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check with the zero Options.
func Analyzer() *analysis.Analyzer { return AnalyzerFor(Options{}) }

// AnalyzerFor returns the check for the destinations of the options.
func AnalyzerFor(o Options) *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "answers",
		Doc:  analysis.PackageDoc(doc),
		Run:  func(p *analysis.Pass) error { return run(p, o) },
	}
}

// uplinks holds for each family and interface the tables with a default route
// by it.
type uplinks map[rpdb.Family]map[rpdb.LinkIndex][]rpdb.TableID

func defaultsOf(s *rpdb.Snapshot) uplinks {
	u := uplinks{}
	for _, f := range rpdb.Families() {
		u[f] = analysis.DefaultsBy(s, f)
	}
	return u
}

func run(p *analysis.Pass, o Options) error {
	doors := Doors(p.Snapshot, p.FIB, o)
	defaults := defaultsOf(p.Snapshot)
	mend := newMender(p.Snapshot, defaults)
	for _, d := range doors {
		mend.answers(d)
	}
	bound := unbindable(p.FIB, doors, defaults)
	for _, b := range bound {
		mend.bound(b)
	}
	mend.verify()
	for _, d := range doors {
		if diag, ok := diagnose(d, defaults); ok {
			diag.Fixes = mend.fixes(d.flow())
			p.Report(diag)
		}
	}
	for _, b := range bound {
		diag := b.diagnose()
		diag.Fixes = mend.fixes(b.flow())
		p.Report(diag)
	}
	reportFilter(p, doors)
	return nil
}

// diagnose returns the finding that a door is, false if it is none.
func diagnose(d Door, defaults uplinks) (analysis.Diagnostic, bool) {
	subject := analysis.OfAddress(d.Address, d.Link)
	diag := analysis.Diagnostic{
		Severity: analysis.Warning,
		Family:   d.Family(),
		Subject:  subject,
		Message:  fmt.Sprintf("%v: %s", subject, d.Message),
		Reason:   d.Reason,
	}
	switch d.Verdict {
	case OK, Inside:
		return diag, false
	case WrongDoor:
		diag.Severity = analysis.Error
	case NotInUse:
		diag.Severity = analysis.Note
	case NoRoute:
		// A host without any default keeps to itself, which is no fault.
		diag.Severity = analysis.Note
		if len(defaults[d.Family()][d.Link.Index]) > 0 {
			diag.Severity = analysis.Error
		}
	case Unknown, Denied, Tunnel:
	}
	return diag, true
}

// reportFilter says once for each link with a wrong door what rp_filter makes
// of it. IPv6 has no such filter.
func reportFilter(p *analysis.Pass, doors []Door) {
	told := map[rpdb.LinkIndex]bool{}
	for _, d := range doors {
		if d.Verdict != WrongDoor || d.Family() != rpdb.IPv4 || told[d.Link.Index] {
			continue
		}
		told[d.Link.Index] = true
		if unknown := p.Snapshot.Sysctls.All.Unknown | p.Snapshot.Sysctls.Links[d.Link.Name].Unknown; unknown.Has(rpdb.SettingRPFilter) {
			continue
		}
		value := p.Snapshot.Sysctls.RPFilter(d.Link.Name)
		effect := "answers by the wrong door are sent, not dropped here"
		if value == 1 {
			effect = "questions that come by it are dropped on arrival, as answers take another way"
		}
		p.Report(analysis.Diagnostic{
			Severity: analysis.Note,
			Family:   rpdb.IPv4,
			Subject:  analysis.OfLink(d.Link),
			Message:  fmt.Sprintf("rp_filter=%d on %s: %s", value, analysis.Name(d.Link.Name), effect),
		})
	}
}
