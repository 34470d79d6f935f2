package fib

import (
	"net/netip"

	"rpdb"
)

// key is what one walk of the rules sees of a packet (struct flowi4, flowi6).
type key struct {
	dst, src         netip.Addr // src is the unspecified address if there is none
	hasSrc           bool
	iif, oif, l3mdev rpdb.LinkIndex
	mark, uid, label uint32
	tun              uint64
	ds               uint8
	proto            rpdb.IPProto
	sport, dport     uint16

	by  SourceBy // how the source was chosen
	out *link    // IPv6: the interface that it was chosen for, nil for any

	output   bool // generated here
	nobody   bool // came in with the source ::, which is not one that was left out
	anySPort bool // the socket has not chosen its source port
	peek     bool // count links without carrier (FIB_LOOKUP_IGNORE_LINKSTATE)
	// want is the interface an IPv6 lookup prefers: oif, or iif on input.
	want   rpdb.LinkIndex
	strict bool // want is a condition (RT6_LOOKUP_F_IFACE)
	reach  bool // skip gateways known to be dead (RT6_LOOKUP_F_REACHABLE)
}

// set fills in what both families and directions have in common.
func (k *key) set(flow *rpdb.Flow) {
	*k = key{
		dst: flow.Dst, src: flow.Src, hasSrc: flow.Src.IsValid() && !flow.Src.IsUnspecified(),
		mark: flow.Mark, uid: flow.UID, label: flow.FlowLabel & 0xfffff, tun: flow.TunID,
		ds: flow.TOS, proto: flow.IPProto, sport: flow.SPort, dport: flow.DPort,
	}
	if k.hasSrc {
		k.by = SourceGiven
	}
	if !k.src.IsValid() {
		k.src = flow.Family().Unspecified()
	}
}

// setVRF notes the VRF that the flow belongs to, and takes a VRF itself out of
// oif so that its table is searched for any interface (l3mdev_update_flow).
func (f *FIB) setVRF(k *key) {
	if k.l3mdev != 0 || !f.vrfs {
		return
	}
	if l := f.byIndex[k.oif]; l != nil {
		k.l3mdev = l.vrfIndex()
		if l.isVRF() {
			k.oif = 0
		}
		return
	}
	if k.iif > loopback {
		k.l3mdev = f.byIndex[k.iif].vrfIndex()
	}
}

// dropPorts makes the flow what the rules see of a packet that came in: of the
// protocols that have no ports the kernel reads none, not even the type and
// code of ICMP (proto_ports_offset).
func dropPorts(flow *rpdb.Flow) {
	const dccp, esp, ah, sctp, udplite = 33, 50, 51, 132, 136
	switch flow.IPProto {
	case 0, rpdb.TCP, rpdb.UDP, dccp, esp, ah, sctp, udplite:
	default:
		flow.SPort, flow.DPort = 0, 0
	}
}
