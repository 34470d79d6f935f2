package detached

import (
	_ "embed"
	"fmt"

	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "detached", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	for _, r := range p.Snapshot.Rules {
		name := analysis.Detached(p.Snapshot, r)
		if name == "" {
			continue
		}
		effect := "matches nothing"
		if r.Selector.Not {
			effect = "matches every packet"
		}
		p.Report(analysis.Diagnostic{
			Severity: analysis.Warning,
			Family:   r.Family,
			Subject:  analysis.OfRule(r),
			Message:  fmt.Sprintf("rule %d %s: no interface is called %s", r.Priority, effect, analysis.Name(name)),
			Fixes:    analysis.DeleteRule(p.Snapshot, r),
		})
	}
	return nil
}
