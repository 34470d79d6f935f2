package sandbox

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// An inside host is at the far end of an interface that is no uplink: it has all
// addresses of its blocks, and whatever it sends and receives the host forwards.

// configureInside gives the far end the addresses of its blocks: by routes, as
// whole blocks cannot be given otherwise.
func configureInside(ctx context.Context, g *gateway) error {
	if len(g.inside) == 0 {
		return nil
	}
	// Where a route alone makes an address local IPv6 lets no socket have it.
	if err := set(g.ns, []setting{{"net.ipv6.ip_nonlocal_bind", "1"}}); err != nil {
		return err
	}
	lo, err := plug{g.place, "lo"}.index()
	if err != nil {
		return err
	}
	for _, p := range g.inside {
		r := rpdb.Route{
			Family: rpdb.FamilyOf(p.Addr()), Table: rpdb.TableLocal, Dst: p, Type: rpdb.RouteLocal, Protocol: protocol,
			Nexthops: []rpdb.Nexthop{{Link: lo}},
		}
		if r.Family == rpdb.IPv4 {
			r.Scope = rpdb.ScopeHost
		}
		if err := g.conn.Do(ctx, rpdb.RouteChange(rpdb.Add, r)); err != nil {
			return err
		}
	}
	return nil
}

// insideOf returns the gateway behind which an inside host has an address.
func (w *World) insideOf(a netip.Addr) (*gateway, bool) {
	for _, g := range w.gateways {
		if slices.ContainsFunc(g.inside, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return g, true
		}
	}
	return nil, false
}

// checkInside checks what a probe says of the inside host that asks or is asked.
func (w *World) checkInside(p Probe) error {
	g, err := w.byLink(p.Inside)
	switch {
	case err != nil:
		return err
	case !slices.ContainsFunc(g.inside, func(b netip.Prefix) bool { return b.Contains(p.Local) }):
		return fmt.Errorf("address %v: no inside host behind %q has it", p.Local, string(p.Inside))
	case p.Mark != 0 || p.Device != "" || p.UID.IsSet():
		return fmt.Errorf("inside host behind %q: its mark, device and user are nothing to this host", string(p.Inside))
	case p.Asked.IsValid() && (p.Direction == Outbound || rpdb.FamilyOf(p.Asked) != p.Family):
		return fmt.Errorf("address %v: not one to ask by", p.Asked)
	}
	return nil
}
