package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// identity is who this process is for the kernel's routing.
type identity struct {
	uid    uint32 // owner of its sockets
	kernel uint32 // "user" of the kernel's own packets: root, or noUID in a user namespace without root
}

func currentIdentity() identity {
	id := identity{uid: fsuid(), kernel: noUID}
	if canBe(0) {
		id.kernel = 0
	}
	return id
}

func canBe(uid uint32) bool {
	return asUser(rpdb.Some(uid), func() error { return nil }) == nil
}

// CanBe reports whether probes can be sent as this user: root can be anyone,
// an ordinary user only the one id that [EnterOptions] gave.
func (w *World) CanBe(uid uint32) bool { return canBe(uid) }

// Prepare returns the probe with everything filled in that it left open, so
// that its Flow is what the kernel will be asked. Nothing is sent. A prepared
// probe stays as it is. It fails for a probe that makes no sense in this world.
func (w *World) Prepare(p Probe) (Probe, error) {
	q, err := w.prepare(p)
	if err != nil {
		return p, fmt.Errorf("prepare probe %v: %w", p, err)
	}
	return q, nil
}

func (w *World) prepare(p Probe) (Probe, error) {
	for _, a := range []netip.Addr{p.Local, p.Remote} {
		if p.Family == 0 {
			p.Family = rpdb.FamilyOf(a)
		}
		if a.IsValid() && rpdb.FamilyOf(a) != p.Family {
			return p, fmt.Errorf("address %v: not of the family %v", a, p.Family)
		}
	}
	if p.Family.Bits() == 0 {
		return p, errors.New("no family")
	}
	if !p.Remote.IsValid() {
		p.Remote = w.Outside(p.Family)
	}
	if err := w.checkRemote(p); err != nil {
		return p, err
	}
	switch {
	case p.Protocol == rpdb.ICMP && p.Family == rpdb.IPv6:
		p.Protocol = rpdb.ICMPv6
	case p.Protocol != rpdb.TCP && p.Protocol != rpdb.UDP && !p.isEcho() || p.Protocol == rpdb.ICMPv6 && p.Family == rpdb.IPv4:
		return p, fmt.Errorf("protocol %d: not one to probe with", p.Protocol)
	}
	if err := w.prepareDirection(&p); err != nil {
		return p, err
	}
	w.ports.fill(&p)
	if p.Timeout <= 0 {
		p.Timeout = defaultTimeout
	}
	return p, nil
}

// checkRemote wants an address of the outside, or of an inside host that another one
// can ask through this host.
func (w *World) checkRemote(p Probe) error {
	other, ok := w.insideOf(p.Remote)
	if ok && p.Inside != "" && other.link != p.Inside && p.Direction == Outbound || slices.Contains(w.spec.Outside, p.Remote) {
		return nil
	}
	return fmt.Errorf("address %v: not one of the outside", p.Remote)
}

// prepareDirection fills in what depends on who asks.
func (w *World) prepareDirection(p *Probe) error {
	uid := w.process.uid
	if p.Direction == Outbound {
		if p.Uplink != "" {
			return fmt.Errorf("uplink %q: an outbound probe cannot choose it", p.Uplink)
		}
	} else {
		i := slices.IndexFunc(w.gateways, func(g *gateway) bool { return g.name == p.Uplink })
		switch {
		case i < 0:
			return fmt.Errorf("uplink %q: not in this world", p.Uplink)
		case !p.Local.IsValid():
			return errors.New("no address of the host to ask")
		}
		p.link = w.gateways[i].link
		if p.isEcho() && p.Inside == "" {
			uid = w.process.kernel
			if u, ok := p.UID.Get(); p.Mark != 0 || p.TOS != 0 || p.Device != "" || ok && u != uid {
				return errors.New("the kernel answers pings: no mark, TOS, device or user")
			}
		}
	}
	if p.Inside != "" {
		return w.checkInside(*p)
	}
	if p.Asked.IsValid() {
		return fmt.Errorf("address %v: only an inside host is asked by another one", p.Asked)
	}
	if !p.UID.IsSet() {
		p.UID = rpdb.Some(uid)
	}
	return nil
}

// Probes returns the standard questions, prepared: from outside to each
// address of each uplink, by that uplink; from the host, bound to each of
// these addresses; bound to each interface in each family that it has an
// address of; and bound to nothing, in each family in use. Each with TCP, UDP
// and ping.
func (w *World) Probes() []Probe {
	var probes []Probe
	add := func(p Probe) {
		for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
			p.Protocol = protocol
			if q, err := w.Prepare(p); err == nil { // cannot fail: all comes from the spec
				probes = append(probes, q)
			}
		}
	}
	inUse := map[rpdb.Family]bool{}
	for _, u := range w.spec.Uplinks {
		for _, a := range globals(u.Addresses) {
			inUse[rpdb.FamilyOf(a)] = true
			add(Probe{Direction: Inbound, Uplink: u.Name, Local: a})
			add(Probe{Local: a})
		}
		for _, f := range rpdb.Families() {
			if hasFamily(u.Addresses, f) {
				add(Probe{Family: f, Device: u.Link})
			}
		}
	}
	for _, f := range rpdb.Families() {
		if inUse[f] {
			add(Probe{Family: f})
		}
	}
	return probes
}

// globals returns the addresses that packets to the outside can carry.
func globals(prefixes []netip.Prefix) []netip.Addr {
	var addrs []netip.Addr
	for _, p := range prefixes {
		if !isLinkLocal6(p.Addr()) {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}
