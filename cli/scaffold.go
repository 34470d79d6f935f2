package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/fib"
	"rpdb/plan"
)

// rawFlag adds the option that shows what is hidden otherwise: the rules that
// decide nothing and only hold a generation of a policy.
func (a *app) rawFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.raw, "raw", false, "show also the rules that only hold a generation of a policy: its gate, and the ends of its blocks")
}

// shownState returns a snapshot without the rules that are hidden. It shares
// everything else.
func (a *app) shownState(s *rpdb.Snapshot) *rpdb.Snapshot {
	if a.raw {
		return s
	}
	bare := *s
	bare.Rules = slices.DeleteFunc(slices.Clone(s.Rules), plan.IsScaffold)
	return &bare
}

// shownSteps returns the steps of a walk without those of rules that are hidden.
func (a *app) shownSteps(steps []fib.Step) []fib.Step {
	if a.raw {
		return steps
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s fib.Step) bool { return plan.IsScaffold(s.Rule) })
}
