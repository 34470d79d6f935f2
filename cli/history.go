package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/apply/journal"
)

// historyDocument is the JSON of history, the newest generation first.
type historyDocument struct {
	Version     int              `json:"version"`
	Generations []journal.Entry  `json:"generations"`
	Pending     *journal.Pending `json:"pending,omitempty"`
	Guards      *guards          `json:"guards,omitempty"` // of the one that is pending
}

// generationShown is the JSON of history show.
type generationShown struct {
	Version    int           `json:"version"`
	Generation journal.Entry `json:"generation"`
	Body       journal.Body  `json:"body"`
	Guards     *guards       `json:"guards,omitempty"` // while it is on trial
}

func (a *app) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history",
		Short: "what was applied here: when, by whom, and what became of it",
		Long: `history lists the generations of this namespace, the newest first: those that
were applied, rolled back or removed by rpdb. CHANGES says how many rules and
routes were added, changed and removed. A hundred are kept.`,
		Example: "  rpdb history\n  rpdb history show 7\n  rpdb history show 7 --policy > before.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if id, err := generationID(args[0]); err == nil {
					return &usageError{fmt.Sprintf("history: unknown command %q", args[0]), fmt.Sprintf("rpdb history show %d", id)}
				}
			}
			return noWords(cmd, args)
		},
		RunE: func(*cobra.Command, []string) error { return a.history() },
	}
	a.stateFlag(cmd)
	cmd.AddCommand(a.historyShowCommand())
	return cmd
}

func (a *app) historyShowCommand() *cobra.Command {
	var text bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "one generation: who, when, why, each change, and its policy",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{"history show: one generation's ID is needed", `see "rpdb history"`}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := generationID(args[0])
			if err != nil {
				return err
			}
			return a.historyShow(id, text)
		},
	}
	cmd.Flags().BoolVar(&text, "policy", false, "print the text of its policy, and nothing else")
	a.stateFlag(cmd)
	return cmd
}

func (a *app) history() error {
	s, err := a.openSite(true)
	if err != nil {
		return err
	}
	defer s.close()
	state, err := s.journal.Read()
	if err != nil {
		return err
	}
	newest := newestFirst(state.Generations)
	if a.json {
		return a.printJSON(historyDocument{1, newest, state.Pending, s.watchers(state.Pending)})
	}
	w := newPrinter(a.Out)
	if len(newest) == 0 {
		w.printf("Nothing was applied here.\n")
		return w.err
	}
	by := len("BY")
	for _, e := range newest {
		by = max(by, len(safe(e.Author)))
	}
	w.printf("%4s  %-19s  %-11s  %-*s  %-12s  %s\n", "ID", "TIME", "STATE", by, "BY", "CHANGES", "MESSAGE")
	for _, e := range newest {
		line := fmt.Sprintf("%4d  %-19s  %-11s  %-*s  %-12s  %s", e.ID, e.Time.Local().Format(time.DateTime), e.Status,
			by, safe(e.Author), changedText(e.Changed), safe(e.Message))
		w.printf("%s\n", strings.TrimRight(line, " "))
	}
	return w.err
}

func newestFirst(entries []journal.Entry) []journal.Entry {
	newest := list(entries)
	slices.Reverse(newest)
	return newest
}

func changedText(c journal.Count) string {
	return fmt.Sprintf("+%d ~%d -%d", c.Add, c.Change, c.Remove)
}

func (a *app) historyShow(id uint64, text bool) error {
	s, err := a.openSite(true)
	if err != nil {
		return err
	}
	defer s.close()
	state, err := s.journal.Read()
	if err != nil {
		return err
	}
	e, ok := state.Find(id)
	if !ok {
		return &usageError{fmt.Sprintf("there is no generation %d", id), `see "rpdb history"`}
	}
	body, err := s.journal.Body(e)
	if err != nil {
		return err
	}
	var g *guards
	if p := state.Pending; p != nil && p.ID == id {
		g = s.watchers(p)
	}
	switch {
	case text:
		_, err := io.WriteString(a.Out, body.Policy)
		return err
	case a.json:
		return a.printJSON(generationShown{1, e, body, g})
	}
	return a.viewGeneration(e, body, g)
}

func (a *app) viewGeneration(e journal.Entry, body journal.Body, g *guards) error {
	w := newPrinter(a.Out)
	w.printf("Generation %d: %s", e.ID, e.Status)
	if e.Why != "" {
		w.printf(" (%s)", safe(e.Why))
	}
	w.printf("\n  time:    %s\n  by:      %s\n", e.Time.Local().Format(time.DateTime), safe(e.Author))
	if e.Message != "" {
		w.printf("  message: %s\n", safe(e.Message))
	}
	if e.PolicyHash == "" {
		w.printf("  policy:  none, everything of ours was removed\n")
	} else {
		w.printf("  policy:  %s, SHA-256 %s\n", safe(body.File), e.PolicyHash)
	}
	switch {
	case g == nil:
	case g.String() == "":
		w.printf("  watched: by nothing any more\n")
	default:
		w.printf("  watched: by %v\n", g)
	}
	w.printf("  changes: %s\n", changedText(e.Changed))
	v := newWords(func(i rpdb.LinkIndex) rpdb.LinkName { return body.Links[i] }, a.loadNames())
	for _, c := range body.Changes {
		w.printf("  %s %s\n", signOf(c.Op), v.change(c))
	}
	return w.err
}

// signOf is the sign of a change.
func signOf(op rpdb.ChangeOp) string {
	return map[rpdb.ChangeOp]string{rpdb.Add: "+", rpdb.Replace: "~", rpdb.Delete: "-"}[op]
}
