package plan

import (
	"errors"
	"fmt"
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
	slices.SortStableFunc(d.newRoutes, byOrder)
	slices.SortStableFunc(d.oldRoutes, func(a, b Step) int { return byOrder(b, a) })
	return errors.Join(errs...)
}

func (d *differ) routesByKey() map[rpdb.RouteKey][]rpdb.Route {
	tables := map[rpdb.TableID]bool{}
	for _, w := range d.desired.Routes {
		tables[w.Route.Key().Table] = true
	}
	byKey := map[rpdb.RouteKey][]rpdb.Route{}
	for _, r := range d.actual.Routes {
		if tables[r.Table] {
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
		case r.Protocol == rpdb.ProtocolRPDB:
			own = append(own, r)
		case sameButProtocol(r, w.Route):
			d.plan.Kept++
			d.plan.Notes = append(d.plan.Notes, fmt.Sprintf("%v is there already, made by protocol %d: left to its owner", w.Route, r.Protocol))
			return nil
		default:
			return &ConflictError{Name: w.Name, Wanted: w.Route, Foreign: r}
		}
	}
	if len(own) == 0 {
		d.addRoute(w)
		return nil
	}
	for _, extra := range own[1:] {
		d.deleteRoute(extra, "stands there twice")
	}
	if own[0].Equal(w.Route) {
		d.plan.Kept++
		return nil
	}
	d.newRoutes = append(d.newRoutes, Step{
		Change: rpdb.RouteChange(rpdb.Replace, w.Route), Name: w.Name,
		Reason:  "differs: " + routeDifference(own[0], w.Route),
		Inverse: rpdb.RouteChange(rpdb.Replace, own[0]),
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
	d.oldRoutes = append(d.oldRoutes, Step{
		Change: rpdb.RouteChange(rpdb.Delete, r), Reason: reason, Inverse: rpdb.RouteChange(rpdb.Add, r),
	})
}

// dropRoutes plans the removal of our routes that the policy does not want.
func (d *differ) dropRoutes(wanted map[rpdb.RouteKey]bool) {
	own := OwnTables(d.actual, d.desired)
	for _, r := range d.actual.Routes {
		inOwnTable := own[r.Table] || FirstTable <= r.Table && r.Table <= LastTable
		if !inOwnTable || r.Protocol != rpdb.ProtocolRPDB || r.Unknown != "" {
			continue
		}
		if !wanted[r.Key()] && !d.waits(r.Family, r.Table) {
			d.deleteRoute(r, "not in the policy")
		}
	}
}

func sameButProtocol(a, b rpdb.Route) bool {
	a.Protocol = b.Protocol
	return a.Equal(b)
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
