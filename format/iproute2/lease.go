package iproute2

import (
	"fmt"

	"rpdb"
	"rpdb/format"
)

// LeaseLosses are the rules and routes that hang on leases, in words of ip, for a
// system that has no words for what a lease brings at the time. Routes of which can
// says so are none; it may be nil.
func LeaseLosses(s *rpdb.Snapshot, n rpdb.Names, leases []format.Lease, system string, can func(rpdb.Route) bool) (losses []format.Loss) {
	view := RouteView{LinkName: s.LinkName, Names: n}
	for _, l := range leases {
		name := s.LinkName(l.Link)
		for _, r := range l.Routes {
			if can != nil && can(r) {
				continue
			}
			reason := fmt.Sprintf("its network is one that %s has for a time", name)
			if len(r.Nexthops) > 0 && r.Nexthops[0].Via.IsValid() {
				reason = fmt.Sprintf("its gateway is one that %s has for a time", name)
			}
			losses = append(losses, format.Loss{
				Object: RouteCommand(rpdb.Add, r, view),
				Reason: fmt.Sprintf("%s, and %s has no word for whichever it is", reason, system),
			})
		}
		for _, r := range l.Rules {
			losses = append(losses, format.Loss{
				Object: RuleCommand(rpdb.Add, r, n),
				Reason: fmt.Sprintf("it selects by an address that %s has for a time, and %s has no word for whichever it is", name, system),
			})
		}
	}
	return losses
}
