package networkd

import (
	"errors"
	"net/netip"
	"slices"

	"rpdb"
)

// host collects what one section says of the interface of its file.
type host struct {
	*reader
	section   section
	group     rpdb.Opt[uint32]
	addresses []rpdb.Address // without the interface
	routes    []rpdb.Route   // the same, where they leave by it
}

// empty reports whether the section says nothing that depends on the interface.
func (h *host) empty() bool {
	return !h.group.IsSet() && len(h.addresses) == 0 && len(h.routes) == 0
}

// addTo adds what was collected, for one interface.
func (h *host) addTo(i rpdb.LinkIndex) {
	s := h.snapshot
	for at := range s.Links {
		if g, ok := h.group.Get(); ok && s.Links[at].Index == i {
			s.Links[at].Group = g
		}
	}
	for _, a := range h.addresses {
		a.Link = i
		s.Addresses = append(s.Addresses, a)
	}
	for _, r := range h.routes {
		r.Nexthops = slices.Clone(r.Nexthops)
		for at := range r.Nexthops {
			if r.Nexthops[at].Link == 0 {
				r.Nexthops[at].Link = i
			}
		}
		s.Routes = append(s.Routes, r)
	}
}

// link reads [Link], of which the group of the interface matters, and whether it
// is up.
func (h *host) link() {
	for _, a := range h.section.assignments {
		switch a.key {
		case "Group":
			h.refuseAt(h.section, a, setOpt(&h.group, a.value, upTo[uint32](1<<31-1)))
		case "Unmanaged":
			if off, err := boolean(a.value); err != nil || off {
				h.refuseAt(h.section, a, errors.New("networkd does nothing of a file of an interface that it leaves alone"))
			}
		case "ActivationPolicy":
			if a.value != "" && a.value != "up" && a.value != "always-up" {
				h.refuseAt(h.section, a, errors.New("whether the interface is up, and its routes are there, cannot be told from the file"))
			}
		default:
			if !slices.Contains(linkKeys(), a.key) {
				h.refuseAt(h.section, a, errors.New("[Link] has no such key"))
			}
		}
	}
}

// network reads [Network].
func (h *host) network() {
	for _, a := range h.section.assignments {
		var err error
		switch a.key {
		case "Address":
			err = h.plainAddress(a.value)
		case "Gateway":
			err = h.plainGateway(a.value)
		case "DefaultRouteOnDevice":
			var on bool
			if err = setTo(&on, a.value, boolean); on {
				err = h.plainGateway("0.0.0.0")
			}
		case "VRF":
			err = errors.New("the table of its routes is in a .netdev file, and these are not read")
		default:
			if !slices.Contains(networkKeys(), a.key) {
				err = errors.New("[Network] has no such key")
			}
		}
		h.refuseAt(h.section, a, err)
	}
}

func (h *host) plainAddress(value string) error {
	p, err := staticPrefix(value)
	if err == nil {
		h.addresses = append(h.addresses, rpdb.Address{Prefix: p, Scope: addressScope(p.Addr()), Flags: rpdb.AddressPermanent})
	}
	return err
}

// plainGateway adds a default route of the main table.
func (h *host) plainGateway(value string) error {
	b := newRoute(h.reader)
	if err := b.setGateway(value); err != nil {
		return err
	}
	r, err := b.finish()
	if err == nil {
		h.routes = append(h.routes, r)
	}
	return err
}

// staticPrefix reads an address with the length of its network.
func staticPrefix(value string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(value)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("it is no address with the length of its prefix")
	case p.Addr().IsUnspecified():
		return netip.Prefix{}, errors.New("networkd takes an address that is free when it starts")
	}
	return p, nil
}

// addressScope returns the scope of an address for which none is said.
func addressScope(a netip.Addr) rpdb.Scope {
	switch {
	case a.IsLoopback():
		return rpdb.ScopeHost
	case a.IsLinkLocalUnicast():
		return rpdb.ScopeLink
	}
	return rpdb.ScopeGlobal
}

// addressKeys are the keys of [Address] that say nothing of importance here.
func addressKeys() []string {
	return []string{"AutoJoin", "Broadcast", "HomeAddress", "Label", "ManageTemporaryAddress", "NFTSet", "NetLabel", "RouteMetric", "AddPrefixRoute"}
}

// address reads [Address].
func (h *host) address() {
	a := rpdb.Address{Flags: rpdb.AddressPermanent}
	var peer netip.Prefix
	var scope rpdb.Opt[rpdb.Scope]
	for _, line := range h.distinct(h.section) {
		var err error
		switch line.key {
		case "Address":
			err = setTo(&a.Prefix, line.value, staticPrefix)
		case "Peer":
			err = setTo(&peer, line.value, prefix)
		case "Scope":
			err = setOpt(&scope, line.value, scopeWord)
		case "PreferredLifetime":
			err = preferred(&a, line.value)
		case "DuplicateAddressDetection":
			err = duplicates(&a, line.value)
		default:
			if !slices.Contains(addressKeys(), line.key) {
				err = errors.New("[Address] has no such key")
			}
		}
		h.refuseAt(h.section, line, err)
	}
	if !a.Prefix.IsValid() {
		h.refuse(h.section.file, h.section.line, "section", "Address", "it has no Address= that can be read")
		return
	}
	if peer.IsValid() {
		if rpdb.FamilyOf(peer.Addr()) != rpdb.FamilyOf(a.Prefix.Addr()) || peer.Bits() != a.Prefix.Bits() {
			h.refuse(h.section.file, h.section.line, "section", "Address", "Peer= and Address= are not of one family and length")
		}
		a.Peer = peer.Addr()
	}
	a.Scope = addressScope(a.Prefix.Addr())
	if a.Prefix.Addr().Is4() { // IPv6 knows the scope by the address, and has the flag
		if said, ok := scope.Get(); ok {
			a.Scope = said
		}
		a.Flags &^= rpdb.AddressNoDAD
	}
	h.addresses = append(h.addresses, a)
}

func scopeWord(value string) (s rpdb.Scope, err error) {
	if s.UnmarshalText([]byte(value)) == nil {
		return s, nil
	}
	return upTo[rpdb.Scope](255)(value)
}

func preferred(a *rpdb.Address, value string) error {
	switch value {
	case "0":
		a.Flags |= rpdb.AddressDeprecated
	case "forever", "infinity":
	default:
		return errors.New("it is none of 0, forever, infinity")
	}
	return nil
}

// duplicates reads DuplicateAddressDetection=; only IPv6 has a flag for it.
func duplicates(a *rpdb.Address, value string) error {
	switch value {
	case "none", "ipv4", "no", "false":
		a.Flags |= rpdb.AddressNoDAD
	case "ipv6", "both", "yes", "true":
	default:
		return errors.New("it is none of ipv4, ipv6, both, none")
	}
	return nil
}
