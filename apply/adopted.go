package apply

import (
	"slices"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// adopted returns the rules and routes of others that a plan makes the policy's,
// for the record: who goes back gives them back.
func adopted(p plan.Plan) journal.Adopted {
	var a journal.Adopted
	for _, s := range p.Changes {
		back := s.Inverse
		switch {
		case back.Op == rpdb.Add && back.Rule != nil && back.Rule.Protocol != rpdb.ProtocolRPDB:
			a.Rules = append(a.Rules, *back.Rule)
		case back.Op == rpdb.Replace && back.Route != nil && back.Route.Protocol != rpdb.ProtocolRPDB:
			a.Routes = append(a.Routes, *back.Route)
		}
	}
	return a
}

// giveBack returns the meanings of the generation to go back to, each with what
// the one on trial has adopted, and then as they are: where something of others
// cannot be made again, ours is taken back all the same. After a boot nothing of
// it is there, and who made it makes it again.
func (s *Session) giveBack(p journal.Pending, all []rpdb.Desired, host *rpdb.Snapshot) []rpdb.Desired {
	e, ok := s.state.Find(p.ID)
	if !ok || p.BootID != s.boot || p.NetNS != s.NetNS {
		return all
	}
	body, err := s.Journal.Body(e)
	if err != nil || len(body.Adopted.Rules)+len(body.Adopted.Routes) == 0 {
		return all
	}
	routes := slices.DeleteFunc(slices.Clone(body.Adopted.Routes), func(r rpdb.Route) bool {
		return slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool {
			_, there := host.Link(n.Link)
			return n.Link != 0 && !there
		})
	})
	var with []rpdb.Desired
	for _, d := range all {
		d.ForeignRules, d.ForeignRoutes = body.Adopted.Rules, routes
		with = append(with, d)
	}
	return append(with, all...)
}
