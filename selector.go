package rpdb

import (
	"fmt"
	"net/netip"
)

// LinkName is the name of an interface, 1 to 15 bytes. The empty name is no
// interface. Names come from outside and may hold any byte but NUL, slash and
// white space: escape them before they reach a terminal.
type LinkName string

// IPProto is an IP protocol number, 0 to 255. As a selector, 0 is none.
type IPProto uint8

// Protocols that rules select on most, and that route lookups accept.
const (
	ICMP   IPProto = 1
	TCP    IPProto = 6
	UDP    IPProto = 17
	ICMPv6 IPProto = 58
)

// Mark matches a firewall mark: ((Value xor mark) and Mask) == 0. The zero
// Mark matches every mark, and so does any Mark with Mask 0, which is also
// what the kernel makes of "fwmark 0". A value written without a mask has the
// mask 0xffffffff.
type Mark struct {
	Value uint32 `json:"value"`
	Mask  uint32 `json:"mask"`
}

// Matches reports whether the mark m is selected.
func (k Mark) Matches(m uint32) bool { return (k.Value^m)&k.Mask == 0 }

// DSCP matches the six DSCP bits of a packet, 0 to 63: ((Value xor dscp) and
// Mask) == 0. The mask of a plain value is 0x3f. DSCP 0 is a real value, so
// the selector holds an Opt of it.
type DSCP struct {
	Value uint8 `json:"value"`
	Mask  uint8 `json:"mask"`
}

// Matches reports whether the DSCP d, 0 to 63, is selected.
func (k DSCP) Matches(d uint8) bool { return (k.Value^d)&k.Mask == 0 }

// FlowLabel matches the 20-bit IPv6 flow label: ((Value xor label) and Mask)
// == 0. The mask of a plain value is 0xfffff. The zero FlowLabel matches every
// label.
type FlowLabel struct {
	Value uint32 `json:"value"`
	Mask  uint32 `json:"mask"`
}

// Matches reports whether the label l is selected.
func (k FlowLabel) Matches(l uint32) bool { return (k.Value^l)&k.Mask == 0 }

// UIDRange matches user ids from First to Last, both included. 0-0 is a real
// range, so the selector holds an Opt of it; 4294967295 is not a user id.
type UIDRange struct {
	First uint32 `json:"first"`
	Last  uint32 `json:"last"`
}

// Matches reports whether the user id u is selected.
func (k UIDRange) Matches(u uint32) bool { return k.First <= u && u <= k.Last }

// Ports matches a TCP, UDP, SCTP or DCCP port. The zero value matches every
// flow, also one without ports. With a Mask, ((First xor port) and Mask) == 0
// and First equals Last; a single port has the mask 0xffff. Without one, First
// to Last, both included. The kernel takes 1 to 65534.
type Ports struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	Mask  uint16 `json:"mask,omitzero"`
}

// Port returns the selector of one port.
func Port(p uint16) Ports { return Ports{First: p, Last: p, Mask: 0xffff} }

// PortRange returns the selector of the ports from first to last.
func PortRange(first, last uint16) Ports { return Ports{First: first, Last: last} }

// Matches reports whether the port p is selected; flows without ports have
// port 0.
func (k Ports) Matches(p uint16) bool {
	switch {
	case k == Ports{}:
		return true
	case k.Mask != 0:
		return (k.First^p)&k.Mask == 0
	}
	return k.First <= p && p <= k.Last
}

// Selector says which flows a rule applies to: those that every field matches,
// or with Not those that at least one field does not. The zero Selector
// matches everything. It is comparable; see [Rule.Canonical] for equality of
// meaning.
type Selector struct {
	// Not inverts the conjunction of all other fields, and nothing else.
	Not bool `json:"not,omitzero"`
	// From and To match the addresses. The zero prefix and a prefix of length
	// 0 match all; host bits are ignored. An IPv6 flow without a source
	// matches no From but the empty one.
	From netip.Prefix `json:"from,omitzero"`
	To   netip.Prefix `json:"to,omitzero"`
	// TOS matches the DS field: in IPv4 the bits 0x1c alone, in IPv6 the full
	// DSCP. 0 is no selector. IPv4 takes 0x00 to 0x1c in steps of 4.
	TOS  uint8     `json:"tos,omitzero"`
	DSCP Opt[DSCP] `json:"dscp,omitzero"`
	Mark Mark      `json:"fwmark,omitzero"`
	// IIF matches the interface that a packet came in by; "lo" means locally
	// generated. OIF matches the interface a socket is bound to, never the one
	// a route leads to. A name that no interface has matches nothing.
	IIF LinkName `json:"iif,omitzero"`
	OIF LinkName `json:"oif,omitzero"`
	// L3MDev matches flows of any VRF; the VRF's own table is then looked up.
	L3MDev   bool          `json:"l3mdev,omitzero"`
	UIDRange Opt[UIDRange] `json:"uidrange,omitzero"`
	IPProto  IPProto       `json:"ipproto,omitzero"`
	SPort    Ports         `json:"sport,omitzero"`
	DPort    Ports         `json:"dport,omitzero"`
	// FlowLabel is for IPv6 only; IPv4 refuses it.
	FlowLabel FlowLabel `json:"flowlabel,omitzero"`
	// TunID matches the id of the tunnel a packet came out of; 0 is none.
	TunID uint64 `json:"tun_id,omitzero"`
}

// Canonical returns the selector as the kernel compares it: prefixes without
// host bits and without length 0, port masks written out, and fields that
// cannot fail to match cleared, but for a mark or DSCP with an empty mask,
// which the kernel stores and lists.
func (s Selector) Canonical() Selector {
	s.From, s.To = canonicalPrefix(s.From), canonicalPrefix(s.To)
	s.SPort, s.DPort = s.SPort.canonical(), s.DPort.canonical()
	if s.FlowLabel.Mask == 0 {
		s.FlowLabel = FlowLabel{}
	}
	return s
}

// Disjoint reports whether it is plain that no flow is selected by both: they
// have a field in common that no flow satisfies twice. That it is not plain says
// nothing, and of a selector with Not it never is. Of two rules with disjoint
// selectors it does not matter which one stands first.
func (s Selector) Disjoint(o Selector) bool {
	if s.Not || o.Not {
		return false
	}
	a, b := s.Canonical(), o.Canonical()
	apart := func(x, y netip.Prefix) bool { return x.IsValid() && y.IsValid() && !x.Overlaps(y) }
	dscp, _ := a.DSCP.Get()
	otherDSCP, _ := b.DSCP.Get()
	uid, hasUID := a.UIDRange.Get()
	other, otherUID := b.UIDRange.Get()
	return apart(a.From, b.From) || apart(a.To, b.To) ||
		differ(a.IIF, b.IIF) || differ(a.OIF, b.OIF) || differ(a.IPProto, b.IPProto) || differ(a.TunID, b.TunID) || differ(a.TOS, b.TOS) ||
		(a.Mark.Value^b.Mark.Value)&a.Mark.Mask&b.Mark.Mask != 0 || (dscp.Value^otherDSCP.Value)&dscp.Mask&otherDSCP.Mask != 0 ||
		(a.FlowLabel.Value^b.FlowLabel.Value)&a.FlowLabel.Mask&b.FlowLabel.Mask != 0 ||
		hasUID && otherUID && (uid.Last < other.First || other.Last < uid.First) ||
		a.SPort.apart(b.SPort) || a.DPort.apart(b.DPort)
}

// differ reports whether both are set, and not to the same.
func differ[T comparable](a, b T) bool {
	var zero T
	return a != zero && b != zero && a != b
}

// apart reports whether no port is selected by both, where that is plain.
func (k Ports) apart(o Ports) bool {
	masked := func(p Ports) bool { return p.Mask != 0 && p.Mask != 0xffff }
	switch {
	case k == Ports{} || o == Ports{}:
		return false
	case k.Mask != 0 && o.Mask != 0:
		return (k.First^o.First)&k.Mask&o.Mask != 0
	case masked(k) || masked(o):
		return false // a range and a mask: not plain
	}
	return k.Last < o.First || o.Last < k.First
}

func (k Ports) canonical() Ports {
	if k.First != 0 && k.First == k.Last && k.Mask == 0 {
		k.Mask = 0xffff
	}
	return k
}

func canonicalPrefix(p netip.Prefix) netip.Prefix {
	if !p.IsValid() || p.Bits() == 0 {
		return netip.Prefix{}
	}
	return p.Masked()
}

// ActionType is the kind of an [Action], numbered as the kernel numbers it
// (FR_ACT_*). Numbers without a name are stored by the kernel and stop a
// lookup as a blackhole does; 10 is what is left of "nat".
type ActionType uint8

// The actions of ip-rule(8).
const (
	ActionUnspec      ActionType = 0
	ActionTable       ActionType = 1
	ActionGoto        ActionType = 2
	ActionNop         ActionType = 3
	ActionBlackhole   ActionType = 6
	ActionUnreachable ActionType = 7
	ActionProhibit    ActionType = 8
	ActionNAT         ActionType = 10
)

var actionWords = wordTable[ActionType]{kind: "action", words: []wordOf[ActionType]{
	{ActionUnspec, "unspec"},
	{ActionTable, "table"},
	{ActionGoto, "goto"},
	{ActionNop, "nop"},
	{ActionBlackhole, "blackhole"},
	{ActionUnreachable, "unreachable"},
	{ActionProhibit, "prohibit"},
	{ActionNAT, "nat"},
}}

// String returns the word of ip-rule(8), or the number.
func (t ActionType) String() string { return actionWords.word(t) }

// MarshalText writes the word of ip-rule(8), or the number.
func (t ActionType) MarshalText() ([]byte, error) { return actionWords.marshal(t) }

// UnmarshalText reads what MarshalText writes.
func (t *ActionType) UnmarshalText(text []byte) error { return actionWords.unmarshal(text, t) }

// Action says what a rule does with the flows it selects. It is a closed,
// comparable value made by the constructors below; the zero Action is
// unspecified, which a lookup treats as a blackhole.
type Action struct {
	typ    ActionType
	table  TableID
	target Priority
}

// ToTable looks the table up, 1 to 4294967295; a miss goes on with the next
// rule. Table 0 belongs to a rule with an l3mdev selector.
func ToTable(t TableID) Action { return Action{typ: ActionTable, table: t} }

// Goto continues the walk at the first rule with the priority p, which must be
// greater than the rule's own. Without such a rule it does nothing.
func Goto(p Priority) Action { return Action{typ: ActionGoto, target: p} }

// Nop does nothing: the walk goes on with the next rule.
func Nop() Action { return Action{typ: ActionNop} }

// Blackhole drops the packet silently; a local sender gets EINVAL.
func Blackhole() Action { return Action{typ: ActionBlackhole} }

// Unreachable drops the packet with ICMP net unreachable; a local sender gets
// ENETUNREACH.
func Unreachable() Action { return Action{typ: ActionUnreachable} }

// Prohibit drops the packet with ICMP administratively prohibited; a local
// sender gets EACCES.
func Prohibit() Action { return Action{typ: ActionProhibit} }

// RawAction returns an action as the kernel stores it: any type, with a table
// that only ActionTable uses but that is stored and listed for every type, and
// a target that only ActionGoto may have. It is for decoders.
func RawAction(typ ActionType, table TableID, target Priority) Action {
	return Action{typ: typ, table: table, target: target}
}

// Type returns the kind of the action.
func (a Action) Type() ActionType { return a.typ }

// Table returns the table that the rule carries. It is looked up only if the
// type is ActionTable.
func (a Action) Table() TableID { return a.table }

// Target returns the priority that a goto continues at, 0 for other types.
func (a Action) Target() Priority { return a.target }

// String returns the action in the words of ip-rule(8), tables as numbers.
func (a Action) String() string {
	switch a.typ {
	case ActionTable:
		return fmt.Sprintf("lookup %d", a.table)
	case ActionGoto:
		return fmt.Sprintf("goto %d", a.target)
	}
	return a.typ.String()
}
