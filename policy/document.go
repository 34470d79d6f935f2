package policy

import (
	"net/netip"
	"slices"

	"rpdb"
)

// Document is a policy as it is written, checked in itself but not against a
// host. Whoever parsed it owns it; nothing in this package modifies it, so it
// may be read and resolved by several goroutines at once. The zero Document is
// a policy that wants nothing.
type Document struct {
	File    string // as it was passed to Parse
	Uplinks []Uplink
	Tables  []Table
	// Rules stand in the order in which they are walked.
	Rules []Rule
	// UplinksAt is the number of Rules that stand before those of the uplinks.
	UplinksAt int
}

// Located is a value of a document and where it was written. The zero Located
// is a value that was not.
type Located[T any] struct {
	Value    T
	Position Position
	Text     string // as written
}

// IsSet reports whether the document holds the value.
func (l Located[T]) IsSet() bool { return l.Position != Position{} }

// Uplink is an interface with gateways of its own.
type Uplink struct {
	Position  Position
	Name      string // the interface's, if the document gives none
	Interface rpdb.LinkName
	// Gateways has one or two entries, at most one per family. The word auto in
	// the document stands for one of each family.
	Gateways []Located[Gateway]
	// Onlink is said of the gateways that are given as addresses: each is on the
	// link though no network of the interface holds it.
	Onlink bool
	// Addresses are the only ones to be used in the families that they have;
	// in other families all addresses of the interface are used.
	Addresses []Located[netip.Prefix]
	Table     TableRef
}

// Gateway is where an uplink's default route leads in one family.
type Gateway struct {
	Family rpdb.Family
	// Addr is the address, as written. The zero Addr is the gateway that the
	// host has: that of the best default route by the interface in its table
	// main, whoever made it, at the time when the policy is resolved.
	Addr netip.Addr
}

// IsAuto reports whether the gateway is the one that the host has.
func (g Gateway) IsAuto() bool { return !g.Addr.IsValid() }

// The words for gateways that the host has: of both families, and of one.
const (
	autoWord  = "auto"
	auto4Word = "auto4"
	auto6Word = "auto6"
)

// String returns the address, or the word auto4 or auto6.
func (g Gateway) String() string {
	switch {
	case !g.IsAuto():
		return g.Addr.String()
	case g.Family == rpdb.IPv4:
		return auto4Word
	}
	return auto6Word
}

// GatewayTexts returns the gateways as the document would have them: addresses,
// and the words auto, auto4 and auto6.
func (u Uplink) GatewayTexts() []string {
	texts := make([]string, len(u.Gateways))
	for i, g := range u.Gateways {
		texts[i] = g.Value.String()
	}
	if slices.Contains(texts, auto4Word) && slices.Contains(texts, auto6Word) {
		return []string{autoWord}
	}
	return texts
}

// TableRef names a table. What the document leaves out is empty or 0: Resolve
// finds the number.
type TableRef struct {
	Position Position
	Name     string
	Number   rpdb.TableID
}

// Table is a table with routes that the document lists.
type Table struct {
	TableRef
	Routes []Route
	// Adopt are protocols, names or numbers, whose routes that mean the same as
	// one of Routes become the policy's.
	Adopt []Located[string]
}

// Route is one entry of a table; one for each family if Family is 0.
type Route struct {
	Position Position
	Family   rpdb.Family // 0: both
	// To is the zero prefix for a default route.
	To     netip.Prefix
	Type   rpdb.RouteType
	Src    Located[netip.Addr]
	Metric uint32
	MTU    uint32 // bytes; 0: the interface's
	// AdvMSS is in bytes, InitCWnd and InitRWnd are in packets; 0: the kernel
	// chooses.
	AdvMSS, InitCWnd, InitRWnd uint32
	TOS                        uint8 // IPv4 only
	// Scope is that of an IPv4 route; absent: as ip-route(8) finds it.
	Scope rpdb.Opt[rpdb.Scope]
	// Onlink counts for every hop with a gateway: it is not looked up.
	Onlink bool
	// Hops has one entry for a plain route, several for multipath, and none
	// for types that lead nowhere.
	Hops []Hop
}

// Hop is one way that a route leads.
type Hop struct {
	Position Position
	Via      Located[netip.Addr]
	Dev      rpdb.LinkName // "": the interface on whose network the gateway is
	Weight   uint32        // share in a multipath route, 1 to 256; 0 counts as 1
}

// Rule is one rule of the list; one for each family if Family is 0. Exactly
// one of Lookup, Goto and Action says what it does.
type Rule struct {
	Position Position
	// Name is unique. A rule that the document does not name is called "rule
	// N", N being its place in the list from 1.
	Name     string
	Family   rpdb.Family // 0: both
	Selector rpdb.Selector
	// Lookup is the name or the number of a table.
	Lookup Located[string]
	// Goto is the name of a later rule, or a priority.
	Goto Located[string]
	// Action is the zero Action for a rule that has Lookup or Goto. A rule
	// with an l3mdev selector alone looks table 0 up, which stands for the
	// VRF's own.
	Action rpdb.Action
	// SuppressPrefixLength is 0 to 128.
	SuppressPrefixLength rpdb.Opt[int32]
	// SuppressIfGroup is the name or the number of an interface group.
	SuppressIfGroup Located[string]
	// Realms is "to" or "from/to", each a name or a number.
	Realms Located[string]
	// NAT is what happens to the source of forwarded packets that Lookup leads on.
	// The realm by which they are known is Resolve's to choose.
	NAT Located[rpdb.Translation]
	// Priority pins the rule; absent: the plan allots one.
	Priority rpdb.Opt[rpdb.Priority]
	// Adopt are protocols, names or numbers, whose rule that means the same this
	// one takes the place of.
	Adopt []Located[string]

	nat *natKeys // as written; nil: none
}

// Families returns the families that the rule is for.
func (r Rule) Families() []rpdb.Family { return familiesOf(r.Family) }

// Families returns the families that the route is for.
func (r Route) Families() []rpdb.Family { return familiesOf(r.Family) }

func familiesOf(f rpdb.Family) []rpdb.Family {
	if f != 0 {
		return []rpdb.Family{f}
	}
	both := rpdb.Families()
	return both[:]
}

// Gateway returns the uplink's gateway of a family, the zero Located if it has
// none.
func (u Uplink) Gateway(f rpdb.Family) Located[Gateway] {
	for _, g := range u.Gateways {
		if g.Value.Family == f {
			return g
		}
	}
	return Located[Gateway]{}
}

// Interfaces returns the interfaces that the document names, each once, in the
// order of the document: those of the uplinks, of routes, and of the iif and
// oif selectors.
func (d *Document) Interfaces() []rpdb.LinkName {
	var names []rpdb.LinkName
	seen := map[rpdb.LinkName]bool{"": true}
	add := func(name rpdb.LinkName) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, u := range d.Uplinks {
		add(u.Interface)
	}
	for _, t := range d.Tables {
		for _, r := range t.Routes {
			for _, h := range r.Hops {
				add(h.Dev)
			}
		}
	}
	for _, r := range d.Rules {
		add(r.Selector.IIF)
		add(r.Selector.OIF)
	}
	return names
}
