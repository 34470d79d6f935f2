package rpdb

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// TableID is the number of a routing table, 1 to 4294967295. Zero is
// unspecified; for a route it means main. The families have separate tables
// under the same numbers.
type TableID uint32

// The tables that the kernel fills itself. IPv6 does not use the default one.
const (
	TableUnspec  TableID = 0
	TableDefault TableID = 253
	TableMain    TableID = 254
	TableLocal   TableID = 255
)

// RouteType says what a route does with a packet (RTN_*). The zero value is
// unspecified; a decoded route always has a type.
type RouteType uint8

// The types of ip-route(8).
const (
	RouteUnicast     RouteType = 1
	RouteLocal       RouteType = 2
	RouteBroadcast   RouteType = 3
	RouteAnycast     RouteType = 4
	RouteMulticast   RouteType = 5
	RouteBlackhole   RouteType = 6
	RouteUnreachable RouteType = 7
	RouteProhibit    RouteType = 8
	RouteThrow       RouteType = 9
	RouteNAT         RouteType = 10
	RouteXResolve    RouteType = 11
)

var routeTypeWords = wordTable[RouteType]{kind: "route type", words: []wordOf[RouteType]{
	{0, "none"},
	{RouteUnicast, "unicast"},
	{RouteLocal, "local"},
	{RouteBroadcast, "broadcast"},
	{RouteAnycast, "anycast"},
	{RouteMulticast, "multicast"},
	{RouteBlackhole, "blackhole"},
	{RouteUnreachable, "unreachable"},
	{RouteProhibit, "prohibit"},
	{RouteThrow, "throw"},
	{RouteNAT, "nat"},
	{RouteXResolve, "xresolve"},
}}

// String returns the word of ip-route(8), or the number.
func (t RouteType) String() string { return routeTypeWords.word(t) }

// MarshalText writes the word of ip-route(8), or the number.
func (t RouteType) MarshalText() ([]byte, error) { return routeTypeWords.marshal(t) }

// UnmarshalText reads what MarshalText writes.
func (t *RouteType) UnmarshalText(text []byte) error { return routeTypeWords.unmarshal(text, t) }

// IsError reports whether the type answers a lookup with an error: blackhole,
// unreachable or prohibit. Throw is not among them, it ends the table only.
func (t RouteType) IsError() bool {
	return t == RouteBlackhole || t == RouteUnreachable || t == RouteProhibit
}

// Scope is the distance of an IPv4 route's destination (RT_SCOPE_*): the
// larger, the nearer. Zero is global. IPv6 routes have scope global.
type Scope uint8

// The scopes of ip-route(8).
const (
	ScopeGlobal  Scope = 0
	ScopeSite    Scope = 200
	ScopeLink    Scope = 253
	ScopeHost    Scope = 254
	ScopeNowhere Scope = 255
)

var scopeWords = wordTable[Scope]{kind: "scope", words: []wordOf[Scope]{
	{ScopeGlobal, "global"}, {ScopeSite, "site"}, {ScopeLink, "link"}, {ScopeHost, "host"}, {ScopeNowhere, "nowhere"},
}}

// String returns the word of ip-route(8), or the number.
func (s Scope) String() string { return scopeWords.word(s) }

// MarshalText writes the word of ip-route(8), or the number.
func (s Scope) MarshalText() ([]byte, error) { return scopeWords.marshal(s) }

// UnmarshalText reads what MarshalText writes.
func (s *Scope) UnmarshalText(text []byte) error { return scopeWords.unmarshal(text, s) }

// RouterPreference is the preference of an IPv6 route (RFC 4191), numbered as
// the protocol numbers it. The zero value is medium.
type RouterPreference uint8

// The three preferences.
const (
	PreferenceMedium RouterPreference = 0
	PreferenceHigh   RouterPreference = 1
	PreferenceLow    RouterPreference = 3
)

var preferenceWords = wordTable[RouterPreference]{kind: "preference", words: []wordOf[RouterPreference]{
	{PreferenceMedium, "medium"}, {PreferenceHigh, "high"}, {PreferenceLow, "low"},
}}

// String returns "low", "medium", "high", or the number.
func (p RouterPreference) String() string { return preferenceWords.word(p) }

// MarshalText writes the word, or the number.
func (p RouterPreference) MarshalText() ([]byte, error) { return preferenceWords.marshal(p) }

// UnmarshalText reads what MarshalText writes.
func (p *RouterPreference) UnmarshalText(text []byte) error {
	return preferenceWords.unmarshal(text, p)
}

// NexthopFlags are the flag bits of a nexthop (RTNH_F_*). Zero is a plain,
// usable nexthop.
type NexthopFlags uint8

// Onlink is configuration, the others are state.
const (
	NexthopDead       NexthopFlags = 0x1  // its interface is down
	NexthopPervasive  NexthopFlags = 0x2  // gateway by a recursive lookup
	NexthopOnlink     NexthopFlags = 0x4  // the gateway is on the link, do not look it up
	NexthopOffload    NexthopFlags = 0x8  // in hardware
	NexthopLinkdown   NexthopFlags = 0x10 // its interface has no carrier
	NexthopUnresolved NexthopFlags = 0x20 // waiting for multicast resolution
	NexthopTrap       NexthopFlags = 0x40 // hardware hands packets to the kernel

	nexthopState = NexthopDead | NexthopOffload | NexthopLinkdown | NexthopUnresolved | NexthopTrap
)

// Nexthop is one way that a route leads: an interface, and a gateway on it
// unless the destination itself is on the link. It is comparable; the zero
// value leads nowhere and belongs to error routes.
type Nexthop struct {
	// Via is the gateway. It may be of the other family (an IPv4 route via an
	// IPv6 gateway). Invalid: none.
	Via netip.Addr `json:"via,omitzero"`
	// Link is the index of the interface, 0 for none.
	Link LinkIndex `json:"link,omitzero"`
	// Weight is the share of a multipath route, 1 to 256 (65536 for nexthop
	// objects); 0 counts as 1.
	Weight uint32       `json:"weight,omitzero"`
	Flags  NexthopFlags `json:"flags,omitzero"`
	Realms Realms       `json:"realms,omitzero"`
	// EncapType and Encap are a lightweight tunnel (LWTUNNEL_ENCAP_*) and its
	// attributes, uninterpreted. Zero: none.
	EncapType uint16 `json:"encap_type,omitzero"`
	Encap     Raw    `json:"encap,omitzero"`
}

// Canonical returns the nexthop without state and with its weight written out.
func (n Nexthop) Canonical() Nexthop {
	n.Flags &^= nexthopState
	n.Weight = max(n.Weight, 1)
	return n
}

// MetricType is the number of a route metric (RTAX_*). RTAX_CC_ALGO carries
// text, all others a number.
type MetricType uint8

// The metrics of ip-route(8). Lock is a bit mask of metrics that path MTU
// discovery and TCP must not change.
const (
	MetricLock             MetricType = 1
	MetricMTU              MetricType = 2
	MetricWindow           MetricType = 3
	MetricRTT              MetricType = 4
	MetricRTTVar           MetricType = 5
	MetricSSThresh         MetricType = 6
	MetricCWnd             MetricType = 7
	MetricAdvMSS           MetricType = 8
	MetricReordering       MetricType = 9
	MetricHopLimit         MetricType = 10
	MetricInitCWnd         MetricType = 11
	MetricFeatures         MetricType = 12
	MetricRTOMin           MetricType = 13
	MetricInitRWnd         MetricType = 14
	MetricQuickAck         MetricType = 15
	MetricCongCtl          MetricType = 16
	MetricFastOpenNoCookie MetricType = 17
)

// Metric is one metric of a route: a number, or for MetricCongCtl a name.
type Metric struct {
	Type  MetricType `json:"type"`
	Value uint32     `json:"value,omitzero"`
	Text  string     `json:"text,omitzero"`
}

// RouteFlags are the flag bits of a route (RTM_F_*, RTNH_F_* in rtm_flags)
// that the kernel reports and that do not belong to a nexthop.
type RouteFlags uint32

// Route is one entry of a table (ip-route(8), struct rtmsg). Routes hold
// slices and so are not comparable with ==: use [Route.Key] as a map key and
// [Route.Equal] for meaning. The slices belong to whoever made the route and
// are not modified by this module. The zero Route belongs to no family.
type Route struct {
	Family Family       `json:"family"`
	Table  TableID      `json:"table"`
	Dst    netip.Prefix `json:"dst"` // without host bits; a default route has length 0, never the zero prefix
	// Src is the source prefix of an IPv6 source-specific route; zero: none.
	Src  netip.Prefix `json:"src,omitzero"`
	Type RouteType    `json:"type"`
	TOS  uint8        `json:"tos,omitzero"` // IPv4 only; routes with a TOS come first
	// Metric orders routes to the same prefix, the smallest first. IPv6 never
	// stores 0 for a route that user space adds, of whatever type: it becomes
	// 1024. The kernel's own local and anycast routes have 0.
	Metric   uint32           `json:"metric,omitzero"`
	Protocol Protocol         `json:"protocol,omitzero"`
	Scope    Scope            `json:"scope,omitzero"`
	PrefSrc  netip.Addr       `json:"prefsrc,omitzero"` // the source for flows that have none; invalid: none
	Realms   Realms           `json:"realms,omitzero"`
	Pref     RouterPreference `json:"pref,omitzero"`
	// Nexthops has one entry for a plain route, several for multipath, and
	// none, or one with only an interface, for error routes. IPv6 multipath
	// is one Route, though the kernel may list it as several.
	Nexthops []Nexthop `json:"nexthops,omitempty"`
	// NexthopID is the id of a nexthop object, 0 for none; Nexthops then says
	// what the object led to when it was read.
	NexthopID uint32 `json:"nhid,omitzero"`
	// Expires is the time the route has left to live, in seconds; 0: no end.
	Expires uint32     `json:"expires,omitzero"`
	Metrics []Metric   `json:"metrics,omitempty"` // in order of their type
	Flags   RouteFlags `json:"flags,omitzero"`
	Unknown Raw        `json:"unknown,omitzero"` // attributes that this program does not know
}

// RouteKey is what the kernel tells two routes of a table apart by. It is
// comparable. Two IPv4 routes with one key can exist only by "append".
type RouteKey struct {
	Family Family
	Table  TableID
	Dst    netip.Prefix
	Src    netip.Prefix
	TOS    uint8
	Metric uint32
}

// Key returns the route's key.
func (r Route) Key() RouteKey {
	c := r.Canonical()
	return RouteKey{c.Family, c.Table, c.Dst, c.Src, c.TOS, c.Metric}
}

// Canonical returns the route as the kernel would list it back, without state:
// host bits cleared, table 0 as main, the metric that IPv6 stores, weights
// written out, and nothing that its family ignores. Expires, flags, and what a
// nexthop object led to, are state and are cleared. The slices of the result
// are its own.
func (r Route) Canonical() Route {
	r.Dst = r.Dst.Masked()
	r.Src = canonicalPrefix(r.Src)
	if r.Table == TableUnspec {
		r.Table = TableMain
	}
	if r.Type == 0 {
		r.Type = RouteUnicast
	}
	if r.Family == IPv6 && r.Metric == 0 && r.Protocol != ProtocolKernel {
		r.Metric = 1024
	}
	switch r.Family {
	case IPv4:
		r.Pref = PreferenceMedium
	case IPv6:
		r.Scope, r.Realms = ScopeGlobal, 0
	}
	r.Expires, r.Flags = 0, 0
	r.Nexthops = r.canonicalNexthops()
	r.Metrics = slices.Clone(r.Metrics)
	slices.SortFunc(r.Metrics, func(a, b Metric) int { return cmp.Compare(a.Type, b.Type) })
	return r
}

// canonicalNexthops drops the loopback interface that IPv6 shows for error
// routes, the nexthops that belong to a nexthop object, and state.
func (r Route) canonicalNexthops() []Nexthop {
	if r.Type.IsError() || r.Type == RouteThrow || r.NexthopID != 0 {
		return nil
	}
	hops := make([]Nexthop, 0, len(r.Nexthops))
	for _, n := range r.Nexthops {
		n = n.Canonical()
		if r.Family == IPv6 {
			n.Realms = 0
		}
		hops = append(hops, n)
	}
	return hops
}

// Equal reports whether two routes mean the same: their canonical forms agree
// in every field. The protocol counts, state does not.
func (r Route) Equal(o Route) bool {
	a, b := r.Canonical(), o.Canonical()
	if !slices.Equal(a.Nexthops, b.Nexthops) || !slices.Equal(a.Metrics, b.Metrics) {
		return false
	}
	return a.comparablePart() == b.comparablePart()
}

// Equivalent is [Route.Equal], and takes the nexthops of an IPv6 route for the set that
// they are: the kernel may list them in any order.
func (r Route) Equivalent(o Route) bool {
	if r.Family == IPv6 && len(r.Nexthops) > 1 {
		r.Nexthops, o.Nexthops = sortedNexthops(r.Nexthops), sortedNexthops(o.Nexthops)
	}
	return r.Equal(o)
}

func sortedNexthops(hops []Nexthop) []Nexthop {
	return slices.SortedFunc(slices.Values(hops), func(a, b Nexthop) int {
		return cmp.Or(a.Via.Compare(b.Via), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Weight, b.Weight))
	})
}

// routeScalars is the part of a route that == can compare.
type routeScalars struct {
	key      RouteKey
	typ      RouteType
	protocol Protocol
	scope    Scope
	prefSrc  netip.Addr
	realms   Realms
	pref     RouterPreference
	nhid     uint32
	unknown  Raw
}

func (r Route) comparablePart() routeScalars {
	key := RouteKey{r.Family, r.Table, r.Dst, r.Src, r.TOS, r.Metric}
	return routeScalars{key, r.Type, r.Protocol, r.Scope, r.PrefSrc, r.Realms, r.Pref, r.NexthopID, r.Unknown}
}

// IsDefault reports whether the route's prefix has length 0.
func (r Route) IsDefault() bool { return r.Dst.Bits() == 0 }

// String names the route for messages: its prefix, table and family.
func (r Route) String() string {
	dst := "default"
	if !r.IsDefault() {
		dst = r.Dst.String()
	}
	return fmt.Sprintf("route %s table %d (%v)", dst, r.Table, r.Family)
}

// NexthopObject is a nexthop or a group of them that routes refer to by id
// (ip-nexthop(8)). Group is empty for a single nexthop. The zero value is no
// object.
type NexthopObject struct {
	ID        uint32        `json:"id"` // 1 to 4294967295
	Family    Family        `json:"family,omitzero"`
	Protocol  Protocol      `json:"protocol,omitzero"`
	Scope     Scope         `json:"scope,omitzero"`
	Nexthop   Nexthop       `json:"nexthop,omitzero"`
	Blackhole bool          `json:"blackhole,omitzero"`
	FDB       bool          `json:"fdb,omitzero"`
	Group     []GroupMember `json:"group,omitempty"`
	GroupType uint16        `json:"group_type,omitzero"` // 0 hash-threshold, 1 resilient
	// Resilient is what a resilient group has besides its members.
	Resilient ResilientGroup `json:"resilient,omitzero"`
	Unknown   Raw            `json:"unknown,omitzero"`
}

// ResilientGroup is the table that a resilient group (ip-nexthop(8)) spreads
// flows by. Times are in clock ticks, 100 to the second. The zero value belongs
// to other groups.
type ResilientGroup struct {
	Buckets         uint16 `json:"buckets,omitzero"`
	IdleTimer       uint32 `json:"idle_timer,omitzero"`       // without traffic, until a bucket may move
	UnbalancedTimer uint32 `json:"unbalanced_timer,omitzero"` // out of balance, until buckets must move; 0: never
	// UnbalancedTime is how long the group has been out of balance. It is state.
	UnbalancedTime uint64 `json:"unbalanced_time,omitzero"`
}

// GroupMember is one member of a nexthop group: the id of a nexthop object and
// its weight, 1 to 65536.
type GroupMember struct {
	ID     uint32 `json:"id"`
	Weight uint32 `json:"weight"`
}
