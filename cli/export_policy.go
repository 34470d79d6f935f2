package cli

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/plan"
)

// exportable is a policy, resolved on a host, on its way out.
type exportable struct {
	host       *rpdb.Snapshot
	desired    rpdb.Desired
	names      rpdb.Names
	generation uint64 // 0 for a policy file
}

// exportable resolves the policy of a file, or if it has no name that of the
// confirmed generation.
func (a *app) exportable(ctx context.Context, file string) (exportable, error) {
	var e exportable
	var err error
	if file == "" {
		e, err = a.confirmedPolicy(ctx)
	} else {
		e, err = a.policyOnHost(ctx, file)
	}
	if err != nil {
		return exportable{}, err
	}
	e.names = a.loadNames()
	e.names.Tables = maps.Clone(e.names.Tables)
	if e.names.Tables == nil {
		e.names.Tables = map[rpdb.TableID]string{}
	}
	for _, t := range e.desired.Tables {
		if t.Name != "" {
			e.names.Tables[t.ID] = t.Name
		}
	}
	return e, nil
}

func (a *app) policyOnHost(ctx context.Context, file string) (exportable, error) {
	doc, err := a.readPolicy(ctx, file)
	if err != nil {
		return exportable{}, err
	}
	host, conn, err := a.state(ctx)
	if err != nil {
		return exportable{}, err
	}
	if conn != nil {
		defer conn.Close()
	}
	if err := isWhole(host); err != nil {
		return exportable{}, err
	}
	desired, err := doc.Resolve(host, a.loadNames())
	return exportable{host: host, desired: desired}, err
}

func (a *app) confirmedPolicy(ctx context.Context) (exportable, error) {
	s, err := a.openSite(true)
	if err != nil {
		return exportable{}, err
	}
	defer s.close()
	state, err := s.journal.Read()
	if err != nil {
		return exportable{}, err
	}
	entry, ok := state.Confirmed()
	if !ok || entry.PolicyHash == "" {
		return exportable{}, &usageError{"export: no policy is confirmed here", `apply one, or name a file with --policy`}
	}
	if state.Pending != nil {
		fmt.Fprintf(a.Err, "note: generation %d is on trial; what is exported is generation %d\n", state.Pending.ID, entry.ID)
	}
	body, err := s.journal.Body(entry)
	if err != nil {
		return exportable{}, err
	}
	host, err := s.kernel().Snapshot(ctx)
	if err != nil {
		return exportable{}, err
	}
	desired, err := s.config().Resolve(body, host)
	if err != nil {
		return exportable{}, fmt.Errorf("what generation %d means now: %w", entry.ID, err)
	}
	return exportable{host: host, desired: desired, generation: entry.ID}, nil
}

// snapshot returns what is to be written, and what of it no file can promise:
// parts that wait, gateways that the host learns, and addresses that are there for
// a time.
func (e exportable) snapshot(to notation) (*rpdb.Snapshot, []format.Loss, error) {
	rules, err := plan.List(e.desired)
	if err != nil {
		return nil, nil, err
	}
	s := &rpdb.Snapshot{}
	var losses []format.Loss
	for _, r := range rules {
		r.Protocol = rpdb.ProtocolStatic
		s.Rules = append(s.Rules, r)
	}
	for _, r := range e.desired.Routes {
		route := r.Route
		route.Protocol = rpdb.ProtocolStatic
		s.Routes = append(s.Routes, route)
		if r.Learned {
			losses = append(losses, format.Loss{
				Object: iproute2.RouteCommand(rpdb.Add, route, iproute2.RouteView{LinkName: e.host.LinkName, Names: e.names}),
				Reason: "the gateway is whichever the host has at the time; this is the one of now",
			})
		}
	}
	groups := refusedGroups(rules)
	used := e.usedLinks(s.Routes, groups)
	for _, w := range e.desired.Waiting {
		losses = append(losses, format.Loss{Object: w.Name, Reason: w.Reason})
	}
	for _, l := range e.host.Links {
		if !used[l.Index] && (!to.whole || !l.IsLoopback()) { // whose file has the rules
			continue
		}
		if !groups[l.Group] {
			l.Group = 0
		}
		s.Links = append(s.Links, l)
		fleeting := e.addAddresses(s, l, to.leases)
		if to.whole {
			losses = append(losses, fleeting...)
			e.addMain(s, l)
		}
	}
	return s, losses, nil
}

// refusedGroups are the groups of interfaces that a rule refuses, but for the one
// that every interface is in at first.
func refusedGroups(rules []rpdb.Rule) map[uint32]bool {
	groups := map[uint32]bool{}
	for _, r := range rules {
		if g, ok := r.Suppress.IfGroup.Get(); ok && g != 0 {
			groups[g] = true
		}
	}
	return groups
}

// usedLinks are the interfaces that routes leave by, and those of the groups.
func (e exportable) usedLinks(routes []rpdb.Route, groups map[uint32]bool) map[rpdb.LinkIndex]bool {
	used := map[rpdb.LinkIndex]bool{}
	for _, r := range routes {
		for _, h := range r.Nexthops {
			used[h.Link] = true
		}
	}
	for _, l := range e.host.Links {
		if groups[l.Group] {
			used[l.Index] = true
		}
	}
	return used
}

// addAddresses adds the static addresses of an interface. It returns those that
// are there for a time only, as losses: with leases those alone that have a static
// one of their family beside them.
func (e exportable) addAddresses(s *rpdb.Snapshot, l rpdb.Link, leases bool) []format.Loss {
	var losses []format.Loss
	isStatic := func(a rpdb.Address) bool {
		return a.Flags&rpdb.AddressPermanent != 0 && !a.Prefix.Addr().IsLinkLocalUnicast()
	}
	for _, a := range e.host.Addresses {
		ip := a.Prefix.Addr()
		switch {
		case a.Link != l.Index || ip.IsLinkLocalUnicast() || ip.IsLoopback():
		case !isStatic(a) && leases && !slices.ContainsFunc(e.host.AddressesOf(rpdb.FamilyOf(ip), l.Index), isStatic):
		case !isStatic(a):
			losses = append(losses, format.Loss{
				Object: fmt.Sprintf("ip address add %v dev %s", a.Prefix, l.Name),
				Reason: "it was given for a time, and the file of its interface does not say by whom",
			})
		default:
			s.Addresses = append(s.Addresses, a)
		}
	}
	return losses
}

// addMain adds the routes of the main table over an interface that somebody added;
// those that lead nowhere are in the file of lo, as those of the policy are.
func (e exportable) addMain(s *rpdb.Snapshot, l rpdb.Link) {
	for _, f := range rpdb.Families() {
		for _, r := range e.host.Table(f, rpdb.TableMain) {
			s.Routes = append(s.Routes, byHand(r, l, e.desired)...)
		}
	}
}

// byHand returns a route of the main table if somebody added it over an
// interface, and the policy does not have it.
func byHand(r rpdb.Route, l rpdb.Link, d rpdb.Desired) []rpdb.Route {
	added := r.Protocol == rpdb.ProtocolBoot || r.Protocol == rpdb.ProtocolStatic
	if !added || r.Expires != 0 || r.Dst == netip.MustParsePrefix("ff00::/8") || !leavesBy(r, l) {
		return nil
	}
	if slices.ContainsFunc(d.Routes, func(o rpdb.DesiredRoute) bool { return o.Route.Key() == r.Key() }) {
		return nil
	}
	r.Protocol = rpdb.ProtocolStatic
	return []rpdb.Route{r}
}

// leavesBy reports whether the first way of a route is over an interface; a route
// that leads nowhere has lo.
func leavesBy(r rpdb.Route, l rpdb.Link) bool {
	if len(r.Nexthops) == 0 {
		return l.IsLoopback() && r.NexthopID == 0
	}
	return r.Nexthops[0].Link == l.Index
}
