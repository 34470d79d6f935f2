package iproute2

import (
	"net/netip"
	"slices"

	"rpdb"
)

// RuleContext is what the words of a rule are read with. The zero value has
// built-in names and no family.
type RuleContext struct {
	// Family is what -4, -6, -M and so on say, 0 without any of them. Numbers
	// other than those of the two families are sent to the kernel as they are.
	Family rpdb.Family
	Names  rpdb.Names
	// Numbers looks a name up in one of ip's files: "rt_tables", "rt_protos",
	// "rt_realms", "rt_dsfield", "group", and "protocols" for IP protocols. If
	// it is not nil, it alone says what a name means; numbers are read here.
	Numbers func(file, name string) (uint32, bool)
	// Translate says that nat translates, as it does in a policy, and is not the
	// action of ip-rule(8) that no kernel knows any more: see [RuleRequest.NAT].
	Translate bool
}

// RuleNAT is what stands behind nat where that translates: an address, with the
// length that was written behind it or -1; no address is masquerade, which 0 and the
// unspecified addresses mean too.
type RuleNAT struct {
	Addr     netip.Addr
	Family   rpdb.Family // that of the address; 0 if the word is not one
	Bits     int
	Word     string // as it was typed
	Position int    // index of the word in the words given
}

// Families that ip has options for and that have no policy rules.
const (
	familyBridge rpdb.Family = 7  // AF_BRIDGE, -B
	familyPacket rpdb.Family = 17 // AF_PACKET, -0
	familyMPLS   rpdb.Family = 28 // AF_MPLS, -M
)

// RuleAddress is an address of a rule as it is sent. An invalid Addr is an
// attribute without value, which is what "all" means. Bits is the prefix
// length of the header.
type RuleAddress struct {
	Addr netip.Addr
	Bits uint8
}

// RulePorts is a port range attribute as it is sent.
type RulePorts struct{ First, Last uint16 }

// RuleRequest is what was typed after "ip rule add" or "ip rule del", as ip
// sends it: each field is an attribute of the message or a part of its header,
// and an Opt is absent where ip sends no attribute. It can hold what an
// [rpdb.Rule] cannot, because ip sends much that the kernel then refuses,
// bends or ignores. The zero value asks for nothing; see
// [RuleContext.ParseAdd]. Its methods do not modify it.
type RuleRequest struct {
	Delete bool
	Family rpdb.Family // of the header: IPv4 if none was given

	// The header.
	Not    bool
	TOS    uint8
	Table  uint8 // 0 also where LongTable is sent
	Action rpdb.ActionType

	// The attributes.
	From, To      rpdb.Opt[RuleAddress]
	Priority      rpdb.Opt[rpdb.Priority]
	LongTable     rpdb.Opt[rpdb.TableID] // 256 and more; wins over Table
	Goto          rpdb.Opt[rpdb.Priority]
	Gateway       rpdb.Opt[netip.Addr] // of nat; the kernel ignores it
	NAT           rpdb.Opt[RuleNAT]    // in the place of that with [RuleContext.Translate]; not sent
	Mark          rpdb.Opt[uint32]
	MarkMask      rpdb.Opt[uint32]
	Realms        rpdb.Opt[rpdb.Realms]
	Protocol      rpdb.Opt[rpdb.Protocol]
	TunID         rpdb.Opt[uint64]
	SuppressLen   rpdb.Opt[uint32]
	SuppressGroup rpdb.Opt[uint32]
	IIF, OIF      rpdb.Opt[rpdb.LinkName]
	L3MDev        bool
	UIDRange      rpdb.Opt[rpdb.UIDRange]
	IPProto       rpdb.Opt[rpdb.IPProto]
	SPort, DPort  rpdb.Opt[RulePorts]
	SPortMask     rpdb.Opt[uint16] // only where it is not 0xffff
	DPortMask     rpdb.Opt[uint16]
	DSCP          rpdb.Opt[uint8]
	DSCPMask      rpdb.Opt[uint8] // only where it is not 0x3f
	FlowLabel     rpdb.Opt[rpdb.FlowLabel]

	sent        wire     // the attributes, one after the other as they were typed
	familyGiven bool     // with an option
	given       Given    // what the fields cannot tell
	nats        int      // how often nat was typed
	doubts      []string // what was typed and means something else, for Strict
	actions     []string // as typed, but for lookups, for Strict
}

// Given says which parts of a rule were typed, where the rule itself cannot
// tell: without a priority the kernel chooses one, and a delete compares only
// what it is given.
type Given struct {
	Priority bool
	Table    bool // a table, not the one that an add without any means
	Action   bool // an action other than a table lookup
	Goto     bool // a goto target, also where another action came after it
}

// Given returns which parts were typed.
func (q RuleRequest) Given() Given { return q.given }

// Warnings returns the lines that ip prints to its standard error before it
// sends the request, without newlines.
func (q RuleRequest) Warnings() []string {
	return slices.Repeat([]string{natWarning}, q.nats)
}

const natWarning = "Warning: route NAT is deprecated"

// ParseAdd reads the words after "ip rule add" in the grammar of iproute2 7.1,
// abbreviations included: the last value of a keyword wins, and a rule without
// an action looks up table main. Nothing is checked that the kernel checks,
// and the family is that of the context, whatever the addresses are. The error
// is of type *[ParseError].
func (c RuleContext) ParseAdd(words []string) (RuleRequest, error) { return c.parse(words, false) }

// ParseDelete reads the words after "ip rule del". The type of the action is
// [rpdb.ActionUnspec] unless one was typed. The error is of type
// *[ParseError].
func (c RuleContext) ParseDelete(words []string) (RuleRequest, error) { return c.parse(words, true) }

func (c RuleContext) parse(words []string, del bool) (RuleRequest, error) {
	if len(words) == 0 {
		verb := "add"
		if del {
			verb = "del"
		}
		return RuleRequest{}, &ParseError{Kind: BadCommand, Reason: `"ip rule ` + verb + `" requires arguments.`, exit: exitFailed}
	}
	return c.request(words, del)
}

// request is parse that also takes no words at all.
func (c RuleContext) request(words []string, del bool) (RuleRequest, error) {
	p := requestParser{reader: c.reader(words), family: c.Family, translate: c.Translate}
	p.parse(del)
	return p.q, p.failure()
}

func (c RuleContext) reader(words []string) reader {
	return reader{words: words, names: c.Names, numbers: c.Numbers}
}

// Rule returns the rule that comes nearest to the request: as it was typed,
// host bits included. What no rule can hold is left out.
func (q RuleRequest) Rule() rpdb.Rule {
	table := rpdb.TableID(q.Table)
	if t, ok := q.LongTable.Get(); ok {
		table = t
	}
	target, _ := q.Goto.Get()
	r := rpdb.Rule{Family: q.Family, Selector: q.selector(), Action: rpdb.RawAction(q.Action, table, target)}
	r.Priority, _ = q.Priority.Get()
	r.Realms, _ = q.Realms.Get()
	r.Protocol, _ = q.Protocol.Get()
	if n, ok := q.SuppressLen.Get(); ok {
		r.Suppress.PrefixLength = rpdb.Some(int32(n))
	}
	r.Suppress.IfGroup = q.SuppressGroup
	return r
}

func (q RuleRequest) selector() rpdb.Selector {
	s := rpdb.Selector{Not: q.Not, TOS: q.TOS, L3MDev: q.L3MDev, UIDRange: q.UIDRange}
	s.From, s.To = prefixOf(q.From), prefixOf(q.To)
	s.IIF, _ = q.IIF.Get()
	s.OIF, _ = q.OIF.Get()
	s.TunID, _ = q.TunID.Get()
	s.IPProto, _ = q.IPProto.Get()
	s.FlowLabel, _ = q.FlowLabel.Get()
	s.SPort, s.DPort = portsOf(q.SPort, q.SPortMask), portsOf(q.DPort, q.DPortMask)
	s.Mark.Value, _ = q.Mark.Get()
	if mask, ok := q.MarkMask.Get(); ok {
		s.Mark.Mask = mask
	} else if s.Mark.Value != 0 { // the kernel takes 0 for no mark
		s.Mark.Mask = 0xffffffff
	}
	if v, ok := q.DSCP.Get(); ok {
		d := rpdb.DSCP{Value: v, Mask: 0x3f}
		if mask, ok := q.DSCPMask.Get(); ok {
			d.Mask = mask
		}
		s.DSCP = rpdb.Some(d)
	}
	return s
}

func prefixOf(a rpdb.Opt[RuleAddress]) netip.Prefix {
	address, _ := a.Get()
	if !address.Addr.IsValid() || (address.Bits == 0 && address.Addr.IsUnspecified()) {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(address.Addr, int(address.Bits))
}

func portsOf(ports rpdb.Opt[RulePorts], mask rpdb.Opt[uint16]) rpdb.Ports {
	p, ok := ports.Get()
	m, masked := mask.Get()
	switch {
	case !ok:
		return rpdb.Ports{}
	case masked:
		return rpdb.Ports{First: p.First, Last: p.Last, Mask: m}
	case p.First == p.Last:
		return rpdb.Port(p.First)
	}
	return rpdb.PortRange(p.First, p.Last)
}
