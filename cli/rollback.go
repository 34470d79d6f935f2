package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/policy"
)

// rollbackOptions are the options of rollback.
type rollbackOptions struct {
	last    int
	confirm time.Duration
	message string
}

func (a *app) rollbackCommand() *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback [ID]",
		Short: "go back to an earlier generation, or end the trial of one",
		Long: `rollback without an ID takes back the generation that is on trial. The one before
still stands where it stood, and one message for each family leads packets back to
it; what changed where it stands takes one more each, and what somebody took from
it meanwhile is written anew first. Then the trial is cleared away. With an ID, as
"rpdb history" lists it, or with --last N, it applies the policy of an earlier
generation once more: what it means on this host now, as a new generation that
can be rolled back itself. Rules and routes of others that a later generation
adopted are made again as they were. --last 1 is the generation before the confirmed one;
those that were rolled back do not count.

Exit codes: 0 done; 1 an error: nothing is changed, or what was is taken back; 3
done as far as possible, a part waits for an interface or address.`,
		Example: "  rpdb rollback\n  rpdb rollback --last 1\n  rpdb rollback 7 --confirm 5m",
		Args:    atMostOne("a generation's ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("last") && len(args) > 0 {
				return &usageError{"rollback: an ID and --last exclude each other", `see "rpdb rollback --help"`}
			}
			if cmd.Flags().Changed("last") && o.last < 1 {
				return &usageError{fmt.Sprintf("--last %d: the generation before is 1 back", o.last), `see "rpdb history"`}
			}
			if err := a.checkProposal(cmd); err != nil {
				return err
			}
			var id uint64
			if len(args) > 0 {
				var err error
				if id, err = generationID(args[0]); err != nil {
					return err
				}
			}
			return a.rollback(cmd.Context(), id, o)
		},
	}
	cmd.Flags().IntVar(&o.last, "last", 0, "go back by `N` generations")
	a.proposalFlags(cmd, &o.confirm, &o.message)
	return cmd
}

func (a *app) rollback(ctx context.Context, id uint64, o rollbackOptions) error {
	s, err := a.openSite(false)
	if err != nil {
		return err
	}
	defer s.close()
	session, err := s.begin(ctx)
	if err != nil {
		return err
	}
	state := session.State()
	if p := state.Pending; p != nil && (id == 0 && o.last == 0 || id == p.Old && id != 0) {
		defer session.Close()
		return s.endTrial(ctx, session)
	}
	var entry journal.Entry
	if err = session.Free(); err == nil {
		entry, err = s.target(session, id, o.last)
	}
	session.Close()
	if err != nil {
		return err
	}
	body, err := s.journal.Body(entry)
	if err != nil {
		return err
	}
	prop := apply.Proposal{Policy: body.Policy, File: body.File, Message: o.message, Confirm: o.confirm, To: entry.ID}
	if prop.Message == "" {
		prop.Message = fmt.Sprintf("rollback to %d", entry.ID)
	}
	return s.propose(ctx, prop, func(host *rpdb.Snapshot) (rpdb.Desired, error) {
		if body.Policy == "" {
			return rpdb.Desired{}, nil
		}
		doc, err := policy.Parse(body.File, []byte(body.Policy))
		if err != nil {
			return rpdb.Desired{}, err
		}
		return doc.Resolve(host, a.loadNames())
	})
}

// target is the generation to go back to.
func (s *site) target(session *apply.Session, id uint64, last int) (journal.Entry, error) {
	state := session.State()
	switch {
	case id != 0:
		if e, ok := state.Find(id); ok {
			return e, nil
		}
		return journal.Entry{}, &usageError{fmt.Sprintf("there is no generation %d", id), `see "rpdb history"`}
	case last != 0:
		if e, ok := state.Back(last); ok {
			return e, nil
		}
		return journal.Entry{}, &usageError{fmt.Sprintf("--last %d: so many generations are not recorded", last), `see "rpdb history"`}
	}
	if r := session.Recovered(); r != nil {
		return journal.Entry{}, &usageError{fmt.Sprintf("generation %d is rolled back already", r.Entry.ID), ""}
	}
	return journal.Entry{}, &usageError{"rollback: no generation is on trial", "name the one to go back to, or --last 1 for the one before"}
}

// endTrial takes back the generation on trial.
func (s *site) endTrial(ctx context.Context, session *apply.Session) error {
	p := *session.State().Pending
	host, err := s.kernel().Snapshot(ctx)
	if err != nil {
		return err
	}
	out, err := session.RollBack(ctx, "by "+author())
	if err != nil {
		return err
	}
	s.app.noteUncleared(session)
	way := wayOf(out.Plan)
	if s.app.json {
		return s.app.printJSON(generationDocument{1, out.Entry, &way})
	}
	w := newPrinter(s.app.Out)
	v := newWords(host.LinkName, s.app.loadNames())
	for _, step := range out.Plan.Changes {
		w.step(v, step)
	}
	w.printf("Generation %d is rolled back: %s.\n", p.ID, isInForce(p.Old))
	switch {
	case way.Messages > 0 && way.Written == 0:
		w.printf("Packets were led back by %s.\n", way.messages())
	case way.Messages > 0:
		w.say("", "Packets were led back by %s, after %d that they see nothing of.", way.messages(), way.Written)
	}
	if w.err != nil {
		return fmt.Errorf("generation %d is rolled back; to say so: %w", p.ID, w.err)
	}
	return nil
}
