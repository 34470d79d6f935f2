package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

const sizeofNdMsg = 12 // struct ndmsg

// Attributes of a neighbour table (include/uapi/linux/neighbour.h).
const (
	ndtaName         = 1
	ndtaParms        = 6
	ndtpaIfindex     = 1
	ndtpaRetransTime = 5
	ndtpaMcastProbes = 11
)

// decodeNeighbour reads a struct ndmsg with its attributes; ok is false for
// entries that are not neighbours (proxies, bridge entries).
func decodeNeighbour(b []byte) (n rpdb.Neighbour, ok bool, err error) {
	if len(b) < sizeofNdMsg {
		return n, false, fmt.Errorf("decode neighbour: %d bytes", len(b))
	}
	bits := rpdb.Family(b[0]).Bits()
	if bits == 0 || b[10]&unix.NTF_PROXY != 0 {
		return n, false, nil
	}
	n.Link = rpdb.LinkIndex(uint32At(b, 4))
	n.State = rpdb.NeighbourState(uint16At(b, 8))
	d := netlink.NewDecoder(b[sizeofNdMsg:])
	for d.Next() {
		if d.Type() == unix.NDA_DST {
			n.Addr = d.AddrOf(bits)
		}
	}
	return n, n.Addr.IsValid(), d.Err()
}

// SetNeighbour makes an entry of the neighbour table, or changes it. Lladdr is
// the link-layer address, 6 bytes for Ethernet; nil leaves it out, which suits
// the state NeighbourFailed.
func (c *Conn) SetNeighbour(link rpdb.LinkName, addr netip.Addr, lladdr []byte, state rpdb.NeighbourState) error {
	return c.neighbour("set", neighbourChange{link, addr, lladdr, state})
}

// DeleteNeighbour takes an entry out of the neighbour table.
func (c *Conn) DeleteNeighbour(link rpdb.LinkName, addr netip.Addr) error {
	return c.neighbour("delete", neighbourChange{link: link, addr: addr})
}

// Resolution says how an interface asks for neighbours (mcast_solicit and
// retrans_time_ms of ip-sysctl). A zero field stays as it is.
type Resolution struct {
	Tries uint32        // how often it asks all before it gives up
	Every time.Duration // how long it waits for an answer, in milliseconds
}

// SetResolution changes how an interface asks for neighbours of a family. An
// ordinary user, who has no such settings in /proc/sys, can do it too, in a
// namespace of the user's own.
func (c *Conn) SetResolution(link rpdb.LinkName, f rpdb.Family, r Resolution) error {
	object := fmt.Sprintf("neighbour resolution (%v) on %q", f, link)
	index, err := c.linkIndex(link)
	if err != nil {
		return opError("set", object, err)
	}
	cache := map[rpdb.Family]string{rpdb.IPv4: "arp_cache", rpdb.IPv6: "ndisc_cache"}[f]
	e := netlink.NewEncoder(nil, unix.RTM_SETNEIGHTBL, netlink.Replace, []byte{byte(f), 0, 0, 0})
	e.String(ndtaName, cache)
	e.Nest(ndtaParms|netlink.Nested, func() {
		e.Uint32(ndtpaIfindex, uint32(index))
		if r.Tries != 0 {
			e.Uint32(ndtpaMcastProbes, r.Tries)
		}
		if ms := r.Every.Milliseconds(); ms > 0 {
			e.Bytes(ndtpaRetransTime, binary.NativeEndian.AppendUint64(nil, uint64(ms)))
		}
	})
	return c.execute("set", object, e)
}

type neighbourChange struct {
	link   rpdb.LinkName
	addr   netip.Addr
	lladdr []byte
	state  rpdb.NeighbourState
}

func (c *Conn) neighbour(op string, n neighbourChange) error {
	object := fmt.Sprintf("neighbour %v on %q", n.addr, n.link)
	index, err := c.linkIndex(n.link)
	if err != nil {
		return opError(op, object, err)
	}
	typ, flags := uint16(unix.RTM_NEWNEIGH), netlink.Create|netlink.Replace
	if op == "delete" {
		typ, flags = unix.RTM_DELNEIGH, 0
	}
	b := fixed([]byte{byte(rpdb.FamilyOf(n.addr)), 0, 0, 0}, uint32(index))
	b = append(nativeUint16(b, uint16(n.state)), 0, 0)
	e := netlink.NewEncoder(nil, typ, flags, b)
	e.Addr(unix.NDA_DST, n.addr)
	if len(n.lladdr) > 0 {
		e.Bytes(unix.NDA_LLADDR, n.lladdr)
	}
	return c.execute(op, object, e)
}
