package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// World is a host, the gateways behind its interfaces, and the outside. It is
// safe for concurrent use; taking interfaces down while probes are under way
// does to them what it does in life. It must be closed, unless the process
// ends anyway.
type World struct {
	spec     Spec
	host     place
	ownsHost bool
	outside  place
	gateways []*gateway // of the uplinks, then of the extra interfaces
	ledger   ledger
	ports    ports
	process  identity

	closing sync.Once
	closed  error
}

// place is a namespace and a connection to its kernel.
type place struct {
	ns   *kernel.NetNS
	conn *kernel.Conn
}

// newPlace makes a namespace, with its settings and a loopback interface.
func newPlace(settings []setting) (place, error) {
	ns, err := kernel.NewNetNS()
	if err != nil {
		return place{}, err
	}
	p, err := openPlace(ns, settings)
	if err != nil {
		ns.Close()
	}
	return p, err
}

// openPlace connects to a namespace and prepares it.
func openPlace(ns *kernel.NetNS, settings []setting) (place, error) {
	conn, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		return place{}, err
	}
	p := place{ns: ns, conn: conn}
	if err := errors.Join(conn.SetLink("lo", kernel.LinkChange{Up: true}), set(ns, settings)); err != nil {
		conn.Close()
		return place{}, err
	}
	return p, nil
}

// close forgets the namespace, which goes away with what is in it.
func (p place) close() error {
	if p.ns == nil {
		return nil
	}
	return errors.Join(p.conn.Close(), p.ns.Close())
}

// Build makes the world that the spec describes. The host then has what a host
// without policy routing has: addresses, and in table main one default route
// per family. It refuses a namespace in which another interface than loopback
// is in use. On an error everything that was made is removed again, but for
// kernel settings of the host's namespace.
func Build(ctx context.Context, s Spec) (*World, error) {
	complete, err := s.complete()
	if err != nil {
		return nil, fmt.Errorf("build sandbox: %w", err)
	}
	w := &World{spec: complete}
	if err := w.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("build sandbox: %w", err), w.Close())
	}
	return w, nil
}

func (w *World) build(ctx context.Context) error {
	w.process = currentIdentity()
	w.ledger.tallies = map[flowKey]*tally{}
	if err := w.openHost(ctx); err != nil {
		return err
	}
	if err := w.openOutside(); err != nil {
		return fmt.Errorf("outside: %w", err)
	}
	for _, g := range w.newGateways() {
		w.gateways = append(w.gateways, g)
		if err := w.buildGateway(ctx, g); err != nil {
			return fmt.Errorf("uplink %q: %w", g.name, err)
		}
	}
	return nil
}

// openHost checks and prepares the host's namespace.
func (w *World) openHost(ctx context.Context) error {
	ns := w.spec.Host
	if ns == nil {
		own, err := kernel.CurrentNetNS()
		if err != nil {
			return err
		}
		ns, w.ownsHost = own, true
	}
	w.host.ns = ns
	conn, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		return err
	}
	w.host.conn = conn
	if err := checkFresh(ctx, conn); err != nil {
		return err
	}
	if err := conn.SetLink("lo", kernel.LinkChange{Up: true}); err != nil {
		return err
	}
	return set(ns, commonSettings(w.spec.forwards(), w.spec.RPFilter))
}

// checkFresh keeps a rehearsal off a host that is in use.
func checkFresh(ctx context.Context, conn *kernel.Conn) error {
	s, err := conn.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, l := range s.Links {
		used := l.IsUp() || slices.ContainsFunc(s.Addresses, func(a rpdb.Address) bool { return a.Link == l.Index })
		if used && !l.IsLoopback() {
			return fmt.Errorf("interface %q: in use, and this is no place to rehearse: %w", string(l.Name), unix.EBUSY)
		}
	}
	return nil
}

// openOutside makes the outside, which answers pings by itself only through
// the sockets of a probe: they know the gateway to answer by.
func (w *World) openOutside() error {
	settings := append(commonSettings(false, 0),
		setting{"net.ipv4.icmp_echo_ignore_all", "1"}, setting{"net.ipv6.icmp.echo_ignore_all", "1"})
	p, err := newPlace(settings)
	if err != nil {
		return err
	}
	w.outside = p
	for _, a := range w.spec.Outside {
		if err := p.conn.AddAddress("lo", netip.PrefixFrom(a, a.BitLen()), kernel.AddressOptions{NoDAD: true}); err != nil {
			return err
		}
	}
	return nil
}

// Spec returns what was built, with everything filled in that the spec left
// open. Its slices belong to the World.
func (w *World) Spec() Spec { return w.spec }

// Host returns the namespace of the host. It belongs to the World.
func (w *World) Host() *kernel.NetNS { return w.host.ns }

// Outside returns the first address of the outside in the family, the one that
// probes ask unless they say another; the invalid address for no family.
func (w *World) Outside(f rpdb.Family) netip.Addr {
	for _, a := range w.spec.Outside {
		if rpdb.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// Close removes everything but the host's namespace itself and its settings,
// rules and routes that do not hang on an interface. No probe may be under
// way. A second call does nothing and returns the same.
func (w *World) Close() error {
	w.closing.Do(func() {
		w.ledger.close()
		var errs []error
		for _, g := range w.gateways {
			if g.wired {
				errs = append(errs, w.host.conn.DeleteLink(g.link))
			}
			errs = append(errs, g.close())
		}
		errs = append(errs, w.outside.close())
		if w.host.conn != nil {
			errs = append(errs, w.host.conn.Close())
		}
		if w.ownsHost {
			errs = append(errs, w.host.ns.Close())
		}
		if err := errors.Join(errs...); err != nil {
			w.closed = fmt.Errorf("close sandbox: %w", err)
		}
	})
	return w.closed
}
