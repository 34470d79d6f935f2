package iproute2

import (
	"fmt"
	"strings"

	"rpdb"
)

// RouteView says how routes look, in listings and in commands. The zero value
// is the default of `ip route show table all` with built-in names, and
// interfaces without a name are spelled as ip does: "if" and the index.
type RouteView struct {
	Names rpdb.Names
	// LinkName returns the name of an interface, "" if it is not known. A nil
	// function knows none.
	LinkName func(rpdb.LinkIndex) rpdb.LinkName
	Numeric  bool // numbers in place of names, as ip -N
	Details  bool // also what is left out as the default, as ip -d
	Raw      bool // interface names byte for byte, as ip prints them
	// OneLine writes a backslash in place of the newlines inside of a
	// multipath route, as ip -o.
	OneLine bool
	// Hide are the columns to leave out, as a listing of one table leaves out
	// the table.
	Hide RouteColumns
}

func (v RouteView) link(i rpdb.LinkIndex) string {
	if v.LinkName != nil {
		if name := v.LinkName(i); name != "" {
			return string(name)
		}
	}
	return fmt.Sprintf("if%d", i)
}

// number returns the name, or the number if that is asked for.
func (v RouteView) number(n uint64, name string) string {
	if v.Numeric {
		return fmt.Sprint(n)
	}
	return escape(name)
}

// Route returns the listing of a route as `ip route show table all` prints
// it, without the final newline: like ip's own it ends in a blank, unless its
// last word is an IPv6 preference. Multipath routes have one line for each
// nexthop. The attributes of lightweight tunnels are not spelled out.
func Route(r rpdb.Route, v RouteView) string {
	w := words{}
	v.destination(&w, r)
	if len(r.Nexthops) == 1 {
		v.hop(&w, r.Family, r.Nexthops[0])
	}
	v.attributes(&w, r)
	v.flags(&w, r)
	if r.Realms != 0 && !v.Hide.hides(ColumnRealms) {
		v.realms(&w, r.Realms)
	}
	if r.Expires != 0 {
		w.addf("expires", "%dsec", r.Expires)
	}
	metricsText(&w, r.Metrics)
	text := w.String()
	if r.Family == rpdb.IPv6 {
		return text + " pref " + v.number(uint64(r.Pref), r.Pref.String()) + v.multipath(r)
	}
	return text + " " + v.multipath(r)
}

func (v RouteView) destination(w *words, r rpdb.Route) {
	if r.Type != rpdb.RouteUnicast || v.Details {
		w.add(v.number(uint64(r.Type), r.Type.String()))
	}
	w.add(prefixText(r.Dst, "default"))
	if r.Src.IsValid() && r.Src.Bits() > 0 {
		w.add("from", prefixText(r.Src, "all"))
	}
	if r.NexthopID != 0 {
		w.addf("nhid", "%d", r.NexthopID)
	}
	if len(r.Nexthops) == 1 {
		encapWords(w, r.Nexthops[0])
	}
	if r.TOS != 0 && !v.Hide.hides(ColumnTOS) {
		w.add("tos", RuleView{Names: v.Names, Numeric: v.Numeric}.dsfield(r.TOS))
	}
}

// encapWords names the kind of a lightweight tunnel.
func encapWords(w *words, n rpdb.Nexthop) {
	kinds := []string{"none", "mpls", "ip", "ila", "ip6", "seg6", "bpf", "seg6local", "rpl", "ioam6", "xfrm"}
	switch {
	case n.EncapType == 0:
	case int(n.EncapType) < len(kinds):
		w.add("encap", kinds[n.EncapType])
	default:
		w.addf("encap", "%d", n.EncapType)
	}
}

// hop prints gateway and interface of one nexthop.
func (v RouteView) hop(w *words, f rpdb.Family, n rpdb.Nexthop) {
	if rpdb.FamilyOf(n.Via) != f || !v.Hide.hides(ColumnVia) {
		viaWords(w, f, n)
	}
	if n.Link != 0 && !v.Hide.hides(ColumnDev) {
		w.add("dev", linkText(rpdb.LinkName(v.link(n.Link)), v.Raw))
	}
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

func (v RouteView) attributes(w *words, r rpdb.Route) {
	if !v.Hide.hides(ColumnTable) && (r.Table != rpdb.TableMain || v.Details) {
		w.add("table", v.number(uint64(r.Table), v.Names.Table(r.Table)))
	}
	if !v.Hide.hides(ColumnProtocol) && (r.Protocol != rpdb.ProtocolBoot || v.Details) {
		w.add("proto", v.number(uint64(r.Protocol), v.Names.Protocol(r.Protocol)))
	}
	if !v.Hide.hides(ColumnScope) && (r.Scope != rpdb.ScopeGlobal || v.Details) {
		w.add("scope", v.number(uint64(r.Scope), r.Scope.String()))
	}
	if r.PrefSrc.IsValid() && !v.Hide.hides(ColumnSrc) {
		w.add("src", r.PrefSrc.String())
	}
	if !v.Hide.hides(ColumnMetric) && (r.Metric != 0 || r.Family == rpdb.IPv6) { // which always sends it
		w.addf("metric", "%d", r.Metric)
	}
}

func (v RouteView) realms(w *words, r rpdb.Realms) {
	key := "realms"
	if r.From() == 0 {
		key = "realm"
	}
	w.add(key, realmsText(RuleView{Names: v.Names, Numeric: v.Numeric}, r))
}

// Bits of rtm_flags that do not belong to a nexthop (RTM_F_*).
const (
	routeNotify        rpdb.RouteFlags = 0x100
	routeOffload       rpdb.RouteFlags = 0x4000
	routeTrap          rpdb.RouteFlags = 0x8000
	routeOffloadFailed rpdb.RouteFlags = 0x20000000
)

// flags prints the flags of a route and, unless it is multipath, of its
// nexthop, in ip's order.
func (v RouteView) flags(w *words, r rpdb.Route) {
	var hop rpdb.NexthopFlags
	if len(r.Nexthops) == 1 {
		hop = r.Nexthops[0].Flags
	}
	hopFlags(w, hop&^(rpdb.NexthopLinkdown|rpdb.NexthopUnresolved))
	if r.Flags&routeNotify != 0 {
		w.add("notify")
	}
	hopFlags(w, hop&(rpdb.NexthopLinkdown|rpdb.NexthopUnresolved))
	for _, f := range []struct {
		bit  rpdb.RouteFlags
		word string
	}{{routeOffload, "rt_offload"}, {routeTrap, "rt_trap"}, {routeOffloadFailed, "rt_offload_failed"}} {
		if r.Flags&f.bit != 0 {
			w.add(f.word)
		}
	}
}

func hopFlags(w *words, flags rpdb.NexthopFlags) {
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
		if flags&f.bit != 0 {
			w.add(f.word)
		}
	}
}

// multipath prints the nexthops of a route that has several, each on a line
// of its own.
func (v RouteView) multipath(r rpdb.Route) string {
	if len(r.Nexthops) < 2 {
		return ""
	}
	newline := "\n"
	if v.OneLine {
		newline = `\`
	}
	var b strings.Builder
	for _, n := range r.Nexthops {
		w := words{}
		w.add("nexthop")
		encapWords(&w, n)
		viaWords(&w, r.Family, n)
		if n.Realms != 0 {
			v.realms(&w, n.Realms)
		}
		if n.Link != 0 {
			w.add("dev", linkText(rpdb.LinkName(v.link(n.Link)), v.Raw))
		}
		w.addf("weight", "%d", max(n.Weight, 1))
		hopFlags(&w, n.Flags)
		b.WriteString(newline + "\t" + w.String() + " ")
	}
	return b.String()
}

func realmsText(v RuleView, r rpdb.Realms) string {
	to := escape(v.realm(r.To()))
	if r.From() == 0 {
		return to
	}
	return escape(v.realm(r.From())) + "/" + to
}
