package passes

import (
	"rpdb/analysis"
	"rpdb/analysis/passes/answers"
	"rpdb/analysis/passes/detached"
	"rpdb/analysis/passes/duplicate"
	"rpdb/analysis/passes/emptytable"
	"rpdb/analysis/passes/inert"
	"rpdb/analysis/passes/linkdown"
	"rpdb/analysis/passes/missingdefault"
	"rpdb/analysis/passes/nat"
	"rpdb/analysis/passes/residents"
	"rpdb/analysis/passes/shadowed"
	"rpdb/analysis/passes/stalesource"
	"rpdb/analysis/passes/translation"
	"rpdb/analysis/passes/unresolved"
)

// All returns every check, the most telling first. The slice belongs to the
// caller.
func All() []*analysis.Analyzer {
	return []*analysis.Analyzer{
		answers.Analyzer(),
		missingdefault.Analyzer(),
		nat.Analyzer(),
		translation.Analyzer(),
		emptytable.Analyzer(),
		shadowed.Analyzer(),
		duplicate.Analyzer(),
		stalesource.Analyzer(),
		linkdown.Analyzer(),
		unresolved.Analyzer(),
		detached.Analyzer(),
		inert.Analyzer(),
		residents.Analyzer(),
	}
}
