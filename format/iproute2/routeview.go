package iproute2

import (
	"net/netip"

	"rpdb"
)

// RouteView says how routes look, in listings and in commands. The zero value
// is the default of `ip route show table all` with built-in names, and
// interfaces without a name are spelled as ip does: "if" and the index. It is
// not modified by its methods, but State is.
type RouteView struct {
	Names rpdb.Names
	// LinkName returns the name of an interface, "" if it is not known. A nil
	// function knows none.
	LinkName func(rpdb.LinkIndex) rpdb.LinkName
	// HostName returns the name that stands in the place of an address, as
	// with ip -r, "" for none. A nil function knows none.
	HostName func(netip.Addr) string
	// Nexthop returns a nexthop object, whose fields follow its id in a view
	// with Details. A nil function knows none.
	Nexthop func(id uint32) (rpdb.NexthopObject, bool)
	Numeric bool // numbers in place of names, as ip -N
	Details bool // also what is left out as the default, as ip -d
	Stats   bool // also how often a route was used, as ip -s
	Raw     bool // interface names and names of files byte for byte, as ip prints them
	// OneLine writes a backslash in place of the newlines inside of a
	// multipath route, as ip -o.
	OneLine bool
	// Hide are the columns to leave out, as a listing of one table leaves out
	// the table.
	Hide   RouteColumns
	Color  Palette // of addresses and interface names
	Family bool    // the family in front, "IPv4 " or "IPv6 ", which ip never says
	// Exact gives programs what ip does not tell them, under keys of our own:
	// the family, locks of metrics, what is finer than ip's units, attributes
	// that are not known, and those of a tunnel byte for byte.
	Exact bool
	// State, if not nil, makes names depend on what was listed before, as they
	// do in a process of ip. The routes of one run share one.
	State *NameState
}

// Entry returns the listing of an entry as ip prints it, without the final
// newline: like ip's own it ends in a blank, unless its last word is an IPv6
// preference. Multipath routes have one line for each nexthop.
func (v RouteView) Entry(e RouteEntry) string {
	return string(NewRouteLister(v).AppendText(nil, &e))
}

// EntryFields gives every field of an entry to a sink, in the order of the
// listing. The keys are those of "ip -j route", and with Exact more.
func (v RouteView) EntryFields(e RouteEntry, to Sink) { NewRouteLister(v).Fields(&e, to) }

// Route returns the listing of a route that no message told of.
func Route(r rpdb.Route, v RouteView) string { return v.Entry(RouteEntry{Route: r}) }

// RouteLister lists one entry after the other in the same memory, as the
// methods of its view do: once it has seen the longest entry, it allocates
// nothing. It is not safe for concurrent use.
type RouteLister struct{ line line }

// NewRouteLister returns a lister with a view.
func NewRouteLister(v RouteView) *RouteLister {
	return &RouteLister{newLine(v, RuleView{Names: v.Names, Numeric: v.Numeric, State: v.State})}
}

// AppendText appends what [RouteView.Entry] returns.
func (l *RouteLister) AppendText(b []byte, e *RouteEntry) []byte {
	l.line.route(e)
	return l.line.appendText(b)
}

// Fields does what [RouteView.EntryFields] does.
func (l *RouteLister) Fields(e *RouteEntry, to Sink) {
	l.line.route(e)
	l.line.send(to)
}

// route makes the parts of an entry.
func (l *line) route(e *RouteEntry) {
	l.parts, l.buf = l.parts[:0], l.buf[:0]
	l.entry, l.hop, l.family, l.hide, l.lacks = e, nil, e.Family, l.view.Hide, 0
	multipath := isMultipath(&e.Route)
	if len(e.Nexthops) == 1 && !multipath {
		l.hop = &e.Nexthops[0]
	}
	l.lack(groupHead, !e.Deleted && !l.view.Family && !l.view.Exact)
	cache, isSet := e.Cache.Get()
	l.lack(groupCache, cache == rpdb.RouteCache{} && (isSet || e.Expires == 0))
	l.lack(groupUnknown, e.Unknown == "")
	l.lack(groupAnswer, e.Mark == 0 && !e.UID.IsSet() && e.IIF == 0)
	l.lack(groupIPv6, e.Family != rpdb.IPv6)
	l.lack(groupRare, !multipath && (l.hop == nil || isPlainHop(l.hop, e.Family)) && e.Src.Bits() <= 0 &&
		e.NexthopID == 0 && e.TOS == 0 && e.Realms == 0 && len(e.Metrics) == 0 && !l.cloned())
	l.fields(routeFields)
}

// isPlainHop reports whether a nexthop has nothing but an interface and a gateway of
// its family.
func isPlainHop(n *rpdb.Nexthop, f rpdb.Family) bool {
	return n.EncapType == 0 && (!n.Via.IsValid() || rpdb.FamilyOf(n.Via) == f)
}
