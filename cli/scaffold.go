package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/analysis"
	"rpdb/fib"
	"rpdb/plan"
)

// rawFlag adds the option that shows what is hidden otherwise: the rules that
// decide nothing and only hold a generation of a policy, and the generation that a
// trial replaced.
func (a *app) rawFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.raw, "raw", false, "show also the rules that only hold a generation of a policy: its gate, and the ends of its blocks; and what stands ready to come back while one is on trial")
}

// shownState returns a snapshot without the rules and routes that are hidden. It
// shares everything else.
func (a *app) shownState(s *rpdb.Snapshot) *rpdb.Snapshot {
	if a.raw {
		return s
	}
	bare := *plan.Live(s)
	bare.Rules = slices.DeleteFunc(slices.Clone(bare.Rules), plan.IsScaffold)
	return &bare
}

// shownSteps returns the steps of a walk without those of rules that are hidden.
func (a *app) shownSteps(s *rpdb.Snapshot, steps []fib.Step) []fib.Step {
	if a.raw {
		return steps
	}
	unseen := plan.UnseenIn(s)
	return slices.DeleteFunc(slices.Clone(steps), func(s fib.Step) bool { return plan.IsScaffold(s.Rule) || unseen.HasRule(s.Rule) })
}

// shownFindings returns the findings without those on what is hidden because no
// packet comes to it.
func (a *app) shownFindings(s *rpdb.Snapshot, findings []analysis.Diagnostic) []analysis.Diagnostic {
	if a.raw {
		return findings
	}
	unseen := plan.UnseenIn(s)
	return slices.DeleteFunc(slices.Clone(findings), func(d analysis.Diagnostic) bool {
		on := d.Subject
		return on.Rule != nil && unseen.HasRule(*on.Rule) || on.Route != nil && unseen.HasRoute(*on.Route)
	})
}
