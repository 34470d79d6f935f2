package rpdb

// Customised says whether a namespace's rules have ever been changed, which
// the kernel remembers and a dump does not show: until then its lookups take a
// shortcut past the rule list (reference: fib_has_custom_rules). The zero
// value is unknown, and the engine then assumes customised unless the list is
// exactly the default one.
type Customised uint8

// What is known about a namespace's past.
const (
	CustomisedUnknown Customised = iota
	CustomisedNo
	CustomisedYes
)

var customisedWords = wordTable[Customised]{kind: "customised", words: []wordOf[Customised]{
	{CustomisedUnknown, "unknown"}, {CustomisedNo, "no"}, {CustomisedYes, "yes"},
}}

// MarshalText writes "unknown", "no" or "yes".
func (c Customised) MarshalText() ([]byte, error) { return customisedWords.marshal(c) }

// UnmarshalText reads what MarshalText writes.
func (c *Customised) UnmarshalText(text []byte) error { return customisedWords.unmarshal(text, c) }

// Snapshot is everything in one network namespace that routing decisions
// depend on, as it was at one moment. Whoever made it owns it; functions of
// this module read it and keep no reference unless they say so. The zero
// Snapshot is a namespace without rules, in which nothing can be routed.
type Snapshot struct {
	// Rules holds both families, each in the order of its list.
	Rules []Rule `json:"rules"`
	// Routes holds all tables of both families. IPv4 routes of equal prefix,
	// TOS and metric, and IPv6 routes of equal prefix and metric, stand in
	// the order in which the kernel tries them.
	Routes     []Route         `json:"routes"`
	Links      []Link          `json:"links"`
	Addresses  []Address       `json:"addresses"`
	Neighbours []Neighbour     `json:"neighbours,omitempty"`
	Nexthops   []NexthopObject `json:"nexthop_objects,omitempty"`
	Sysctls    Sysctls         `json:"sysctls"`
	Custom4    Customised      `json:"customised_ipv4,omitzero"`
	Custom6    Customised      `json:"customised_ipv6,omitzero"`
	// NAT is what our table of nftables holds, which no decision depends on.
	NAT NAT `json:"nat,omitzero"`
	// Kernel is the release of the kernel, as uname(1) -r prints it.
	Kernel string `json:"kernel,omitzero"`
	// Missing and MissingTables say what the snapshot does not tell, which a
	// kernel always does and a text may not: where it decides, the engine's
	// answer is unknown. [LinkSysctls.Unknown] says it of settings.
	Missing       Parts      `json:"missing,omitzero"`
	MissingTables []TableRef `json:"missing_tables,omitempty"`
}

// Sysctls are the kernel settings that routing decisions depend on
// (ip-sysctl). The zero value is not the kernel's default everywhere: a
// snapshot says what was read.
type Sysctls struct {
	// IPv4Forward is net.ipv4.ip_forward, IPv6Forward is
	// net.ipv6.conf.all.forwarding.
	IPv4Forward bool `json:"ipv4_forward"`
	IPv6Forward bool `json:"ipv6_forward"`
	// HashPolicy4 and HashPolicy6 are fib_multipath_hash_policy, 0 to 3.
	HashPolicy4 uint8 `json:"hash_policy_ipv4,omitzero"`
	HashPolicy6 uint8 `json:"hash_policy_ipv6,omitzero"`
	// HashSeed is fib_multipath_hash_seed; 0 is random, and then a multipath
	// choice cannot be foretold.
	HashSeed uint32 `json:"hash_seed,omitzero"`
	// UseNeigh is fib_multipath_use_neigh.
	UseNeigh bool `json:"use_neigh,omitzero"`
	// ReflectMark4 and ReflectMark6 are fwmark_reflect.
	ReflectMark4 bool `json:"fwmark_reflect_ipv4,omitzero"`
	ReflectMark6 bool `json:"fwmark_reflect_ipv6,omitzero"`
	// TCPMarkAccept is tcp_fwmark_accept.
	TCPMarkAccept bool `json:"tcp_fwmark_accept,omitzero"`
	// All is conf.all; Links is conf.NAME for each interface.
	All   LinkSysctls              `json:"all"`
	Links map[LinkName]LinkSysctls `json:"links"`
}

// LinkSysctls are the settings of one interface, or of conf.all. It is
// comparable.
type LinkSysctls struct {
	Forwarding4     bool  `json:"forwarding_ipv4"`
	Forwarding6     bool  `json:"forwarding_ipv6"`
	RPFilter        uint8 `json:"rp_filter"` // 0 off, 1 strict, 2 loose
	SrcValidMark    bool  `json:"src_valid_mark,omitzero"`
	AcceptLocal     bool  `json:"accept_local,omitzero"`
	RouteLocalnet   bool  `json:"route_localnet,omitzero"`
	IgnoreLinkdown4 bool  `json:"ignore_routes_with_linkdown_ipv4,omitzero"`
	IgnoreLinkdown6 bool  `json:"ignore_routes_with_linkdown_ipv6,omitzero"`
	DisableIPv6     bool  `json:"disable_ipv6,omitzero"`
	// NoSendRedirects is that send_redirects is 0. Where both an interface's and
	// that of conf.all are, an IPv4 packet may leave by the interface that it
	// came in by without a look at the way back to its source.
	NoSendRedirects bool `json:"no_send_redirects,omitzero"`
	// Unknown are the settings of which the snapshot does not tell the value.
	// In conf.all, forwarding of IPv6 stands for [Sysctls.IPv6Forward] too.
	Unknown Settings `json:"unknown,omitzero"`
}

// RPFilter returns the reverse-path filter in force on an interface: the
// larger of its own and conf.all, as the kernel takes it.
func (s Sysctls) RPFilter(name LinkName) uint8 {
	return max(s.All.RPFilter, s.Links[name].RPFilter)
}

// SendRedirects reports whether send_redirects is on for an interface: its own
// or that of conf.all is, and none of which the value is unknown counts.
func (s Sysctls) SendRedirects(name LinkName) bool {
	own, ok := s.Links[name]
	if !ok {
		own.Unknown = s.All.Unknown
	}
	on := func(c LinkSysctls) bool { return !c.NoSendRedirects && !c.Unknown.Has(SettingSendRedirects) }
	return on(s.All) || on(own)
}

// Link returns the interface with the index.
func (s *Snapshot) Link(i LinkIndex) (Link, bool) {
	for _, l := range s.Links {
		if l.Index == i {
			return l, true
		}
	}
	return Link{}, false
}

// LinkByName returns the interface with the name.
func (s *Snapshot) LinkByName(name LinkName) (Link, bool) {
	for _, l := range s.Links {
		if l.Name == name {
			return l, true
		}
	}
	return Link{}, false
}

// LinkName returns the name of the interface with the index, "" if there is
// none.
func (s *Snapshot) LinkName(i LinkIndex) LinkName {
	l, _ := s.Link(i)
	return l.Name
}

// RulesOf returns the rules of one family in order.
func (s *Snapshot) RulesOf(f Family) []Rule {
	n := 0
	for i := range s.Rules {
		if s.Rules[i].Family == f {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	rules := make([]Rule, 0, n)
	for i := range s.Rules {
		if s.Rules[i].Family == f {
			rules = append(rules, s.Rules[i])
		}
	}
	return rules
}

// Table returns the routes of one table of a family, in the snapshot's order.
func (s *Snapshot) Table(f Family, t TableID) []Route {
	var routes []Route
	for _, r := range s.Routes {
		if r.Family == f && r.Table == t {
			routes = append(routes, r)
		}
	}
	return routes
}

// AddressesOf returns the addresses of one family on an interface.
func (s *Snapshot) AddressesOf(f Family, i LinkIndex) []Address {
	var addrs []Address
	for _, a := range s.Addresses {
		if a.Link == i && FamilyOf(a.Prefix.Addr()) == f {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
