package apply

import (
	"errors"
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

// owed returns what the confirmed generation and those before have adopted, and
// nobody has given back. Routes by an interface that is gone went with it.
func (s *Session) owed(host *rpdb.Snapshot) []journal.Owed {
	e, ok := s.state.Confirmed()
	if !ok {
		return nil
	}
	b, err := s.Journal.Body(e)
	if err != nil {
		return nil // the plan notes that
	}
	all := b.Owed
	if !b.Adopted.IsZero() {
		all = append(slices.Clone(all), journal.Owed{By: e.ID, Adopted: b.Adopted})
	}
	var owed []journal.Owed
	for _, o := range all {
		routes := o.Routes
		o.Routes = nil
		for _, r := range routes {
			if r, ok := relinkRoute(r, b, host); ok {
				o.Routes = append(o.Routes, r)
			}
		}
		owed = append(owed, o)
	}
	return owed
}

// owedBesides returns what is owed but for what is adopted once more: that is owed by
// the generation that has it now.
func owedBesides(now journal.Adopted, owed []journal.Owed) []journal.Owed {
	var rest []journal.Owed
	for _, o := range owed {
		o.Rules = slices.DeleteFunc(slices.Clone(o.Rules), func(r rpdb.Rule) bool {
			return slices.ContainsFunc(now.Rules, func(n rpdb.Rule) bool { return n.Canonical() == r.Canonical() })
		})
		o.Routes = slices.DeleteFunc(slices.Clone(o.Routes), func(r rpdb.Route) bool { return slices.ContainsFunc(now.Routes, r.Equal) })
		if !o.IsZero() {
			rest = append(rest, o)
		}
	}
	return rest
}

// giving returns a proposal with what it gives back: whose policy is an earlier
// generation's, what later ones adopted; and to take everything away, what the
// policy holds. What somebody took out of a policy stays his decision.
func (s *Session) giving(prop Proposal) (Proposal, journal.Adopted) {
	due := func(o journal.Owed, held bool) bool {
		return prop.To != 0 && o.By > prop.To || prop.To == 0 && prop.Policy == "" && held
	}
	var held rpdb.Desired
	if e, ok := s.state.Confirmed(); ok {
		if b, err := s.Journal.Body(e); err == nil {
			held = relink(b, prop.Before)
		}
	}
	var now journal.Adopted
	prop.owed = nil
	for _, o := range s.owed(prop.Before) {
		left := journal.Owed{By: o.By}
		for _, r := range o.Rules {
			if due(o, plan.AdoptsRule(held, r)) && !plan.AdoptsRule(prop.Desired, r) {
				now.Rules = append(now.Rules, r)
			} else {
				left.Rules = append(left.Rules, r)
			}
		}
		for _, r := range o.Routes {
			if due(o, plan.AdoptsRoute(held, r)) && !plan.AdoptsRoute(prop.Desired, r) {
				now.Routes = append(now.Routes, r)
			} else {
				left.Routes = append(left.Routes, r)
			}
		}
		if !left.IsZero() {
			prop.owed = append(prop.owed, left)
		}
	}
	prop.Desired.ForeignRules, prop.Desired.ForeignRoutes = now.Rules, now.Routes
	return prop, now
}

// ofOthers reports whether a step has failed that gives something back.
func ofOthers(err error) bool {
	var failed *StepError
	return errors.As(err, &failed) && !givenBack([]rpdb.Change{failed.Step.Change}).IsZero()
}

// givenBack returns what some of the changes made that is not ours. What was to be
// given back and was there already is not among it: somebody else has made that.
func givenBack(changes []rpdb.Change) (a journal.Adopted) {
	for _, c := range changes {
		switch {
		case c.Op == rpdb.Delete:
		case c.Rule != nil && c.Rule.Protocol != rpdb.ProtocolRPDB:
			a.Rules = append(a.Rules, *c.Rule)
		case c.Route != nil && c.Route.Protocol != rpdb.ProtocolRPDB:
			a.Routes = append(a.Routes, *c.Route)
		}
	}
	return a
}

// giveBack returns the meanings of the generation to go back to, each with what
// the one on trial has adopted and without what it has given back, and then as they
// are: where something of others cannot be made again, ours is taken back all the
// same. After a boot nothing of it is there, and who made it makes it again.
func (s *Session) giveBack(p journal.Pending, all []rpdb.Desired, host *rpdb.Snapshot) []rpdb.Desired {
	e, ok := s.state.Find(p.ID)
	if !ok || p.BootID != s.boot || p.NetNS != s.NetNS {
		return all
	}
	body, err := s.Journal.Body(e)
	gave := givenBack(body.Changes)
	if err != nil || body.Adopted.IsZero() && gave.IsZero() {
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
		d.GoneRules, d.GoneRoutes = gave.Rules, gave.Routes
		with = append(with, d)
	}
	return append(with, all...)
}
