package emptytable

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
	return &analysis.Analyzer{Name: "emptytable", Doc: analysis.PackageDoc(doc), Run: run}
}

type tableKey struct {
	family rpdb.Family
	table  rpdb.TableID
}

func run(p *analysis.Pass) error {
	filled := map[tableKey]bool{}
	for _, r := range p.Snapshot.Routes {
		filled[tableKey{r.Family, r.Table}] = true
	}
	for _, r := range p.Snapshot.Rules {
		t := r.Action.Table()
		if r.Action.Type() != rpdb.ActionTable || kernelTable(t) || filled[tableKey{r.Family, t}] || p.Snapshot.Lacks(r.Family, t) {
			continue
		}
		d := analysis.Diagnostic{
			Severity: analysis.Warning,
			Family:   r.Family,
			Subject:  analysis.OfRule(r),
			Message:  fmt.Sprintf("rule %d looks up %s, which has no %v routes", r.Priority, analysis.Table(t), r.Family),
			Reason:   "the walk goes on with the next rule",
			Fixes:    analysis.DeleteRule(p.Snapshot, r),
		}
		if filled[tableKey{other(r.Family), t}] {
			d.Message += fmt.Sprintf(", only %v ones", other(r.Family))
		}
		p.Report(d)
	}
	return nil
}

// kernelTable reports whether a table is one that the kernel fills or looks up
// by itself. Table 0 belongs to rules that take the table of a VRF.
func kernelTable(t rpdb.TableID) bool {
	switch t {
	case rpdb.TableUnspec, rpdb.TableDefault, rpdb.TableMain, rpdb.TableLocal:
		return true
	}
	return false
}

func other(f rpdb.Family) rpdb.Family {
	if f == rpdb.IPv4 {
		return rpdb.IPv6
	}
	return rpdb.IPv4
}
