package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// The names and addresses on the two cables of a gateway. Each gateway has a
// namespace of its own, so all use the same ones.
const (
	lan = rpdb.LinkName("lan") // towards the host
	wan = rpdb.LinkName("wan") // towards the outside

	// tableForward, in a gateway, holds the routes to the outside.
	tableForward = rpdb.TableID(100)

	// firstUpstream, in the outside, is in front of the tables that lead to the
	// gateways, behind those of the kernel.
	firstUpstream = rpdb.TableID(1000)

	protocol = rpdb.ProtocolStatic
)

// gateway is what stands at the other end of one of the host's interfaces.
type gateway struct {
	place
	name        string
	link        rpdb.LinkName // the host's interface
	outsideLink rpdb.LinkName // the outside's interface
	mark        uint32        // in the outside: the mark that leads here
	filtered    bool          // whether it looks at sources; if not, it is the far end of a tunnel
	gateways    []netip.Addr
	offNetwork  bool           // the gateways need not be in a network of the addresses
	addresses   []netip.Prefix // of the host's interface
	routed      []netip.Prefix // what the provider leads to the host besides
	inside      []netip.Prefix // what an inside host has here
	defaults    []hop          // of the host's main table
	wired       bool           // the cables are there
}

// newGateways lists the gateways to build.
func (w *World) newGateways() []*gateway {
	var all []*gateway
	taken := map[rpdb.Family]bool{}
	for _, u := range w.spec.Uplinks {
		g := &gateway{name: u.Name, link: u.Link, filtered: true, gateways: u.Gateways, offNetwork: u.Onlink, addresses: u.Addresses, routed: u.Routed}
		for _, a := range u.Gateways {
			f := rpdb.FamilyOf(a)
			way := hop{table: rpdb.TableMain, dst: f.Default(), via: a, onlink: u.Onlink && !onLink(a, u.Addresses)}
			switch {
			case !taken[f]:
				taken[f] = true
				g.defaults = append(g.defaults, way)
			case slices.Contains(u.Learned, f):
				way.metric = behindFirst + uint32(len(all))
				g.defaults = append(g.defaults, way)
			}
		}
		all = append(all, g)
	}
	for _, e := range w.spec.Extra {
		all = append(all, &gateway{name: string(e.Link), link: e.Link, gateways: e.Gateways, addresses: e.Addresses, inside: e.Inside})
	}
	for i, g := range all {
		g.mark = uint32(i + 1)
		g.outsideLink = rpdb.LinkName(fmt.Sprintf("gw%d", i))
	}
	return all
}

// buildGateway makes a gateway with its two cables.
func (w *World) buildGateway(ctx context.Context, g *gateway) error {
	p, err := newPlace(commonSettings(true, 0))
	if err != nil {
		return err
	}
	g.place = p
	if err := w.wire(ctx, g); err != nil {
		return err
	}
	if err := w.ledger.listen(g.ns, lan, g.tap()); err != nil {
		return err
	}
	steps := []func(context.Context, *gateway) error{w.configureUpstream, configureFilter, configureInside, w.configureGateway, w.configureHost}
	for _, step := range steps {
		if err := step(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// tap says what to watch on the gateway's side of the host's interface.
func (g *gateway) tap() *tap {
	return &tap{uplink: g.name, link: g.link, filtered: g.filtered, prefixes: g.legal()}
}

// legal lists the sources that a gateway with a filter passes on.
func (g *gateway) legal() []netip.Prefix { return slices.Concat(g.addresses, g.routed) }

// wire lays the cables and waits until they carry.
func (w *World) wire(ctx context.Context, g *gateway) error {
	if err := w.host.conn.AddVeth(kernel.VethEnd{Name: g.link}, kernel.VethEnd{Name: lan, NetNS: g.ns}); err != nil {
		return err
	}
	g.wired = true
	if err := w.outside.conn.AddVeth(kernel.VethEnd{Name: g.outsideLink}, kernel.VethEnd{Name: wan, NetNS: g.ns}); err != nil {
		return err
	}
	if !g.filtered {
		// A locally administered address; every cable is a network of its own.
		address := [6]byte{0x02, 0, 0x5e, 0, 0x53, byte(g.mark)}
		for _, end := range []plug{{w.host, g.link}, {g.place, lan}} {
			if err := end.ns.Do(func() error { return pointToPoint(end.link, address) }); err != nil {
				return fmt.Errorf("interface %q: %w", string(end.link), err)
			}
		}
	}
	if w.spec.forwards() { // whoever changes addresses changes checksums
		for _, end := range []plug{{g.place, lan}, {w.outside, g.outsideLink}} {
			if err := end.ns.Do(func() error { return computeChecksums(end.link) }); err != nil {
				return fmt.Errorf("interface %q: %w", string(end.link), err)
			}
		}
	}
	plugs := []plug{{w.host, g.link}, {g.place, lan}, {w.outside, g.outsideLink}, {g.place, wan}}
	for _, p := range plugs {
		if err := errors.Join(p.patience(), p.conn.SetLink(p.link, kernel.LinkChange{Up: true})); err != nil {
			return err
		}
	}
	for _, p := range plugs {
		if err := awaitRunning(ctx, p.ns, p.link, true); err != nil {
			return err
		}
	}
	return nil
}

// plug is one end of a cable.
type plug struct {
	place
	link rpdb.LinkName
}

// patience makes the interface ask for neighbours often, so that a lost
// question costs no probe, and never give up: else what a socket says when
// nobody is there would depend on whether somebody asked three seconds ago.
func (p plug) patience() error {
	r := kernel.Resolution{Tries: 1 << 20, Every: 100 * time.Millisecond}
	return errors.Join(p.conn.SetResolution(p.link, rpdb.IPv4, r), p.conn.SetResolution(p.link, rpdb.IPv6, r))
}

// address gives the interface addresses, unless it has them, and waits until
// the kernel delivers packets to them: for IPv6 it puts that off.
func (p plug) address(ctx context.Context, addresses ...netip.Prefix) error {
	for _, a := range addresses {
		err := p.conn.AddAddress(p.link, a, kernel.AddressOptions{NoDAD: true})
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	for _, a := range addresses {
		if err := eventually(ctx, fmt.Sprintf("address %v", a), func() (bool, error) { return p.delivers(ctx, a.Addr()) }); err != nil {
			return err
		}
	}
	return nil
}

// addressTo is address for one that faces a peer, as on a line with two ends.
func (p plug) addressTo(ctx context.Context, a, peer netip.Addr) error {
	err := p.conn.AddAddress(p.link, single(a), kernel.AddressOptions{NoDAD: true, Peer: peer})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return eventually(ctx, fmt.Sprintf("address %v", a), func() (bool, error) { return p.delivers(ctx, a) })
}

// delivers reports whether the kernel takes packets to an address as its own.
func (p plug) delivers(ctx context.Context, a netip.Addr) (bool, error) {
	flow := rpdb.Flow{Dst: a}
	if isLinkLocal6(a) {
		flow.OIF = p.link
	}
	d, err := p.conn.RouteGet(ctx, flow)
	return d.Disposition == rpdb.Local, err
}

// index returns the index of the interface.
func (p plug) index() (index rpdb.LinkIndex, err error) {
	err = p.ns.Do(func() error {
		index, err = linkIndex(p.link)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("interface %q: %w", string(p.link), err)
	}
	return index, nil
}

// hop is a route to add by a plug.
type hop struct {
	table rpdb.TableID
	dst   netip.Prefix
	via   netip.Addr // invalid: on the link
	// onlink says that via is on the link without a network that holds it.
	onlink bool
	// metric 0 is the kernel's own choice.
	metric uint32
}

// behindFirst is the metric of learned default routes that stand behind the first,
// which IPv6 gives 1024.
const behindFirst = 2000

// route adds routes that leave by the interface, or puts them in the place of
// those that are there.
func (p plug) route(ctx context.Context, hops ...hop) error {
	index, err := p.index()
	if err != nil {
		return err
	}
	for _, h := range hops {
		r := rpdb.Route{
			Family: rpdb.FamilyOf(h.dst.Addr()), Table: h.table, Dst: h.dst.Masked(), Type: rpdb.RouteUnicast, Protocol: protocol, Metric: h.metric,
			Nexthops: []rpdb.Nexthop{{Via: h.via, Link: index}},
		}
		if r.Family == rpdb.IPv4 && !h.via.IsValid() {
			r.Scope = rpdb.ScopeLink
		}
		if h.onlink {
			r.Nexthops[0].Flags = rpdb.NexthopOnlink
		}
		if err := p.conn.Do(ctx, rpdb.RouteChange(rpdb.Replace, r)); err != nil {
			return err
		}
	}
	return nil
}

// single returns the prefix that holds one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// linkLocal returns the IPv6 link-local address fe80::n.
func linkLocal(n byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: n}), 64)
}

// configureUpstream sets the cable between gateway and outside up: the outside
// sends by it what carries the gateway's mark, and what is bound to it. The
// cable has link-local IPv6 addresses only, which serve as next hops of IPv4
// too: no network of a policy can collide with them.
func (w *World) configureUpstream(ctx context.Context, g *gateway) error {
	near, far := plug{g.place, wan}, plug{w.outside, g.outsideLink}
	if err := near.address(ctx, linkLocal(1)); err != nil {
		return err
	}
	if err := far.address(ctx, linkLocal(2)); err != nil {
		return err
	}
	for _, a := range w.spec.Outside {
		if err := near.route(ctx, hop{table: tableForward, dst: single(a), via: linkLocal(2).Addr()}); err != nil {
			return err
		}
	}
	table := firstUpstream + rpdb.TableID(g.mark)
	err := far.route(ctx,
		hop{table: table, dst: rpdb.IPv4.Default(), via: linkLocal(1).Addr()},
		hop{table: table, dst: rpdb.IPv6.Default(), via: linkLocal(1).Addr()})
	if err != nil {
		return err
	}
	for _, f := range rpdb.Families() {
		err := addRules(ctx, w.outside.conn,
			rpdb.Rule{
				Family: f, Priority: 1000 + rpdb.Priority(g.mark), Action: rpdb.ToTable(table),
				Selector: rpdb.Selector{Mark: rpdb.Mark{Value: g.mark, Mask: ^uint32(0)}},
			},
			rpdb.Rule{
				Family: f, Priority: 2000 + rpdb.Priority(g.mark), Action: rpdb.ToTable(table),
				Selector: rpdb.Selector{OIF: g.outsideLink},
			})
		if err != nil {
			return err
		}
	}
	return nil
}

func addRules(ctx context.Context, conn *kernel.Conn, rules ...rpdb.Rule) error {
	for _, r := range rules {
		r.Protocol = protocol
		if err := conn.Do(ctx, rpdb.RuleChange(rpdb.Add, r)); err != nil {
			return err
		}
	}
	return nil
}

// configureFilter makes the gateway forward from the host to the outside only,
// and only legal sources (BCP 38). Neighbour discovery and whatever is for the
// gateway itself meet the local table first.
func configureFilter(ctx context.Context, g *gateway) error {
	for _, f := range rpdb.Families() {
		var sources []netip.Prefix
		switch {
		case !g.filtered:
			sources = []netip.Prefix{{}}
		default:
			sources = slices.DeleteFunc(g.legal(), func(p netip.Prefix) bool { return rpdb.FamilyOf(p.Addr()) != f })
		}
		for i, p := range sources {
			if p.IsValid() {
				p = p.Masked()
			}
			err := addRules(ctx, g.conn, rpdb.Rule{
				Family: f, Priority: 100 + rpdb.Priority(i), Action: rpdb.ToTable(tableForward),
				Selector: rpdb.Selector{IIF: lan, From: p},
			})
			if err != nil {
				return err
			}
		}
		err := addRules(ctx, g.conn, rpdb.Rule{Family: f, Priority: 1000, Action: rpdb.Blackhole(), Selector: rpdb.Selector{IIF: lan}})
		if err != nil {
			return err
		}
	}
	return nil
}

// local returns the gateway's link-local IPv6 address on the host's side: the
// one that it is known by, or fe80::1.
func (g *gateway) local() netip.Prefix {
	for _, a := range g.gateways {
		if isLinkLocal6(a) {
			return netip.PrefixFrom(a, 64)
		}
	}
	return linkLocal(1)
}

// hostLocal returns the link-local IPv6 address of the host's interface.
func (g *gateway) hostLocal() netip.Prefix {
	if slices.Contains(g.gateways, linkLocal(0xa).Addr()) {
		return linkLocal(0xb)
	}
	return linkLocal(0xa)
}

// configureGateway sets the gateway's side of the host's interface up. It may
// be called again after that interface was down.
func (w *World) configureGateway(ctx context.Context, g *gateway) error {
	side := plug{g.place, lan}
	if err := side.address(ctx, g.local()); err != nil {
		return err
	}
	for _, a := range g.gateways {
		if g.offNetwork && !onLink(a, g.addresses) {
			if err := side.address(ctx, single(a)); err != nil {
				return err
			}
		}
	}
	for _, p := range g.addresses {
		if err := g.serve(ctx, p); err != nil {
			return err
		}
	}
	for _, p := range g.routed {
		if err := side.route(ctx, hop{table: rpdb.TableMain, dst: p, via: g.hostLocal().Addr()}); err != nil {
			return err
		}
	}
	if g.filtered {
		return nil
	}
	return side.route(ctx, hop{table: rpdb.TableMain, dst: rpdb.IPv4.Default()}, hop{table: rpdb.TableMain, dst: rpdb.IPv6.Default()})
}

// peer returns the gateway that one of the host's addresses faces, as an
// address that is its own network does where no other reaches the gateway.
// Invalid for all other addresses.
func (g *gateway) peer(p netip.Prefix) netip.Addr {
	for _, a := range g.gateways {
		if !g.offNetwork && faces(p, a) && !onLink(a, g.addresses) {
			return a
		}
	}
	return netip.Addr{}
}

// faces reports whether an address can have a gateway as its peer.
func faces(p netip.Prefix, gateway netip.Addr) bool {
	return p.IsSingleIP() && p.Addr() != gateway && !isLinkLocal6(gateway) &&
		rpdb.FamilyOf(p.Addr()) == rpdb.FamilyOf(gateway)
}

// serve makes the gateway reach one of the host's addresses: by the connected
// network of its own address there, as its peer, or by a route.
func (g *gateway) serve(ctx context.Context, p netip.Prefix) error {
	side := plug{g.place, lan}
	if a := g.peer(p); a.IsValid() {
		return side.addressTo(ctx, a, p.Addr())
	}
	for _, a := range g.gateways {
		if p.Contains(a) && !isLinkLocal6(a) {
			return side.address(ctx, netip.PrefixFrom(a, p.Bits()))
		}
	}
	if isLinkLocal6(p.Addr()) {
		return nil
	}
	return side.route(ctx, hop{table: rpdb.TableMain, dst: p})
}

// configureHost gives the host's interface its addresses, and the main table
// its default routes by it. It may be called again.
func (w *World) configureHost(ctx context.Context, g *gateway) error {
	side := plug{w.host, g.link}
	networks := []netip.Prefix{g.hostLocal()}
	for _, p := range g.addresses {
		if a := g.peer(p); a.IsValid() {
			if err := side.addressTo(ctx, p.Addr(), a); err != nil {
				return err
			}
			continue
		}
		networks = append(networks, p)
	}
	if err := side.address(ctx, networks...); err != nil {
		return err
	}
	for _, p := range g.inside {
		if err := side.route(ctx, hop{table: rpdb.TableMain, dst: p}); err != nil {
			return err
		}
	}
	return side.route(ctx, g.defaults...)
}
