package fib

import (
	"net/netip"

	"rpdb"
)

// rule is a compiled rule: what a walk looks at first, and the rest elsewhere, so
// that a walk touches little memory for each.
type rule struct {
	*terms
	at    order  // in the list
	table *table // nil: absent
	fit   fit

	prefixLen   int32 // suppress_prefixlength, -1: none
	ifGroup     uint32
	target      rpdb.Priority // of a goto
	realms      rpdb.Realms
	does        rpdb.ActionType
	hasIfGroup  bool
	v6          bool
	unknown     bool // it has attributes that are not known
	isVRFLookup bool // the table is that of the flow's VRF
	idle        bool // whatever it fits goes on: a nop, or a table that is not there
}

// terms are a rule as it is written, and its selector with the names looked up.
type terms struct {
	rpdb.Rule
	from, to netip.Prefix // invalid: any
	iif, oif ifmatch
	uids     rpdb.UIDRange
	hasUID   bool
	dscp     rpdb.DSCP
	hasDSCP  bool
}

// copied returns a copy whose terms may be changed.
func (r *rule) copied() rule {
	c, own := *r, *r.terms
	c.terms = &own
	return c
}

// ifmatch is an iif or oif selector.
type ifmatch struct {
	set   bool
	index rpdb.LinkIndex // 0: detached, matches nothing
	vrf   bool           // matches every interface of the VRF
}

func (m ifmatch) matches(i, l3mdev rpdb.LinkIndex) bool {
	if !m.set {
		return true
	}
	return m.index != 0 && (i == m.index || m.vrf && l3mdev == m.index)
}

// mismatch returns the name of the first selector that keeps the rule from
// applying to k, "" if it applies (fib_rule_match, fib4_rule_match,
// fib6_rule_match). With not, "not" stands for the conjunction being true.
func (r *rule) mismatch(k *key) string {
	field := r.failing(k)
	if !r.Selector.Not {
		return field
	}
	if field == "" {
		return "not"
	}
	return ""
}

// failing returns the first selector that is false for k, in the kernel's
// order of evaluation.
func (r *rule) failing(k *key) string {
	s := &r.Selector
	switch {
	case !r.iif.matches(k.iif, k.l3mdev):
		return "iif"
	case !r.oif.matches(k.oif, k.l3mdev):
		return "oif"
	case !s.Mark.Matches(k.mark):
		return "fwmark"
	case s.TunID != 0 && s.TunID != k.tun:
		return "tun_id"
	case s.L3MDev && k.l3mdev == 0:
		return "l3mdev"
	case r.hasUID && !r.uids.Matches(k.uid):
		return "uidrange"
	}
	return r.failingFamily(k)
}

// failingFamily is the part that the families do each in their way.
func (r *rule) failingFamily(k *key) string {
	s := &r.Selector
	switch {
	case r.to.IsValid() && !r.to.Contains(k.dst):
		return "to"
	case r.from.IsValid() && !r.fromMatches(k):
		return "from"
	case s.TOS != 0 && !r.tosMatches(k.ds):
		return "tos"
	case r.hasDSCP && !r.dscp.Matches(k.ds>>2):
		return "dscp"
	case !s.FlowLabel.Matches(k.label):
		return "flowlabel"
	case s.IPProto != 0 && s.IPProto != k.proto:
		return "ipproto"
	case !s.SPort.Matches(k.sport):
		return "sport"
	case !s.DPort.Matches(k.dport):
		return "dport"
	}
	return ""
}

// fromMatches compares the source. IPv4 without one compares 0.0.0.0; in IPv6
// only a rule that looks for the source itself goes on.
func (r *rule) fromMatches(k *key) bool {
	if r.v6 && !k.hasSrc {
		return r.Flags&rpdb.RuleFindSaddr != 0
	}
	return r.from.Contains(k.src)
}

// legacyTOS is the part of the DS field that IPv4 compares with a tos.
const legacyTOS = 0x1c

func (r *rule) tosMatches(ds uint8) bool {
	if r.v6 {
		return r.Selector.TOS>>2 == ds>>2
	}
	return r.Selector.TOS == ds&legacyTOS
}

// findsSource reports whether the rule's from is still to be compared with the
// source that the route found leads to (FIB_RULE_FIND_SADDR).
func (r *rule) findsSource(k *key) bool {
	return r.v6 && !k.hasSrc && r.from.IsValid() && r.Flags&rpdb.RuleFindSaddr != 0
}

// needsPorts reports whether the rule makes the kernel dissect incoming
// packets (fib_rule_requires_fldissect).
func (r *rule) needsPorts() bool {
	s := &r.Selector
	return s.IIF != "lo" && (s.IPProto != 0 || s.SPort != rpdb.Ports{} || s.DPort != rpdb.Ports{})
}
