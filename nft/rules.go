package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// headOf is the comment of the rules that say the most about a translation. It
// tells what no expression does: the rule of the RPDB, the table that the rule's own
// is a copy of, and whether the inbound map of the block belongs to this translation
// or only to another of the same block.
func headOf(t rpdb.Translation) string {
	s := t.String()
	if t.CopyOf != 0 {
		s = fmt.Sprintf("%s%d: %s", tablePrefix, t.CopyOf, s)
	}
	if t.Rule != 0 {
		s = fmt.Sprintf("%s%d: %s", rulePrefix, t.Rule, s)
	}
	if t.Inbound {
		s += inboundSuffix
	}
	if t.NoTrack {
		s += untrackedSuffix
	}
	return s
}

const (
	rulePrefix, tablePrefix        = "rule ", "copy of table "
	inboundSuffix, untrackedSuffix = ", inbound", ", untracked"
)

// readHead is the way back from headOf, but for what expressions tell.
func readHead(comment string, t *rpdb.Translation) {
	number := func(prefix string) (n uint64) {
		if rest, ok := strings.CutPrefix(comment, prefix); ok {
			digits, rest, _ := strings.Cut(rest, ": ")
			n, _ = strconv.ParseUint(digits, 10, 32)
			comment = rest
		}
		return n
	}
	t.Rule, t.CopyOf = rpdb.Priority(number(rulePrefix)), rpdb.TableID(number(tablePrefix))
	comment, t.NoTrack = strings.CutSuffix(comment, untrackedSuffix)
	t.Inbound = strings.HasSuffix(comment, inboundSuffix)
}

const commentNeighbours = "neighbour discovery"

// neighbours keeps messages of neighbour discovery as they are: a neighbour may
// ask the host about an address of the outside block, and must get its answer.
func neighbours() rule {
	return rule{"prerouting", commentNeighbours, []expr{
		meta{regWork, metaL4Proto},
		compare{regWork, opEqual, string([]byte{byte(rpdb.ICMPv6)})},
		payload{reg: regWork, base: baseTransport, len: 1},
		between{regWork, opEqual, string([]byte{133}), string([]byte{137})},
		verdict{verdictAccept},
	}}
}

// rulesOf returns what a translation is in nf_tables.
func rulesOf(t rpdb.Translation) []rule {
	var all []rule
	if t.Kind.Stateless() {
		all = stateless(t)
	} else {
		all = append(all, rule{"srcnat", headOf(t), slices.Concat(tie(t), fromBlock(t), sourceNAT(t))})
		if t.Inbound {
			match := inBlock(loadAddr(layoutOf(t.Family), false), t.To)
			all = append(all, rule{"dstnat", inboundOf(t), append(match, blockNAT(t.Family, natDestination, t.From)...)})
		}
	}
	if t.Family == rpdb.IPv6 {
		all = append(all, restored(t))
	}
	return all
}

func inboundOf(t rpdb.Translation) string { return fmt.Sprintf("%v to %v", t.To, t.From) }

// fromBlock matches the inside block, if the translation has one.
func fromBlock(t rpdb.Translation) []expr {
	if !t.From.IsValid() {
		return nil
	}
	return inBlock(loadAddr(layoutOf(t.Family), true), t.From)
}

func sourceNAT(t rpdb.Translation) []expr {
	switch t.Kind {
	case rpdb.TranslateBlock:
		return blockNAT(t.Family, natSource, t.To)
	case rpdb.TranslateAddress:
		return []expr{
			immediate{regWork, addrBytes(t.To.Addr())},
			nat{natSource, uint32(t.Family), regWork, regWork, natAddresses},
		}
	}
	return []expr{masquerade{}}
}

// blockNAT keeps the bits of the address that the block does not fix.
func blockNAT(f rpdb.Family, typ uint32, p netip.Prefix) []expr {
	first := p.Addr().AsSlice()
	last := slices.Clone(first)
	for i, m := range []byte(netMask(p.Bits(), len(last))) {
		last[i] |= ^m
	}
	return []expr{
		immediate{regWork, string(first)},
		immediate{regLast, string(last)},
		nat{typ, uint32(f), regWork, regLast, natAddresses | natBlock},
	}
}

// stateless returns the rules that change each packet by itself: the source of
// those that the rule has routed and the destination of those that come for the
// outside block, each also in the header that an ICMP error carries of the packet
// that it is about, where it is the other one.
func stateless(t rpdb.Translation) []rule {
	l := layoutOf(t.Family)
	out := side{chain: "postrouting", head: headOf(t), match: append(tie(t), fromBlock(t)...), from: t.From, to: t.To, source: true}
	in := side{chain: "prerouting", head: inboundOf(t), match: inBlock(loadAddr(l, false), t.To), from: t.To, to: t.From}
	var all []rule
	if t.NoTrack {
		all = append(
			all, rule{"prerouting", "untracked " + t.From.String(), append(fromBlock(t), notrack{})},
			rule{"prerouting", "untracked " + t.To.String(), append(slices.Clone(in.match), notrack{})},
		)
	}
	sides := []side{out}
	if t.Inbound {
		sides = append(sides, in)
	}
	for _, s := range sides {
		for _, icmp := range icmpErrors(t.Family) {
			inner := s
			inner.head += " in ICMP errors"
			inner.match = slices.Concat(s.match, icmp, inBlock(loadEmbedded(l, !s.source), s.from))
			inner.inner = true
			all = append(all, inner.rules(t)...)
		}
		all = append(all, s.rules(t)...)
	}
	return all
}

// icmpErrors returns matches that together are the messages with a header of
// another packet in them: destination unreachable, time exceeded and parameter
// problem, in IPv6 packet too big as well.
func icmpErrors(f rpdb.Family) [][]expr {
	typ := payload{reg: regWork, base: baseTransport, len: 1}
	of := func(p rpdb.IPProto, test expr) []expr {
		return []expr{meta{regWork, metaL4Proto}, compare{regWork, opEqual, string([]byte{byte(p)})}, typ, test}
	}
	if f == rpdb.IPv4 {
		return [][]expr{
			of(rpdb.ICMP, compare{regWork, opEqual, string([]byte{3})}),
			of(rpdb.ICMP, between{regWork, opEqual, string([]byte{11}), string([]byte{12})}),
		}
	}
	return [][]expr{of(rpdb.ICMPv6, between{regWork, opEqual, string([]byte{1}), string([]byte{4})})}
}

// side is one direction of a stateless map, or its embedded headers.
type side struct {
	chain, head string
	match       []expr
	from, to    netip.Prefix
	source      bool // the direction in which the source of the packet changes
	inner       bool
}

// where returns the load of the address that changes.
func (s side) where(l layout) payload {
	if s.inner {
		return loadEmbedded(l, !s.source)
	}
	return loadAddr(l, s.source)
}

func (s side) rules(t rpdb.Translation) []rule {
	l := layoutOf(t.Family)
	at := s.where(l)
	if t.Kind == rpdb.TranslateNeutral {
		return s.neutral(at)
	}
	store := at
	store.store = true
	switch {
	case !s.inner:
		store.sum, store.sumOff, store.sumFlags = l.sum, l.sumOff, sumPseudo
	case t.Family == rpdb.IPv4:
		// With its own checksum put right the embedded header adds up to
		// what it was, and so does the message.
		store.sum, store.sumOff = sumInet, icmpHead+l.sumOff
	default:
		store.sum, store.sumOff = sumInet, 2 // of the ICMPv6 message
	}
	return []rule{s.rule(append(changeBlock(at, s.to), store))}
}

// rule returns one rule of the side. A packet is translated once; an embedded
// header is not the last that changes of it.
func (s side) rule(do []expr) rule {
	if !s.inner {
		do = append(do, verdict{verdictAccept})
	}
	return rule{s.chain, s.head, append(slices.Clone(s.match), do...)}
}

// changeBlock loads the address and puts it into the block.
func changeBlock(at payload, to netip.Prefix) []expr {
	return []expr{at, maskXor(inverse(netMask(to.Bits(), int(at.len))), addrBytes(to.Addr()))}
}
