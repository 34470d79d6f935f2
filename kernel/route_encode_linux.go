package kernel

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// encodeRoute writes a request about a route with every attribute that the
// route has. The nexthops of a route that uses a nexthop object are the
// object's and are left out.
func encodeRoute(typ uint16, flags netlink.Flags, r rpdb.Route) *netlink.Encoder {
	return appendRoute(nil, typ, flags, r)
}

// appendRoute is encodeRoute into the memory of buf.
func appendRoute(buf []byte, typ uint16, flags netlink.Flags, r rpdb.Route) *netlink.Encoder {
	if r.Table == rpdb.TableUnspec {
		r.Table = rpdb.TableMain
	}
	if r.Type == 0 {
		r.Type = rpdb.RouteUnicast
	}
	hops := r.Nexthops
	if r.NexthopID != 0 || r.Type.IsError() || r.Type == rpdb.RouteThrow {
		hops = nil
	}
	var hopFlags uint32
	if len(hops) == 1 {
		hopFlags = uint32(configured(hops[0].Flags))
	}
	head := [unix.SizeofRtMsg]byte{
		byte(r.Family), prefixBits(r.Dst), prefixBits(r.Src), r.TOS,
		shortTable(r.Table), byte(r.Protocol), byte(routeScope(r)), byte(r.Type),
	}
	binary.NativeEndian.PutUint32(head[8:], hopFlags)
	e := netlink.NewEncoder(buf, typ, flags, head[:])
	e.Uint32(unix.RTA_TABLE, uint32(r.Table))
	encodeRouteKey(e, r)
	if r.PrefSrc.IsValid() {
		e.Addr(unix.RTA_PREFSRC, r.PrefSrc)
	}
	if r.Realms != 0 {
		e.Uint32(unix.RTA_FLOW, uint32(r.Realms))
	}
	if r.Family == rpdb.IPv6 && r.Pref != 0 {
		e.Uint8(unix.RTA_PREF, uint8(r.Pref))
	}
	if r.Expires != 0 {
		e.Uint32(unix.RTA_EXPIRES, r.Expires)
	}
	if r.NexthopID != 0 {
		e.Uint32(rtaNHID, r.NexthopID)
	}
	encodeHops(e, r.Family, hops)
	encodeMetrics(e, r.Metrics)
	e.Raw([]byte(r.Unknown))
	return e
}

// encodeDeletion writes the request that deletes r as the kernel lists it.
func encodeDeletion(r rpdb.Route, flags netlink.Flags) *netlink.Encoder {
	return appendDeletion(nil, r, flags)
}

// appendDeletion is encodeDeletion into the memory of buf.
func appendDeletion(buf []byte, r rpdb.Route, flags netlink.Flags) *netlink.Encoder {
	r.Expires = 0 // not a criterion
	r.Nexthops = withoutOptions(r.Nexthops)
	e := appendRoute(buf, unix.RTM_DELROUTE, flags, r)
	if r.Family == rpdb.IPv6 && r.NexthopID == 0 && len(r.Nexthops) == 1 && (r.Type.IsError() || r.Type == rpdb.RouteThrow) {
		// Loopback, as the kernel has it: IPv6 does not compare the type.
		if l := r.Nexthops[0].Link; l != 0 {
			e.Uint32(unix.RTA_OIF, uint32(l))
		}
	}
	head := e.Payload()
	if leadsNowhere(r) {
		head[7] = 0 // of any type
	}
	if r.Family == rpdb.IPv6 && r.Flags&routeCloned != 0 { // the cached route, not the one it came from
		binary.NativeEndian.PutUint32(head[8:], uint32At(head, 8)|routeCloned)
	}
	return e
}

// Lightweight tunnels over IPv4 and IPv6 (LWTUNNEL_ENCAP_*), and what they call
// the options of geneve, vxlan and erspan.
const (
	encapIP, encapIP6 = 2, 4
	encapOptions      = 8
)

// withoutOptions leaves out tunnels that are not to be sent. A deletion that
// does not name a tunnel agrees with any.
func withoutOptions(hops []rpdb.Nexthop) []rpdb.Nexthop {
	has := func(h rpdb.Nexthop) bool {
		if h.EncapType != encapIP && h.EncapType != encapIP6 {
			return false
		}
		d := netlink.NewDecoder([]byte(h.Encap))
		for d.Next() {
			if d.Type() == encapOptions {
				return true
			}
		}
		return false
	}
	if !slices.ContainsFunc(hops, has) {
		return hops
	}
	hops = slices.Clone(hops)
	for i, h := range hops {
		if has(h) {
			hops[i].EncapType, hops[i].Encap = 0, ""
		}
	}
	return hops
}

// leadsNowhere reports whether IPv4 may list r under a type that it does not
// have: by a nexthop object that is a blackhole any route becomes one.
func leadsNowhere(r rpdb.Route) bool {
	return r.Family == rpdb.IPv4 && r.NexthopID != 0 && r.Type == rpdb.RouteBlackhole
}

// routeScope returns the scope of the header; IPv6 has none.
func routeScope(r rpdb.Route) rpdb.Scope {
	if r.Family == rpdb.IPv6 {
		return rpdb.ScopeGlobal
	}
	return r.Scope
}

func encodeRouteKey(e *netlink.Encoder, r rpdb.Route) {
	if prefixBits(r.Dst) > 0 {
		e.Addr(unix.RTA_DST, r.Dst.Addr())
	}
	if prefixBits(r.Src) > 0 {
		e.Addr(unix.RTA_SRC, r.Src.Addr())
	}
	if r.Metric != 0 {
		e.Uint32(unix.RTA_PRIORITY, r.Metric)
	}
}

func encodeHops(e *netlink.Encoder, f rpdb.Family, hops []rpdb.Nexthop) {
	switch len(hops) {
	case 0:
	case 1:
		if l := hops[0].Link; l != 0 {
			e.Uint32(unix.RTA_OIF, uint32(l))
		}
		encodeHop(e, f, hops[0])
	default:
		e.Nest(unix.RTA_MULTIPATH, func() {
			for _, h := range hops {
				weight := min(max(h.Weight, 1), 256) - 1
				head := fixed([]byte{0, 0, byte(configured(h.Flags)), byte(weight)}, uint32(h.Link))
				e.Record(head, func() {
					encodeHop(e, f, h)
					if h.Realms != 0 {
						e.Uint32(unix.RTA_FLOW, uint32(h.Realms))
					}
				})
			}
		})
	}
}

// encodeHop writes what a single nexthop and a member of a multipath route
// share.
func encodeHop(e *netlink.Encoder, f rpdb.Family, h rpdb.Nexthop) {
	switch {
	case !h.Via.IsValid():
	case rpdb.FamilyOf(h.Via) == f:
		e.Addr(unix.RTA_GATEWAY, h.Via)
	default:
		via := binary.NativeEndian.AppendUint16(nil, uint16(rpdb.FamilyOf(h.Via)))
		e.Bytes(unix.RTA_VIA, append(via, h.Via.AsSlice()...))
	}
	if h.EncapType != 0 {
		e.Bytes(unix.RTA_ENCAP|netlink.Nested, []byte(h.Encap))
		e.Uint16(unix.RTA_ENCAP_TYPE, h.EncapType)
	}
}

func encodeMetrics(e *netlink.Encoder, metrics []rpdb.Metric) {
	if len(metrics) == 0 {
		return
	}
	e.Nest(unix.RTA_METRICS, func() {
		for _, m := range metrics {
			if m.Type == rpdb.MetricCongCtl {
				e.String(uint16(m.Type), m.Text)
			} else {
				e.Uint32(uint16(m.Type), m.Value)
			}
		}
	})
}

// configured returns the nexthop flags that can be asked for; the others are
// state.
func configured(f rpdb.NexthopFlags) rpdb.NexthopFlags {
	return f & (rpdb.NexthopOnlink | rpdb.NexthopPervasive)
}
