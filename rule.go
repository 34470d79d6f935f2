package rpdb

import (
	"cmp"
	"fmt"
	"math"
)

// Priority is the place of a rule in its list, 0 to 4294967295; the list is
// walked from the smallest. ip-rule(8) also calls it preference or order.
type Priority uint32

// The priorities of the rules that the kernel makes with a namespace. IPv6 has
// no rule for the default table.
const (
	PriorityLocal   Priority = 0
	PriorityMain    Priority = 32766
	PriorityDefault Priority = 32767
)

// Protocol says who installed a rule or a route (the originator of
// rtnetlink(7), "proto" in ip's listings). It decides nothing. The zero value
// is unspecified.
type Protocol uint8

// Originators with a number of their own; 82 is the number of this project.
const (
	ProtocolUnspec   Protocol = 0
	ProtocolRedirect Protocol = 1
	ProtocolKernel   Protocol = 2
	ProtocolBoot     Protocol = 3
	ProtocolStatic   Protocol = 4
	ProtocolRA       Protocol = 9
	ProtocolDHCP     Protocol = 16
	ProtocolRPDB     Protocol = 82
)

// Realms is a pair of route realms (IPv4 only): the realm of the source in the
// high 16 bits, that of the destination in the low 16. Zero is no realm. IPv6
// drops realms without a word.
type Realms uint32

// NewRealms joins a source and a destination realm.
func NewRealms(from, to uint16) Realms { return Realms(from)<<16 | Realms(to) }

// From returns the realm of the source.
func (r Realms) From() uint16 { return uint16(r >> 16) }

// To returns the realm of the destination.
func (r Realms) To() uint16 { return uint16(r) }

// RuleFlags are the flag bits of a rule that the kernel stores or computes
// (fib_rule_hdr.flags); inversion is not among them, it is [Selector.Not].
type RuleFlags uint32

// Permanent and FindSaddr are stored. The other three are state that the
// kernel computes when it lists a rule.
const (
	RulePermanent   RuleFlags = 0x1     // cannot be deleted while the namespace lives
	RuleUnresolved  RuleFlags = 0x4     // goto without a rule at its target: acts as nop
	RuleIIFDetached RuleFlags = 0x8     // no interface has the iif name: the selector is false
	RuleOIFDetached RuleFlags = 0x10    // no interface has the oif name: the selector is false
	RuleFindSaddr   RuleFlags = 0x10000 // IPv6: a missing source is computed before from is compared

	ruleState = RuleUnresolved | RuleIIFDetached | RuleOIFDetached
)

// Suppressor refuses results of a table lookup (suppress_prefixlength,
// suppress_ifgroup of ip-rule(8)); the walk then goes on with the next rule.
// It counts only for rules that look a table up, and never for error routes.
// The zero value refuses nothing.
type Suppressor struct {
	// PrefixLength refuses routes whose prefix is this long or shorter; 0
	// refuses default routes. The kernel takes any value, -1 for none.
	PrefixLength Opt[int32] `json:"prefix_length,omitzero"`
	// IfGroup refuses routes that leave by an interface of this group; 0 is a
	// real group, the default one. The kernel takes 4294967295 for none.
	IfGroup Opt[uint32] `json:"ifgroup,omitzero"`
}

// canonical drops the values that the kernel takes for none.
func (s Suppressor) canonical() Suppressor {
	if s.PrefixLength == Some[int32](-1) {
		s.PrefixLength = Opt[int32]{}
	}
	if s.IfGroup == Some[uint32](math.MaxUint32) {
		s.IfGroup = Opt[uint32]{}
	}
	return s
}

// Rule is one entry of the RPDB: if the selector matches the flow, do the
// action (ip-rule(8), struct fib_rule). It is comparable with ==; two rules
// that mean the same but are written differently are equal in their
// [Rule.Canonical] forms. The zero Rule belongs to no family and has no
// action; the kernel takes neither.
type Rule struct {
	Family   Family     `json:"family"`
	Priority Priority   `json:"priority"`
	Selector Selector   `json:"selector,omitzero"`
	Action   Action     `json:"action"`
	Suppress Suppressor `json:"suppress,omitzero"`
	Realms   Realms     `json:"realms,omitzero"`
	Protocol Protocol   `json:"protocol,omitzero"`
	Flags    RuleFlags  `json:"flags,omitzero"`
	// Unknown holds attributes that this program does not know. A rule that
	// has some is not fully understood: it is shown, never rewritten, and the
	// engine answers "unknown" where it would decide.
	Unknown Raw `json:"unknown,omitzero"`
}

// Canonical returns the rule as the kernel would list it back, without the
// state that it computes: host bits cleared, empty prefixes dropped, the
// implied masks written out, and nothing that this rule's family or action
// ignores. Two rules decide and are listed alike if their canonical forms are
// equal. It never changes the priority or the protocol.
func (r Rule) Canonical() Rule {
	r.Selector = r.Selector.Canonical()
	r.Flags &^= ruleState
	r.Suppress = r.Suppress.canonical()
	if r.Family == IPv6 {
		r.Realms = 0
	}
	return r
}

// Meaning returns what a packet can tell of the rule: the canonical form without
// who made it, and without what the kernel stores though it does nothing. Rules
// of one priority with equal meanings can stand for each other.
func (r Rule) Meaning() Rule {
	r = r.Canonical()
	r.Protocol = 0
	r.Selector.Mark.Value &= r.Selector.Mark.Mask
	if d, _ := r.Selector.DSCP.Get(); d.Mask == 0 {
		r.Selector.DSCP = Opt[DSCP]{}
	}
	if r.Action.typ != ActionTable {
		r.Action.table, r.Suppress, r.Realms = 0, Suppressor{}, 0
	}
	return r
}

// State returns the flags that the kernel computes: unresolved goto, detached
// interface names.
func (r Rule) State() RuleFlags { return r.Flags & ruleState }

// Compare orders rules as the kernel lists them: IPv4 before IPv6, then by
// priority. Rules of equal priority keep the order in which they were added,
// so sort stably.
func (r Rule) Compare(o Rule) int {
	return cmp.Or(cmp.Compare(r.Family, o.Family), cmp.Compare(r.Priority, o.Priority))
}

// DefaultRules returns the rules that the kernel puts into a new namespace:
// three for IPv4, two for IPv6.
func DefaultRules(f Family) []Rule {
	rule := func(p Priority, t TableID) Rule {
		return Rule{Family: f, Priority: p, Action: ToTable(t), Protocol: ProtocolKernel}
	}
	rules := []Rule{rule(PriorityLocal, TableLocal), rule(PriorityMain, TableMain)}
	if f == IPv4 {
		rules = append(rules, rule(PriorityDefault, TableDefault))
	}
	return rules
}

// String names the rule for messages: its priority and family.
func (r Rule) String() string { return fmt.Sprintf("rule %d (%v)", r.Priority, r.Family) }
