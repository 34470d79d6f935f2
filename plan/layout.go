package plan

import (
	"cmp"
	"fmt"
	"slices"

	"rpdb"
)

// The priorities and tables that belong to rpdb, both ends included.
//
// The priorities hold two blocks of equal size, and at any time the rules of a
// policy stand in one of them: a rule at 10020 in the first has its place at
// 20020 in the second. In front of both stands the gate, a goto to the block
// that counts.
//
// A table of ours has a twin, [TwinOfTable], that a generation uses whose routes
// are not those of the generation before.
const (
	FirstPriority rpdb.Priority = 10000
	LastPriority  rpdb.Priority = 29999
	FirstTable    rpdb.TableID  = 82000
	LastTable     rpdb.TableID  = 82999
)

// Capacity is how many rules of one family a policy can have without a
// priority of their own.
const Capacity = int(lastOffset - firstOffset + 1)

const (
	blockSize rpdb.Priority = 10000
	// Where the rules of a block stand, from its first priority.
	firstOffset rpdb.Priority = 2
	lastOffset  rpdb.Priority = 9998
	// The gate stands at one of two priorities, so that a new one can stand
	// beside the old one: the first of the two counts.
	firstGate, secondGate = FirstPriority, FirstPriority + 1
	// tail ends the first block: a goto over the second one, to end.
	tail = FirstPriority + blockSize - 1
	// end is a nop that stands behind both blocks.
	end = LastPriority

	twinDistance rpdb.TableID = 1000
)

// TwinOfTable returns the other one of the two numbers that a table of ours
// has, and whether the table is one of ours.
func TwinOfTable(t rpdb.TableID) (rpdb.TableID, bool) {
	switch {
	case FirstTable <= t && t <= LastTable:
		return t + twinDistance, true
	case FirstTable+twinDistance <= t && t <= LastTable+twinDistance:
		return t - twinDistance, true
	}
	return 0, false
}

// LogicalTable returns the number that a policy knows a table by: of a table
// of ours and its twin the smaller one, of every other table the table.
func LogicalTable(t rpdb.TableID) rpdb.TableID {
	if twin, ok := TwinOfTable(t); ok {
		return min(t, twin)
	}
	return t
}

// IsOwnRule reports whether a rule carries our protocol number and a priority
// of our range, and holds nothing that we do not understand.
func IsOwnRule(r rpdb.Rule) bool {
	return r.Protocol == rpdb.ProtocolRPDB && r.Unknown == "" && inRange(r.Priority)
}

// IsScaffold reports whether a rule is one of those that hold a generation and
// decide nothing: the gate, the end of the first block, the end of both.
func IsScaffold(r rpdb.Rule) bool {
	if !IsOwnRule(r) {
		return false
	}
	c := r.Canonical()
	switch r.Priority {
	case firstGate, secondGate:
		return c == gate(r.Family, r.Priority, r.Action.Target())
	case tail:
		return c == tailRule(r.Family)
	case end:
		return c == endRule(r.Family)
	}
	return false
}

func inRange(p rpdb.Priority) bool { return FirstPriority <= p && p <= LastPriority }

// side is one of the two blocks.
type side int

const (
	none side = iota - 1
	first
	second
)

func (s side) other() side {
	if s == first {
		return second
	}
	return first
}

// base is the priority that offsets of a block count from.
func (s side) base() rpdb.Priority { return FirstPriority + rpdb.Priority(max(s, first))*blockSize }

// sideOf returns the block that a priority belongs to, none if it is not one
// for rules.
func sideOf(p rpdb.Priority) side {
	for _, s := range []side{first, second} {
		if s.base()+firstOffset <= p && p <= s.base()+lastOffset {
			return s
		}
	}
	return none
}

func ours(f rpdb.Family, p rpdb.Priority, a rpdb.Action) rpdb.Rule {
	return rpdb.Rule{Family: f, Priority: p, Action: a, Protocol: rpdb.ProtocolRPDB}
}

func gate(f rpdb.Family, at, to rpdb.Priority) rpdb.Rule { return ours(f, at, rpdb.Goto(to)) }
func tailRule(f rpdb.Family) rpdb.Rule                   { return ours(f, tail, rpdb.Goto(end)) }
func endRule(f rpdb.Family) rpdb.Rule                    { return ours(f, end, rpdb.Nop()) }

// layout is what a family's rules in our range are.
type layout struct {
	family rpdb.Family
	// gates are the priorities that the gates at the two places lead to, 0
	// where there is none that counts. A gate behind the one that counts is
	// spare, whatever it leads to.
	gates     [2]rpdb.Priority
	spare     rpdb.Priority
	tail, end bool
	// live is the block that packets are led to, none if they are led past
	// both. Its rules are canonical and in order.
	live  side
	rules []rpdb.Rule
	// dead are rules of the blocks that no packet is meant to see: those of the
	// other block, and in front of where the gate leads. Rules of ours elsewhere
	// are odd, doubled scaffolding for one. Of gates, broken are those that do not
	// count, in front of the one that does.
	dead, odd, broken []rpdb.Rule
	// strange are rules of others in our range, and of ours that are not
	// understood.
	strange []rpdb.Rule
}

// readLayout sorts the rules of a family that stand in our range.
func readLayout(actual *rpdb.Snapshot, family rpdb.Family) layout {
	l := layout{family: family, live: none}
	var blocks [2][]rpdb.Rule
	stands := map[rpdb.Priority]bool{}
	for _, r := range actual.Rules {
		if r.Family != family {
			continue
		}
		stands[r.Priority] = true
		switch {
		case !inRange(r.Priority):
		case !IsOwnRule(r):
			l.strange = append(l.strange, r)
		case IsScaffold(r) && l.scaffold(r):
		case sideOf(r.Priority) != none:
			s := sideOf(r.Priority)
			blocks[s] = append(blocks[s], r.Canonical())
		default:
			l.odd = append(l.odd, r.Canonical())
		}
	}
	from := l.findLive(blocks, stands)
	for s, rules := range blocks {
		if side(s) != l.live {
			l.dead = append(l.dead, rules...)
			continue
		}
		l.rules = rules
		if before := func(r rpdb.Rule) bool { return r.Priority < from }; slices.ContainsFunc(rules, before) {
			l.rules = nil
			for _, r := range rules {
				if before(r) {
					l.dead = append(l.dead, r)
				} else {
					l.rules = append(l.rules, r)
				}
			}
		}
	}
	return l
}

// deadIn returns the dead rules of a block, in order.
func (l *layout) deadIn(s side) []rpdb.Rule {
	var rules []rpdb.Rule
	for _, r := range l.dead {
		if sideOf(r.Priority) == s {
			rules = append(rules, r)
		}
	}
	return rules
}

// scaffold notes a rule of the scaffolding; false if there is one like it
// already.
func (l *layout) scaffold(r rpdb.Rule) bool {
	switch r.Priority {
	case tail:
		was := l.tail
		l.tail = true
		return !was
	case end:
		was := l.end
		l.end = true
		return !was
	}
	g := &l.gates[r.Priority-firstGate]
	if *g != 0 {
		return false
	}
	*g = r.Action.Target()
	return true
}

// findLive finds the block that packets are led to, and returns the priority
// from which on. Without any gate they walk into the first block that there is.
func (l *layout) findLive(blocks [2][]rpdb.Rule, stands map[rpdb.Priority]bool) rpdb.Priority {
	counts := -1
	for i, to := range l.gates {
		switch {
		case to == 0:
		case counts >= 0:
			l.spare, l.gates[i] = to, 0
		case stands[to]:
			counts = i
		default:
			l.broken = append(l.broken, gate(l.family, firstGate+rpdb.Priority(i), to))
			l.gates[i] = 0
		}
	}
	if counts >= 0 {
		l.live = sideOf(l.gates[counts])
		return l.gates[counts]
	}
	for s, rules := range blocks {
		if len(rules) > 0 {
			l.live = side(s)
			return 0
		}
	}
	return 0
}

// RangeError says that a rule that is not ours stands where the rules of a
// policy go. Nothing can be planned until it stands elsewhere: the gate would
// lead packets past it.
type RangeError struct{ Rule rpdb.Rule }

// Error names the rule, its owner and the range.
func (e *RangeError) Error() string {
	owner := fmt.Sprintf("of protocol %d", e.Rule.Protocol)
	if e.Rule.Protocol == rpdb.ProtocolRPDB {
		owner = "with attributes that are not known here"
	}
	return fmt.Sprintf("plan rules (%v): %v %s stands among the priorities %d to %d, which the rules of a policy need for themselves",
		e.Rule.Family, e.Rule, owner, FirstPriority, LastPriority)
}

// byPriority orders rules as they are walked.
func byPriority(rules []rpdb.DesiredRule) {
	slices.SortStableFunc(rules, func(a, b rpdb.DesiredRule) int { return cmp.Compare(a.Rule.Priority, b.Rule.Priority) })
}
