package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/kernel"
)

// Spec says which world to build. The zero Spec is a host without any
// interface. Build copies what it keeps.
type Spec struct {
	// Uplinks are the interfaces with a provider behind them. The host's main
	// table gets one default route per family, by the first uplink that has a
	// gateway of the family.
	Uplinks []Uplink
	// Extra are the other interfaces that a policy names.
	Extra []Extra
	// RPFilter is the reverse-path filter of the host, on each interface: 0
	// off, 1 strict, 2 loose.
	RPFilter uint8
	// Outside are addresses that the outside world answers on, besides one of
	// each family that Build chooses: for rules on destinations. None may be in
	// a connected network of an interface; twice the same is once.
	Outside []netip.Addr
	// Avoid are prefixes that addresses made up by Build must not be in: those
	// that the rules and routes of a policy name. Default routes do no harm.
	Avoid []netip.Prefix
	// Host is the namespace to build the host in. It must be fresh, without an
	// interface in use, and stays the caller's: it must live as long as the
	// World. Nil: the namespace of the calling thread, which inside [Enter] is
	// made for that.
	Host *kernel.NetNS
}

// Uplink is an interface of the host with a gateway of its own. The gateway
// passes on what has a source in the prefixes of the interface's addresses and
// drops everything else.
type Uplink struct {
	Name string        // unique; empty: the interface's
	Link rpdb.LinkName // unique
	// Gateways are at most one per family, each in a prefix of Addresses, or a
	// link-local IPv6 address.
	Gateways []netip.Addr
	// Onlink lets gateways be in no prefix of Addresses: they are on the link all
	// the same. An address that is made up has such a gateway beside no network.
	Onlink bool
	// Learned are families, without a gateway in Gateways, in which the host
	// learns one, by DHCP or router advertisement: Build makes it up, adds it to
	// Gateways, and gives the host's main table a default route by it, behind
	// that of the first uplink.
	Learned []rpdb.Family
	// Addresses of the interface, with the lengths of the connected networks.
	// A family with a gateway and no address gets a made-up one.
	Addresses []netip.Prefix
	// Routed are blocks that the provider routes to the host, beside those
	// networks: the gateway passes on what has a source in them, too.
	Routed []netip.Prefix
}

// Extra is an interface of the host that is not an uplink, such as a tunnel.
// It behaves like a point-to-point device: no neighbour resolution. Whatever
// is sent by it, with any source, is counted and can be answered.
type Extra struct {
	Link rpdb.LinkName // unique, among uplinks too
	// Gateways are next hops that routes use by this interface; those in no
	// prefix of Addresses get a made-up address in their network.
	Gateways []netip.Addr
	// Addresses of the interface, with the lengths of the connected networks.
	// A family without any gets a made-up one.
	Addresses []netip.Prefix
	// Inside are blocks of an inside host at the far end, which has all of their
	// addresses: the host's main table leads to them, and the host forwards.
	Inside []netip.Prefix
}

// complete returns the spec with everything filled in, and the two addresses
// of the outside in front of Outside. It fails where the parts do not fit.
func (s Spec) complete() (Spec, error) {
	s.Uplinks, s.Extra = slices.Clone(s.Uplinks), slices.Clone(s.Extra)
	s.Outside, s.Avoid = slices.Clone(s.Outside), slices.Clone(s.Avoid)
	if s.RPFilter > 2 {
		return s, fmt.Errorf("rp_filter %d: not 0, 1 or 2", s.RPFilter)
	}
	if err := errors.Join(s.checkNames(), s.checkBlocks()); err != nil {
		return s, err
	}
	a := s.allocator()
	for i, u := range s.Uplinks {
		var err error
		if s.Uplinks[i].Gateways, s.Uplinks[i].Addresses, err = a.completeUplink(u); err != nil {
			return s, fmt.Errorf("uplink %q: %w", u.Name, err)
		}
	}
	for i, e := range s.Extra {
		addresses, err := a.completeExtra(e)
		if err != nil {
			return s, fmt.Errorf("interface %q: %w", string(e.Link), err)
		}
		s.Extra[i].Addresses, s.Extra[i].Gateways = addresses, slices.Clone(e.Gateways)
	}
	four, err4 := a.outside(rpdb.IPv4)
	six, err6 := a.outside(rpdb.IPv6)
	given := s.Outside
	s.Outside = []netip.Addr{four, six}
	for _, a := range given {
		if !slices.Contains(s.Outside, a) {
			s.Outside = append(s.Outside, a)
		}
	}
	return s, errors.Join(err4, err6, s.checkOutside())
}

// checkNames fills in the names of uplinks and refuses doubled ones.
func (s Spec) checkNames() error {
	names, links := map[string]bool{}, map[rpdb.LinkName]bool{"lo": true}
	claim := func(name string, link rpdb.LinkName) error {
		switch {
		case !isLinkName(link):
			return fmt.Errorf("interface %q: not a name that an interface can have", string(link))
		case links[link]:
			return fmt.Errorf("interface %q: taken", string(link))
		case names[name]:
			return fmt.Errorf("uplink %q: name taken", name)
		}
		names[name], links[link] = true, true
		return nil
	}
	for i, u := range s.Uplinks {
		if u.Name == "" {
			u.Name = string(u.Link)
			s.Uplinks[i].Name = u.Name
		}
		if err := claim(u.Name, u.Link); err != nil {
			return err
		}
	}
	for _, e := range s.Extra {
		if err := claim(string(e.Link), e.Link); err != nil {
			return err
		}
	}
	return nil
}

// isLinkName reports whether an interface can have the name (dev_valid_name).
// The kernel takes a percent sign for a template.
func isLinkName(link rpdb.LinkName) bool {
	bad := func(c byte) bool { return strings.IndexByte("%/: \t\n\v\f\r\x00\xa0", c) >= 0 }
	return len(link) > 0 && len(link) < 16 && link != "." && link != ".." && !slices.ContainsFunc([]byte(link), bad)
}

// checkGateways checks that a host with these addresses can reach its
// gateways, which may be in no network of its own if offNetwork is set.
func checkGateways(gateways []netip.Addr, addresses []netip.Prefix, offNetwork bool) error {
	var seen []rpdb.Family
	for _, g := range gateways {
		f := rpdb.FamilyOf(g)
		switch {
		case f == 0 || g.IsUnspecified() || g.IsMulticast() || g.Zone() != "":
			return fmt.Errorf("gateway %v: not the address of a host", g)
		case slices.Contains(seen, f):
			return fmt.Errorf("gateway %v: there is one of %v already", g, f)
		case slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Addr() == g }):
			return fmt.Errorf("gateway %v: is an address of the host", g)
		case !offNetwork && !onLink(g, addresses) && !slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return faces(p, g) }):
			return fmt.Errorf("gateway %v: in no network of the interface", g)
		}
		seen = append(seen, f)
	}
	return nil
}

// onLink reports whether a gateway can be reached without another one.
func onLink(g netip.Addr, addresses []netip.Prefix) bool {
	return g.Is6() && g.IsLinkLocalUnicast() ||
		slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Contains(g) })
}

// checkOutside refuses addresses of the outside that some interface has on its
// link.
func (s Spec) checkOutside() error {
	for _, a := range s.Outside {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			return fmt.Errorf("outside address %v: not an address of the Internet", a)
		}
		for _, p := range s.connected() {
			if p.Contains(a) {
				return fmt.Errorf("outside address %v: in the connected network %v", a, p.Masked())
			}
		}
		for _, p := range s.blocks() {
			if p.Contains(a) {
				return fmt.Errorf("outside address %v: in the block %v", a, p.Masked())
			}
		}
	}
	return nil
}

// connected lists the addresses of all interfaces.
func (s Spec) connected() []netip.Prefix {
	var all []netip.Prefix
	for _, u := range s.Uplinks {
		all = append(all, u.Addresses...)
	}
	for _, e := range s.Extra {
		all = append(all, e.Addresses...)
	}
	return all
}

// blocks lists what is behind the host and what is routed to it.
func (s Spec) blocks() []netip.Prefix {
	var all []netip.Prefix
	for _, u := range s.Uplinks {
		all = append(all, u.Routed...)
	}
	for _, e := range s.Extra {
		all = append(all, e.Inside...)
	}
	return all
}

// checkBlocks refuses blocks that are none.
func (s Spec) checkBlocks() error {
	for _, p := range s.blocks() {
		if !p.IsValid() || p.Bits() == 0 || p != p.Masked() {
			return fmt.Errorf("block %v: not one that can be routed", p)
		}
	}
	return nil
}

// forwards reports whether the host has somebody to forward for.
func (s Spec) forwards() bool {
	return slices.ContainsFunc(s.Extra, func(e Extra) bool { return len(e.Inside) > 0 })
}

// allocator knows what the spec uses. A prefix of length 0 says nothing about
// what addresses are for.
func (s Spec) allocator() *allocator {
	used := slices.DeleteFunc(slices.Clone(s.Avoid), func(p netip.Prefix) bool { return !p.IsValid() || p.Bits() == 0 })
	used = append(append(used, s.connected()...), s.blocks()...)
	for _, u := range s.Uplinks {
		used = append(used, singles(u.Gateways)...)
	}
	for _, e := range s.Extra {
		used = append(used, singles(e.Gateways)...)
	}
	return &allocator{used: append(used, singles(s.Outside)...), blocks: s.blocks()}
}

// singles returns the prefixes that hold one address each.
func singles(addrs []netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range addrs {
		if a.IsValid() {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return all
}
