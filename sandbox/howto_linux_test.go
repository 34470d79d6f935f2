package sandbox

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"rpdb"
)

// cure returns the howto's rules and routes for every uplink, with the rule in
// front that keeps main's connected networks, and the one for sockets bound to
// the interface.
func cure(t *testing.T, w *World) []rpdb.Change {
	t.Helper()
	var changes []rpdb.Change
	rule := func(r rpdb.Rule) { changes = append(changes, rpdb.RuleChange(rpdb.Add, r)) }
	for _, f := range rpdb.Families() {
		rule(rpdb.Rule{
			Family: f, Priority: 100, Action: rpdb.ToTable(rpdb.TableMain),
			Suppress: rpdb.Suppressor{PrefixLength: rpdb.Some(int32(0))},
		})
	}
	for i, u := range w.Spec().Uplinks {
		table := rpdb.TableID(1001 + i)
		changes = append(changes, uplinkRoutes(u, table, index(t, w, u.Link))...)
		for j, a := range globals(u.Addresses) {
			rule(rpdb.Rule{
				Family: rpdb.FamilyOf(a), Priority: rpdb.Priority(1000 + 10*i + j), Action: rpdb.ToTable(table),
				Selector: rpdb.Selector{From: single(a)},
			})
		}
		for _, f := range rpdb.Families() {
			rule(rpdb.Rule{
				Family: f, Priority: rpdb.Priority(1100 + i), Action: rpdb.ToTable(table),
				Selector: rpdb.Selector{OIF: u.Link},
			})
		}
	}
	return changes
}

// uplinkRoutes returns the routes of an uplink's table.
func uplinkRoutes(u Uplink, table rpdb.TableID, link rpdb.LinkIndex) []rpdb.Change {
	var changes []rpdb.Change
	route := func(dst netip.Prefix, via netip.Addr) {
		r := rpdb.Route{
			Family: rpdb.FamilyOf(dst.Addr()), Table: table, Dst: dst, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
			Nexthops: []rpdb.Nexthop{{Link: link, Via: via}},
		}
		if dst.Addr().Is4() && !via.IsValid() {
			r.Scope = rpdb.ScopeLink
		}
		changes = append(changes, rpdb.RouteChange(rpdb.Replace, r))
	}
	for _, p := range u.Addresses {
		route(p.Masked(), netip.Addr{})
	}
	for _, g := range u.Gateways {
		route(rpdb.FamilyOf(g).Default(), g)
	}
	return changes
}

// TestHowto lives through the howto: before, only the first uplink works, and
// its gateway drops the answers of the others; after, all do.
func TestHowto(t *testing.T) {
	three := append(twoUplinks(), Uplink{
		Name: "isp-c", Link: "ppp0", Gateways: addrs("198.51.100.1", "fe80::1"), Addresses: prefixes("198.51.100.10/24", "2001:db8:c::10/64"),
	})
	for _, c := range []struct {
		uplinks  []Uplink
		rpFilter uint8
	}{{twoUplinks(), 0}, {twoUplinks(), 1}, {three, 0}, {three, 1}, {three, 2}} {
		t.Run(fmt.Sprintf("%d uplinks, rp_filter %d", len(c.uplinks), c.rpFilter), func(t *testing.T) {
			t.Parallel()
			w := buildWorld(t, Spec{Uplinks: c.uplinks, RPFilter: c.rpFilter})
			probes := w.Probes()
			for _, o := range sendAll(t, w, probes) {
				checkFault(t, o, c.rpFilter)
			}
			do(t, w, cure(t, w)...)
			for _, o := range sendAll(t, w, probes) {
				checkCure(t, w, o)
			}
		})
	}
}

// checkFault checks an outcome on a host without policy routing.
func checkFault(t *testing.T, o Outcome, rpFilter uint8) {
	t.Helper()
	p := o.Probe
	first := twoUplinks()[0]
	ofFirst := p.Uplink == first.Name || p.Device == first.Link ||
		p.Direction == Outbound && (p.Local == first.Addresses[0].Addr() || p.Local == first.Addresses[1].Addr())
	unbound := p.Direction == Outbound && !p.Local.IsValid() && p.Device == ""
	switch {
	case ofFirst || unbound:
		if !o.Answered || o.Link() != first.Link || o.Spoofed() {
			t.Errorf("%v: want an answer by %s, got %+v", p, first.Link, o)
		}
	case p.Device != "": // nobody there to ask for, in IPv4; no route, in IPv6
		if want := map[rpdb.Family]rpdb.Errno{rpdb.IPv6: rpdb.ENETUNREACH}[p.Family]; o.Answered || o.Errno != want || len(o.Departures) > 0 {
			t.Errorf("%v: want nothing sent, errno %v; got %+v", p, want, o)
		}
	case p.Direction == Inbound && p.Family == rpdb.IPv4 && rpFilter == 1: // IPv6 has no rp_filter
		if o.Answered || len(o.Departures) > 0 {
			t.Errorf("%v: want the question dropped, got %+v", p, o)
		}
	default:
		if o.Answered || o.Link() != first.Link || !o.Spoofed() || o.Source != p.Local {
			t.Errorf("%v: want its packets dropped by the wrong gateway, got %+v", p, o)
		}
	}
}

// checkCure checks an outcome on a host with the howto's rules.
func checkCure(t *testing.T, w *World, o Outcome) {
	t.Helper()
	p := o.Probe
	want := w.Spec().Uplinks[0]
	for _, u := range w.Spec().Uplinks {
		if p.Uplink == u.Name || p.Device == u.Link || hasAddress(u, p.Local) {
			want = u
		}
	}
	source := p.Local.IsValid() && o.Source == p.Local || !p.Local.IsValid() && hasAddress(want, o.Source)
	if !o.Answered || o.Link() != want.Link || o.Spoofed() || o.Errno != 0 || !source {
		t.Errorf("%v: want an answer by %s, got %+v", p, want.Link, o)
	}
	// The kernel says the same when it is asked for the probe's flow.
	d, err := w.host.conn.RouteGet(context.Background(), p.Flow())
	if err != nil || d.Disposition != rpdb.Sent || d.Link != want.Link || d.Src != o.Source {
		t.Errorf("%v: asked for %+v: %+v, %v", p, p.Flow(), d, err)
	}
}

func hasAddress(u Uplink, a netip.Addr) bool {
	for _, p := range u.Addresses {
		if p.Addr() == a {
			return true
		}
	}
	return false
}
