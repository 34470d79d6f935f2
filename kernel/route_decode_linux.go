package kernel

import (
	"fmt"
	"net/netip"
	"strings"

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
	userHz          = 100 // of the clock that life times are told in
)

// decodeRoute reads a struct rtmsg with its attributes.
func decodeRoute(b []byte) (rpdb.Route, error) {
	if len(b) < unix.SizeofRtMsg {
		return rpdb.Route{}, fmt.Errorf("decode route: %d bytes", len(b))
	}
	f := rpdb.Family(b[0])
	if bits := f.Bits(); bits == 0 || int(b[1]) > bits || int(b[2]) > bits {
		return rpdb.Route{}, fmt.Errorf("decode route: family %d, prefix lengths %d and %d", b[0], b[1], b[2])
	}
	flags := uint32At(b, 8)
	p := routeParts{dst: f.Unspecified(), src: f.Unspecified(), route: rpdb.Route{
		Family: f, TOS: b[3], Table: rpdb.TableID(b[4]),
		Protocol: rpdb.Protocol(b[5]), Scope: rpdb.Scope(b[6]), Type: rpdb.RouteType(b[7]),
		Flags: rpdb.RouteFlags(flags &^ nexthopFlagBits),
	}}
	d := netlink.NewDecoder(b[unix.SizeofRtMsg:])
	for d.Next() {
		if !p.plain(&d) && !p.nexthop(&d) {
			p.unknown = d.Raw(p.unknown)
		}
	}
	if err := d.Err(); err != nil {
		return rpdb.Route{}, fmt.Errorf("decode route: %w", err)
	}
	r := p.route
	r.Dst = netip.PrefixFrom(p.dst, int(b[1]))
	if b[2] > 0 {
		r.Src = netip.PrefixFrom(p.src, int(b[2]))
	}
	if len(r.Nexthops) == 0 && p.hop != (rpdb.Nexthop{}) {
		p.hop.Flags = rpdb.NexthopFlags(flags & nexthopFlagBits)
		r.Nexthops = []rpdb.Nexthop{p.hop}
	}
	r.Unknown = rpdb.Raw(p.unknown)
	return r, nil
}

// routeParts is a route while it is read, and what only together makes fields
// of it.
type routeParts struct {
	route    rpdb.Route
	dst, src netip.Addr
	hop      rpdb.Nexthop
	unknown  []byte
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
		r.Metrics = decodeMetrics(d)
	case unix.RTA_CACHEINFO:
		decodeCacheInfo(d, r)
	case unix.RTA_PAD, unix.RTA_IIF, unix.RTA_UID:
	default:
		return false
	}
	return true
}

// nexthop reads the attributes of the nexthops.
func (p *routeParts) nexthop(d *netlink.Decoder) bool {
	switch d.Type() {
	case unix.RTA_MULTIPATH:
		p.route.Nexthops, p.unknown = decodeMultipath(d, p.route.Family, p.unknown)
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

// decodeMultipath reads an array of struct rtnexthop, each with attributes.
// Those that it does not know are appended to the route's.
func decodeMultipath(d *netlink.Decoder, f rpdb.Family, unknown []byte) ([]rpdb.Nexthop, []byte) {
	var hops []rpdb.Nexthop
	for b := d.Data(); len(b) > 0; {
		if len(b) < sizeofRtNexthop {
			d.Fail("%d bytes left over", len(b))
			return nil, unknown
		}
		n := int(uint16At(b, 0))
		if n < sizeofRtNexthop || n > len(b) {
			d.Fail("nexthop of length %d in %d bytes", n, len(b))
			return nil, unknown
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
				unknown = attrs.Raw(unknown)
			}
		}
		d.Join(&attrs)
		hops = append(hops, hop)
		b = b[min((n+3)&^3, len(b)):]
	}
	return hops, unknown
}

func decodeMetrics(d *netlink.Decoder) []rpdb.Metric {
	var metrics []rpdb.Metric
	attrs := d.Nest()
	for attrs.Next() {
		m := rpdb.Metric{Type: rpdb.MetricType(attrs.Type())}
		if m.Type == rpdb.MetricCongCtl {
			m.Text = strings.TrimRight(attrs.String(), "\x00")
		} else {
			m.Value = attrs.Uint32()
		}
		metrics = append(metrics, m)
	}
	d.Join(&attrs)
	return metrics
}

// decodeCacheInfo reads the life time out of a struct rta_cacheinfo.
func decodeCacheInfo(d *netlink.Decoder, r *rpdb.Route) {
	b := d.Data()
	if len(b) < 12 {
		d.Fail("%d bytes, want 32", len(b))
		return
	}
	if ticks := int32(uint32At(b, 8)); ticks > 0 {
		r.Expires = (uint32(ticks) + userHz - 1) / userHz
	}
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
