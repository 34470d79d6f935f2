package kernel

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Attributes of a route that x/sys does not name, and parts of rtm_flags.
const (
	rtaNHID      = 30 // RTA_NH_ID
	rtaFlowLabel = 31 // RTA_FLOWLABEL

	routeCloned      = 0x200  // RTM_F_CLONED: a cached route, not a configured one
	routeLookupTable = 0x1000 // RTM_F_LOOKUP_TABLE
	nexthopFlagBits  = 0xff   // of rtm_flags: the RTNH_F_* of the only nexthop

	sizeofRtNexthop = 8   // struct rtnexthop
	sizeofCacheInfo = 32  // struct rta_cacheinfo
	userHz          = 100 // of the clock that life times are told in
)

// RouteDecoder reads messages about routes one after another into the same
// memory: the slices of a route are valid until the next one is read. A plain
// route with one nexthop allocates nothing. The zero value is ready. It is not
// safe for concurrent use.
type RouteDecoder struct {
	hops    []rpdb.Nexthop
	metrics []rpdb.Metric
	unknown []byte
	parts   routeParts // of the route that is read
}

// Decode reads one payload as [DecodeRoute] does.
func (d *RouteDecoder) Decode(payload []byte) (r rpdb.Route, details rpdb.RouteDetails, err error) {
	err = d.DecodeInto(payload, &r, &details)
	return r, details, err
}

// DecodeInto is Decode into memory that is used again. What it held is forgotten.
func (d *RouteDecoder) DecodeInto(payload []byte, r *rpdb.Route, details *rpdb.RouteDetails) error {
	if err := d.read(payload); err != nil {
		*r, *details = rpdb.Route{}, rpdb.RouteDetails{}
		return err
	}
	*r, *details = d.parts.route, d.parts.details
	return nil
}

// decodeRoute reads a route that is to be kept.
func decodeRoute(payload []byte) (rpdb.Route, error) {
	var d RouteDecoder
	r, _, err := d.Decode(payload)
	return r, err
}

// read reads the parts of a struct rtmsg with its attributes.
func (d *RouteDecoder) read(b []byte) error {
	if len(b) < unix.SizeofRtMsg {
		return fmt.Errorf("decode route: %d bytes", len(b))
	}
	f := rpdb.Family(b[0])
	if bits := f.Bits(); bits == 0 || int(b[1]) > bits || int(b[2]) > bits {
		return fmt.Errorf("decode route: family %d, prefix lengths %d and %d", b[0], b[1], b[2])
	}
	d.hops, d.metrics, d.unknown = d.hops[:0], d.metrics[:0], d.unknown[:0]
	p := &d.parts
	*p = routeParts{memory: d, dst: f.Unspecified(), src: f.Unspecified()}
	p.details.Flags = uint32At(b, 8)
	r := &p.route
	r.Family, r.TOS, r.Table = f, b[3], rpdb.TableID(b[4])
	r.Protocol, r.Scope, r.Type = rpdb.Protocol(b[5]), rpdb.Scope(b[6]), rpdb.RouteType(b[7])
	r.Flags = rpdb.RouteFlags(p.details.Flags &^ nexthopFlagBits)
	attrs := netlink.NewDecoder(b[unix.SizeofRtMsg:])
	for attrs.Next() {
		if !p.plain(&attrs) && !p.nexthop(&attrs) && !p.detail(&attrs) {
			d.unknown = attrs.Raw(d.unknown)
		}
	}
	if err := attrs.Err(); err != nil {
		return fmt.Errorf("decode route: %w", err)
	}
	r.Dst = netip.PrefixFrom(p.dst, int(b[1]))
	if b[2] > 0 {
		r.Src = netip.PrefixFrom(p.src, int(b[2]))
	}
	if len(d.hops) == 0 && p.hop != (rpdb.Nexthop{}) {
		p.hop.Flags = rpdb.NexthopFlags(p.details.Flags & nexthopFlagBits)
		d.hops = append(d.hops, p.hop)
	}
	if len(d.hops) > 0 {
		r.Nexthops = d.hops
	}
	if len(d.metrics) > 0 {
		r.Metrics = d.metrics
	}
	r.Unknown = rpdb.Raw(d.unknown)
	return nil
}

// routeParts is a route while it is read, and what only together makes fields
// of it.
type routeParts struct {
	memory   *RouteDecoder
	route    rpdb.Route
	details  rpdb.RouteDetails
	dst, src netip.Addr
	hop      rpdb.Nexthop
}

// plain reads the attributes of the route itself and reports whether d is one.
func (p *routeParts) plain(d *netlink.Decoder) bool {
	r := &p.route
	switch d.Type() {
	case unix.RTA_DST:
		p.dst = d.AddrOf(r.Family.Bits())
	case unix.RTA_SRC:
		p.src = d.AddrOf(r.Family.Bits())
	case unix.RTA_TABLE:
		r.Table = rpdb.TableID(d.Uint32())
	case unix.RTA_PRIORITY:
		r.Metric = d.Uint32()
	case unix.RTA_PREFSRC:
		r.PrefSrc = d.AddrOf(r.Family.Bits())
	case unix.RTA_FLOW:
		r.Realms = rpdb.Realms(d.Uint32())
	case unix.RTA_PREF:
		r.Pref = rpdb.RouterPreference(d.Uint8())
	case rtaNHID:
		r.NexthopID = d.Uint32()
	case unix.RTA_EXPIRES:
		r.Expires = d.Uint32()
	case unix.RTA_METRICS:
		p.memory.metrics = decodeMetrics(d, p.memory.metrics[:0])
	case unix.RTA_PAD:
	default:
		return false
	}
	return true
}

// detail reads the attributes that are no part of the route.
func (p *routeParts) detail(d *netlink.Decoder) bool {
	switch d.Type() {
	case unix.RTA_IIF:
		p.details.IIF = rpdb.LinkIndex(d.Uint32())
	case unix.RTA_UID:
		p.details.UID = rpdb.Some(d.Uint32())
	case unix.RTA_MARK:
		p.details.Mark = d.Uint32()
	case unix.RTA_CACHEINFO:
		p.cacheInfo(d)
	default:
		return false
	}
	return true
}

// cacheInfo reads a struct rta_cacheinfo. Its life time is the route's.
func (p *routeParts) cacheInfo(d *netlink.Decoder) {
	b := d.Data()
	if len(b) < sizeofCacheInfo {
		d.Fail("%d bytes, want %d", len(b), sizeofCacheInfo)
		return
	}
	c := rpdb.RouteCache{
		Users: uint32At(b, 0), Age: uint32At(b, 4), Expires: int32(uint32At(b, 8)), Error: int32(uint32At(b, 12)),
		Used: uint32At(b, 16), ID: uint32At(b, 20), TS: uint32At(b, 24), TSAge: uint32At(b, 28),
	}
	p.details.Cache = rpdb.Some(c)
	if c.Expires > 0 {
		p.route.Expires = (uint32(c.Expires) + userHz - 1) / userHz
	}
}

// nexthop reads the attributes of the nexthops.
func (p *routeParts) nexthop(d *netlink.Decoder) bool {
	switch d.Type() {
	case unix.RTA_MULTIPATH:
		p.memory.multipath(d, p.route.Family)
	default:
		return hopAttribute(d, p.route.Family, &p.hop)
	}
	return true
}

// hopAttribute reads the attributes that a single nexthop and a member of a
// multipath route share.
func hopAttribute(d *netlink.Decoder, f rpdb.Family, hop *rpdb.Nexthop) bool {
	switch d.Type() {
	case unix.RTA_OIF:
		hop.Link = rpdb.LinkIndex(d.Uint32())
	case unix.RTA_GATEWAY:
		hop.Via = d.AddrOf(f.Bits())
	case unix.RTA_VIA:
		hop.Via = decodeVia(d)
	case unix.RTA_ENCAP_TYPE:
		hop.EncapType = d.Uint16()
	case unix.RTA_ENCAP:
		hop.Encap = rpdb.Raw(d.Data())
	default:
		return false
	}
	return true
}

// decodeVia reads a struct rtvia: a family and an address of it.
func decodeVia(d *netlink.Decoder) netip.Addr {
	b := d.Data()
	if len(b) < 2 || len(b)-2 != rpdb.Family(uint16At(b, 0)).Bits()/8 {
		d.Fail("%d bytes, want a family and its address", len(b))
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(b[2:])
	return a
}

// multipath reads an array of struct rtnexthop, each with attributes. Those
// that it does not know are the route's.
func (d *RouteDecoder) multipath(attr *netlink.Decoder, f rpdb.Family) {
	d.hops = d.hops[:0]
	for b := attr.Data(); len(b) > 0; {
		if len(b) < sizeofRtNexthop {
			attr.Fail("%d bytes left over", len(b))
			return
		}
		n := int(uint16At(b, 0))
		if n < sizeofRtNexthop || n > len(b) {
			attr.Fail("nexthop of length %d in %d bytes", n, len(b))
			return
		}
		hop := rpdb.Nexthop{
			Flags:  rpdb.NexthopFlags(b[2]),
			Weight: uint32(b[3]) + 1,
			Link:   rpdb.LinkIndex(uint32At(b, 4)),
		}
		attrs := netlink.NewDecoder(b[sizeofRtNexthop:n])
		for attrs.Next() {
			switch {
			case hopAttribute(&attrs, f, &hop), attrs.Type() == unix.RTA_PAD:
			case attrs.Type() == unix.RTA_FLOW:
				hop.Realms = rpdb.Realms(attrs.Uint32())
			default:
				d.unknown = attrs.Raw(d.unknown)
			}
		}
		attr.Join(&attrs)
		d.hops = append(d.hops, hop)
		b = b[min((n+3)&^3, len(b)):]
	}
}

// decodeMetrics appends the metrics in d.
func decodeMetrics(d *netlink.Decoder, metrics []rpdb.Metric) []rpdb.Metric {
	attrs := d.Nest()
	for attrs.Next() {
		m := rpdb.Metric{Type: rpdb.MetricType(attrs.Type())}
		switch {
		case uint16(m.Type) != attrs.Type():
			attrs.Fail("no metric has this number")
		case m.Type == rpdb.MetricCongCtl:
			m.Text = attrs.String()
		default:
			m.Value = attrs.Uint32()
		}
		metrics = append(metrics, m)
	}
	d.Join(&attrs)
	return metrics
}

// mergeSiblings joins the members of an IPv6 multipath route that kernels
// before 4.11 list one by one, and events still tell one by one. Members
// follow each other, agree in all but the nexthop and have gateways; routes
// that the kernel learnt from router advertisements never are members.
func mergeSiblings(routes []rpdb.Route) []rpdb.Route {
	merged := routes[:0]
	for _, r := range routes {
		if n := len(merged); n > 0 && areSiblings(merged[n-1], r) {
			last := &merged[n-1]
			last.Nexthops = append(last.Nexthops[:len(last.Nexthops):len(last.Nexthops)], r.Nexthops...)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

func areSiblings(a, b rpdb.Route) bool {
	switch {
	case a.Family != rpdb.IPv6 || b.Family != rpdb.IPv6, len(a.Nexthops) == 0, len(b.Nexthops) != 1,
		a.NexthopID != 0, a.Protocol == rpdb.ProtocolRA, a.Protocol == rpdb.ProtocolRedirect,
		!a.Nexthops[0].Via.IsValid(), !b.Nexthops[0].Via.IsValid(), a.Expires != 0, b.Expires != 0:
		return false
	}
	a.Nexthops, b.Nexthops = nil, nil
	return a.Equal(b)
}
