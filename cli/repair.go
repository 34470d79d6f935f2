package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/apply"
	"rpdb/plan"
)

func (a *app) repairCommand() *cobra.Command {
	var watch bool
	var dad time.Duration
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "make this host once more what was applied, after a link or an address changed",
		Long: `repair makes the host equal to the generation that is in force: what its policy
means here and now. Routes that went with a link or an address come back, and
rules follow addresses. It is for hooks, that call it when something changed, and
for the boot: a generation that was not confirmed before the machine booted gives
way to the one before it. It says what it did, and nothing where nothing was to be
done. No generation is made. And rules made by hand that translate ("rpdb rule add
... nat") get their copies of tables renewed that have changed; what is left of such
rules that are gone is taken away.

With --watch it stays, and does that each time that a link, an address, a rule, a
route, a nexthop object or what nftables translates changes. Errors are told, and do not end it. The service
that "rpdb enable" installs runs it so; SIGTERM ends it.

With --dad it stays while IPv6 addresses are tentative, if a part of the policy
waits, and repairs with them: so do hooks, which are called before that is over.

Exit codes: 0 done, or nothing to do; 1 an error: nothing is changed, or what was is
taken back; 3 done as far as possible, a part waits for an interface, an
address or a gateway.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case watch && a.json:
				return &usageError{text: "repair: --watch and --json exclude each other"}
			case dad != 0 && (watch || a.json):
				return &usageError{"repair: --dad goes with neither --watch nor --json", "with --watch the end of duplicate address detection is a change like others"}
			case dad < 0:
				return &usageError{text: fmt.Sprintf("repair: --dad %v: a negative time", dad)}
			case watch:
				return a.repairForEver(cmd.Context())
			}
			return a.repair(cmd.Context(), dad)
		},
	}
	cmd.Flags().DurationVar(&dad, "dad", 0, "wait at most `TIME` for IPv6 addresses that are still tentative, if a part of the policy waits")
	cmd.Flags().BoolVar(&watch, "watch", false, "stay, and repair with each change, until told to end")
	a.waitFlag(cmd)
	a.stateFlag(cmd)
	return cmd
}

// repair repairs, and again while duplicate address detection runs, for at most so
// long, if a part of the policy waits.
func (a *app) repair(ctx context.Context, dad time.Duration) error {
	t, err := a.repairOnce(ctx, nil)
	if err == nil && dad > 0 && len(t.Plan.Waiting) > 0 {
		t, err = a.repairAfterDAD(ctx, dad, t)
	}
	if err != nil {
		return err
	}
	if len(t.Plan.Waiting) > 0 {
		return &codeError{code: exitWaiting}
	}
	return nil
}

// repairAfterDAD repairs each time that something changes, until no IPv6 address is
// tentative any more, nothing waits, or the time is over.
func (a *app) repairAfterDAD(ctx context.Context, most time.Duration, t repairTurn) (repairTurn, error) {
	conn, err := a.open()
	if err != nil {
		return t, err
	}
	defer conn.Close()
	wait, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	events, err := conn.Watch(wait)
	if err != nil {
		return t, err
	}
	defer events.Close()
	for {
		s, err := conn.Snapshot(ctx)
		if err != nil {
			return t, err
		}
		last := !slices.ContainsFunc(s.Addresses, func(a rpdb.Address) bool {
			return a.Flags&(rpdb.AddressTentative|rpdb.AddressDADFailed) == rpdb.AddressTentative
		})
		if t, err = a.repairOnce(ctx, t.notes); err != nil || last || len(t.Plan.Waiting) == 0 {
			return t, err
		}
		if err := awaitEvents(wait, events, 0, 0); err != nil {
			return t, err
		}
		switch {
		case ctx.Err() != nil:
			return t, fmt.Errorf("repair: %w: a part of the policy waits", context.Cause(ctx))
		case wait.Err() != nil:
			return t, nil
		}
	}
}

// repairTurn is what was done once, and what was found that cannot be put right.
type repairTurn struct {
	apply.Outcome
	byHand apply.Result // to rules made by hand that translate
	notes  []string
}

// changed reports whether there was something to do.
func (t repairTurn) changed() bool { return len(t.Result.Done)+len(t.byHand.Done) > 0 }

// repairOnce repairs, and says what was done. What a note said that was told in the
// turn before is not told again.
func (a *app) repairOnce(ctx context.Context, told []string) (repairTurn, error) {
	t := repairTurn{notes: told}
	s, err := a.openSite(false)
	if err != nil {
		return t, err
	}
	defer s.close()
	session, err := s.begin(ctx)
	if err != nil {
		return t, err
	}
	t.Outcome, err = session.Repair(ctx)
	notes := unclearedNotes(session)
	byHand, more, handErr := repairByHand(ctx, s.kernel(), t.Outcome)
	session.Close()
	t.byHand, t.notes = byHand, append(notes, more...)
	for _, n := range t.notes {
		if !slices.Contains(told, n) {
			a.note("%s", n)
		}
	}
	return t, errors.Join(err, a.viewRepair(t.Outcome, byHand, err), handErr)
}

// repairByHand puts right what belongs to rules made by hand that translate, and
// returns notes of what it cannot.
// Where nothing was done before, the host is as it was then.
func repairByHand(ctx context.Context, k apply.Kernel, before apply.Outcome) (apply.Result, []string, error) {
	host := before.Before
	if host == nil || len(before.Result.Done) > 0 || before.Result.RolledBack {
		var err error
		if host, err = k.Snapshot(ctx); err != nil {
			return apply.Result{}, nil, err
		}
	}
	if host.NAT.Foreign != "" {
		return apply.Result{}, nil, nil
	}
	p, err := plan.RepairNATRules(host)
	if err != nil {
		return apply.Result{}, nil, err
	}
	r, err := apply.Make(ctx, k, p, plan.RepairNATRules, apply.Options{})
	return r, p.Notes, err
}

// viewRepair says what was done; in JSON also that nothing was.
func (a *app) viewRepair(out apply.Outcome, byHand apply.Result, failed error) error {
	r := out.Result
	if a.json {
		doc := applyDocument{Version: 1, Plan: out.Plan, Result: applyOutcome{len(r.Done), failed == nil, r.RolledBack}, ByHand: byHand.Done}
		doc.Plan.Changes, doc.Plan.Steps = list(doc.Plan.Changes), list(doc.Plan.Steps)
		if out.Entry.ID != 0 {
			doc.Generation = &out.Entry
		}
		if failed != nil {
			doc.Error = failed.Error()
		}
		return a.printJSON(doc)
	}
	w := newPrinter(a.Out)
	if len(byHand.Done) > 0 {
		v := newWords(byHand.After.LinkName, a.loadNames())
		for _, step := range byHand.Done {
			w.step(v, step)
		}
		w.printf("Rules made by hand that translate: %d %s put right.\n", len(byHand.Done), plural(len(byHand.Done), "part", "parts"))
	}
	if len(r.Done) == 0 {
		return w.err
	}
	v := newWords(r.After.LinkName, a.loadNames())
	for _, step := range out.Plan.Changes {
		w.step(v, step)
	}
	w.waiting(out.Plan.Waiting)
	if n := len(out.Plan.Changes); n > 0 {
		w.printf("Generation %d: %d %s made and read back.\n", out.Entry.ID, n, plural(n, "change", "changes"))
	} else {
		w.printf("Generation %d: %d %s put right.\n", out.Entry.ID, len(r.Done), plural(len(r.Done), "leftover", "leftovers"))
	}
	return w.err
}
