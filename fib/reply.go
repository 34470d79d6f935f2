package fib

import (
	"net/netip"

	"rpdb"
)

// Reply is a way in which a host answers a packet that came in.
type Reply string

// The answers. Echo, reset and unreachable are made by the kernel where no
// socket wants the packet, SYN-ACK by a socket that listens, and a datagram by
// the program that received one: from a socket bound to the address that the
// packet was sent to, or from one that leaves its source to the kernel. An error
// is the ICMP message about a packet that is not for this host.
const (
	ReplyEcho        Reply = "echo-reply"
	ReplyReset       Reply = "reset"       // TCP, of a closed port
	ReplyUnreachable Reply = "unreachable" // ICMP, port or protocol
	ReplySYNACK      Reply = "syn-ack"     // and what follows on the connection
	ReplyBound       Reply = "bound-socket"
	ReplyUnbound     Reply = "unbound-socket"
	ReplyError       Reply = "icmp-error"
)

// ByKernel reports whether there is no socket behind the answer.
func (r Reply) ByKernel() bool {
	return r == ReplyEcho || r == ReplyReset || r == ReplyUnreachable || r == ReplyError
}

// Replies returns the ways in which a packet may be answered, given what the
// engine decided about it: those of its protocol, or of all where it has none.
// Packets that are dropped without a word, and ICMP messages that are not
// answered, have none.
func Replies(f rpdb.Flow, d rpdb.Decision) []Reply {
	switch {
	case !f.IsInput() || f.Src.IsMulticast() || unspecified(f.Src):
		return nil
	case d.Disposition == rpdb.Sent || d.Disposition == rpdb.Refused && d.ICMP != (rpdb.ICMPError{}):
		return []Reply{ReplyError}
	case d.Disposition != rpdb.Local || f.Dst.IsMulticast() || d.Type == rpdb.RouteBroadcast:
		return nil
	}
	switch f.IPProto {
	case 0:
		return []Reply{ReplyEcho, ReplyReset, ReplyUnreachable, ReplySYNACK, ReplyBound, ReplyUnbound}
	case rpdb.ICMP, rpdb.ICMPv6:
		return []Reply{ReplyEcho}
	case rpdb.TCP:
		return []Reply{ReplyReset, ReplySYNACK}
	case rpdb.UDP:
		return []Reply{ReplyUnreachable, ReplyBound, ReplyUnbound}
	}
	return []Reply{ReplyUnreachable}
}

// Reply returns the flow of an answer to a packet that came in: what the kernel
// looks up for it. About is the ICMP error of [ReplyError], time exceeded where
// it is zero, and counts for no other.
//
// Only what a host decides by itself is in it: sockets may set marks, users and
// TOS of their own, and are taken to set none. The kernel's own answers carry
// the mark of the packet only with fwmark_reflect, and TCP connections with
// tcp_fwmark_accept. ICMP errors about forwarded packets are taken to have no
// source in IPv4, as without icmp_errors_use_inbound_ifaddr.
func (f *FIB) Reply(flow rpdb.Flow, k Reply, about rpdb.ICMPError) rpdb.Flow {
	r := rpdb.Flow{Dst: flow.Src, Src: flow.Dst}
	v6 := flow.Family() == rpdb.IPv6
	switch k {
	case ReplyEcho:
		echoReply(&r, flow)
	case ReplyReset:
		r.IPProto, r.SPort, r.DPort = rpdb.TCP, flow.DPort, flow.SPort
		if !v6 {
			r.TOS = flow.TOS
		}
	case ReplySYNACK:
		r.IPProto, r.SPort, r.DPort = rpdb.TCP, flow.DPort, flow.SPort
		if f.sysctls.acceptMark {
			r.Mark = flow.Mark
		}
	case ReplyBound, ReplyUnbound:
		r.IPProto, r.SPort, r.DPort = rpdb.UDP, flow.DPort, flow.SPort
		if k == ReplyUnbound {
			r.Src, r.Socket = netip.Addr{}, rpdb.SendTo
		}
	case ReplyUnreachable:
		icmpError(&r, flow, unreachable(flow))
	case ReplyError:
		if about == (rpdb.ICMPError{}) {
			about = timeExceeded(v6)
		}
		f.errorSource(&r, flow)
		icmpError(&r, flow, about)
	}
	if k.ByKernel() && (f.sysctls.reflect4 && !v6 || f.sysctls.reflect6 && v6) {
		r.Mark = flow.Mark
	}
	f.replyLink(&r, flow)
	return r
}

// errorSource sets the source of an ICMP error about a packet that is not for
// this host. In IPv4 there is none before the lookup; in IPv6 it is chosen as for
// a packet that leaves by the interface that the other came in by.
func (f *FIB) errorSource(r *rpdb.Flow, flow rpdb.Flow) {
	r.Src = netip.Addr{}
	if flow.Family() == rpdb.IPv4 {
		return
	}
	r.Socket = rpdb.SendTo
	if in := f.byName[flow.IIF]; in != nil {
		if src, ok := f.source6(r.Dst, nil, &hop{link: in}); ok {
			r.Src, r.Socket = src, rpdb.RouteGet
		}
	}
}

// echoReply is icmp_reply and icmpv6_echo_reply. The latter names the interface
// that the request came in by, as a wish.
func echoReply(r *rpdb.Flow, flow rpdb.Flow) {
	if flow.Family() == rpdb.IPv6 {
		r.IPProto, r.DPort, r.OIF = rpdb.ICMPv6, 129<<8, flow.IIF
		return
	}
	r.IPProto, r.TOS = rpdb.ICMP, flow.TOS
}

// icmpError fills in what an ICMP error is looked up with (icmp_route_lookup,
// icmp6_send): in IPv4 the TOS of the packet with the precedence of network
// control.
func icmpError(r *rpdb.Flow, flow rpdb.Flow, e rpdb.ICMPError) {
	r.IPProto, r.DPort = rpdb.ICMPv6, uint16(e.Type)<<8|uint16(e.Code)
	if flow.Family() == rpdb.IPv4 {
		r.IPProto, r.TOS = rpdb.ICMP, flow.TOS&0x1e|0xc0
	}
}

// unreachable is the error for a packet that no socket wants.
func unreachable(f rpdb.Flow) rpdb.ICMPError {
	port := f.IPProto == rpdb.UDP || f.IPProto == 0
	switch {
	case f.Family() == rpdb.IPv4 && port:
		return rpdb.ICMPError{Type: 3, Code: 3}
	case f.Family() == rpdb.IPv4:
		return rpdb.ICMPError{Type: 3, Code: 2}
	case port:
		return rpdb.ICMPError{Type: 1, Code: 4}
	}
	return rpdb.ICMPError{Type: 4, Code: 1}
}

func timeExceeded(v6 bool) rpdb.ICMPError {
	if v6 {
		return rpdb.ICMPError{Type: 3}
	}
	return rpdb.ICMPError{Type: 11}
}

// replyLink names the interface where the kernel does: the VRF of the interface
// that the packet came in by, and that interface itself for link-local
// addresses.
func (f *FIB) replyLink(r *rpdb.Flow, flow rpdb.Flow) {
	in := f.byName[flow.IIF]
	switch {
	case r.Dst.Is6() && r.Dst.IsLinkLocalUnicast():
		r.OIF = flow.IIF
	case r.OIF == "" && in.vrfIndex() != 0:
		r.OIF = in.vrf.Name
	}
}
