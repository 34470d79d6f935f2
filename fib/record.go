package fib

import "rpdb"

// recorder takes down what the evaluator does. A nil recorder takes down
// nothing; the evaluator calls it all the same, so that there is one walk.
type recorder struct {
	lookups []LookupTrace
}

// stepKind names the details that end no walk.
type stepKind uint8

const (
	stepNotMatched stepKind = iota
	stepMiss
	stepNoTable
	stepThrow
	stepSuppressed
	stepGoto
	stepUnresolved
	stepNop
)

// begin opens a lookup.
func (rec *recorder) begin(p Purpose, flow rpdb.Flow) {
	if rec != nil {
		rec.lookups = append(rec.lookups, LookupTrace{Purpose: p, Flow: flow})
	}
}

// end closes the lookup opened last.
func (rec *recorder) end(d rpdb.Decision) {
	if rec != nil {
		rec.lookups[len(rec.lookups)-1].Decision = d
	}
}

func (rec *recorder) add(r *rule, d Detail) {
	l := &rec.lookups[len(rec.lookups)-1]
	l.Steps = append(l.Steps, Step{Rule: r.Rule, Detail: d})
}

// step notes a rule after which the walk goes on. word is the selector that
// failed, or the suppressor.
func (rec *recorder) step(r *rule, kind stepKind, v verdict, word string) {
	if rec != nil {
		rec.add(r, stepDetail(r, kind, &v, word))
	}
}

func stepDetail(r *rule, kind stepKind, v *verdict, word string) Detail {
	table := r.Action.Table()
	if v.table != nil {
		table = v.table.id
	}
	switch kind {
	case stepMiss:
		return Miss{Table: table}
	case stepNoTable:
		return NoTable{Table: table}
	case stepThrow:
		return Throw{Table: table, Route: v.node.describe(v.route)}
	case stepSuppressed:
		return Suppressed{Table: table, Route: v.node.describe(v.route), By: word}
	case stepGoto:
		return GotoFollowed{Target: r.Action.Target()}
	case stepUnresolved:
		return GotoUnresolved{Target: r.Action.Target()}
	case stepNop:
		return NopPassed{}
	}
	return NotMatched{Field: word}
}

// decided notes the rule that ends the walk.
func (rec *recorder) decided(r *rule, v verdict) {
	if rec == nil {
		return
	}
	switch v.outcome {
	case unclear:
		rec.add(r, Unknown{Reason: v.note})
	case hit:
		rec.add(r, Chosen{Table: v.table.id, Route: v.node.describe(v.route), Hop: v.hop.out(), Either: v.either})
	default:
		d := Denied{Errno: v.errno}
		if v.route != nil {
			d.Table, d.Route = v.table.id, v.node.describe(v.route)
		}
		rec.add(r, d)
	}
}

// notAsked notes rules that the walk did not come to.
func (rec *recorder) notAsked(rules []rule) {
	if rec == nil {
		return
	}
	for i := range rules {
		rec.add(&rules[i], NotAsked{})
	}
}

// path corrects the nexthop noted last: IPv4 chooses among several only after
// the walk.
func (rec *recorder) path(v *verdict) {
	if rec == nil {
		return
	}
	steps := rec.lookups[len(rec.lookups)-1].Steps
	for i := range steps {
		if _, ok := steps[i].Detail.(Chosen); ok {
			steps[i].Detail = Chosen{Table: v.table.id, Route: v.node.describe(v.route), Hop: v.hop.out(), Either: v.either}
		}
	}
}
