package policy

import (
	"fmt"
	"slices"

	"rpdb"
	"rpdb/resident"
)

// HandMade returns what persons and scripts have made on the host of a snapshot:
// the rules that are neither the kernel's own nor a policy's nor of a program that
// would make them again, and the tables that they lead to. The others are in Left.
// With chosen, exactly the rules that it reports are taken, whoever made them, but
// for the kernel's own and a policy's, which are never.
//
// A table is taken unless the kernel or a VRF fills it, or a policy numbers it;
// without chosen also unless it is that of a program that is known. Daemons is as
// in [Adoption]. The arguments are neither modified nor kept.
func HandMade(s *rpdb.Snapshot, chosen func(rpdb.Rule) bool, daemons map[rpdb.Protocol]string) Adoption {
	a := Adoption{Live: true, Daemons: daemons}
	programs := resident.On(s)
	for _, f := range rpdb.Families() {
		own := rpdb.DefaultRules(f)
		for _, r := range s.RulesOf(f) {
			kernels := slices.ContainsFunc(own, func(o rpdb.Rule) bool { return o.Meaning() == r.Meaning() })
			if kernels || isOwn(r) || chosen != nil && !chosen(r) {
				continue
			}
			if why := a.owner(r, programs); why != "" && chosen == nil {
				a.Left = append(a.Left, Left{r, why})
				continue
			}
			a.Rules = append(a.Rules, r)
			a.addTable(s, r, programs, chosen != nil)
		}
	}
	return a
}

// owner says which program would make a rule again, "" if none is known to.
func (a Adoption) owner(r rpdb.Rule, programs []resident.Program) string {
	for _, p := range programs {
		if p.MayHave(r) {
			return "looks like one of " + p.Name
		}
	}
	return a.daemon(r.Protocol)
}

// addTable takes the table that a rule leads to.
func (a *Adoption) addTable(s *rpdb.Snapshot, r rpdb.Rule, programs []resident.Program, chosen bool) {
	t := r.Action.Table()
	switch {
	case r.Action.Type() != rpdb.ActionTable || t == rpdb.TableUnspec || isKernelTable(t) || slices.Contains(a.Tables, t):
	case firstUplinkTable <= t && t <= lastOtherTable+twinDistance:
	case slices.ContainsFunc(s.Links, func(l rpdb.Link) bool { return l.VRFTable == t }):
	case !chosen && slices.ContainsFunc(programs, func(p resident.Program) bool { return p.HasTable(t) }):
	default:
		a.Tables = append(a.Tables, t)
	}
}

// FromFiles returns everything that the files of another system make, as a
// snapshot holds it: the rules but for the kernel's own, and all tables but those
// that the kernel fills, whose routes a policy does not have: Head counts them.
func FromFiles(s *rpdb.Snapshot) Adoption {
	var a Adoption
	add := func(t rpdb.TableID) {
		if t != rpdb.TableUnspec && !isKernelTable(t) && !slices.Contains(a.Tables, t) {
			a.Tables = append(a.Tables, t)
		}
	}
	for _, f := range rpdb.Families() {
		own := rpdb.DefaultRules(f)
		for _, r := range s.RulesOf(f) {
			if slices.ContainsFunc(own, func(o rpdb.Rule) bool { return o.Meaning() == r.Meaning() }) {
				continue
			}
			a.Rules = append(a.Rules, r)
			if r.Action.Type() == rpdb.ActionTable {
				add(r.Action.Table())
			}
		}
	}
	others := 0
	for _, r := range s.Routes {
		switch {
		case !isKernelTable(r.Table):
			add(r.Table)
		case r.Protocol != rpdb.ProtocolKernel:
			others++
		}
	}
	slices.Sort(a.Tables)
	if others > 0 {
		a.Head = append(a.Head, fmt.Sprintf("Not in it: %d %s of the tables main, local and default, which a policy leaves to whoever sets the interfaces up.", others, plural(others, "route", "routes")))
	}
	return a
}
