package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/analysis"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel"
	"rpdb/plan"
	"rpdb/policy"
)

// planned is a policy resolved on a host, and the way there.
type planned struct {
	before  *rpdb.Snapshot
	desired rpdb.Desired
	plan    plan.Plan
}

// planFor compares a policy with a state: that of the namespace of conn, or of a
// file if conn is nil, of which nothing is recorded.
func (a *app) planFor(doc *policy.Document, s *rpdb.Snapshot, conn *kernel.Conn) (planned, error) {
	desired, err := doc.Resolve(s, a.loadNames())
	if err != nil {
		return planned{}, err
	}
	var p plan.Plan
	if conn == nil {
		p, err = plan.Diff(s, desired)
	} else {
		p, err = a.preview(conn, s, desired)
	}
	return planned{before: s, desired: desired, plan: p}, err
}

// preview plans with what is recorded of a namespace, as apply does. Who may not
// read the record gets a plan all the same, and is told.
func (a *app) preview(conn *kernel.Conn, host *rpdb.Snapshot, desired rpdb.Desired) (plan.Plan, error) {
	netns, err := inode(conn.NetNS())
	if err != nil {
		return plan.Plan{}, err
	}
	j, err := a.openJournal(netns, true)
	s := &site{conn: conn, app: a, netns: netns, journal: j}
	var state journal.State
	if err == nil {
		defer j.Close()
		state, err = j.Read()
	}
	p, diffErr := apply.Preview(s.config(), state, host, desired)
	if err != nil && diffErr == nil {
		p.Notes = append(p.Notes, fmt.Sprintf("%v: what an earlier generation has pinned is not known", err))
	}
	return p, diffErr
}

func (a *app) planCommand() *cobra.Command {
	var detailed bool
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "show what a policy would change here, and why; change nothing",
		Long: `plan compares a policy file with this host and prints what "rpdb apply" would
do: lines with + are added, ~ changed, - removed, in the words of ip(8). With
--snapshot it is compared with the host that the file came from. FILE may be -
for standard input. Exit codes: 0, or 1 on an error; with --detailed-exitcode 2
if there is something to change.`,
		Args: oneFile("policy FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" && (a.snapshot == "-" || a.fromText == "-") {
				return &usageError{text: "plan: the policy and the state cannot both be standard input"}
			}
			if a.fromFile() && cmd.Flags().Changed("state-dir") {
				return &usageError{"plan: of a state from a file nothing is recorded in --state-dir", "leave one of the two out"}
			}
			doc, err := a.readPolicy(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			s, conn, err := a.state(cmd.Context())
			if err != nil {
				return err
			}
			if conn != nil {
				defer conn.Close()
			}
			if err := isWhole(s); err != nil {
				return err
			}
			p, err := a.planFor(doc, s, conn)
			if err != nil {
				return err
			}
			warnings, err := a.warnings(p, conn != nil)
			if err != nil {
				return err
			}
			if err := a.viewPlan(p, warnings); err != nil {
				return err
			}
			if detailed && !p.plan.Empty() {
				return &codeError{code: 2}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if there is something to change")
	a.snapshotFlag(cmd)
	a.stateFlag(cmd)
	return cmd
}

// isWhole refuses a state that does not tell all of what a plan changes: it
// would plan what may be there.
func isWhole(s *rpdb.Snapshot) error {
	const needed = rpdb.PartRules4 | rpdb.PartRules6 | rpdb.PartRoutes4 | rpdb.PartRoutes6 | rpdb.PartLinks | rpdb.PartAddresses
	if s.Missing&needed != 0 || len(s.MissingTables) > 0 {
		return fmt.Errorf("plan: the state does not tell all rules, tables, interfaces and addresses of both families, and so not what there is to change")
	}
	return nil
}

// planDocument is the JSON of plan.
type planDocument struct {
	Version int       `json:"version"`
	Plan    plan.Plan `json:"plan"`
	// Warnings say what on the host is in the way of the policy.
	Warnings []analysis.Diagnostic `json:"warnings"`
}

func (a *app) viewPlan(p planned, warnings []analysis.Diagnostic) error {
	if a.json {
		return a.printJSON(planDocument{Version: 1, Plan: p.plan, Warnings: list(warnings)})
	}
	w := newPrinter(a.Out)
	v := newWords(p.before.LinkName, a.loadNames())
	for _, s := range p.plan.Changes {
		w.step(v, s)
	}
	w.waiting(p.plan.Waiting)
	w.notes(p.plan.Notes)
	for _, d := range warnings {
		w.finding(d)
	}
	add, change, remove := p.plan.Count()
	switch {
	case p.plan.Empty():
		w.printf("Nothing to change: %s.\n", thereAlready(p.plan))
		return w.err
	case len(p.plan.Changes) == 0:
		w.printf("Nothing to change, and %d %s to put right: %s.\n", len(p.plan.Steps), plural(len(p.plan.Steps), "leftover", "leftovers"), thereAlready(p.plan))
	default:
		w.printf("Plan: %d to add, %d to change, %d to remove; %s.\n", add, change, remove, thereAlready(p.plan))
	}
	w.inBetween(p.plan)
	return w.err
}

// inBetween says what a packet can see while a plan is carried out, and on the
// way back.
func (p *printer) inBetween(pl plan.Plan) {
	if len(pl.Transient) == 0 {
		p.printf("In between: no packet sees a mix of old and new.\n")
	} else {
		p.printf("In between, packets can see a part of the change:\n")
	}
	for _, t := range pl.Transient {
		p.printf("  %s\n", safe(t))
	}
	if text := goingBack(pl.Back); text != "" {
		p.wrap(text)
	}
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
