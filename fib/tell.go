package fib

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"rpdb"
)

// steps tells what became of each rule.
func (t *tape) steps() []Step {
	notes := t.all()
	steps := make([]Step, len(notes))
	for i, n := range notes {
		steps[i] = t.stepOf(n)
	}
	return steps
}

// all returns what became of each rule of the list. The walk asked only those that
// fit and do something; what keeps the others from that is found out here.
func (t *tape) all() []note {
	rules := t.rs.rules.flat()
	notes := make([]note, len(rules))
	at, asked := 0, true // whether the walk came by the rules from there on
	pass := func(end order) {
		for ; at < len(notes) && rules[at].at < end; at++ {
			notes[at] = note{rule: rules[at], fact: -1}
			if asked {
				notes[at].kind, notes[at].word = rules[at].passed(&t.key)
			}
		}
	}
	for _, n := range t.inOrder() {
		pass(n.rule.at)
		notes[at], at = n, at+1
		switch n.kind {
		case stepDecided:
			asked = false
		case stepGoto:
			asked = false
			to, _ := t.rs.jumpOf(n.rule)
			pass(to.first)
			asked = true
		}
	}
	pass(^order(0))
	return notes
}

// passed says what became of a rule that the walk came by and did not ask.
func (r *rule) passed(k *key) (kind stepKind, word string) {
	switch word = r.mismatch(k); {
	case word != "":
		return stepNotMatched, word
	case r.Action.Type() == rpdb.ActionNop:
		return stepNop, ""
	}
	return stepNoTable, ""
}

// inOrder returns the notes in the order of the list, in which the walk made them
// but for rules that were never changed: there main decides before local is told of.
func (t *tape) inOrder() []note {
	if t.rs.merged == nil {
		return t.notes
	}
	return slices.SortedFunc(slices.Values(t.notes), func(a, b note) int { return cmp.Compare(a.rule.at, b.rule.at) })
}

// stepOf tells the story of a note.
func (t *tape) stepOf(n note) Step {
	r := n.rule
	var f fact
	if n.fact >= 0 && n.kind != stepNotAsked {
		f = t.facts[n.fact]
	}
	return Step{Rule: r.Rule, Detail: t.detail(r, n, &f.verdict), Candidates: t.candidates(&f, n.kind == stepDecided)}
}

func (t *tape) detail(r *rule, n note, v *verdict) Detail {
	table := r.Action.Table()
	if v.table != nil {
		table = v.table.id
	}
	switch n.kind {
	case stepNotMatched:
		return t.mismatch(r, n.word)
	case stepMiss:
		return Miss{Table: table}
	case stepNoTable:
		return NoTable{Table: table}
	case stepThrow:
		return Throw{Table: table, Route: v.node.describe(v.route)}
	case stepSuppressed:
		return Suppressed{Table: table, Route: v.node.describe(v.route), By: n.word}
	case stepGoto:
		return GotoFollowed{Target: r.Action.Target()}
	case stepUnresolved:
		return GotoUnresolved{Target: r.Action.Target()}
	case stepNop:
		return NopPassed{}
	case stepDecided:
		return v.detail()
	}
	return NotAsked{}
}

// detail tells what a rule that ended the walk did.
func (v *verdict) detail() Detail {
	switch v.outcome {
	case unclear:
		return Unknown{Reason: v.note}
	case hit:
		return Chosen{Table: v.table.id, Route: v.node.describe(v.route), Hop: v.hop.out(), Either: v.either}
	}
	d := Denied{Errno: v.errno}
	if v.route != nil {
		d.Table, d.Route = v.table.id, v.node.describe(v.route)
	}
	return d
}

// mismatch tells both sides of the selector that failed.
func (t *tape) mismatch(r *rule, field string) NotMatched {
	d := NotMatched{Field: field}
	if r.findsSource(&t.key) && field == "from" {
		return d // the source was the one that the route leads to
	}
	d.Packet, d.Rule = t.sides(r, field)
	d.Detached = field == "iif" && r.iif.index == 0 || field == "oif" && r.oif.index == 0
	return d
}

// sides returns what the packet has and what the rule wants, in the words of
// ip-rule(8). A side that is plain from the selector is empty.
func (t *tape) sides(r *rule, field string) (packet, wants string) {
	k, s := &t.key, &r.Selector
	switch field {
	case "iif":
		return t.link(k.iif), string(s.IIF)
	case "oif":
		return t.link(k.oif), string(s.OIF)
	case "fwmark":
		return hex(k.mark), masked(s.Mark.Value, s.Mark.Mask, 0xffffffff)
	case "tun_id":
		return decimal(k.tun), decimal(s.TunID)
	case "uidrange":
		return decimal(uint64(k.uid)), decimal(uint64(r.uids.First)) + "-" + decimal(uint64(r.uids.Last))
	case "to":
		return k.dst.String(), prefix(r.to)
	case "from":
		if !k.hasSrc {
			return "", prefix(r.from)
		}
		return k.src.String(), prefix(r.from)
	case "ipproto":
		return decimal(uint64(k.proto)), decimal(uint64(s.IPProto))
	case "sport":
		return decimal(uint64(k.sport)), ports(s.SPort)
	case "dport":
		return decimal(uint64(k.dport)), ports(s.DPort)
	}
	return k.field(r, field)
}

// field is sides for the fields of the header that classify packets.
func (k *key) field(r *rule, field string) (packet, wants string) {
	s := &r.Selector
	switch field {
	case "tos":
		if r.v6 {
			return hex(uint32(k.ds &^ 3)), hex(uint32(s.TOS))
		}
		return hex(uint32(k.ds & legacyTOS)), hex(uint32(s.TOS))
	case "dscp":
		return decimal(uint64(k.ds >> 2)), masked8(r.dscp)
	case "flowlabel":
		return hex(k.label), masked(s.FlowLabel.Value, s.FlowLabel.Mask, 0xfffff)
	}
	return "", ""
}

// link is the name of an interface in a flow, "" for none.
func (t *tape) link(i rpdb.LinkIndex) string { return string(t.fib.name(i)) }

// prefix is a prefix, or an address if it is of full length.
func prefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func hex(n uint32) string { return "0x" + strconv.FormatUint(uint64(n), 16) }

// masked is a value with its mask, unless that is the full one.
func masked(value, mask, full uint32) string {
	if mask == full {
		return hex(value)
	}
	return hex(value) + "/" + hex(mask)
}

func masked8(d rpdb.DSCP) string {
	if d.Mask == 0x3f {
		return decimal(uint64(d.Value))
	}
	return hex(uint32(d.Value)) + "/" + hex(uint32(d.Mask))
}

func ports(p rpdb.Ports) string {
	switch {
	case p.First != p.Last:
		return decimal(uint64(p.First)) + "-" + decimal(uint64(p.Last))
	case p.Mask != 0 && p.Mask != 0xffff:
		return hex(uint32(p.First)) + "/" + hex(uint32(p.Mask))
	}
	return decimal(uint64(p.First))
}
