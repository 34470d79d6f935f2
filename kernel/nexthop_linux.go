package kernel

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Messages and attributes of nexthop objects, which x/sys does not name
// (include/uapi/linux/nexthop.h).
const (
	rtmNewNexthop = 104
	rtmDelNexthop = 105
	rtmGetNexthop = 106

	nhaID        = 1
	nhaGroup     = 2
	nhaGroupType = 3
	nhaBlackhole = 4
	nhaOIF       = 5
	nhaGateway   = 6
	nhaEncapType = 7
	nhaEncap     = 8
	nhaFDB       = 11
	nhaResGroup  = 12

	nhaResBuckets         = 1
	nhaResIdleTimer       = 2
	nhaResUnbalancedTimer = 3
	nhaResUnbalancedTime  = 4

	sizeofNhMsg       = 8
	sizeofGroupMember = 8
)

// decodeNexthop reads a struct nhmsg with its attributes.
func decodeNexthop(b []byte) (rpdb.NexthopObject, error) {
	var n rpdb.NexthopObject
	if len(b) < sizeofNhMsg {
		return n, fmt.Errorf("decode nexthop object: %d bytes", len(b))
	}
	n.Family, n.Scope, n.Protocol = rpdb.Family(b[0]), rpdb.Scope(b[1]), rpdb.Protocol(b[2])
	n.Nexthop.Flags = rpdb.NexthopFlags(uint32At(b, 4))
	var unknown []byte
	d := netlink.NewDecoder(b[sizeofNhMsg:])
	for d.Next() {
		switch d.Type() {
		case nhaID:
			n.ID = d.Uint32()
		case nhaGroup:
			n.Group = decodeGroup(&d)
		case nhaGroupType:
			n.GroupType = d.Uint16()
		case nhaBlackhole:
			n.Blackhole = true
		case nhaOIF:
			n.Nexthop.Link = rpdb.LinkIndex(d.Uint32())
		case nhaGateway:
			n.Nexthop.Via = d.Addr()
		case nhaEncapType:
			n.Nexthop.EncapType = d.Uint16()
		case nhaEncap:
			n.Nexthop.Encap = rpdb.Raw(d.Data())
		case nhaFDB:
			n.FDB = true
		case nhaResGroup:
			n.Resilient = decodeResilient(&d)
		default:
			unknown = d.Raw(unknown)
		}
	}
	n.Unknown = rpdb.Raw(unknown)
	return n, d.Err()
}

// decodeResilient reads what a resilient group has besides its members.
func decodeResilient(d *netlink.Decoder) (r rpdb.ResilientGroup) {
	attrs := d.Nest()
	for attrs.Next() {
		switch attrs.Type() {
		case nhaResBuckets:
			r.Buckets = attrs.Uint16()
		case nhaResIdleTimer:
			r.IdleTimer = attrs.Uint32()
		case nhaResUnbalancedTimer:
			r.UnbalancedTimer = attrs.Uint32()
		case nhaResUnbalancedTime:
			r.UnbalancedTime = attrs.Uint64()
		}
	}
	d.Join(&attrs)
	return r
}

// decodeGroup reads an array of struct nexthop_grp. The weight is stored less
// one, its high byte apart (Linux 6.11; zero before).
func decodeGroup(d *netlink.Decoder) []rpdb.GroupMember {
	b := d.Data()
	if len(b) == 0 || len(b)%sizeofGroupMember != 0 {
		d.Fail("%d bytes, want a multiple of %d", len(b), sizeofGroupMember)
		return nil
	}
	group := make([]rpdb.GroupMember, 0, len(b)/sizeofGroupMember)
	for ; len(b) > 0; b = b[sizeofGroupMember:] {
		group = append(group, rpdb.GroupMember{ID: uint32At(b, 0), Weight: uint32(b[5])<<8 + uint32(b[4]) + 1})
	}
	return group
}

func encodeGroup(group []rpdb.GroupMember) []byte {
	var b []byte
	for _, m := range group {
		w := max(m.Weight, 1) - 1
		b = binary.NativeEndian.AppendUint32(b, m.ID)
		b = append(b, byte(w), byte(w>>8), 0, 0)
	}
	return b
}

func encodeResilient(e *netlink.Encoder, r rpdb.ResilientGroup) {
	if r == (rpdb.ResilientGroup{}) {
		return
	}
	e.Nest(nhaResGroup|netlink.Nested, func() {
		e.Uint16(nhaResBuckets, r.Buckets)
		e.Uint32(nhaResIdleTimer, r.IdleTimer)
		e.Uint32(nhaResUnbalancedTimer, r.UnbalancedTimer)
	})
}

func nexthopObject(id uint32) string { return fmt.Sprintf("nexthop object %d", id) }

// AddNexthop makes a nexthop object or a group of them (ip-nexthop(8)) and
// refuses one that is there.
func (c *Conn) AddNexthop(n rpdb.NexthopObject) error {
	object := nexthopObject(n.ID)
	for _, m := range n.Group {
		if m.Weight > 1<<16 {
			return &OpError{
				Op: "add", Object: object, Err: unix.EINVAL,
				Message: fmt.Sprintf("weight %d, at most 65536", m.Weight),
			}
		}
	}
	flags := uint32(n.Nexthop.Flags & rpdb.NexthopOnlink)
	e := netlink.NewEncoder(nil, rtmNewNexthop, netlink.Create|netlink.Excl,
		fixed([]byte{byte(n.Family), byte(n.Scope), byte(n.Protocol), 0}, flags))
	e.Uint32(nhaID, n.ID)
	switch {
	case len(n.Group) > 0:
		e.Bytes(nhaGroup, encodeGroup(n.Group))
		if n.GroupType != 0 {
			e.Uint16(nhaGroupType, n.GroupType)
		}
		encodeResilient(e, n.Resilient)
	case n.Blackhole:
		e.Bytes(nhaBlackhole, nil)
	}
	if n.FDB {
		e.Bytes(nhaFDB, nil)
	}
	if l := n.Nexthop.Link; l != 0 {
		e.Uint32(nhaOIF, uint32(l))
	}
	if via := n.Nexthop.Via; via.IsValid() {
		e.Addr(nhaGateway, via)
	}
	if n.Nexthop.EncapType != 0 {
		e.Bytes(nhaEncap|netlink.Nested, []byte(n.Nexthop.Encap))
		e.Uint16(nhaEncapType, n.Nexthop.EncapType)
	}
	e.Raw([]byte(n.Unknown))
	return c.execute("add", object, e)
}

// DeleteNexthop takes a nexthop object away, and with it the routes that use
// it, without an event for them.
func (c *Conn) DeleteNexthop(id uint32) error {
	e := netlink.NewEncoder(nil, rtmDelNexthop, 0, fixed(make([]byte, sizeofNhMsg)))
	e.Uint32(nhaID, id)
	return c.execute("delete", nexthopObject(id), e)
}

// Nexthops reads the nexthop objects as they were at one moment, and nothing
// else. It needs no privilege; kernels before 5.3 have none.
func (c *Conn) Nexthops(ctx context.Context) ([]rpdb.NexthopObject, error) {
	var objects []rpdb.NexthopObject
	err := c.steady(ctx, classNexthops, func() (n int, err error) {
		objects, n, err = c.dumpNexthops(ctx)
		return n, err
	})
	return objects, opError("read", "nexthop objects", err)
}

// Nexthop returns the nexthop object with the id: what a route with an nhid
// leads to. If there is none the error is a [*Refusal] with ENOENT.
func (s *Socket) Nexthop(ctx context.Context, id uint32) (rpdb.NexthopObject, error) {
	var object rpdb.NexthopObject
	e := netlink.NewEncoder(nil, rtmGetNexthop, 0, make([]byte, sizeofNhMsg))
	e.Uint32(nhaID, id)
	err := s.nl.Execute(ctx, e, func(m netlink.Message) (err error) {
		if m.Type == rtmNewNexthop {
			object, err = decodeNexthop(m.Data)
		}
		return err
	})
	return object, err
}
