package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rpdb/apply"
	"rpdb/plan"
)

func (a *app) applyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "apply FILE",
		Short: "make this host equal to a policy, verify it, and say what was done",
		Long: `apply does what "rpdb plan" shows, one message after the other, new before old,
and reads the result back. If a step fails or the result is not what was
planned, it takes back what it did. Run again it changes nothing.
FILE may be - for standard input. Exit codes: 0 done; 1 an error: nothing is
changed, or what was is taken back, or the answer could not be written; 3 done as far as possible, a part waits for an interface or address.`,
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
			result, err := apply.Run(cmd.Context(), conn, p.plan, p.desired, apply.Options{})
			viewErr := a.viewApply(p, result, err)
			if viewErr != nil && len(result.Done) > 0 {
				viewErr = fmt.Errorf("the %d changes are made; to say so: %w", len(result.Done), viewErr)
			}
			if viewErr != nil || err != nil {
				return errors.Join(err, viewErr)
			}
			if len(p.plan.Waiting) > 0 {
				return &codeError{code: exitWaiting}
			}
			return nil
		},
	}
}

// applyDocument is the JSON of apply.
type applyDocument struct {
	Version int          `json:"version"`
	Plan    plan.Plan    `json:"plan"`
	Result  applyOutcome `json:"result"`
	Error   string       `json:"error,omitzero"`
}

type applyOutcome struct {
	Changed    int  `json:"changed"`
	Verified   bool `json:"verified"`
	RolledBack bool `json:"rolled_back"`
}

func (a *app) viewApply(p planned, r apply.Result, failed error) error {
	if a.json {
		doc := applyDocument{Version: 1, Plan: p.plan, Result: applyOutcome{len(r.Done), failed == nil, r.RolledBack}}
		if failed != nil {
			doc.Error = failed.Error()
		}
		return a.printJSON(doc)
	}
	w := newPrinter(a.Out)
	v := newWords(p.before.LinkName, a.loadNames())
	if len(r.Done) > 0 {
		for _, s := range p.plan.Changes {
			w.step(v, s)
		}
	}
	w.waiting(p.plan.Waiting)
	if failed == nil {
		w.notes(p.plan.Notes)
	}
	var left *apply.RollbackError
	switch n := len(p.plan.Changes); {
	case errors.As(failed, &left):
		w.printf("Failed, and %d %s could not be taken back.\n", len(left.Left), plural(len(left.Left), "change", "changes"))
	case failed != nil && r.RolledBack:
		w.printf("Failed; what had been done was taken back.\n")
	case failed != nil:
		w.printf("Failed; nothing was changed.\n")
	case n == 0 && len(r.Done) > 0:
		w.printf("Nothing to change; %d %s put right; %s.\n", len(r.Done), plural(len(r.Done), "leftover", "leftovers"), thereAlready(p.plan))
	case n == 0:
		w.printf("Nothing to change: %s.\n", thereAlready(p.plan))
	default:
		w.printf("%d %s made and read back; %s.\n", n, plural(n, "change", "changes"), thereAlready(p.plan))
	}
	return w.err
}
