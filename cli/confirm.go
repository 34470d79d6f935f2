package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rpdb/apply"
	"rpdb/apply/journal"
)

func (a *app) confirmCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "confirm [ID]",
		Short: "keep the generation that \"rpdb apply --confirm\" put on trial",
		Long: `confirm keeps the generation that is on trial, for good: it does not come undone
any more. Called from a new connection it proves that one can still get in. With
the ID of the generation, as apply prints it, no other is confirmed by mistake.
The generation before, which stood ready to come back, is then cleared away. A note
says if the host has drifted from what is confirmed. To confirm once more changes
nothing.

Exit codes: 0 confirmed; 1 an error: it was rolled back before, or nothing is on
trial.`,
		Args: atMostOne("a generation's ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var id uint64
			if len(args) > 0 {
				var err error
				if id, err = generationID(args[0]); err != nil {
					return err
				}
			}
			return a.confirm(cmd.Context(), id)
		},
	}
	a.waitFlag(cmd)
	a.stateFlag(cmd)
	return cmd
}

// generationDocument is the JSON of confirm, and of rollback where a trial was
// ended.
type generationDocument struct {
	Version    int           `json:"version"`
	Generation journal.Entry `json:"generation"`
	// Back is how the generation before came back.
	Back *wayBack `json:"back,omitempty"`
}

func (a *app) confirm(ctx context.Context, id uint64) error {
	s, err := a.openSite(false)
	if err != nil {
		return err
	}
	defer s.close()
	session, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if r := session.Recovered(); r != nil && id == 0 {
		id = r.Entry.ID // it is too late for this one
	}
	entry, err := session.Confirm(ctx, id)
	if err != nil {
		return err
	}
	a.noteUncleared(session)
	s.noteDrift(ctx, session)
	s.makeLast(session)
	return a.viewConfirmed(entry)
}

// noteDrift says that the host is not as the generation wants it that was
// confirmed, as where a rollback was cut short. It is confirmed all the same.
func (s *site) noteDrift(ctx context.Context, session *apply.Session) {
	host, err := s.kernel().Snapshot(ctx)
	if err != nil {
		return
	}
	e, p, err := apply.Drift(s.config(), session.State(), host)
	if n := len(p.Changes); n > 0 && err == nil {
		s.app.note("this host is not as generation %d wants it: %d %s would put it right, see \"%s\"",
			e.ID, n, plural(n, "change", "changes"), s.app.callAgain("status"))
	}
}

// viewConfirmed says that a generation is confirmed; if that cannot be written,
// the error says it.
func (a *app) viewConfirmed(entry journal.Entry) (err error) {
	if a.json {
		err = a.printJSON(generationDocument{1, entry, nil})
	} else {
		w := newPrinter(a.Out)
		w.printf("Generation %d is confirmed.\n", entry.ID)
		err = w.err
	}
	if err != nil {
		err = fmt.Errorf("generation %d is confirmed; to say so: %w", entry.ID, err)
	}
	return err
}
