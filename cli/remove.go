package cli

import (
	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/apply"
)

func (a *app) removeCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "take away all rules and routes that are ours, and nothing else",
		Long: `remove takes away what rpdb has put on this host: rules and routes that carry its
protocol number and stand in its ranges, or that a recorded generation pinned
elsewhere. Rules and routes of others that the policy had adopted are made again as
they were, unless the policy has changed them since. Nothing else is touched. It
makes a generation as apply does, so that "rpdb rollback --last 1" puts everything
back.

Exit codes: 0 done; 1 an error: nothing is changed, or what was is taken back.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkProposal(cmd); err != nil {
				return err
			}
			s, err := a.openSite(false)
			if err != nil {
				return err
			}
			defer s.close()
			prop := apply.Proposal{Message: o.message, Confirm: o.confirm}
			if prop.Message == "" {
				prop.Message = "remove"
			}
			return s.propose(cmd.Context(), prop, func(*rpdb.Snapshot) (rpdb.Desired, error) { return rpdb.Desired{}, nil })
		},
	}
	a.proposalFlags(cmd, &o.confirm, &o.message)
	return cmd
}
