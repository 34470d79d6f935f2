package fib

import (
	"slices"

	"rpdb"
)

// recorder takes down what the evaluator does. A nil recorder takes down
// nothing; the evaluator calls it all the same, so that there is one walk.
//
// It takes down as little as the story can be told from later, since a walk may
// go past thousands of rules of which nobody asks: see [tape].
type recorder struct {
	fib     *FIB
	lookups []LookupTrace
	checks  []ReverseCheck
}

// stepKind is what became of a rule. The zero value is a rule that the walk did
// not come to.
type stepKind uint8

const (
	stepNotAsked stepKind = iota
	stepNotMatched
	stepMiss
	stepNoTable
	stepThrow
	stepSuppressed
	stepGoto
	stepUnresolved
	stepNop
	stepDecided
)

// tape is what was taken down of one walk. It points into the compiled FIB,
// which never changes.
type tape struct {
	fib   *FIB
	rs    *ruleset
	key   key    // what the rules saw
	notes []note // of the rules that fit, as the walk came to them
	facts []fact
	// passed lists what tables passed over, of one consultation after the
	// other; the current one begins at mark.
	passed []passed
	mark   int
	second bool // the current one gives dead gateways a second chance
}

// note is what became of one rule.
type note struct {
	rule *rule
	word string // the selector that failed, or the suppressor
	fact int32  // index of the fact, -1: there is none
	kind stepKind
}

// fact is an answer that belongs to a note: there are few in a walk, and most
// notes have none.
type fact struct {
	verdict
	passed []passed
	second bool
}

// passed is what a table passed over: a nexthop; a route, where hop is nil; all
// routes from route to the end of the node, of which one may have been taken,
// where rest is set; or the routes for other sources below the node, where route
// is nil too.
type passed struct {
	node  *node
	route *route
	hop   *hop
	why   why
	rest  bool
}

// why is the reason for which a route or nexthop is passed over. The zero value
// is none.
type why uint8

const (
	fits            why = iota
	passedTOS           // the TOS of the route is not that of the packet
	passedDead          // dead
	passedLinkdown      // without carrier, and such are ignored
	passedDevice        // by another interface than the flow is bound to
	passedNeighbour     // the gateway is known to be dead
	passedScore         // IPv6: another one of the same prefix has a better score
	passedOrder         // another one of the same prefix comes first
	passedSource        // IPv6: for other sources
	passedHidden        // IPv6: hidden by routes for other sources
	passedObject        // behind a nexthop object without a usable member
)

// begin opens a lookup.
func (rec *recorder) begin(p Purpose, flow *rpdb.Flow) {
	if rec != nil {
		rec.lookups = append(rec.lookups, LookupTrace{Purpose: p, Flow: *flow})
	}
}

// reverse notes a reverse-path check that was made.
func (rec *recorder) reverse(r *reverse, v ReverseVerdict, why ReverseReason) {
	if rec != nil {
		rec.checks = append(rec.checks, newReverseCheck(r, v, why))
	}
}

// doubtReverse says of the check noted last that it may come to something else.
func (rec *recorder) doubtReverse() {
	if rec != nil {
		c := &rec.checks[len(rec.checks)-1]
		c.Verdict, c.Reason = ReverseUnknown, ReverseUnclear
	}
}

// source notes how the source of a packet was chosen. Where a question is
// repeated with the source that the one before it led to, that is what counts.
func (rec *recorder) source(k *key) {
	if rec == nil {
		return
	}
	l := rec.last()
	l.source = chosenBy{fib: rec.fib, by: k.by, out: k.out}
	if n := len(rec.lookups); l.Purpose == Repeat && k.by == SourceGiven && n > 1 {
		l.source = rec.lookups[n-2].source
	}
}

// end closes the lookup opened last.
func (rec *recorder) end(d *rpdb.Decision) {
	if rec != nil {
		rec.last().Decision = *d
	}
}

func (rec *recorder) last() *LookupTrace { return &rec.lookups[len(rec.lookups)-1] }

// walk begins the walk of a lookup.
func (rec *recorder) walk(rs *ruleset, k *key) {
	if rec != nil {
		rec.last().tape = &tape{fib: rec.fib, rs: rs, key: *k}
	}
}

// step notes a rule after which the walk goes on. word is the selector that
// failed, or the suppressor.
func (rec *recorder) step(r *rule, kind stepKind, v *verdict, word string) {
	if rec != nil {
		rec.last().tape.step(r, kind, v, word)
	}
}

func (t *tape) step(r *rule, kind stepKind, v *verdict, word string) {
	n := note{rule: r, word: word, fact: -1, kind: kind}
	// That the rule's own table is empty is told without a fact.
	if v.route != nil || v.table != nil && v.table.id != r.Action.Table() || len(t.passed) > t.mark {
		n.fact = t.fact(v)
	}
	t.notes = append(t.notes, n)
}

// fact keeps an answer with what was passed over for it.
func (t *tape) fact(v *verdict) int32 {
	t.facts = append(t.facts, fact{*v, t.passed[t.mark:len(t.passed):len(t.passed)], t.second})
	t.mark, t.second = len(t.passed), false
	return int32(len(t.facts) - 1)
}

// pass notes a nexthop that a table passes over, or a route, or the routes for
// other sources below a node.
func (rec *recorder) pass(n *node, r *route, h *hop, why why) {
	if rec != nil {
		t := rec.last().tape
		t.passed = append(t.passed, passed{node: n, route: r, hop: h, why: why})
	}
}

// rest notes the last routes of a node, which are not looked at any more.
func (rec *recorder) rest(n *node, routes []*route, why why) {
	if rec != nil && len(routes) > 0 {
		t := rec.last().tape
		t.passed = append(t.passed, passed{node: n, route: routes[0], why: why, rest: true})
	}
}

// again begins the search of a table anew, with less strict conditions.
func (rec *recorder) again() {
	if rec != nil {
		t := rec.last().tape
		t.passed, t.second = t.passed[:t.mark], true
	}
}

// decided notes the rule that ends the walk.
func (rec *recorder) decided(r *rule, v *verdict) {
	if rec == nil {
		return
	}
	t := rec.last().tape
	t.notes = append(t.notes, note{rule: r, fact: t.fact(v), kind: stepDecided})
}

// path corrects the nexthop noted last: IPv4 chooses among several only after
// the walk.
func (rec *recorder) path(v *verdict) {
	if rec == nil {
		return
	}
	t := rec.last().tape
	for _, n := range slices.Backward(t.notes) {
		if n.kind == stepDecided {
			t.facts[n.fact].verdict = *v
		}
	}
}
