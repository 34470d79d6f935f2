package kernel

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Attributes that x/sys does not name.
const (
	linkVRFTable  = 1 // IFLA_VRF_TABLE
	linkInetConf  = 1 // IFLA_INET_CONF
	linkInet6Conf = 2 // IFLA_INET6_CONF
	vethInfoPeer  = 1 // VETH_INFO_PEER

	extMaskSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
)

// Places of the settings in the arrays of IFLA_INET_CONF and IFLA_INET6_CONF
// (IPV4_DEVCONF_* less one, DEVCONF_*).
const (
	inetForwarding     = 0
	inetSendRedirects  = 5
	inetRPFilter       = 7
	inetAcceptLocal    = 22
	inetSrcValidMark   = 23
	inetRouteLocalnet  = 25
	inetIgnoreLinkdown = 28

	inet6Forwarding     = 0
	inet6Disable        = 26
	inet6IgnoreLinkdown = 39
)

// decodeLink reads a struct ifinfomsg with its attributes: the interface, and
// the settings that the kernel sends along.
func decodeLink(b []byte) (rpdb.Link, rpdb.LinkSysctls, error) {
	var l rpdb.Link
	var conf rpdb.LinkSysctls
	if len(b) < unix.SizeofIfInfomsg {
		return l, conf, fmt.Errorf("decode link: %d bytes", len(b))
	}
	l.Index = rpdb.LinkIndex(uint32At(b, 4))
	l.Flags = rpdb.LinkFlags(uint32At(b, 8))
	d := netlink.NewDecoder(b[unix.SizeofIfInfomsg:])
	for d.Next() {
		switch d.Type() {
		case unix.IFLA_IFNAME:
			l.Name = rpdb.LinkName(d.String())
		case unix.IFLA_MTU:
			l.MTU = d.Uint32()
		case unix.IFLA_MASTER:
			l.Master = rpdb.LinkIndex(d.Uint32())
		case unix.IFLA_GROUP:
			l.Group = d.Uint32()
		case unix.IFLA_LINKINFO:
			decodeLinkInfo(&d, &l)
		case unix.IFLA_AF_SPEC:
			decodeLinkConf(&d, &conf)
		}
	}
	return l, conf, d.Err()
}

// VRF returns the table of the interface with a name, if it is a VRF.
func (s *Socket) VRF(ctx context.Context, name rpdb.LinkName) (table rpdb.TableID, ok bool) {
	if len(name) == 0 || len(name) >= unix.IFNAMSIZ {
		return 0, false
	}
	e := netlink.NewEncoder(nil, unix.RTM_GETLINK, 0, make([]byte, unix.SizeofIfInfomsg))
	e.String(unix.IFLA_IFNAME, string(name))
	err := s.nl.Execute(ctx, e, func(m netlink.Message) error {
		l, _, err := decodeLink(m.Data)
		table = l.VRFTable
		return err
	})
	return table, err == nil && table != 0
}

func decodeLinkInfo(d *netlink.Decoder, l *rpdb.Link) {
	info := d.Nest()
	for info.Next() {
		switch info.Type() {
		case unix.IFLA_INFO_KIND:
			l.Kind = info.String()
		case unix.IFLA_INFO_DATA:
			if l.Kind != "vrf" { // the kind stands first
				continue
			}
			data := info.Nest()
			for data.Next() {
				if data.Type() == linkVRFTable {
					l.VRFTable = rpdb.TableID(data.Uint32())
				}
			}
			info.Join(&data)
		}
	}
	d.Join(&info)
}

// decodeLinkConf reads the settings of both families, which spare nine files
// of /proc/sys for each interface.
func decodeLinkConf(d *netlink.Decoder, conf *rpdb.LinkSysctls) {
	families := d.Nest()
	for families.Next() {
		inner := families.Nest()
		for inner.Next() {
			v := inner.Data()
			switch {
			case families.Type() == unix.AF_INET && inner.Type() == linkInetConf:
				conf.Forwarding4 = confValue(v, inetForwarding) != 0
				conf.RPFilter = uint8(confValue(v, inetRPFilter))
				conf.AcceptLocal = confValue(v, inetAcceptLocal) != 0
				conf.SrcValidMark = confValue(v, inetSrcValidMark) != 0
				conf.RouteLocalnet = confValue(v, inetRouteLocalnet) != 0
				conf.IgnoreLinkdown4 = confValue(v, inetIgnoreLinkdown) != 0
				conf.NoSendRedirects = confValue(v, inetSendRedirects) == 0
			case families.Type() == unix.AF_INET6 && inner.Type() == linkInet6Conf:
				conf.Forwarding6 = confValue(v, inet6Forwarding) != 0
				conf.DisableIPv6 = confValue(v, inet6Disable) != 0
				conf.IgnoreLinkdown6 = confValue(v, inet6IgnoreLinkdown) != 0
			}
		}
		families.Join(&inner)
	}
	d.Join(&families)
}

// confValue returns the i-th setting, 0 where an older kernel sends fewer.
func confValue(v []byte, i int) uint32 {
	if len(v) < 4*(i+1) {
		return 0
	}
	return uint32At(v, 4*i)
}

// linkRequest begins a request about the interface with the index, 0 for none.
func linkRequest(typ uint16, flags netlink.Flags, index rpdb.LinkIndex, up, mask uint32) *netlink.Encoder {
	return netlink.NewEncoder(nil, typ, flags,
		fixed([]byte{unix.AF_UNSPEC, 0, 0, 0}, uint32(index), up, mask))
}

// VethEnd is one end of a virtual cable.
type VethEnd struct {
	Name rpdb.LinkName
	// NetNS is the namespace that the end is in, nil for the connection's.
	NetNS *NetNS
}

// AddVeth makes a virtual cable (veth(4)) between two namespaces. Both ends
// are down at first. It needs CAP_NET_ADMIN in both.
func (c *Conn) AddVeth(a, b VethEnd) error {
	e := linkRequest(unix.RTM_NEWLINK, netlink.Create|netlink.Excl, 0, 0, 0)
	end := func(v VethEnd) {
		e.String(unix.IFLA_IFNAME, string(v.Name))
		if v.NetNS != nil {
			e.Uint32(unix.IFLA_NET_NS_FD, uint32(v.NetNS.FD()))
		}
	}
	end(a)
	e.Nest(unix.IFLA_LINKINFO|netlink.Nested, func() {
		e.String(unix.IFLA_INFO_KIND, "veth")
		e.Nest(unix.IFLA_INFO_DATA|netlink.Nested, func() {
			e.Nest(vethInfoPeer|netlink.Nested, func() {
				e.Fixed(make([]byte, unix.SizeofIfInfomsg))
				end(b)
			})
		})
	})
	return c.execute("add", fmt.Sprintf("veth %q, %q", a.Name, b.Name), e)
}

// LinkChange says what to change about an interface. The zero value changes
// nothing.
type LinkChange struct {
	Up, Down bool             // one at most
	Group    rpdb.Opt[uint32] // the interface group
	NewName  rpdb.LinkName    // not empty: rename; older kernels want the interface down for it
	MTU      uint32           // not 0: the greatest packet size in bytes
}

// SetLink changes an interface.
func (c *Conn) SetLink(name rpdb.LinkName, ch LinkChange) error {
	if ch.Up && ch.Down {
		return &OpError{Op: "set", Object: linkObject(name), Err: unix.EINVAL, Message: "up and down exclude each other"}
	}
	index, err := c.linkIndex(name)
	if err != nil {
		return opError("set", linkObject(name), err)
	}
	var up, mask uint32
	if ch.Up || ch.Down {
		mask = unix.IFF_UP
	}
	if ch.Up {
		up = unix.IFF_UP
	}
	e := linkRequest(unix.RTM_SETLINK, 0, index, up, mask)
	if g, ok := ch.Group.Get(); ok {
		e.Uint32(unix.IFLA_GROUP, g)
	}
	if ch.NewName != "" {
		e.String(unix.IFLA_IFNAME, string(ch.NewName))
	}
	if ch.MTU != 0 {
		e.Uint32(unix.IFLA_MTU, ch.MTU)
	}
	return c.execute("set", linkObject(name), e)
}

// DeleteLink takes an interface away; with one end of a veth goes the other.
func (c *Conn) DeleteLink(name rpdb.LinkName) error {
	index, err := c.linkIndex(name)
	if err != nil {
		return opError("delete", linkObject(name), err)
	}
	return c.execute("delete", linkObject(name), linkRequest(unix.RTM_DELLINK, 0, index, 0, 0))
}
