package kernel

import (
	"context"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// RouteGet asks the kernel for its decision about a flow (RTM_GETROUTE, "ip
// route get"). The error of the lookup is part of the decision: Refused with
// its Errno. For a flow that came in, EINVAL is Martian: the kernel does not
// say whether a blackhole, a source that is not allowed, or the reverse-path
// filter was behind it. The error is for what kept the kernel from deciding:
// an interface that does not exist (ENODEV), a request that it refuses.
//
// The kernel can be asked less than it knows of a packet. It always makes one
// lookup, whatever Flow.Socket says: neither the second lookup of connect(2)
// in IPv4 nor the strictness of a bound IPv6 socket can be asked for. Only
// TCP, UDP, ICMP and, in IPv6, ICMPv6 can be named; another protocol is left
// out, which means UDP in IPv4 and none in IPv6. There is no tunnel id, no
// fragment, no ICMP type. A flow that came in has user 0 for the kernel. Where
// the flow says more than was asked, Decision.Note says so.
//
// Decision has neither Rule nor Prefix: the answer does not tell them. It
// needs no privilege and sends no packet.
func (c *Conn) RouteGet(ctx context.Context, f rpdb.Flow) (rpdb.Decision, error) {
	d, err := c.routeGet(ctx, f)
	return d, opError("look up", "route to "+f.Dst.String(), err)
}

func (c *Conn) routeGet(ctx context.Context, f rpdb.Flow) (rpdb.Decision, error) {
	if f.Family() == 0 || f.Src.IsValid() && rpdb.FamilyOf(f.Src) != f.Family() {
		return rpdb.Decision{}, unix.EINVAL
	}
	e, err := encodeFlow(nil, f, 0, c.linkIndex)
	if err != nil {
		return rpdb.Decision{}, err
	}
	var answer rpdb.Route
	err = c.nl.Execute(ctx, e, func(m netlink.Message) (err error) {
		if m.Type == unix.RTM_NEWROUTE {
			answer, err = decodeRoute(m.Data)
		}
		return err
	})
	if d, ok := RefusalOf(f, err); ok {
		return d, nil
	}
	if err != nil {
		return rpdb.Decision{}, err
	}
	d := DecisionOf(f, answer, func(i rpdb.LinkIndex) (name rpdb.LinkName) {
		name, err = c.linkName(i)
		return name
	})
	d.Note = unasked(f)
	return d, err
}

// encodeFlow writes the request, into buf if there is one. More flags (RTM_F_*)
// go into the header.
func encodeFlow(buf []byte, f rpdb.Flow, flags uint32, linkIndex linkIndexer) (*netlink.Encoder, error) {
	bits := byte(f.Family().Bits())
	var srcBits byte
	if f.Src.IsValid() {
		srcBits = bits
	}
	if f.Family() == rpdb.IPv4 {
		flags |= routeLookupTable // IPv6 always tells the table, and refuses the flag
	}
	e := netlink.NewEncoder(buf, unix.RTM_GETROUTE, 0,
		fixed([]byte{byte(f.Family()), bits, srcBits, f.TOS, 0, 0, 0, 0}, flags))
	e.Addr(unix.RTA_DST, f.Dst)
	if srcBits > 0 {
		e.Addr(unix.RTA_SRC, f.Src)
	}
	if err := encodeLinks(e, f, linkIndex); err != nil {
		return nil, err
	}
	if f.Mark != 0 {
		e.Uint32(unix.RTA_MARK, f.Mark)
	}
	uid := f.UID
	if f.IsInput() {
		uid = 0 // as real packets have it; IPv6 would take an invalid one
	}
	e.Uint32(unix.RTA_UID, uid)
	if askable(f) {
		e.Uint8(unix.RTA_IP_PROTO, uint8(f.IPProto))
	}
	if f.SPort != 0 {
		e.NetUint16(unix.RTA_SPORT, f.SPort)
	}
	if f.DPort != 0 {
		e.NetUint16(unix.RTA_DPORT, f.DPort)
	}
	if f.FlowLabel != 0 && f.Family() == rpdb.IPv6 {
		e.NetUint32(rtaFlowLabel, f.FlowLabel)
	}
	return e, nil
}

// linkIndexer finds the number of an interface.
type linkIndexer func(rpdb.LinkName) (rpdb.LinkIndex, error)

// encodeLinks writes the interfaces of the flow. The kernel does not take both.
func encodeLinks(e *netlink.Encoder, f rpdb.Flow, linkIndex linkIndexer) error {
	if f.IsInput() {
		i, err := linkIndex(f.IIF)
		if err != nil {
			return err
		}
		e.Uint32(unix.RTA_IIF, uint32(i))
		return nil
	}
	if f.OIF == "" {
		return nil
	}
	i, err := linkIndex(f.OIF)
	if err != nil {
		return err
	}
	e.Uint32(unix.RTA_OIF, uint32(i))
	return nil
}

// askable reports whether the kernel takes the protocol of the flow.
func askable(f rpdb.Flow) bool {
	switch f.IPProto {
	case rpdb.TCP, rpdb.UDP:
		return true
	case rpdb.ICMP:
		return f.Family() == rpdb.IPv4
	case rpdb.ICMPv6:
		return f.Family() == rpdb.IPv6
	}
	return false
}

// isVerdict tells the error of a lookup from the refusal of a request. The
// kernel explains the latter in words.
func isVerdict(e *netlink.Error) bool {
	switch e.Errno {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.ENETDOWN, unix.EXDEV, unix.EAGAIN:
		return e.Message == ""
	}
	return false
}

// RefusalOf returns the decision in an error of a lookup about the flow, and
// whether it is one: other errors are about the question.
func RefusalOf(f rpdb.Flow, err error) (rpdb.Decision, bool) {
	var refused *netlink.Error
	if !errors.As(err, &refused) || !isVerdict(refused) {
		return rpdb.Decision{}, false
	}
	d := rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.Errno(refused.Errno)}
	if f.IsInput() && (refused.Errno == unix.EINVAL || refused.Errno == unix.EXDEV) {
		d.Disposition = rpdb.Martian
		d.Note = "the kernel does not tell a blackhole from a source or reverse path that it refuses"
	}
	return d, true
}

// DecisionOf returns the decision in an answer to a lookup about the flow. The
// function names interfaces.
func DecisionOf(f rpdb.Flow, r rpdb.Route, linkName func(rpdb.LinkIndex) rpdb.LinkName) rpdb.Decision {
	d := rpdb.Decision{
		Disposition: rpdb.Sent,
		Table:       r.Table,
		Type:        r.Type,
		Src:         f.Src,
		Realms:      r.Realms,
	}
	// IPv6 names the source that it would choose even where one was given.
	if r.PrefSrc.IsValid() && !f.Src.IsValid() {
		d.Src = r.PrefSrc
	}
	switch r.Type {
	case rpdb.RouteLocal, rpdb.RouteAnycast:
		d.Disposition = rpdb.Local
	case rpdb.RouteBroadcast, rpdb.RouteMulticast:
		if f.IsInput() {
			d.Disposition = rpdb.Local
		}
	}
	if len(r.Nexthops) == 0 {
		return d
	}
	d.Hop = rpdb.Hop{Link: linkName(r.Nexthops[0].Link), Via: r.Nexthops[0].Via}
	if d.Via == f.Dst {
		d.Via = netip.Addr{} // IPv6 may name the neighbour itself
	}
	return d
}

// unasked says what of the flow the request could not say.
func unasked(f rpdb.Flow) string {
	switch {
	case f.TunID != 0:
		return "asked without the tunnel id"
	case f.Family() == rpdb.IPv4 && !askable(f):
		return "asked as UDP: the kernel takes no other protocol than TCP, UDP and ICMP"
	case f.IPProto != 0 && !askable(f):
		return "asked without the protocol"
	case f.Socket == rpdb.Connect:
		return "asked once, where connect asks again"
	}
	return ""
}
