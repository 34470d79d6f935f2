package cli

import (
	"slices"

	"rpdb"
	"rpdb/format"
)

// untranslated returns what a policy comes to for those who cannot translate: its
// rules look up the tables that the policy names, and the copies that only
// nftables has a use for are left out. It says what is lost.
func (e exportable) untranslated() (rpdb.Desired, []format.Loss) {
	d := e.desired
	copies := map[rpdb.TableID]bool{}
	var losses []format.Loss
	d.Rules = slices.Clone(d.Rules)
	for i, w := range d.Rules {
		if w.Translation == (rpdb.Translation{}) {
			continue
		}
		copies[w.Rule.Action.Table()] = true
		d.Rules[i].Rule.Action, d.Rules[i].Rule.Realms = rpdb.ToTable(w.CopyOf), 0
		losses = append(losses, format.Loss{
			Object: "rule " + w.Name,
			Reason: "nothing there translates the source of its packets, " + w.Translation.String(),
		})
	}
	if len(copies) == 0 {
		return e.desired, nil
	}
	d.Routes = slices.DeleteFunc(slices.Clone(d.Routes), func(w rpdb.DesiredRoute) bool { return copies[w.Route.Table] })
	d.Tables = slices.DeleteFunc(slices.Clone(d.Tables), func(t rpdb.DesiredTable) bool { return copies[t.ID] })
	d.Waiting = slices.DeleteFunc(slices.Clone(d.Waiting), func(w rpdb.Waiting) bool { return copies[w.Table] })
	return d, losses
}
