package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"rpdb"
)

// diffRoutes fills newRoutes and oldRoutes.
func (d *differ) diffRoutes() error {
	present := d.routesByKey()
	wanted := map[rpdb.RouteKey]bool{}
	var errs []error
	for _, w := range d.desired.Routes {
		key := w.Route.Key()
		if wanted[key] {
			errs = append(errs, fmt.Errorf("plan %s: %v is wanted twice", w.Name, w.Route))
			continue
		}
		wanted[key] = true
		errs = append(errs, d.wantRoute(w, present[key]))
	}
	d.dropRoutes(wanted)
	d.newRoutes = inLookupOrder(d.newRoutes)
	d.oldRoutes = inLookupOrder(d.oldRoutes)
	slices.Reverse(d.oldRoutes)
	return errors.Join(errs...)
}

func (d *differ) routesByKey() map[rpdb.RouteKey][]rpdb.Route {
	tables := map[rpdb.TableID]bool{}
	for _, w := range d.desired.Routes {
		tables[w.Route.Key().Table] = true
	}
	byKey := map[rpdb.RouteKey][]rpdb.Route{}
	for _, r := range d.actual.Routes {
		if r.Family == d.family && tables[r.Table] {
			byKey[r.Key()] = append(byKey[r.Key()], r)
		}
	}
	return byKey
}

// wantRoute plans one route of the policy, given the routes that stand at its
// key now.
func (d *differ) wantRoute(w rpdb.DesiredRoute, present []rpdb.Route) error {
	var own []rpdb.Route
	for _, r := range present {
		switch {
		case r.Protocol == rpdb.ProtocolRPDB && r.Unknown == "":
			own = append(own, r)
		case sameButProtocol(r, w.Route):
			d.plan.Kept++
			d.note("%v is there already, made by protocol %d: left to its owner", w.Route, r.Protocol)
			return nil
		default:
			return &ConflictError{Name: w.Name, Wanted: w.Route, Foreign: r}
		}
	}
	if len(own) == 0 {
		d.addRoute(w)
		return nil
	}
	// The kernel does not make a second route equal to one that is there.
	keep := max(slices.IndexFunc(own, func(r rpdb.Route) bool { return r.Equivalent(w.Route) }), 0)
	for i, extra := range own {
		if i != keep {
			d.deleteRoute(extra, "stands there twice")
		}
	}
	if own[keep].Equivalent(w.Route) {
		d.plan.Kept++
		return nil
	}
	d.newRoutes = append(d.newRoutes, Step{
		Change: rpdb.RouteChange(rpdb.Replace, w.Route), Name: w.Name,
		Reason:  "differs: " + routeDifference(own[keep], w.Route),
		Inverse: rpdb.RouteChange(rpdb.Replace, own[keep]),
	})
	return nil
}

func (d *differ) addRoute(w rpdb.DesiredRoute) {
	d.newRoutes = append(d.newRoutes, Step{
		Change: rpdb.RouteChange(rpdb.Add, w.Route), Name: w.Name, Reason: "missing",
		Inverse: rpdb.RouteChange(rpdb.Delete, w.Route),
	})
}

func (d *differ) deleteRoute(r rpdb.Route, reason string) {
	d.oldRoutes = append(d.oldRoutes, routeStep(rpdb.Delete, r, reason))
}

// routeStep adds a route or deletes it.
func routeStep(op rpdb.ChangeOp, r rpdb.Route, reason string) Step {
	inverse := rpdb.Delete
	if op == rpdb.Delete {
		inverse = rpdb.Add
	}
	return Step{Change: rpdb.RouteChange(op, r), Reason: reason, Inverse: rpdb.RouteChange(inverse, r)}
}

// routeChanges are changes of routes in tables that packets are led to before
// a plan and after it.
type routeChanges struct{ new, old []Step }

func (c routeChanges) all() []Step { return slices.Concat(c.new, c.old) }

// sortedRoutes are the changes of routes by what packets see of them.
type sortedRoutes struct {
	// shared are those of tables that packets come to all the time.
	shared routeChanges
	// unseen are those of tables of the policy that packets are not led to any
	// more, as soon as that is so.
	unseen []Step
	// forsaken are removals from tables that packets are not led to any more.
	forsaken []Step
	// left are removals from tables that packets were not led to before.
	left []Step
	// rewrites reports that a table changes to which packets are not led, though
	// the policy before may want it as it is.
	rewrites bool
}

// sortRoutes puts the changes of tables that packets do not come to yet into
// their phase, and sorts the others. What is left over is no change.
func (d *differ) sortRoutes(ph *phases) sortedRoutes {
	uses := d.usesOf()
	var out sortedRoutes
	ph.oldRoutes = nil
	for _, s := range d.oldRoutes {
		u := uses(s.Change.Route.Table)
		if !u.before && !u.after && !u.wanted {
			s.Reason = "left over"
			out.left = append(out.left, s)
			continue
		}
		ph.oldRoutes = append(ph.oldRoutes, s)
		switch {
		case !u.before:
			ph.add(Prepare, s)
			out.rewrites = true
		case u.after:
			out.shared.old = append(out.shared.old, s)
		case u.wanted:
			out.unseen = append(out.unseen, s)
		default:
			out.forsaken = append(out.forsaken, s)
		}
	}
	filled := map[rpdb.TableID]bool{}
	for _, r := range d.actual.Routes {
		filled[r.Table] = filled[r.Table] || r.Family == d.family && r.Protocol == rpdb.ProtocolRPDB
	}
	for _, s := range d.newRoutes {
		switch u := uses(s.Change.Route.Table); {
		case !u.before:
			ph.add(Prepare, s)
			out.rewrites = out.rewrites || filled[s.Change.Route.Table]
		case u.after:
			out.shared.new = append(out.shared.new, s)
		default:
			out.unseen = append(out.unseen, s)
		}
	}
	out.rewrites = out.rewrites || len(out.unseen) > 0
	return out
}

// notInPolicy is why what is ours goes, most often.
const notInPolicy = "not in the policy"

// dropRoutes plans the removal of our routes that the policy does not want.
func (d *differ) dropRoutes(wanted map[rpdb.RouteKey]bool) {
	own := ownTables(d.actual, d.desired)
	strays := map[rpdb.TableID]int{}
	for _, r := range d.actual.Routes {
		_, inRange := TwinOfTable(r.Table)
		inOwnTable := inRange || own[r.Table]
		switch {
		case r.Family != d.family:
		case r.Protocol != rpdb.ProtocolRPDB || wanted[r.Key()]:
		case !own[r.Table] && rpdb.IsHandCopy(r.Family, r.Table): // of a rule made by hand
		case !inOwnTable || r.Unknown != "":
			strays[r.Table]++
		case d.routeWaits(r):
			d.plan.Kept++
		default:
			d.deleteRoute(r, notInPolicy)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(strays)) {
		d.note("table %d (%v) is not of the policy and holds routes with our protocol number (%d): left alone", t, d.family, strays[t])
	}
}

// inLookupOrder returns the steps in the order in which the kernel compares
// their routes: the longest prefix first, then the smallest metric. Added in
// this order, or deleted in the opposite one, they never send a packet where
// neither the old table nor the new one would; a default route does not
// catch what an exception is about to. But a route on the link that a gateway
// stands on comes before those by the gateway, which the kernel refuses else.
func inLookupOrder(steps []Step) []Step {
	slices.SortStableFunc(steps, func(a, b Step) int { return compareLookup(*a.Change.Route, *b.Change.Route) })
	var direct []int
	for i, s := range steps {
		if onLink(*s.Change.Route) {
			direct = append(direct, i)
		}
	}
	out, done := make([]Step, 0, len(steps)), make([]bool, len(steps))
	add := func(i int) {
		if !done[i] {
			done[i] = true
			out = append(out, steps[i])
		}
	}
	type gateway struct {
		table rpdb.TableID
		addr  netip.Addr
	}
	seen := map[gateway]bool{}
	for i, s := range steps {
		for _, n := range s.Change.Route.Nexthops {
			gw := gateway{s.Change.Route.Table, n.Via}
			if !n.Via.IsValid() || seen[gw] {
				continue
			}
			seen[gw] = true
			for _, j := range direct {
				if r := steps[j].Change.Route; r.Table == gw.table && r.Dst.Contains(gw.addr) {
					add(j)
				}
			}
		}
		add(i)
	}
	return out
}

func compareLookup(a, b rpdb.Route) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Table, b.Table),
		cmp.Compare(b.Dst.Bits(), a.Dst.Bits()), cmp.Compare(a.Key().Metric, b.Key().Metric))
}

// onLink reports whether a route leads to its destination without a gateway.
func onLink(r rpdb.Route) bool {
	return r.Type == rpdb.RouteUnicast && slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return !n.Via.IsValid() })
}

func sameButProtocol(a, b rpdb.Route) bool {
	a.Protocol = b.Protocol
	return a.Equivalent(b)
}

// routeDifference names the first field in which two routes of one key differ.
func routeDifference(is, want rpdb.Route) string {
	is, want = is.Canonical(), want.Canonical()
	switch {
	case is.Type != want.Type:
		return fmt.Sprintf("type is %v", is.Type)
	case !slices.Equal(is.Nexthops, want.Nexthops) || is.NexthopID != want.NexthopID:
		return "leads elsewhere"
	case is.PrefSrc != want.PrefSrc:
		return fmt.Sprintf("src is %s", addrWord(is))
	case is.Scope != want.Scope:
		return fmt.Sprintf("scope is %v", is.Scope)
	case is.Realms != want.Realms:
		return "realms"
	case is.Pref != want.Pref:
		return fmt.Sprintf("pref is %v", is.Pref)
	}
	return "metrics"
}

func addrWord(r rpdb.Route) string {
	if !r.PrefSrc.IsValid() {
		return "missing"
	}
	return r.PrefSrc.String()
}

// ownTables returns the tables in which routes with our protocol number are
// ours: those of the policy, and those that a rule of ours looks up. Tables of
// the reserved range are ours as well and not listed.
func ownTables(actual *rpdb.Snapshot, desired rpdb.Desired) map[rpdb.TableID]bool {
	own := map[rpdb.TableID]bool{}
	for _, t := range desired.Tables {
		own[t.ID] = true
	}
	for _, r := range actual.Rules {
		if IsOwnRule(r) && r.Action.Type() == rpdb.ActionTable && !reservedTable(r.Action.Table()) {
			own[r.Action.Table()] = true
		}
	}
	return own
}

// reservedTable reports whether the kernel itself fills the table.
func reservedTable(t rpdb.TableID) bool {
	return t == rpdb.TableUnspec || rpdb.TableDefault <= t && t <= rpdb.TableLocal
}
