package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/kernel"
	"rpdb/plan"
)

// planned is what plan and apply have in common: a policy resolved on a host,
// and the way there.
type planned struct {
	before  *rpdb.Snapshot
	desired rpdb.Desired
	plan    plan.Plan
}

// makePlan reads a policy and compares it with the state of a kernel.
func (a *app) makePlan(ctx context.Context, conn *kernel.Conn, file string) (planned, error) {
	doc, err := a.readPolicy(ctx, file)
	if err != nil {
		return planned{}, err
	}
	s, err := conn.Snapshot(ctx)
	if err != nil {
		return planned{}, err
	}
	desired, err := doc.Resolve(s, a.loadNames())
	if err != nil {
		return planned{}, err
	}
	p, err := plan.Diff(s, desired)
	return planned{before: s, desired: desired, plan: p}, err
}

func (a *app) planCommand() *cobra.Command {
	var detailed bool
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "show what a policy would change here, and why; change nothing",
		Long: `plan compares a policy file with this host and prints what "rpdb apply" would
do: lines with + are added, ~ changed, - removed, in the words of ip(8).
FILE may be - for standard input. Exit codes: 0, or 1 on an error; with
--detailed-exitcode 2 if there is something to change.`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.open()
			if err != nil {
				return err
			}
			defer conn.Close()
			p, err := a.makePlan(cmd.Context(), conn, args[0])
			if err != nil {
				return err
			}
			if err := a.viewPlan(p); err != nil {
				return err
			}
			if detailed && !p.plan.Empty() {
				return &codeError{code: 2}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if there is something to change")
	return cmd
}

// planDocument is the JSON of plan.
type planDocument struct {
	Version int       `json:"version"`
	Plan    plan.Plan `json:"plan"`
}

func (a *app) viewPlan(p planned) error {
	if a.json {
		return a.printJSON(planDocument{Version: 1, Plan: p.plan})
	}
	w := newPrinter(a.Out)
	v := newWords(p.before.LinkName, a.loadNames())
	for _, s := range p.plan.Steps {
		w.step(v, s)
	}
	w.waiting(p.plan.Waiting)
	w.notes(p.plan.Notes)
	add, change, remove := p.plan.Count()
	if p.plan.Empty() {
		w.printf("Nothing to change: %s.\n", thereAlready(p.plan))
	} else {
		w.printf("Plan: %d to add, %d to change, %d to remove; %s.\n", add, change, remove, thereAlready(p.plan))
	}
	return w.err
}

func thereAlready(p plan.Plan) string {
	word := fmt.Sprintf("%d %s there already", p.Kept, plural(p.Kept, "is", "are"))
	if n := len(p.Waiting); n > 0 {
		word += fmt.Sprintf(", %d %s", n, plural(n, "part waits", "parts wait"))
	}
	return word
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
