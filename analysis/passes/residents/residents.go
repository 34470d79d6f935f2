package residents

import (
	_ "embed"
	"fmt"

	"rpdb"
	"rpdb/analysis"
	"rpdb/resident"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "residents", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	for _, who := range resident.On(p.Snapshot) {
		for _, r := range p.Snapshot.Rules {
			if r.Protocol == rpdb.ProtocolRPDB {
				meets(p, who, r)
			}
		}
	}
	return nil
}

// meets reports what a rule of ours has in common with a program.
func meets(p *analysis.Pass, who resident.Program, r rpdb.Rule) {
	var shares []string
	if who.HasPriority(r.Priority) {
		shares = append(shares, "stands among the priorities")
	}
	if r.Action.Type() == rpdb.ActionTable && who.HasTable(r.Action.Table()) {
		shares = append(shares, fmt.Sprintf("looks up %d, one of the tables", r.Action.Table()))
	}
	if bits := r.Selector.Mark.Mask & who.Mask; bits != 0 {
		shares = append(shares, fmt.Sprintf("looks at 0x%x of the mark bits", bits))
	}
	for _, what := range shares {
		p.Report(analysis.Diagnostic{
			Severity: analysis.Warning,
			Family:   r.Family,
			Subject:  analysis.OfRule(r),
			Message:  fmt.Sprintf("rule %d %s of %s, which runs here", r.Priority, what, who.Name),
			Reason:   who.Habit,
		})
	}
}
