package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"rpdb/apply/journal"
)

// completePending offers the generation that is on trial.
func (a *app) completePending(_ *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.offerGenerations(before, begun, func(e journal.Entry) bool { return e.Status == journal.Trial })
}

// completeGeneration offers all of them, the newest first.
func (a *app) completeGeneration(_ *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.offerGenerations(before, begun, func(journal.Entry) bool { return true })
}

func (a *app) offerGenerations(before []string, begun string, fits func(journal.Entry) bool) ([]cobra.Completion, cobra.ShellCompDirective) {
	o := offers{begun: begun}
	if len(before) > 0 {
		return nil, noFiles
	}
	for _, e := range a.recorded() {
		if fits(e) {
			about := fmt.Sprintf("%s, %s", e.Status, e.Time.Local().Format(time.DateTime))
			if e.Message != "" {
				about += ": " + e.Message
			}
			o.add(strconv.FormatUint(e.ID, 10), about)
		}
	}
	return o.list, noFiles
}

// recorded returns the generations of the namespace, the newest first; none if
// they cannot be read.
func (a *app) recorded() []journal.Entry {
	s, err := a.openSite(true)
	if err != nil {
		return nil
	}
	defer s.close()
	state, err := s.journal.Read()
	if err != nil {
		return nil
	}
	return newestFirst(state.Generations)
}

// completeWords offers fixed words.
func completeWords(words ...string) completeFunc {
	return func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		o := offers{begun: begun}
		for _, w := range words {
			o.add(w, "")
		}
		return o.list, noFiles
	}
}

func directory(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
