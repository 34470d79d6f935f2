package fib

import (
	"net/netip"
	"slices"

	"rpdb"
)

// Wish is an outcome that somebody expected of a flow. Every part that is set
// has to come true; the zero Wish asks for nothing and every decision fulfils
// it. It is comparable.
type Wish struct {
	Link rpdb.LinkName `json:"dev,omitzero"` // the packet leaves by it; for loopback: is delivered here
	Via  netip.Addr    `json:"via,omitzero"` // the packet leaves to this gateway
	// Table is the table whose route decides, an error route as well.
	Table rpdb.TableID `json:"table,omitzero"`
	// Rule is the priority of the rule that decides, a denial as well.
	Rule rpdb.Opt[rpdb.Priority] `json:"rule,omitzero"`
}

// Fulfilment says whether a decision is what was wished.
type Fulfilment string

// A decision is the one wished, or another; or it is one of several of which
// some are and some are not; or it is not known.
const (
	FulfilledNo      Fulfilment = "no"
	FulfilledMaybe   Fulfilment = "maybe"
	FulfilledYes     Fulfilment = "yes"
	FulfilledUnknown Fulfilment = "unknown"
)

// WhyNot says why the decision about a flow is not another one, and what would
// make it that. Like a [Trace] it refers to the FIB: read it only.
type WhyNot struct {
	Wish      Wish          `json:"wish"`
	Fulfilled Fulfilment    `json:"fulfilled"`
	Decision  rpdb.Decision `json:"decision"`
	// Decided is the step that ended the walk of the rules; nil if none did.
	Decided *Step `json:"decided,omitempty"`
	// Checks are what stood in the way and is no rule that was asked: the
	// source is not of this host, forwarding is off, the reverse-path check.
	Checks []Obstacle `json:"checks,omitempty"`
	// Ways are the rules that could lead to the wish, in the order of the
	// list, and for each what stood in the way.
	Ways []Way `json:"ways,omitempty"`
	// Unasked are tables with a route to the destination as wished that no
	// rule looks up, in order; of a wish for a table, that one.
	Unasked []rpdb.TableID `json:"unasked_tables,omitempty"`
	// Link says what is wrong with the interface itself: "down", "no carrier"
	// or nothing.
	Link string `json:"dev_state,omitzero"`
	// Changes of the flow fulfil the wish. All change the same number of
	// fields, and no change of fewer fields was found; see [FIB.WhyNot] for
	// the order. If Maybe, none was found that does more than make it
	// possible.
	Changes []FlowChange `json:"changes,omitempty"`
	Maybe   bool         `json:"maybe,omitzero"`
	// Without are changes of one rule that fulfil the wish for the flow as it
	// is, in the order of the list.
	Without []RuleChange `json:"rule_changes,omitempty"`
	// Bounded says that the search ended before all was tried that it tries
	// where there are fewer rules: a smaller change is possible.
	Bounded bool `json:"bounded,omitzero"`
}

// FlowChange is a change of a flow that has been looked up.
type FlowChange struct {
	// Fields are the parts that differ, in the words of "ip route get": mark,
	// from, oif, uid, tos, ipproto, dport, sport, iif, flowlabel, tun_id.
	Fields   []string      `json:"fields"`
	Flow     rpdb.Flow     `json:"flow"`
	Decision rpdb.Decision `json:"decision"`
}

// RuleChange is a change of one rule that has been looked up with.
type RuleChange struct {
	Rule rpdb.Rule `json:"rule"`
	// Suppressor says that only the rule's suppressors are taken away, and
	// not the rule.
	Suppressor bool          `json:"suppressor,omitzero"`
	Decision   rpdb.Decision `json:"decision"`
}

// Way is a rule that could lead to the wish.
type Way struct {
	Rule rpdb.Rule `json:"rule"`
	// Route is a route of the rule's table as wished; nil if the wish names
	// no interface and no gateway.
	Route *rpdb.Route `json:"route,omitempty"`
	// Obstacles are all that stood in the way, in the order in which the
	// kernel comes to them. None: the rule did its part.
	Obstacles []Obstacle `json:"obstacles,omitempty"`
}

// ObstacleKind is the kind of an [Obstacle].
type ObstacleKind string

// The obstacles, with the fields of [Obstacle] that each fills in.
const (
	ObstacleCheck      ObstacleKind = "check"        // before or after the rules; Note
	ObstacleReverse    ObstacleKind = "reverse-path" // Rule and Route of the way back, if there is one; Note
	ObstacleTaken      ObstacleKind = "taken"        // Rule decided before
	ObstacleJumped     ObstacleKind = "jumped"       // Rule is a goto past the way
	ObstacleSelector   ObstacleKind = "selector"     // Selectors do not match
	ObstacleNot        ObstacleKind = "not"          // all selectors match, and the rule says not
	ObstaclePassive    ObstacleKind = "passive"      // a goto or nop never decides
	ObstacleNoTable    ObstacleKind = "no-table"     // Table does not exist or is empty
	ObstacleNoRoute    ObstacleKind = "no-route"     // Table has no usable route to the destination
	ObstacleUnusable   ObstacleKind = "unusable"     // the way's own route cannot be used; Note
	ObstacleThrow      ObstacleKind = "throw"        // Route leaves the table first
	ObstacleOther      ObstacleKind = "other-route"  // Route of the table comes first
	ObstacleEither     ObstacleKind = "either"       // the route has several ways
	ObstacleSuppressed ObstacleKind = "suppressed"   // Note is the suppressor
	ObstacleUnknown    ObstacleKind = "unknown"      // Note says what is not known
)

// Obstacle is one thing that stood in the way of a wish.
type Obstacle struct {
	Kind      ObstacleKind `json:"kind"`
	Selectors []NotMatched `json:"selectors,omitempty"`
	Rule      *rpdb.Rule   `json:"rule,omitempty"`
	Table     rpdb.TableID `json:"table,omitzero"`
	Route     *rpdb.Route  `json:"route,omitempty"`
	Note      string       `json:"note,omitzero"`
}

// WhyNot answers why a flow is not decided as wished: which rules could have
// done it, what stood in the way of each, and the smallest change of the flow,
// or of one rule, that fulfils the wish. Every change that it names has been
// looked up, and is decided as wished.
//
// A change of the flow sets one, two or three fields to values that the rules,
// the interfaces and the addresses suggest; of two and three fields only the
// most promising are tried together. The destination and the kind of socket
// stay. A packet of this host stays one, from an address of the host, and one
// that comes in still does. Changes that only add what the flow leaves open
// come first; among those the order is mark, from, oif, uid, tos, ipproto,
// dport, sport, iif, flowlabel, tun_id. At most five are named, each of other
// fields. A change after which an IPv4 packet is sent without a route, to be on
// the link of the bound interface, is none.
//
// The work is bounded: linear in the number of rules, and lookups that go past
// some twenty million rules. In pristine rule lists no change of a rule is
// named, and nowhere that of a rule that looks up table local, without which a
// host hears nothing.
func (f *FIB) WhyNot(flow rpdb.Flow, wish Wish) WhyNot {
	q := f.inquire(flow, wish)
	out := WhyNot{Wish: wish, Decision: q.decision, Fulfilled: q.fulfilled(q.decision), Decided: q.tape.decided()}
	if out.Fulfilled == FulfilledYes || nonsense(&flow) != "" {
		return out
	}
	out.Checks = q.checks()
	out.Ways = q.findWays()
	out.Unasked = q.unaskedTables()
	out.Link = f.linkState(wish.Link)
	s := newSearch(q)
	out.Changes, out.Maybe = s.changes(out.Fulfilled)
	out.Bounded = s.bounded
	out.Without = q.ruleChanges()
	return out
}

// linkState says what keeps every route by a link from being used.
func (f *FIB) linkState(name rpdb.LinkName) string {
	l := f.byName[name]
	switch {
	case l == nil:
		return ""
	case !l.IsUp():
		return "down"
	case !l.HasCarrier():
		return "no carrier"
	}
	return ""
}

// inquiry is one question why not.
type inquiry struct {
	f        *FIB
	flow     rpdb.Flow
	wish     Wish
	rs       *ruleset
	rules    []*rule // of rs
	decision rpdb.Decision
	lookups  []LookupTrace
	tape     *tape  // of the lookup that gave the answer, or would if the rules were asked
	notes    []note // what became of each rule; none if they were not asked
	ways     []int  // indices of the rules that could lead to the wish
	tables   map[*table]*tableView
}

func (f *FIB) inquire(flow rpdb.Flow, wish Wish) *inquiry {
	rec := recorder{fib: f}
	q := &inquiry{f: f, flow: flow, wish: wish, rs: f.rulesetOf(flow), tables: map[*table]*tableView{}}
	q.rules = q.rs.rules.flat()
	asked := flow
	f.decide(&asked, &q.decision, &rec)
	q.lookups = rec.lookups
	for i, l := range q.lookups {
		if l.Purpose != ReversePath {
			q.tape = q.lookups[i].tape
		}
	}
	if q.tape == nil {
		q.tape = &tape{fib: f, rs: q.rs, key: f.plainKey(flow)}
		return q
	}
	q.notes = q.tape.all()
	return q
}

func (f *FIB) rulesetOf(flow rpdb.Flow) *ruleset {
	if flow.Dst.Is4() {
		return &f.v4
	}
	return &f.v6
}

// plainKey is what the rules would be asked about a flow that was answered
// before they were.
func (f *FIB) plainKey(flow rpdb.Flow) key {
	var k key
	flow.Dst, flow.Src = flow.Dst.WithZone(""), flow.Src.WithZone("")
	k.set(&flow)
	k.output, k.iif = !flow.IsInput(), loopback
	if l := f.byName[flow.IIF]; l != nil && flow.IsInput() {
		k.iif, k.uid = l.Index, 0
	}
	if l := f.byName[flow.OIF]; l != nil {
		k.oif = l.Index
	}
	f.setVRF(&k)
	k.want = k.oif
	return k
}

// deciding returns the index of the note that ended a walk, -1 if none did.
func deciding(notes []note) int {
	return slices.IndexFunc(notes, func(n note) bool { return n.kind == stepDecided })
}

// decided is the step that ended the walk, nil if none did.
func (t *tape) decided() *Step {
	i := deciding(t.notes)
	if i < 0 {
		return nil
	}
	step := t.stepOf(t.notes[i])
	return &step
}

// fulfilled says whether a decision is the one wished.
func (q *inquiry) fulfilled(d rpdb.Decision) Fulfilment {
	w := q.wish
	if d.Disposition == rpdb.DispositionUnknown {
		return FulfilledUnknown
	}
	if w.Table != 0 && q.tableOf(d) != w.Table || w.Rule.IsSet() && d.Rule != w.Rule {
		return FulfilledNo
	}
	if !w.isHop() {
		return FulfilledYes
	}
	if !d.Disposition.Delivered() {
		return FulfilledNo
	}
	return w.fulfilledBy(d.Hop, d.Either)
}

// isHop reports whether the wish is about how the packet leaves.
func (w Wish) isHop() bool { return w.Link != "" || w.Via.IsValid() }

func (w Wish) isOf(h rpdb.Hop) bool {
	return (w.Link == "" || h.Link == w.Link) && (!w.Via.IsValid() || h.Via == w.Via)
}

func (w Wish) fulfilledBy(h rpdb.Hop, either []rpdb.Hop) Fulfilment {
	if len(either) == 0 {
		either = []rpdb.Hop{h}
	}
	count := 0
	for _, e := range either {
		if w.isOf(e) {
			count++
		}
	}
	switch count {
	case 0:
		return FulfilledNo
	case len(either):
		return FulfilledYes
	}
	return FulfilledMaybe
}

// tableOf returns the table that answered. The kernel names main for what
// table local answered while the rules were never changed.
func (q *inquiry) tableOf(d rpdb.Decision) rpdb.TableID {
	if q.rs.merged != nil && d.Table == rpdb.TableMain && d.Rule == rpdb.Some(rpdb.PriorityLocal) {
		return rpdb.TableLocal
	}
	return d.Table
}

// checks lists what stood in the way and is no rule of the walk.
func (q *inquiry) checks() []Obstacle {
	d := q.decision
	switch {
	case d.Disposition == rpdb.DispositionUnknown:
		return []Obstacle{{Kind: ObstacleUnknown, Note: d.Note}}
	case d.Rule.IsSet() || d.Disposition.Delivered() || d.Note == noteEnd:
		return nil
	}
	last := len(q.lookups) - 1
	if last < 0 || q.lookups[last].Purpose != ReversePath || d.Disposition != rpdb.Martian {
		return []Obstacle{{Kind: ObstacleCheck, Note: d.Note}}
	}
	o := Obstacle{Kind: ObstacleReverse, Note: d.Note}
	if t := q.lookups[last].tape; t != nil {
		if step := t.decided(); step != nil {
			o.Rule = &step.Rule
			if c, ok := step.Detail.(Chosen); ok {
				o.Table, o.Route = c.Table, &c.Route
			}
		}
	}
	return []Obstacle{o}
}
