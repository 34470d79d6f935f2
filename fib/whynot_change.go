package fib

import (
	"cmp"
	"math/bits"
	"slices"

	"rpdb"
)

// field is a part of a flow that may be changed, in the order of what is most
// natural to change.
type field uint8

const (
	fieldMark field = iota
	fieldFrom
	fieldOIF
	fieldUID
	fieldTOS
	fieldIPProto
	fieldDPort
	fieldSPort
	fieldIIF
	fieldLabel
	fieldTun
	fieldCount
	// fieldFixed stands for what no change of the flow touches.
	fieldFixed = fieldCount
)

// word is the field in the words of "ip route get".
func (x field) word() string {
	return [fieldCount]string{
		"mark", "from", "oif", "uid", "tos", "ipproto", "dport", "sport", "iif", "flowlabel", "tun_id",
	}[x]
}

// fieldOf returns the field that a selector looks at.
func fieldOf(selector string) field {
	switch selector {
	case "fwmark":
		return fieldMark
	case "from":
		return fieldFrom
	case "oif":
		return fieldOIF
	case "uidrange":
		return fieldUID
	case "tos", "dscp":
		return fieldTOS
	case "ipproto":
		return fieldIPProto
	case "dport":
		return fieldDPort
	case "sport":
		return fieldSPort
	case "iif":
		return fieldIIF
	case "flowlabel":
		return fieldLabel
	case "tun_id":
		return fieldTun
	}
	return fieldFixed
}

// fieldSet is a set of fields, one bit each.
type fieldSet uint16

func (s fieldSet) has(x field) bool { return s>>x&1 != 0 }

func (s fieldSet) list() (all []field) {
	for x := range fieldCount {
		if s.has(x) {
			all = append(all, x)
		}
	}
	return all
}

// ruleFields is what one rule has to do with the fields.
type ruleFields struct {
	selects fieldSet
	failing fieldSet // of the selectors, whether or not the rule inverts them
	way     bool     // the rule could lead to the wish
}

// The bounds of the search.
const (
	maxFields     = 3          // that are changed together
	maxChanges    = 5          // that are named
	maxVisits     = 20_000_000 // of rules, by all lookups
	maxTries      = 60_000     // lookups
	valuesOfTwo   = 12         // of each field, if two are changed
	valuesOfThree = 6
)

// search looks for the smallest change of a flow.
type search struct {
	*inquiry
	free    fieldSet     // fields that may be changed
	fields  []ruleFields // of the rules
	own     ownAddresses
	tries   int // lookups left
	budget  int // lookups at the beginning
	bounded bool
	maybe   []FlowChange // of the fewest fields, only possible
}

func newSearch(q *inquiry) *search {
	s := &search{inquiry: q, fields: make([]ruleFields, len(q.rules)), own: q.f.ownAddresses(q.flow, q.wish.Link)}
	s.free = 1<<fieldMark | 1<<fieldFrom | 1<<fieldTOS | 1<<fieldIPProto | 1<<fieldDPort | 1<<fieldSPort
	if q.flow.IsInput() {
		s.free |= 1<<fieldIIF | 1<<fieldTun
	} else {
		s.free |= 1<<fieldOIF | 1<<fieldUID
	}
	if q.rs.v6 {
		s.free |= 1 << fieldLabel
	}
	for i := range s.fields {
		s.fields[i] = s.fieldsOf(q.rules[i])
	}
	for _, i := range q.ways {
		s.fields[i].way = true
	}
	s.budget = min(maxTries, maxVisits/(len(s.fields)+50))
	s.tries = s.budget
	return s
}

// fieldsOf notes the fields that a rule selects on, and which of them fail.
func (s *search) fieldsOf(r *rule) (f ruleFields) {
	for _, selector := range r.failures(&s.tape.key) {
		x := fieldOf(selector)
		if !s.free.has(x) {
			x = fieldFixed
		}
		f.failing |= 1 << x
	}
	sel := &r.Selector
	add := func(x field, on bool) {
		if on && s.free.has(x) {
			f.selects |= 1 << x
		}
	}
	add(fieldMark, sel.Mark.Mask != 0)
	add(fieldFrom, r.from.IsValid())
	add(fieldOIF, r.oif.set)
	add(fieldUID, r.hasUID)
	add(fieldTOS, sel.TOS != 0 || r.hasDSCP)
	add(fieldIPProto, sel.IPProto != 0)
	add(fieldDPort, sel.DPort != rpdb.Ports{})
	add(fieldSPort, sel.SPort != rpdb.Ports{})
	add(fieldIIF, r.iif.set)
	add(fieldLabel, sel.FlowLabel.Mask != 0)
	add(fieldTun, sel.TunID != 0)
	return f
}

// changes returns the changes of the fewest fields that fulfil the wish; maybe
// if there are only such that make it possible.
func (s *search) changes(now Fulfilment) (found []FlowChange, maybe bool) {
	for size := 1; size <= maxFields; size++ {
		sets, bounded := s.sets(size), s.bounded
		for _, set := range sets {
			if c, ok := s.aimed(set); ok {
				found = append(found, c)
			}
		}
		for _, set := range sets {
			if s.tries <= 0 {
				s.bounded = true
				break
			}
			if size > 1 && len(found) >= maxChanges || s.has(found, set) {
				continue
			}
			if c, ok := s.tryAll(set); ok {
				found = append(found, c)
			}
		}
		if len(found) > 0 {
			s.bounded = bounded // what is left out is no smaller change
			return s.best(found), false
		}
	}
	if now == FulfilledMaybe || len(s.maybe) == 0 {
		return nil, false
	}
	return s.best(s.maybe), true
}

// best puts changes into the order of [FIB.WhyNot] and keeps the first few.
func (s *search) best(found []FlowChange) []FlowChange {
	given := s.given()
	order := func(c FlowChange) int { return bits.OnesCount16(uint16(s.changed(c.Flow) & given)) }
	slices.SortStableFunc(found, func(a, b FlowChange) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), slices.Compare(s.changed(a.Flow).list(), s.changed(b.Flow).list()))
	})
	return found[:min(len(found), maxChanges)]
}

// given are the fields that the flow says something about.
func (s *search) given() (set fieldSet) { return differing(s.flow, rpdb.Flow{}) }

// changed are the fields in which a flow differs from the one asked about.
func (s *search) changed(flow rpdb.Flow) fieldSet { return differing(s.flow, flow) }

func differing(a, b rpdb.Flow) (set fieldSet) {
	for x := range fieldCount {
		if valueOf(a, x) != valueOf(b, x) {
			set |= 1 << x
		}
	}
	return set
}

// sets returns all sets of so many fields that may be changed, the most
// natural first.
func (s *search) sets(size int) []fieldSet {
	var all []fieldSet
	for set := fieldSet(1); set < 1<<fieldCount; set++ {
		if set&^s.free == 0 && bits.OnesCount16(uint16(set)) == size {
			all = append(all, set)
		}
	}
	slices.SortFunc(all, func(a, b fieldSet) int { return slices.Compare(a.list(), b.list()) })
	return all
}

// aimed tries to make each rule that leads to the wish match, where exactly
// these fields keep it from matching.
func (s *search) aimed(set fieldSet) (FlowChange, bool) {
	tries := 0
	for _, i := range s.ways {
		if s.fields[i].failing != set || s.rules[i].Selector.Not {
			continue
		}
		if tries++; tries > s.limit(1) {
			s.bounded = true
			break
		}
		flow, ok := s.flow, true
		for _, x := range set.list() {
			values := s.matching(s.rules[i], x)
			if ok = ok && len(values) > 0; ok {
				flow = withValue(flow, x, values[0])
			}
		}
		if !ok {
			continue
		}
		if c, ok := s.try(flow, set); ok {
			return c, true
		}
	}
	return FlowChange{}, false
}

// tryAll tries the values that the rules suggest for a set of fields, each
// with each.
func (s *search) tryAll(set fieldSet) (FlowChange, bool) {
	fields := set.list()
	values := make([][]value, len(fields))
	for i, x := range fields {
		values[i] = s.values(x, set, s.limit(len(fields)))
		if len(values[i]) == 0 {
			return FlowChange{}, false
		}
	}
	at := make([]int, len(fields))
	for {
		flow := s.flow
		for i, x := range fields {
			flow = withValue(flow, x, values[i][at[i]])
		}
		if c, ok := s.try(flow, set); ok {
			return c, true
		}
		i := len(at) - 1
		for ; i >= 0; i-- {
			if at[i]++; at[i] < len(values[i]) {
				break
			}
			at[i] = 0
		}
		if i < 0 || s.tries <= 0 {
			return FlowChange{}, false
		}
	}
}

// limit is how many values of one field are tried. Changes of one field get
// half of all lookups.
func (s *search) limit(size int) int {
	switch size {
	case 1:
		return max(s.budget/2/int(fieldCount), valuesOfTwo)
	case 2:
		return valuesOfTwo
	}
	return valuesOfThree
}

// try looks a changed flow up. It differs from the one asked about in exactly
// the fields of set, or is no change of these.
func (s *search) try(flow rpdb.Flow, set fieldSet) (FlowChange, bool) {
	if s.changed(flow) != set || !plausible(flow) {
		return FlowChange{}, false
	}
	if s.tries--; s.tries < 0 {
		s.bounded = true
		return FlowChange{}, false
	}
	d := s.f.Lookup(flow)
	verdict := s.fulfilled(d)
	if d.Note == noteAssumedOnLink || verdict != FulfilledYes && verdict != FulfilledMaybe {
		return FlowChange{}, false
	}
	d.Either = slices.Clone(d.Either)
	c := FlowChange{Flow: flow, Decision: d}
	for _, x := range set.list() {
		c.Fields = append(c.Fields, x.word())
	}
	if verdict == FulfilledYes {
		return c, true
	}
	if !s.has(s.maybe, set) && (len(s.maybe) == 0 || len(s.maybe[0].Fields) == len(c.Fields)) {
		s.maybe = append(s.maybe, c)
	}
	return FlowChange{}, false
}

// has reports whether there is a change of exactly the fields of set.
func (s *search) has(changes []FlowChange, set fieldSet) bool {
	return slices.ContainsFunc(changes, func(c FlowChange) bool { return s.changed(c.Flow) == set })
}

// plausible reports whether a packet can be like that: ports belong to the
// protocols that have them.
func plausible(flow rpdb.Flow) bool {
	if flow.SPort == 0 && flow.DPort == 0 {
		return true
	}
	switch flow.IPProto {
	case 0, rpdb.TCP, rpdb.UDP, 33, 132, 136: // DCCP, SCTP, UDP-Lite
		return true
	}
	return false
}

// ruleChanges lists the changes of one rule that fulfil the wish: to do
// without one that decided or jumped, or without its suppressors.
func (q *inquiry) ruleChanges() []RuleChange {
	if q.rs.pristine {
		return nil
	}
	var found []RuleChange
	for _, i := range q.suspects() {
		r := q.rules[i].Rule
		suppressed := q.notes[i].kind == stepSuppressed
		d := q.f.lookupWith(q.rules[i], suppressed, q.flow)
		if q.fulfilled(d) == FulfilledYes && d.Note != noteAssumedOnLink {
			found = append(found, RuleChange{Rule: r, Suppressor: suppressed, Decision: d})
		}
	}
	return found
}

// maxSuspects bounds the rules that are taken away to see what happens.
const maxSuspects = 16

// suspects are the rules without which the answer may be another one.
func (q *inquiry) suspects() []int {
	notes := q.notes
	acted := make([]bool, len(notes))
	for _, l := range q.lookups {
		if l.tape == nil || len(notes) == 0 {
			continue
		}
		for _, n := range l.tape.notes {
			i := seek(q.rules, n.rule.at)
			acted[i] = acted[i] || n.kind == stepDecided || n.kind == stepGoto
		}
	}
	for _, i := range q.ways {
		if i < len(notes) && notes[i].kind == stepSuppressed {
			acted[i] = true
		}
	}
	var list []int
	for i := range acted {
		toLocal := q.rules[i].Action == rpdb.ToTable(rpdb.TableLocal)
		if acted[i] && !toLocal && len(list) < maxSuspects {
			list = append(list, i)
		}
	}
	return list
}

// lookupWith looks a flow up without one rule, or without its suppressors.
func (f *FIB) lookupWith(without *rule, suppressors bool, flow rpdb.Flow) rpdb.Decision {
	g := f.without(without.Family, without.at)
	if suppressors {
		r := without.Rule
		r.Suppress = rpdb.Suppressor{}
		g = g.withRuleAt(r, without.at)
	}
	d := g.Lookup(flow)
	d.Either = slices.Clone(d.Either)
	return d
}
