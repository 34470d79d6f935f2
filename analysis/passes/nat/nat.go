package nat

import (
	_ "embed"
	"fmt"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "nat", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	for _, r := range p.Snapshot.Rules {
		what, cure := "an unknown action", ""
		switch r.Action.Type() {
		case rpdb.ActionTable, rpdb.ActionGoto, rpdb.ActionNop,
			rpdb.ActionBlackhole, rpdb.ActionUnreachable, rpdb.ActionProhibit:
			continue
		case rpdb.ActionNAT:
			what = "the action nat, which no kernel knows any more"
			cure = "; \"rpdb rule add ... nat ADDRESS\" makes a rule that translates"
		case rpdb.ActionUnspec:
			what = "no action"
		}
		p.Report(analysis.Diagnostic{
			Severity: analysis.Error,
			Family:   r.Family,
			Subject:  analysis.OfRule(r),
			Message:  fmt.Sprintf("rule %d drops every packet that it matches: it has %s", r.Priority, what),
			Reason:   fmt.Sprintf("action number %d%s", uint8(r.Action.Type()), cure),
			Fixes:    analysis.DeleteRule(p.Snapshot, r),
		})
	}
	return nil
}
