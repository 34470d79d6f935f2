package rpdb

import "net/netip"

// Desired is what a policy means on one host: the rules in order and the
// routes that should be there, what it owns, and what it still waits for.
// Whoever made it owns it.
type Desired struct {
	// Rules stand in the order in which they are to be walked. Families may
	// mix; the order counts within each.
	Rules  []DesiredRule  `json:"rules"`
	Routes []DesiredRoute `json:"routes"`
	// Tables are the tables of the policy: every route in them that carries
	// [ProtocolRPDB] and is not in Routes is to go.
	Tables []DesiredTable `json:"tables"`
	// ForeignRules and ForeignRoutes are of others, and are to be there besides:
	// what a policy had adopted that is undone.
	ForeignRules  []Rule  `json:"foreign_rules,omitempty"`
	ForeignRoutes []Route `json:"foreign_routes,omitempty"`
	// GoneRules and GoneRoutes are of others, and are to go, where they stand as
	// they are here: what was made by that, if it is undone in turn.
	GoneRules  []Rule  `json:"gone_rules,omitempty"`
	GoneRoutes []Route `json:"gone_routes,omitempty"`
	// Waiting lists the parts that cannot be resolved on this host now. What
	// is there of them already is kept.
	Waiting []Waiting `json:"waiting,omitempty"`
}

// DesiredRule is one rule of a policy and where it comes from.
type DesiredRule struct {
	Rule Rule `json:"rule"`
	// Name is what the policy calls it, as in "uplink eth1: from".
	Name string `json:"name"`
	// GotoName is the Name of the rule that a goto continues at, where that
	// rule's priority is still to be allotted; "" for all other rules.
	GotoName string `json:"goto_name,omitzero"`
	// Pinned rules keep the priority they have. For the others Priority is
	// allotted by the plan, and 0 here.
	Pinned bool `json:"pinned,omitzero"`
	// Translation is what happens to the source of forwarded packets that the rule
	// leads on; the zero value is nothing. Its realm is that of the table that the
	// rule looks up, which is allotted by the plan.
	Translation Translation `json:"translation,omitzero"`
	// CopyOf is the table that the policy names where the rule looks up a copy of
	// it, as one with a Translation does; 0 for all other rules.
	CopyOf TableID `json:"copy_of,omitzero"`
	// Leased says that it selects by an address, or a network, that the host has for a
	// time, and by another when it has another.
	Leased bool `json:"leased,omitzero"`
	// Adopts are the protocols whose rules at this priority and with the same
	// [Rule.Meaning] a pinned rule takes the place of: they are to go.
	Adopts []Protocol `json:"adopts,omitempty"`
}

// DesiredRoute is one route of a policy and where it comes from.
type DesiredRoute struct {
	Route Route  `json:"route"`
	Name  string `json:"name"`
	// Learned says that the gateway is the one that the host has now, and another
	// when it has another.
	Learned bool `json:"learned,omitzero"`
	// Leased says the same of its network, or if it has a gateway of its source.
	Leased bool `json:"leased,omitzero"`
	// Adopts are the protocols whose route, if it is the same but for that,
	// becomes this one.
	Adopts []Protocol `json:"adopts,omitempty"`
}

// DesiredTable is a table of a policy. Name is its name there, "" if it has
// none.
type DesiredTable struct {
	ID   TableID `json:"id"`
	Name string  `json:"name,omitzero"`
}

// Waiting is a part of a policy that cannot be resolved yet: an interface that
// does not exist, an address that is not there or still tentative.
type Waiting struct {
	// Name is the part of the policy, as in "uplink eth1 (IPv6)".
	Name   string `json:"name"`
	Reason string `json:"reason"`
	// Family and Table say which rules and routes that are there already
	// belong to the part; Family 0 is both.
	Family Family  `json:"family,omitzero"`
	Table  TableID `json:"table,omitzero"`
	// Dst is the destination of a single route that waits. The zero prefix is
	// the whole of an uplink, with its rules.
	Dst netip.Prefix `json:"dst,omitzero"`
}
