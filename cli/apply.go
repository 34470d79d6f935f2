package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// applyOptions are the options of apply.
type applyOptions struct {
	confirm time.Duration
	message string
}

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "make this host equal to a policy, verify it, and say what was done",
		Long: `apply does what "rpdb plan" shows, one message after the other, new before old,
and reads the result back. If a step fails or the result is not what was
planned, it takes back what it did. Run again it changes nothing.
FILE may be - for standard input.

What is applied is a numbered generation (see "rpdb history"). With --confirm it
is on trial: if nobody confirms it in time, the generation before comes back, by
itself, also if rpdb is killed, the connection breaks or the machine boots: a
process watches, and where systemd runs a timer of it, too. It is left where it
stands until then, out of the way of packets, so that one message for each family
leads them back; a route or rule that changes in place takes one more, as "rpdb
plan" says. On a terminal apply then waits: Enter keeps the new generation, Ctrl-C
takes it back. Elsewhere it returns, and "rpdb confirm" keeps the generation;
from a new connection, that proves that one can still get in.

A plan that would cut the ssh connection one sits on, at its end or for a moment
on the way, is refused unless --force is given; --protect names more flows.

Exit codes: 0 done; 1 an error: nothing is changed, or what was is taken back, or
the answer could not be written; 3 done as far as possible, a part waits for an
interface or address.`,
		Example: "  rpdb apply policy.yaml\n  rpdb apply policy.yaml --confirm 5m -m \"second uplink\"",
		Args:    oneFile("policy FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkProposal(cmd); err != nil {
				return err
			}
			return a.apply(cmd.Context(), args[0], o)
		},
	}
	a.proposalFlags(cmd, &o.confirm, &o.message)
	return cmd
}

// proposalFlags adds the options of what makes a generation.
func (a *app) proposalFlags(cmd *cobra.Command, confirm *time.Duration, message *string) {
	cmd.Flags().DurationVar(confirm, "confirm", 0, "take it back unless it is confirmed within `TIME`, as in 5m or 90s")
	cmd.Flags().StringVarP(message, "message", "m", "", "say in `TEXT` what the generation is about, for \"rpdb history\"")
	a.protection.addFlags(cmd)
	a.waitFlag(cmd)
	a.stateFlag(cmd)
}

// The shortest and the longest time to confirm a generation in.
const (
	shortestTrial = time.Second
	longestTrial  = 30 * 24 * time.Hour
)

// checkProposal refuses a time that is none, and flows that cannot be read.
func (a *app) checkProposal(cmd *cobra.Command) error {
	confirm, err := cmd.Flags().GetDuration("confirm")
	switch {
	case err != nil || !cmd.Flags().Changed("confirm"):
	case confirm < shortestTrial:
		err = &usageError{fmt.Sprintf("--confirm %v: nobody could confirm it within less than %v", confirm, shortestTrial), "5m leaves time to log in once more"}
	case confirm > longestTrial:
		err = &usageError{fmt.Sprintf("--confirm %v: nothing is on trial for more than %v", confirm, longestTrial), "5m leaves time to log in once more"}
	}
	if err == nil {
		_, err = a.protection.parse()
	}
	return err
}

func (a *app) apply(ctx context.Context, file string, o applyOptions) error {
	doc, text, err := a.readPolicyText(ctx, file)
	if err != nil {
		return err
	}
	s, err := a.openSite(false)
	if err != nil {
		return err
	}
	defer s.close()
	prop := apply.Proposal{Policy: text, File: doc.File, Message: o.message, Confirm: o.confirm}
	return s.propose(ctx, prop, func(host *rpdb.Snapshot) (rpdb.Desired, error) { return doc.Resolve(host, a.loadNames()) })
}

// propose applies a proposal, shows what became of it, and waits for a confirm
// if there is somebody to wait for.
func (s *site) propose(ctx context.Context, prop apply.Proposal, resolve func(*rpdb.Snapshot) (rpdb.Desired, error)) error {
	session, err := s.begin(ctx)
	if err != nil {
		return err
	}
	out, host, err := s.proposeIn(ctx, session, prop, resolve)
	s.app.noteUncleared(session)
	if err == nil && out.Entry.ID != 0 {
		s.makeLast(session)
	}
	session.Close()
	if host == nil {
		return err
	}
	viewErr := s.viewApply(host, out, prop, err)
	if viewErr != nil && len(out.Result.Done) > 0 && out.Pending == nil {
		n := len(out.Plan.Changes)
		viewErr = fmt.Errorf("%d %s made and stand; to say so: %w", n, plural(n, "change is", "changes are"), viewErr)
	}
	if viewErr != nil || err != nil {
		return errors.Join(err, viewErr)
	}
	if out.Pending != nil && s.app.interactive() {
		if err := s.await(ctx, out.Entry.ID); err != nil {
			return err
		}
	}
	if len(out.Plan.Waiting) > 0 {
		return &codeError{code: exitWaiting}
	}
	return nil
}

// proposeIn returns the state before, too; nil if it did not come to a plan.
func (s *site) proposeIn(ctx context.Context, session *apply.Session, prop apply.Proposal, resolve func(*rpdb.Snapshot) (rpdb.Desired, error)) (apply.Outcome, *rpdb.Snapshot, error) {
	if err := session.Free(); err != nil {
		return apply.Outcome{}, nil, err
	}
	host, err := s.kernel().Snapshot(ctx)
	if err != nil {
		return apply.Outcome{}, nil, err
	}
	prop.Before, prop.Author, prop.Guard = host, author(), s.startGuards
	if prop.Desired, err = resolve(host); err != nil {
		return apply.Outcome{}, nil, err
	}
	if prop.Check, err = s.app.check(host); err != nil {
		return apply.Outcome{}, nil, err
	}
	out, err := session.Apply(ctx, prop)
	if err != nil && out.Plan.Steps == nil {
		return out, nil, err
	}
	return out, host, err
}

// applyDocument is the JSON of apply.
type applyDocument struct {
	Version int          `json:"version"`
	Plan    plan.Plan    `json:"plan"`
	Result  applyOutcome `json:"result"`
	// Generation is the one that was made, absent if none was needed.
	Generation *journal.Entry `json:"generation,omitempty"`
	Pending    *pendingJSON   `json:"pending,omitempty"`
	// Withheld says why nothing of others was given back; absent if it was, or if
	// there is nothing.
	Withheld string `json:"withheld,omitzero"`
	// ByHand is what repair did to rules made by hand that translate; absent if
	// nothing.
	ByHand []plan.Step `json:"by_hand,omitempty"`
	Error  string      `json:"error,omitzero"`
}

type applyOutcome struct {
	Changed    int  `json:"changed"`
	Verified   bool `json:"verified"`
	RolledBack bool `json:"rolled_back"`
}

// pendingJSON is a generation that waits to be confirmed.
type pendingJSON struct {
	ID uint64 `json:"id"`
	// Old is the generation that comes back, 0 for none.
	Old uint64 `json:"old"`
	// Seconds are left to confirm it, until Until by the wall clock.
	Seconds int       `json:"seconds"`
	Until   time.Time `json:"until"`
	// Guards take it back then.
	Guards guards `json:"guards"`
	// Back is how it comes back, in the JSON of status.
	Back *wayBack `json:"back,omitempty"`
}

func newPendingJSON(p *journal.Pending, left time.Duration, g guards) *pendingJSON {
	until := time.Now().Add(left).UTC().Truncate(time.Second)
	return &pendingJSON{ID: p.ID, Old: p.Old, Seconds: int(left / time.Second), Until: until, Guards: g}
}

func (s *site) viewApply(host *rpdb.Snapshot, out apply.Outcome, prop apply.Proposal, failed error) error {
	a := s.app
	r := out.Result
	if a.json {
		doc := applyDocument{Version: 1, Plan: out.Plan, Result: applyOutcome{len(r.Done), failed == nil, r.RolledBack}}
		if out.Entry.ID != 0 {
			doc.Generation = &out.Entry
		}
		if out.Pending != nil {
			doc.Pending = newPendingJSON(out.Pending, prop.Confirm, s.guards(*out.Pending))
		}
		if out.Withheld != nil {
			doc.Withheld = out.Withheld.Error()
		}
		if failed != nil {
			doc.Error = failed.Error()
		}
		return a.printJSON(doc)
	}
	w := newPrinter(a.Out)
	v := newWords(host.LinkName, a.loadNames())
	if len(r.Done) > 0 {
		for _, s := range out.Plan.Changes {
			w.step(v, s)
		}
	}
	w.waiting(out.Plan.Waiting)
	if failed == nil {
		notes := out.Plan.Notes
		if out.Withheld != nil {
			notes = append(slices.Clone(notes), fmt.Sprintf("what others had before it was adopted is not given back: %v", out.Withheld))
		}
		w.notes(notes)
	}
	var left *apply.RollbackError
	switch n := len(out.Plan.Changes); {
	case errors.As(failed, &left):
		w.say("", "Failed, and %d %s could not be taken back.", len(left.Left), plural(len(left.Left), "change", "changes"))
	case failed != nil && r.RolledBack:
		w.say("", "Failed; what had been done was taken back.")
	case failed != nil:
		w.printf("Failed; nothing was changed.\n")
	case n == 0 && len(r.Done) > 0:
		w.printf("Nothing to change; %d %s put right; %s.\n", len(r.Done), plural(len(r.Done), "leftover", "leftovers"), stands(out, prop))
	case n == 0:
		w.printf("Nothing to change: %s.\n", stands(out, prop))
	default:
		w.printf("%d %s made and read back; %s.\n", n, plural(n, "change", "changes"), stands(out, prop))
	}
	if failed == nil && out.Pending != nil {
		a.viewPending(w, *out.Pending, prop.Confirm, goingBack(out.Plan.Back))
	}
	return w.err
}

// stands says what was there before, or that nothing is to be there.
func stands(out apply.Outcome, prop apply.Proposal) string {
	switch {
	case prop.Policy == "" && out.Pending != nil: // what was stands ready to come back
		return "nothing of ours is in force"
	case prop.Policy == "":
		return "nothing of ours is left"
	}
	return thereAlready(out.Plan)
}

// viewPending says how to keep a generation, and what happens otherwise, with one
// more sentence on how.
func (a *app) viewPending(w *printer, p journal.Pending, left time.Duration, how string) {
	now := time.Now()
	w.say("", "Generation %d is unconfirmed until %s (%v); then %s.", p.ID, clock(now.Add(left), now), left.Round(time.Second), comesBack(p.Old))
	if how != "" {
		w.wrap(how)
	}
	if !a.interactive() {
		w.printf("Confirm it from a new connection, which proves that one can still get in:\n    %s\n",
			a.callAgain("confirm", strconv.FormatUint(p.ID, 10)))
	}
}

// comesBack says what a rollback leads to.
func comesBack(old uint64) string {
	if old == 0 {
		return "everything of ours is removed, as no generation was confirmed before"
	}
	return fmt.Sprintf("generation %d comes back", old)
}
