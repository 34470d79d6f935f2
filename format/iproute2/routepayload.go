package iproute2

import (
	"encoding/binary"
	"net/netip"

	"rpdb"
)

// Attributes of a route (RTA_*, include/uapi/linux/rtnetlink.h).
const (
	rtaDst          = 1
	rtaSrc          = 2
	rtaIIF          = 3
	rtaOIF          = 4
	rtaGateway      = 5
	rtaPriority     = 6
	rtaPrefSrc      = 7
	rtaMetrics      = 8
	rtaMultipath    = 9
	rtaFlow         = 11
	rtaTable        = 15
	rtaMark         = 16
	rtaVia          = 18
	rtaNewDst       = 19
	rtaPref         = 20
	rtaEncapType    = 21
	rtaEncap        = 22
	rtaExpires      = 23
	rtaUID          = 25
	rtaTTLPropagate = 26
	rtaIPProto      = 27
	rtaSPort        = 28
	rtaDPort        = 29
	rtaNHID         = 30
	rtaFlowLabel    = 31

	attrNested = 0x8000 // NLA_F_NESTED
)

// Payload returns the request as ip sends it, behind the message header: a
// struct rtmsg and the attributes as they were typed, in the byte order of this
// machine. An attribute that was typed twice is there twice.
func (q RouteRequest) Payload() []byte {
	return q.AppendPayload(make([]byte, 0, 12+len(q.sent)+8))
}

// AppendPayload appends the payload to b.
func (q *RouteRequest) AppendPayload(b []byte) []byte {
	to, _ := q.To.Get()
	from, _ := q.From.Get()
	w := append(wire(b),
		byte(q.Family), to.Bits, from.Bits, q.TOS,
		q.Table, byte(q.Protocol), byte(q.Scope), byte(q.Type),
	)
	w = binary.NativeEndian.AppendUint32(w, uint32(q.Hop.Flags))
	w = append(w, q.sent...)
	w.link(rtaOIF, q.Hop.Link)
	w.unlessEmpty(rtaMetrics, q.metrics)
	w.unlessEmpty(rtaMultipath, q.multipath)
	return w
}

// nexthop appends a struct rtnexthop with its attributes.
func (w *wire) nexthop(h RouteHop, attrs wire) {
	const head = 8
	b := binary.NativeEndian.AppendUint16(*w, uint16(head+len(attrs)))
	b = append(b, byte(h.Flags), h.Hops)
	b = binary.NativeEndian.AppendUint32(b, uint32(h.Link))
	*w = append(b, attrs...)
}

// metric appends a metric; a congestion control goes without the zero byte at
// its end.
func (w *wire) metric(m rpdb.Metric) {
	if m.Type == rpdb.MetricCongCtl {
		w.attribute(uint16(m.Type), []byte(m.Text))
	} else {
		w.uint32(uint16(m.Type), m.Value)
	}
}

func (w *wire) unlessEmpty(typ uint16, value wire) {
	if len(value) > 0 {
		w.attribute(typ, value)
	}
}

// link writes an interface, unless there is none.
func (w *wire) link(typ uint16, i rpdb.LinkIndex) {
	if i != 0 {
		w.uint32(typ, uint32(i))
	}
}

// prefix writes the address of a prefix, unless it has no bytes.
func (w *wire) prefix(typ uint16, a RouteAddress) {
	if a.Bytes != "" {
		w.text(typ, a.Bytes)
	}
}

// routePrefixOf returns the prefix, the zero one if it is none of IP.
func routePrefixOf(a rpdb.Opt[RouteAddress]) netip.Prefix {
	address, _ := a.Get()
	addr := address.Addr()
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, int(address.Bits))
}
