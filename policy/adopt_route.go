package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"rpdb"
)

// pairs are keys and values of a mapping, in order.
type pairs []string

func (p *pairs) add(key, format string, args ...any) {
	*p = append(*p, key+": "+fmt.Sprintf(format, args...))
}

// flow writes them in braces.
func (p pairs) flow() string { return "{" + strings.Join(p, ", ") + "}" }

// addrText writes an address or a prefix as YAML reads it back.
func addrText(f rpdb.Family, text string) string {
	if f == rpdb.IPv6 {
		return quoted(text)
	}
	return text
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return addrText(rpdb.FamilyOf(p.Addr()), p.Addr().String())
	}
	return addrText(rpdb.FamilyOf(p.Addr()), p.String())
}

// routeItem writes a route as an item of a table, or reports that it cannot be
// said.
func (w *adopter) routeItem(object string, r rpdb.Route) string {
	if why := unsayable(r); why != "" {
		w.lose(object, why)
		return "{}"
	}
	c := r.Canonical()
	var item pairs
	family := c.Family
	if c.IsDefault() {
		item.add("to", "default")
		family = 0
	} else {
		item.add("to", "%s", prefixText(c.Dst))
	}
	onlink := false
	var hops []string
	for _, n := range c.Nexthops {
		var hop pairs
		if n.Via.IsValid() {
			hop.add("via", "%s", addrText(rpdb.FamilyOf(n.Via), n.Via.String()))
			onlink = onlink || n.Flags&rpdb.NexthopOnlink != 0
		}
		hop.add("dev", "%s", Word(string(w.host.LinkName(n.Link))))
		if n.Weight > 1 {
			hop.add("weight", "%d", n.Weight)
		}
		hops = append(hops, hop.flow())
	}
	if len(hops) == 1 {
		item = append(item, strings.Trim(hops[0], "{}"))
	}
	if c.PrefSrc.IsValid() {
		item.add("src", "%s", addrText(c.Family, c.PrefSrc.String()))
		family = c.Family
	}
	w.routeWords(&item, c, onlink)
	if family == 0 {
		item.add("family", "%s", familyText(c.Family))
	}
	if len(hops) > 1 {
		item.add("nexthops", "[%s]", strings.Join(hops, ", "))
	}
	text := item.flow()
	if err := w.routeMeans(text, r); err != nil {
		w.lose(object, firstReason(err))
	}
	return text
}

// routeWords writes what a route has besides where it leads.
func (w *adopter) routeWords(item *pairs, c rpdb.Route, onlink bool) {
	if c.Metric != 0 && (c.Family == rpdb.IPv4 || c.Metric != 1024) {
		item.add("metric", "%d", c.Metric)
	}
	if c.TOS != 0 {
		item.add("tos", "0x%02x", c.TOS)
	}
	if c.Type != rpdb.RouteUnicast {
		item.add("type", "%v", c.Type)
	}
	if onlink {
		item.add("onlink", "true")
	}
	keys := map[rpdb.MetricType]string{
		rpdb.MetricMTU: "mtu", rpdb.MetricAdvMSS: "advmss", rpdb.MetricInitCWnd: "initcwnd", rpdb.MetricInitRWnd: "initrwnd",
	}
	for _, m := range c.Metrics {
		item.add(keys[m.Type], "%d", m.Value)
	}
	usual := Route{Type: c.Type}
	for _, n := range c.Nexthops {
		if n.Via.IsValid() {
			usual.Hops = []Hop{{Via: Located[netip.Addr]{Value: n.Via, Position: Position{1, 1}}}}
		}
	}
	if c.Scope != scopeOf(usual, c.Family) {
		item.add("scope", "%v", c.Scope)
	}
}

func familyText(f rpdb.Family) string { return strings.ToLower(f.String()) }

// unsayable says what of a route has no words in a policy, "" if everything has.
func unsayable(r rpdb.Route) string {
	switch {
	case r.NexthopID != 0:
		return fmt.Sprintf("leads by the nexthop object %d, and a policy has none", r.NexthopID)
	case r.Unknown != "":
		return "has attributes that are not known here"
	case r.Src.IsValid() && r.Src.Bits() > 0:
		return "is for one source only, and routes of a policy are for all"
	case r.Expires != 0:
		return "ends by itself after a time, and a policy stays"
	case r.Realms != 0:
		return "has realms"
	case r.Pref != rpdb.PreferenceMedium && r.Family == rpdb.IPv6:
		return fmt.Sprintf("has the router preference %v", r.Pref)
	}
	for _, m := range r.Metrics {
		switch m.Type {
		case rpdb.MetricMTU, rpdb.MetricAdvMSS, rpdb.MetricInitCWnd, rpdb.MetricInitRWnd:
		default:
			return "has metrics other than mtu, advmss, initcwnd and initrwnd"
		}
	}
	for _, n := range r.Canonical().Nexthops {
		switch {
		case n.EncapType != 0:
			return "goes into a tunnel by itself (encap)"
		case n.Realms != 0:
			return "has realms"
		case n.Flags&^rpdb.NexthopOnlink != 0:
			return "has flags that a policy does not know"
		}
	}
	return ""
}

var errOther = errors.New("a policy would make something else of it")

// routeMeans checks that an item is read as the route that it was written for.
func (w *adopter) routeMeans(item string, r rpdb.Route) error {
	doc, err := parse("", []byte("tables: [{number: 1, routes: ["+item+"]}]"), w.keys)
	if err != nil {
		return err
	}
	said := doc.Tables[0].Routes[0]
	if said.Family != r.Family {
		return errOther
	}
	is := said.bare(r.Table, r.Family)
	is.Protocol = r.Protocol
	for _, h := range said.Hops {
		l, ok := w.host.LinkByName(h.Dev)
		hop := rpdb.Nexthop{Via: h.Via.Value, Link: l.Index, Weight: h.Weight}
		if said.Onlink && h.Via.IsSet() {
			hop.Flags |= rpdb.NexthopOnlink
		}
		if is.Nexthops = append(is.Nexthops, hop); !ok {
			return errOther
		}
	}
	if !is.Equal(r) {
		return errOther
	}
	return nil
}
