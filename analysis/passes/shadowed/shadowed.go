package shadowed

import (
	_ "embed"
	"fmt"
	"slices"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "shadowed", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	for _, f := range rpdb.Families() {
		defaults := analysis.DefaultsBy(p.Snapshot, f)
		for _, at := range analysis.Walk(p.Snapshot, f) {
			if at.Asked == analysis.AskedAlways || analysis.IsKernelRule(at.Rule) {
				continue
			}
			bound, _ := p.Snapshot.LinkByName(at.Rule.Selector.OIF)
			if ender, ok := enderOf(at, defaults[bound.Index]); ok {
				p.Report(diagnose(p, at.Rule, ender))
			}
		}
	}
	return nil
}

// enderOf returns the rule that keeps all flows which another selects from it;
// false if some get there: those bound to an interface that the default routes
// before it do not lead to. The tables are those with a default route by the
// interface that the rule selects.
func enderOf(at analysis.Place, tables []rpdb.TableID) (rpdb.Rule, bool) {
	switch {
	case at.Asked == analysis.AskedNever:
		return at.Enders[len(at.Enders)-1], true
	case at.Rule.Selector.OIF == "" || at.Rule.Selector.Not:
		return at.Enders[0], true
	}
	i := slices.IndexFunc(at.Enders, func(e rpdb.Rule) bool { return slices.Contains(tables, e.Action.Table()) })
	if i < 0 {
		return rpdb.Rule{}, false
	}
	return at.Enders[i], true
}

func diagnose(p *analysis.Pass, r, ender rpdb.Rule) analysis.Diagnostic {
	d := analysis.Diagnostic{
		Severity: analysis.Warning,
		Family:   r.Family,
		Subject:  analysis.OfRule(r),
		Message:  fmt.Sprintf("rule %d is never asked", r.Priority),
		Fixes:    analysis.DeleteRule(p.Snapshot, r),
	}
	switch ender.Action.Type() {
	case rpdb.ActionTable:
		d.Reason = fmt.Sprintf("rule %d before it finds a default route in %s", ender.Priority, analysis.Table(ender.Action.Table()))
	case rpdb.ActionGoto:
		d.Reason = fmt.Sprintf("rule %d jumps over it to %d", ender.Priority, ender.Action.Target())
	default:
		d.Reason = fmt.Sprintf("rule %d before it drops every packet (%v)", ender.Priority, ender.Action)
	}
	return d
}
