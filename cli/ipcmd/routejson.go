package ipcmd

import (
	"net/netip"
	"strconv"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

// writeRoute writes a route of a monitor as one object, under the keys of
// "ip -j route" and in their order. Metrics and tunnels are left out.
func writeRoute(w *ipjson.Writer, r rpdb.Route, deleted bool, v iproute2.RouteView) {
	w.Begin()
	defer w.End()
	if deleted {
		w.Bool("deleted", "", true)
	}
	if r.Type != rpdb.RouteUnicast || v.Details {
		w.String("type", "", r.Type.String())
	}
	w.String("dst", "", prefixOr(r.Dst, "default"))
	if r.Src.IsValid() && r.Src.Bits() > 0 {
		w.String("from", "", prefixOr(r.Src, "default"))
	}
	if r.NexthopID != 0 {
		number(w, "nhid", r.NexthopID)
	}
	if r.TOS != 0 {
		w.String("tos", "", "0x"+strconv.FormatUint(uint64(r.TOS), 16))
	}
	if len(r.Nexthops) == 1 {
		writeHop(w, r.Family, r.Nexthops[0], v)
	}
	writeRouteAttributes(w, r, v)
	writeFlags(w, r.Nexthops)
	if r.Pref != 0 || r.Family == rpdb.IPv6 {
		w.String("pref", "", r.Pref.String())
	}
	if len(r.Nexthops) > 1 {
		w.BeginArray("nexthops")
		for _, n := range r.Nexthops {
			w.Begin()
			writeHop(w, r.Family, n, v)
			number(w, "weight", max(n.Weight, 1))
			writeFlags(w, []rpdb.Nexthop{n})
			w.End()
		}
		w.EndArray("nexthops")
	}
}

func writeRouteAttributes(w *ipjson.Writer, r rpdb.Route, v iproute2.RouteView) {
	if r.Table != rpdb.TableMain || v.Details {
		w.String("table", "", v.Names.Table(r.Table))
	}
	if r.Protocol != rpdb.ProtocolBoot || v.Details {
		w.String("protocol", "", v.Names.Protocol(r.Protocol))
	}
	if r.Scope != rpdb.ScopeGlobal || v.Details {
		w.String("scope", "", r.Scope.String())
	}
	if r.PrefSrc.IsValid() {
		w.String("prefsrc", "", r.PrefSrc.String())
	}
	if r.Metric != 0 {
		number(w, "metric", r.Metric)
	}
}

// writeHop writes gateway and interface.
func writeHop(w *ipjson.Writer, f rpdb.Family, n rpdb.Nexthop, v iproute2.RouteView) {
	switch via := rpdb.FamilyOf(n.Via); via {
	case 0:
	case f:
		w.String("gateway", "", n.Via.String())
	default:
		w.BeginObject("via")
		w.String("family", "", map[rpdb.Family]string{rpdb.IPv4: "inet", rpdb.IPv6: "inet6"}[via])
		w.String("host", "", n.Via.String())
		w.EndObject("via")
	}
	if n.Link != 0 {
		w.String("dev", "", string(v.LinkName(n.Link)))
	}
}

// writeFlags writes the flags of a single nexthop, none for several.
func writeFlags(w *ipjson.Writer, hops []rpdb.Nexthop) {
	w.BeginArray("flags")
	defer w.EndArray("flags")
	if len(hops) != 1 {
		return
	}
	for _, f := range []struct {
		bit  rpdb.NexthopFlags
		word string
	}{
		{rpdb.NexthopDead, "dead"},
		{rpdb.NexthopOnlink, "onlink"},
		{rpdb.NexthopPervasive, "pervasive"},
		{rpdb.NexthopOffload, "offload"},
		{rpdb.NexthopTrap, "trap"},
		{rpdb.NexthopLinkdown, "linkdown"},
		{rpdb.NexthopUnresolved, "unresolved"},
	} {
		if hops[0].Flags&f.bit != 0 {
			w.Item(f.word)
		}
	}
}

func number(w *ipjson.Writer, key string, n uint32) {
	w.Number(key, "", strconv.FormatUint(uint64(n), 10))
}

// prefixOr prints a prefix, one of a single address without its length, and one
// of length 0 as the given word.
func prefixOr(p netip.Prefix, zero string) string {
	switch {
	case p.Bits() <= 0:
		return zero
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}
