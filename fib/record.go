package fib

import "rpdb"

// recorder takes down what the evaluator does. A nil recorder takes down
// nothing; the evaluator calls it all the same, so that there is one walk.
//
// It takes down as little as the story can be told from later, since a walk may
// go past thousands of rules of which nobody asks: see [tape].
type recorder struct {
	fib     *FIB
	lookups []LookupTrace
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
	notes []note // of each rule of the list
	facts []fact
}

// note is what became of one rule.
type note struct {
	word string // the selector that failed, or the suppressor
	fact int32  // index of the fact, -1: there is none
	kind stepKind
}

// fact is an answer that belongs to a note: there are few in a walk, and most
// notes have none.
type fact struct{ verdict }

// begin opens a lookup.
func (rec *recorder) begin(p Purpose, flow rpdb.Flow) {
	if rec != nil {
		rec.lookups = append(rec.lookups, LookupTrace{Purpose: p, Flow: flow})
	}
}

// end closes the lookup opened last.
func (rec *recorder) end(d rpdb.Decision) {
	if rec != nil {
		rec.last().Decision = d
	}
}

func (rec *recorder) last() *LookupTrace { return &rec.lookups[len(rec.lookups)-1] }

// walk begins the walk of a lookup.
func (rec *recorder) walk(rs *ruleset, k *key) {
	if rec != nil {
		rec.last().tape = &tape{fib: rec.fib, rs: rs, key: *k, notes: make([]note, len(rs.rules))}
	}
}

// step notes a rule after which the walk goes on. word is the selector that
// failed, or the suppressor.
func (rec *recorder) step(r *rule, kind stepKind, v verdict, word string) {
	if rec != nil {
		rec.last().tape.step(r, kind, v, word)
	}
}

func (t *tape) step(r *rule, kind stepKind, v verdict, word string) {
	n := note{word: word, fact: -1, kind: kind}
	// That the rule's own table has no route is told without a fact.
	if v.route != nil || v.table != nil && v.table.id != r.Action.Table() {
		n.fact = int32(len(t.facts))
		t.facts = append(t.facts, fact{v})
	}
	t.notes[r.place] = n
}

// decided notes the rule that ends the walk.
func (rec *recorder) decided(r *rule, v verdict) {
	if rec == nil {
		return
	}
	t := rec.last().tape
	t.notes[r.place] = note{fact: int32(len(t.facts)), kind: stepDecided}
	t.facts = append(t.facts, fact{v})
}

// path corrects the nexthop noted last: IPv4 chooses among several only after
// the walk.
func (rec *recorder) path(v *verdict) {
	if rec == nil {
		return
	}
	t := rec.last().tape
	t.facts[t.notes[v.rule.place].fact].verdict = *v
}
