package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// byLink returns the gateway behind an interface of the host.
func (w *World) byLink(link rpdb.LinkName) (*gateway, error) {
	for _, g := range w.gateways {
		if g.link == link {
			return g, nil
		}
	}
	return nil, fmt.Errorf("interface %q: not in this world", string(link))
}

// change does something about the gateway behind an interface.
func (w *World) change(op string, link rpdb.LinkName, f func(*gateway) error) error {
	g, err := w.byLink(link)
	if err == nil {
		err = f(g)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// LinkDown sets an interface of the host down, as an administrator does. The
// kernel then deletes the routes by it from all tables, and its IPv6
// addresses.
func (w *World) LinkDown(link rpdb.LinkName) error {
	return w.change("set link down", link, func(g *gateway) error {
		return w.host.conn.SetLink(g.link, kernel.LinkChange{Down: true})
	})
}

// LinkUp sets an interface of the host up again. It gives back what a network
// manager would: the addresses, and where the interface had it the default
// route in table main. What policy routing had there stays lost.
func (w *World) LinkUp(ctx context.Context, link rpdb.LinkName) error {
	return w.change("set link up", link, func(g *gateway) error {
		if err := w.host.conn.SetLink(g.link, kernel.LinkChange{Up: true}); err != nil {
			return err
		}
		return w.reconnect(ctx, g, w.configureHost)
	})
}

// CarrierDown takes the carrier of an interface of the host away, by setting
// the gateway's end down. Addresses and routes of the host stay.
func (w *World) CarrierDown(ctx context.Context, link rpdb.LinkName) error {
	return w.change("take carrier away", link, func(g *gateway) error {
		if err := g.conn.SetLink(lan, kernel.LinkChange{Down: true}); err != nil {
			return err
		}
		return awaitRunning(ctx, w.host.ns, g.link, false)
	})
}

// CarrierUp gives the carrier back, and makes the gateway what it was.
func (w *World) CarrierUp(ctx context.Context, link rpdb.LinkName) error {
	return w.change("give carrier back", link, func(g *gateway) error {
		if err := g.conn.SetLink(lan, kernel.LinkChange{Up: true}); err != nil {
			return err
		}
		return w.reconnect(ctx, g, w.configureGateway)
	})
}

// reconnect waits until both ends of the cable carry, configures the one that
// was down, and lets both forget whom they asked for in vain meanwhile: they
// would ask again only a second later.
func (w *World) reconnect(ctx context.Context, g *gateway, configure func(context.Context, *gateway) error) error {
	near, far := plug{w.host, g.link}, plug{g.place, lan}
	for _, p := range []plug{near, far} {
		if err := awaitRunning(ctx, p.ns, p.link, true); err != nil {
			return err
		}
	}
	if err := configure(ctx, g); err != nil {
		return err
	}
	addresses := []netip.Addr{g.hostLocal().Addr()}
	for _, p := range g.addresses {
		addresses = append(addresses, p.Addr())
	}
	return errors.Join(near.forget(append(slices.Clone(g.gateways), g.local().Addr())), far.forget(addresses))
}

// forget deletes entries of the neighbour table, where they are there.
func (p plug) forget(addresses []netip.Addr) error {
	for _, a := range addresses {
		if err := p.conn.DeleteNeighbour(p.link, a); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}
