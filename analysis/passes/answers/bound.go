package answers

import (
	"fmt"
	"net/netip"

	"rpdb"
	"rpdb/analysis"
	"rpdb/fib"
)

// unbound is an uplink that sockets bound to the device cannot leave by.
type unbound struct {
	family rpdb.Family
	link   rpdb.Link
	to     netip.Addr
	tables []rpdb.TableID // with a default route by the link
}

// flow returns what a socket bound to the device sends to the outside.
func (u unbound) flow() rpdb.Flow { return rpdb.Flow{Dst: u.to, OIF: u.link.Name} }

// unbindable returns the uplinks among the doors that bound sockets cannot
// leave by. In IPv4 a failed lookup of a bound socket takes the destination
// for a neighbour, so a packet leaves and nobody answers: no table did then.
// Where no table has a default route at all, the host has no outside.
func unbindable(f *fib.FIB, doors []Door, defaults uplinks) []unbound {
	type key struct {
		family rpdb.Family
		link   rpdb.LinkIndex
	}
	seen := map[key]bool{}
	var found []unbound
	for _, d := range doors {
		k := key{d.Family(), d.Link.Index}
		if d.Verdict == Inside || d.Verdict == NotInUse || d.vrf != "" || seen[k] || len(defaults[k.family]) == 0 {
			continue
		}
		seen[k] = true
		u := unbound{k.family, d.Link, d.To, defaults[k.family][k.link]}
		decision := f.Lookup(u.flow())
		unknown := decision.Disposition == rpdb.DispositionUnknown
		if leaves := decision.Disposition == rpdb.Sent && decision.Link == d.Link.Name && decision.Table != 0; !leaves && !unknown {
			found = append(found, u)
		}
	}
	return found
}

func (u unbound) diagnose() analysis.Diagnostic {
	name := analysis.Name(u.link.Name)
	d := analysis.Diagnostic{
		Severity: analysis.Warning,
		Family:   u.family,
		Subject:  analysis.OfLink(u.link),
		Message:  fmt.Sprintf("%s has no default route in any table: ping -I %s will not leave the link", name, name),
	}
	if len(u.tables) > 0 {
		d.Message = fmt.Sprintf("no rule leads sockets bound to %s to its default route: ping -I %s will not leave the link", name, name)
		d.Reason = "the route is in " + analysis.Table(u.tables[0])
	}
	return d
}
