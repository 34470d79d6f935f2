package iproute2

import (
	"strings"

	"rpdb"
)

// ParseRule reads the words after "ip rule add" as [RuleContext.ParseAdd]
// does, and returns the nearest rule. No words at all are the rule that looks
// up table main.
//
// Errors are of type *[ParseError].
func ParseRule(f rpdb.Family, words []string, n rpdb.Names) (rpdb.Rule, Given, error) {
	q, err := RuleContext{Family: f, Names: n}.request(words, false)
	return q.Rule(), q.given, err
}

// ParseRuleDelete reads the words after "ip rule del". What was not typed is
// zero: the type of the action is [rpdb.ActionUnspec], the table 0.
func ParseRuleDelete(f rpdb.Family, words []string, n rpdb.Names) (rpdb.Rule, Given, error) {
	q, err := RuleContext{Family: f, Names: n}.request(words, true)
	return q.Rule(), q.given, err
}

// The values below are read alike by add, delete, list and flush.

// mark reads MARK or MARK/MASK.
func (r *reader) mark() (value uint32, mask rpdb.Opt[uint32]) {
	first, second, hasMask := strings.Cut(r.next(), "/")
	if r.err != nil {
		return 0, mask
	}
	value = uint32(r.numberIn(first, 32, "fwmark value is invalid\n"))
	if hasMask && r.err == nil {
		mask = rpdb.Some(uint32(r.numberIn(second, 32, "fwmask value is invalid\n")))
	}
	return value, mask
}

// uids reads A-B as "%u-%u" of sscanf(3) does.
func (r *reader) uids() rpdb.UIDRange {
	word := r.next()
	first, rest, ok := scanUint32(word)
	if rest, dash := strings.CutPrefix(rest, "-"); ok && dash {
		if last, _, ok := scanUint32(rest); ok {
			return rpdb.UIDRange{First: first, Last: last}
		}
	}
	r.fail(BadArgument, word, "invalid UID range\n")
	return rpdb.UIDRange{}
}

// ipProtocol reads a protocol. Of one whose number does not fit a packet ip
// takes the lower eight bits, which are another protocol.
func (r *reader) ipProtocol() rpdb.IPProto {
	word := r.next()
	if r.err != nil {
		return 0
	}
	if n, err := parseUint(word, 10, 8); err == nil {
		return rpdb.IPProto(n)
	}
	if r.numbers != nil {
		n, ok := r.numbers("protocols", word)
		if !ok {
			r.fail(BadArgument, word, "Invalid \"ipproto\" value\n")
		}
		return rpdb.IPProto(n)
	}
	proto, ok := ParseIPProto(word)
	switch {
	case word == "mptcp" || word == "MPTCP":
		r.fail(BadArgument, word, "its number, 262, is more than the 255 that a packet holds, and ip would take 6, which is tcp")
	case !ok:
		r.fail(BadArgument, word, "Invalid \"ipproto\" value\n")
	}
	return proto
}

// portRange reads N, N/MASK or A-B.
func (r *reader) portRange() (ports RulePorts, mask rpdb.Opt[uint16]) {
	word := r.next()
	if r.err != nil {
		return ports, mask
	}
	if first, last, isRange := strings.Cut(word, "-"); isRange {
		ports.First = uint16(r.numberIn(first, 16, "invalid port range start"))
		ports.Last = uint16(r.numberIn(last, 16, "invalid port range end"))
		return ports, mask
	}
	value, maskWord, hasMask := strings.Cut(word, "/")
	if hasMask { // the first to be complained about
		mask = rpdb.Some(uint16(r.numberIn(maskWord, 16, "invalid mask")))
	}
	port := uint16(r.numberIn(value, 16, "invalid port"))
	return RulePorts{First: port, Last: port}, mask
}

// dscpMask reads N[/MASK] or FIELD[/MASK]. What is no number in any base is
// read as the DS field that the DSCP is part of: a name, or hexadecimal digits
// as in "b8" and "08".
func (r *reader) dscpMask() (value uint32, mask rpdb.Opt[uint32]) {
	first, second, hasMask := strings.Cut(r.next(), "/")
	if r.err != nil {
		return 0, mask
	}
	if n, err := parseUint(first, 0, 32); err == nil {
		value = uint32(n)
	} else if field, ok := r.dsfield(first); ok {
		value = uint32(field >> 2)
	} else {
		r.fail(BadArgument, first, "invalid dscp")
	}
	if hasMask && r.err == nil {
		mask = rpdb.Some(uint32(r.numberIn(second, 32, "invalid dscp mask")))
	}
	return value, mask
}

// label reads N[/MASK]; a label without a mask has the full one.
func (r *reader) label() rpdb.FlowLabel {
	value, mask, hasMask := strings.Cut(r.next(), "/")
	if r.err != nil {
		return rpdb.FlowLabel{}
	}
	l := rpdb.FlowLabel{Value: uint32(r.numberIn(value, 32, "invalid flowlabel")), Mask: 0xfffff}
	if hasMask && r.err == nil {
		l.Mask = uint32(r.numberIn(mask, 32, "invalid flowlabel mask"))
	}
	return l
}

func (r *reader) tunnel() uint64 { return r.number(64, "\"tun_id\" value is invalid\n") }

// signed reads a number of 31 bits. Unlike an unsigned one it must not wrap to
// be positive: the only negative number is 0.
func (r *reader) signed(reason string) int32 {
	word := r.next()
	n := r.numberIn(word, 31, reason)
	if n != 0 && strings.HasPrefix(strings.TrimLeft(word, space), "-") {
		r.fail(BadArgument, word, reason)
	}
	return int32(n)
}

// group reads the name or number of an interface group. ip cuts the number to
// 32 bits and takes it if it is not negative then.
func (r *reader) group() uint32 {
	word := r.next()
	if r.err != nil {
		return 0
	}
	builtin := func(s string) (uint32, bool) { return 0, s == "default" }
	if g, ok := named(r, "group", word, r.names.Groups, builtin); ok {
		return g
	}
	n, rest, overflow := strtoul(word, 0)
	if rest != "" || word == "" || overflow || int32(n) < 0 {
		r.fail(BadArgument, word, "Invalid \"suppress_ifgroup\" value\n")
	}
	return uint32(n)
}
