package iproute2

import (
	"fmt"
	"net/netip"

	"rpdb"
)

// RouteCommand returns the command that adds, replaces or deletes a route, as
// in "ip -4 route replace default via 10.10.0.1 dev eth1 table 1001 proto
// 82". It can be pasted into a shell, and [ParseRoute] reads it back. State
// (dead, linkdown, offload) is left out, and so is what ip has no word for:
// programs of BPF, and unknown attributes. A tunnel of kind xfrm stands behind
// everything else that is of its nexthop, because ip drops what follows it.
func RouteCommand(op rpdb.ChangeOp, r rpdb.Route, v RouteView) string {
	w := words{}
	w.add("ip", r.Family.Flag(), "route", verb(op, true))
	if r.Type != rpdb.RouteUnicast && r.Type != 0 {
		w.add(r.Type.String())
	}
	w.add(prefixText(r.Dst, "default"))
	if r.Src.IsValid() && r.Src.Bits() > 0 {
		w.add("from", prefixText(r.Src, "all"))
	}
	if r.TOS != 0 {
		w.addf("tos", "0x%02x", r.TOS)
	}
	plain := r.NexthopID == 0 && len(r.Nexthops) == 1
	switch {
	case r.NexthopID != 0: // the object says where it leads
		w.addf("nhid", "%d", r.NexthopID)
	case plain:
		v.hopWords(&w, r, r.Nexthops[0])
	}
	if plain && isBareTunnel(r.Nexthops[0]) { // words of the route might be taken for the tunnel's
		w.add("proto", protocolWord(r.Protocol, v.Names))
		r.Protocol = rpdb.ProtocolBoot
	}
	v.routeWords(&w, r)
	if op != rpdb.Delete && r.Expires != 0 {
		w.addf("expires", "%d", r.Expires)
	}
	metricWords(&w, r.Metrics)
	if plain && r.Nexthops[0].EncapType == encapXfrm {
		v.tunnelWords(&w, r.Nexthops[0])
	}
	if r.NexthopID == 0 && len(r.Nexthops) > 1 {
		for _, n := range r.Nexthops {
			w.add("nexthop")
			v.hopWords(&w, r, n)
			if n.Realms != 0 {
				w.add("realms", realmsWord(n.Realms))
			}
			w.addf("weight", "%d", max(n.Weight, 1))
			if n.EncapType == encapXfrm {
				v.tunnelWords(&w, n)
			}
		}
	}
	return w.String()
}

// isBareTunnel reports whether a nexthop is a tunnel and nothing else.
func isBareTunnel(n rpdb.Nexthop) bool {
	return n.EncapType != 0 && n.EncapType != encapXfrm && n.Link == 0 && !n.Via.IsValid() && n.Flags&rpdb.NexthopOnlink == 0
}

func (v RouteView) hopWords(w *words, r rpdb.Route, n rpdb.Nexthop) {
	if n.EncapType != encapXfrm {
		v.tunnelWords(w, n)
	}
	viaWords(w, r.Family, n)
	if n.Link != 0 {
		w.add("dev", quote(v.link(n.Link)))
	}
	if n.Flags&rpdb.NexthopOnlink != 0 {
		w.add("onlink")
	}
}

// routeWords writes the attributes that are not what ip would fill in.
func (v RouteView) routeWords(w *words, r rpdb.Route) {
	if r.PrefSrc.IsValid() {
		w.add("src", r.PrefSrc.String())
	}
	if r.Metric != 0 {
		w.addf("metric", "%d", r.Metric)
	}
	if t := r.Table; t != 0 && t != defaultTable(r.Type) {
		w.add("table", tableWord(t, v.Names))
	}
	if r.Protocol != rpdb.ProtocolBoot {
		w.add("proto", protocolWord(r.Protocol, v.Names))
	}
	if r.Family == rpdb.IPv4 && r.Scope != defaultScope(r) {
		w.add("scope", scopeWord(r.Scope, v.Names))
	}
	if r.Realms != 0 {
		w.add("realms", realmsWord(r.Realms))
	}
	if r.Pref != rpdb.PreferenceMedium {
		w.add("pref", r.Pref.String())
	}
	unknownWords(w, r.Unknown)
}

// unknownWords writes the attributes that only MPLS uses.
func unknownWords(w *words, unknown rpdb.Raw) {
	if b, ok := findAttribute(unknown, rtaNewDst); ok {
		if a, ok := netip.AddrFromSlice([]byte(b)); ok {
			w.add("as", "to", a.String())
		}
	}
	if b, ok := findAttribute(unknown, rtaTTLPropagate); ok && len(b) == 1 {
		w.add("ttl-propagate", [...]string{"disabled", "enabled"}[min(b[0], 1)])
	}
}

// scopeWord writes the name of a scope if that name leads back to it, else the
// number.
func scopeWord(s rpdb.Scope, n rpdb.Names) string {
	name := n.Scope(s)
	if back, ok := n.ScopeByName(name); ok && back == s && isPlain(name) {
		return name
	}
	return fmt.Sprint(uint8(s))
}

// defaultTable is the table of a route that is typed without one.
func defaultTable(t rpdb.RouteType) rpdb.TableID {
	switch t {
	case rpdb.RouteLocal, rpdb.RouteBroadcast, rpdb.RouteNAT, rpdb.RouteAnycast:
		return rpdb.TableLocal
	}
	return rpdb.TableMain
}

// defaultScope is the scope of an IPv4 route that is typed without one.
func defaultScope(r rpdb.Route) rpdb.Scope {
	plain := len(r.Nexthops) == 0 || (len(r.Nexthops) == 1 && !r.Nexthops[0].Via.IsValid())
	return typeScope(r.Type, !plain || r.NexthopID != 0)
}

// typeScope is the scope of an IPv4 route of a type, which has a gateway or
// leads there in another way, or is on the link.
func typeScope(t rpdb.RouteType, leads bool) rpdb.Scope {
	switch t {
	case rpdb.RouteLocal, rpdb.RouteNAT:
		return rpdb.ScopeHost
	case rpdb.RouteBroadcast, rpdb.RouteMulticast, rpdb.RouteAnycast:
		return rpdb.ScopeLink
	case rpdb.RouteUnicast, 0:
		if !leads {
			return rpdb.ScopeLink
		}
	}
	return rpdb.ScopeGlobal
}

// Change returns the command that makes a change: [RuleCommand] or
// [RouteCommand], and a comment for a change of nothing.
func Change(c rpdb.Change, v RouteView) string {
	switch {
	case c.Rule != nil:
		return RuleCommand(c.Op, *c.Rule, v.Names)
	case c.Route != nil:
		return RouteCommand(c.Op, *c.Route, v)
	}
	return fmt.Sprintf("# %v", c)
}

func (v RouteView) link(i rpdb.LinkIndex) string {
	if v.LinkName != nil {
		if name := v.LinkName(i); name != "" {
			return string(name)
		}
	}
	return fmt.Sprintf("if%d", i)
}

func viaWords(w *words, f rpdb.Family, n rpdb.Nexthop) {
	switch via := rpdb.FamilyOf(n.Via); via {
	case 0:
	case f:
		w.add("via", n.Via.String())
	default:
		w.add("via", familyWord(via), n.Via.String())
	}
}
