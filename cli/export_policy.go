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

// exportSet is what is to be written: what stays, and what hangs on leases. Losses
// are what of it no file can promise: parts that wait, and gateways that the host has
// from nobody knows whom.
type exportSet struct {
	snapshot *rpdb.Snapshot
	leases   []format.Lease
	losses   []format.Loss
}

func (o *exportSet) lose(object, reason string) {
	o.losses = append(o.losses, format.Loss{Object: object, Reason: reason})
}

// set sorts a policy for a notation.
func (e exportable) set(to notation) (exportSet, error) {
	desired, losses := e.untranslated()
	e.desired = desired
	rules, err := plan.List(e.desired)
	if err != nil {
		return exportSet{}, err
	}
	o := exportSet{snapshot: &rpdb.Snapshot{}, losses: losses}
	leases := &leaseFinder{host: e.host}
	for _, r := range rules {
		r.Rule.Protocol = rpdb.ProtocolStatic
		switch l := leases.ofRule(r); {
		case l != nil:
			l.Rules = append(l.Rules, r.Rule)
		case r.Leased:
			o.lose(iproute2.RuleCommand(rpdb.Add, r.Rule, e.names), "it selects by an address that was given for a time, and nothing here says by whom")
		default:
			o.snapshot.Rules = append(o.snapshot.Rules, r.Rule)
		}
	}
	for _, r := range e.desired.Routes {
		r.Route.Protocol = rpdb.ProtocolStatic
		l := leases.ofRoute(&r)
		command := iproute2.RouteCommand(rpdb.Add, r.Route, iproute2.RouteView{LinkName: e.host.LinkName, Names: e.names})
		switch {
		case r.Leased && to.mainFirst && leases.isMains(r.Route, rules):
		case l != nil:
			l.Routes = append(l.Routes, r.Route)
		case r.Leased && !r.Route.Nexthops[0].Via.IsValid():
			o.lose(command, "its network is that of an address that was given for a time, and nothing here says by whom")
		case r.Learned:
			o.lose(command, "the gateway is whichever the host has at the time; this is the one of now")
			fallthrough
		default:
			o.snapshot.Routes = append(o.snapshot.Routes, r.Route)
		}
	}
	for _, w := range e.desired.Waiting {
		o.lose(w.Name, w.Reason)
	}
	e.addLinks(&o, to, leases)
	return o, nil
}

// addLinks adds the interfaces that routes leave by, with all that is to be said of
// them, and what hangs on their leases.
func (e exportable) addLinks(o *exportSet, to notation, leases *leaseFinder) {
	groups := refusedGroups(o.snapshot.Rules)
	used := e.usedLinks(o.snapshot.Routes, groups)
	for _, l := range leases.found {
		used[l.Link] = used[l.Link] || len(l.Routes) > 0
	}
	for _, l := range e.host.Links {
		if !used[l.Index] && (!to.whole || !l.IsLoopback()) && !leases.has(l) { // whose file has the rules
			continue
		}
		if !groups[l.Group] {
			l.Group = 0
		}
		o.snapshot.Links = append(o.snapshot.Links, l)
		for _, f := range rpdb.Families() {
			if lease := leases.of(f, l.Index); lease != nil {
				o.leases = append(o.leases, *lease)
			}
		}
		if !used[l.Index] && !l.IsLoopback() {
			continue
		}
		fleeting := e.addAddresses(o.snapshot, l, leases)
		if to.whole {
			o.losses = append(o.losses, fleeting...)
			e.addMain(o.snapshot, l, leases)
		}
	}
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

// addAddresses adds the static addresses of an interface. It returns those that are
// there for a time and of no lease that is known as one, as losses.
func (e exportable) addAddresses(s *rpdb.Snapshot, l rpdb.Link, leases *leaseFinder) []format.Loss {
	var losses []format.Loss
	for _, a := range e.host.Addresses {
		switch ip := a.Prefix.Addr(); {
		case a.Link != l.Index || !isGlobal(ip):
		case isStatic(a):
			s.Addresses = append(s.Addresses, a)
		case leases.of(rpdb.FamilyOf(ip), l.Index) == nil:
			losses = append(losses, format.Loss{
				Object: fmt.Sprintf("ip address add %v dev %s", a.Prefix, l.Name),
				Reason: "it was given for a time, and the file of its interface does not say by whom",
			})
		}
	}
	return losses
}

// isStatic reports whether an address has no end.
func isStatic(a rpdb.Address) bool { return a.Flags&rpdb.AddressPermanent != 0 }

// isGlobal reports whether an address is none that interfaces have by themselves.
func isGlobal(ip netip.Addr) bool { return !ip.IsLinkLocalUnicast() && !ip.IsLoopback() }

// addMain adds the routes of the main table over an interface that somebody added;
// those that lead nowhere are in the file of lo, as those of the policy are.
func (e exportable) addMain(s *rpdb.Snapshot, l rpdb.Link, leases *leaseFinder) {
	for _, f := range rpdb.Families() {
		for _, r := range e.host.Table(f, rpdb.TableMain) {
			if leases.of(f, l.Index) != nil && slices.ContainsFunc(leases.defaults(f, l.Index), r.Equal) {
				continue // which the lease brings
			}
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
