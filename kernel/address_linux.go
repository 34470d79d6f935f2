package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// decodeAddress reads a struct ifaddrmsg with its attributes.
func decodeAddress(b []byte) (rpdb.Address, error) {
	var a rpdb.Address
	if len(b) < unix.SizeofIfAddrmsg {
		return a, fmt.Errorf("decode address: %d bytes", len(b))
	}
	bits := rpdb.Family(b[0]).Bits()
	if bits == 0 || int(b[1]) > bits {
		return a, fmt.Errorf("decode address: family %d, prefix length %d", b[0], b[1])
	}
	a.Link = rpdb.LinkIndex(uint32At(b, 4))
	a.Flags = rpdb.AddressFlags(b[2])
	a.Scope = rpdb.Scope(b[3])
	var local, address netip.Addr
	d := netlink.NewDecoder(b[unix.SizeofIfAddrmsg:])
	for d.Next() {
		switch d.Type() {
		case unix.IFA_LOCAL:
			local = d.AddrOf(bits)
		case unix.IFA_ADDRESS:
			address = d.AddrOf(bits)
		case unix.IFA_FLAGS:
			a.Flags = rpdb.AddressFlags(d.Uint32())
		case unix.IFA_CACHEINFO:
			decodeLifetimes(&d, &a)
		}
	}
	// The address alone stands in ADDRESS (IPv6) or in both; with a peer,
	// LOCAL is the address and ADDRESS the other end.
	if !local.IsValid() {
		local = address
	}
	if address != local {
		a.Peer = address
	}
	if err := d.Err(); err != nil {
		return a, err
	}
	if !local.IsValid() {
		return a, fmt.Errorf("decode address: no address")
	}
	a.Prefix = netip.PrefixFrom(local, int(b[1]))
	return a, nil
}

// decodeLifetimes reads a struct ifa_cacheinfo; the kernel's "for ever" is 0
// here.
func decodeLifetimes(d *netlink.Decoder, a *rpdb.Address) {
	v := d.Data()
	if len(v) < 8 {
		d.Fail("%d bytes, want 16", len(v))
		return
	}
	const forever = 1<<32 - 1
	if p := uint32At(v, 0); p != forever {
		a.Preferred = p
	}
	if l := uint32At(v, 4); l != forever {
		a.Valid = l
	}
}

// AddressOptions say how an address is added. The zero value is what ip(8)
// does without further words.
type AddressOptions struct {
	// NoDAD spares an IPv6 address the check for duplicates, so that it can be
	// used at once: if the interface is up, AddAddress returns when the kernel
	// delivers to it, which takes it some moments.
	NoDAD bool
	// NoPrefixRoute keeps the kernel from adding the route to the connected
	// network.
	NoPrefixRoute bool
	// Peer is the other end of a point-to-point address; invalid: none.
	Peer netip.Addr
	// Scope of an IPv4 address; absent: host for 127.0.0.0/8, else global.
	Scope rpdb.Opt[rpdb.Scope]
	// Broadcast of an IPv4 address; invalid: none.
	Broadcast netip.Addr
}

// AddAddress gives an interface an address, with the length of the connected
// network.
func (c *Conn) AddAddress(link rpdb.LinkName, p netip.Prefix, o AddressOptions) error {
	if err := c.address("add", unix.RTM_NEWADDR, netlink.Create|netlink.Excl, addressChange{link, p, o}); err != nil {
		return err
	}
	if o.NoDAD && p.Addr().Is6() && c.isUp(link) {
		return opError("add", fmt.Sprintf("address %v on %q", p, link), c.awaitLocal(p.Addr()))
	}
	return nil
}

// localWait bounds the wait for the route of an address that needs no check.
const localWait = 100 * time.Millisecond

// awaitLocal waits until the local table has the address: the kernel puts an
// IPv6 address there from a work queue, without an event of its own. One that
// does not get there in time is left to the kernel.
func (c *Conn) awaitLocal(a netip.Addr) error {
	host := netip.PrefixFrom(a, a.BitLen())
	filter := routeFilter{family: rpdb.IPv6, table: rpdb.TableLocal, protocol: rpdb.ProtocolKernel}
	for end := time.Now().Add(localWait); ; time.Sleep(time.Millisecond / 2) {
		routes, _, err := c.dumpRoutes(context.Background(), filter)
		if err != nil && !errors.Is(err, netlink.InterruptedError{}) {
			return err
		}
		there := func(r rpdb.Route) bool { return r.Dst == host && r.Type == rpdb.RouteLocal }
		if slices.ContainsFunc(routes, there) || time.Now().After(end) {
			return nil
		}
	}
}

// isUp reports whether the interface is set up.
func (c *Conn) isUp(name rpdb.LinkName) bool {
	ifr, err := unix.NewIfreq(string(name))
	return err == nil && ioctl(c.nl, unix.SIOCGIFFLAGS, ifr) == nil && ifr.Uint16()&unix.IFF_UP != 0
}

// DeleteAddress takes an address from an interface; the length counts.
func (c *Conn) DeleteAddress(link rpdb.LinkName, p netip.Prefix) error {
	return c.address("delete", unix.RTM_DELADDR, 0, addressChange{link: link, prefix: p})
}

type addressChange struct {
	link   rpdb.LinkName
	prefix netip.Prefix
	opt    AddressOptions
}

func (c *Conn) address(op string, typ uint16, flags netlink.Flags, a addressChange) error {
	object := fmt.Sprintf("address %v on %q", a.prefix, a.link)
	if !a.prefix.IsValid() {
		return &OpError{Op: op, Object: object, Err: unix.EINVAL}
	}
	index, err := c.linkIndex(a.link)
	if err != nil {
		return opError(op, object, err)
	}
	addr := a.prefix.Addr()
	e := netlink.NewEncoder(nil, typ, flags, fixed([]byte{
		byte(rpdb.FamilyOf(addr)), byte(a.prefix.Bits()), 0, byte(a.scope()),
	}, uint32(index)))
	e.Addr(unix.IFA_LOCAL, addr)
	if a.opt.Peer.IsValid() {
		addr = a.opt.Peer
	}
	e.Addr(unix.IFA_ADDRESS, addr)
	if a.opt.Broadcast.IsValid() {
		e.Addr(unix.IFA_BROADCAST, a.opt.Broadcast)
	}
	var bits uint32
	if a.opt.NoDAD {
		bits |= unix.IFA_F_NODAD
	}
	if a.opt.NoPrefixRoute {
		bits |= unix.IFA_F_NOPREFIXROUTE
	}
	if bits != 0 {
		e.Uint32(unix.IFA_FLAGS, bits)
	}
	return c.execute(op, object, e)
}

func (a addressChange) scope() rpdb.Scope {
	if s, ok := a.opt.Scope.Get(); ok {
		return s
	}
	if addr := a.prefix.Addr(); addr.Is4() && addr.IsLoopback() {
		return rpdb.ScopeHost
	}
	return rpdb.ScopeGlobal
}
