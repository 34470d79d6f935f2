package fib

import (
	"net/netip"

	"rpdb"
)

// ruleset is the rule list of one family and its tables.
type ruleset struct {
	v6    bool
	rules list
	found *classifier
	// targets are the priorities that gotos name, by the order of their first rules.
	targets shards[order, target]
	ports   int // rules that make the kernel look into incoming packets
	realms  int // IPv4 rules that carry realms
	tables  map[rpdb.TableID]*table
	// pristine rules were never changed, so lookups go past the list
	// (fib_has_custom_rules); rules is then the built-in one. In IPv4 the
	// tables local and main are one trie, merged.
	pristine bool
	// absent are those of the built-in rules that were taken away all the same:
	// IPv6 goes by them until a rule is added (fib6_rule_configure).
	absent   []order
	merged   *table
	noRoutes bool           // the routes of the family are not in the snapshot
	gappy    bool           // some of them are not
	missing  []rpdb.TableID // the tables that are not
}

// verdict is the answer of a walk of the rules.
type verdict struct {
	result
	rule  *rule // nil: none decided
	table *table
}

// errNoRoute is the errno of a walk that came to the end of the list.
const errNoRoute = rpdb.ENETUNREACH

// walk asks the rules in order until one decides (fib_rules_lookup), and puts its
// answer into v. Outcomes are hit, denied and unclear; the end of the list is denied
// without a rule.
func (f *FIB) walk(rs *ruleset, k *key, v *verdict, rec *recorder) {
	f.setVRF(k)
	rec.walk(rs, k)
	if rs.merged != nil {
		f.walkMerged(rs, k, v, rec)
		return
	}
	a := asking{rs: rs, image: newImage(k), fits: !rs.v6 || k.hasSrc}
	for r := a.next(k); r != nil; r = a.next(k) {
		if to, ok := rs.follows(r); ok {
			rec.step(r, stepGoto, &verdict{}, "")
			a.at = to.end
			if rec != nil { // which tells of the gotos on the way as well
				a.at = to.first
			}
			continue
		}
		if f.act(rs, r, k, v, rec) {
			return
		}
	}
	v.end()
}

const (
	noteEnd         = "no rule gave a route"
	noteUnknownRule = "the deciding rule has attributes that this program does not know"
	noteUnknownVRF  = "the table of the VRF is not in the snapshot"
	noteNoSource    = "the source that the rule asks for cannot be told from the snapshot"
	noteShared      = "routes share a nexthop object, and the kernel may compare the prefix of another one of them"
	noteGroup       = "the interface group depends on a multipath choice that cannot be foreseen"
)

// act does the action of a matching rule; decided is false if the walk goes
// on with the next one.
func (f *FIB) act(rs *ruleset, r *rule, k *key, v *verdict, rec *recorder) (decided bool) {
	*v = verdict{rule: r}
	switch r.does {
	case rpdb.ActionTable:
		f.consult(rs, r, k, v, rec)
		decided = v.outcome == hit || v.outcome == denied || v.outcome == unclear
	case rpdb.ActionGoto:
		if _, ok := rs.jumpOf(r); !ok || !r.unknown {
			rec.step(r, stepUnresolved, v, "")
			return false
		}
		decided = true
	case rpdb.ActionNop:
		rec.step(r, stepNop, v, "")
		return false
	case rpdb.ActionUnreachable:
		v.outcome, v.errno, decided = denied, rpdb.ENETUNREACH, true
	case rpdb.ActionProhibit:
		v.outcome, v.errno, decided = denied, rpdb.EACCES, true
	default: // blackhole, and every action the kernel does not know
		v.outcome, v.errno, decided = denied, rpdb.EINVAL, true
	}
	if decided && r.unknown {
		v.result = result{outcome: unclear, note: noteUnknownRule}
	}
	if decided {
		rec.decided(r, v)
	}
	return decided
}

// consult looks the rule's table up and applies the suppressors, for a verdict that
// has no result yet. A miss, a throw and a suppressed route come back as miss,
// recorded.
func (f *FIB) consult(rs *ruleset, r *rule, k *key, v *verdict, rec *recorder) {
	t, ok := f.tableOf(rs, r, k)
	if !ok {
		v.result = result{outcome: unclear, note: noteUnknownVRF}
		return
	}
	v.table = t
	if rs.lacks(t) {
		v.result = result{outcome: unclear, note: noteNoTable}
		return
	}
	if t == nil || t.size == 0 {
		rec.step(r, stepNoTable, v, "")
		return
	}
	if rs.v6 {
		t.find6(f, k, &v.result, rec)
	} else {
		t.find4(k, &v.result, rec)
	}
	switch v.outcome {
	case miss:
		rec.step(r, stepMiss, v, "")
	case thrown:
		rec.step(r, stepThrow, v, "")
		v.result = result{}
	case hit:
		f.accept(rs, r, k, v, rec)
	}
}

// accept applies what a rule still has to say about a route found: the
// suppressors, and in IPv6 the source that it is to lead to.
func (f *FIB) accept(rs *ruleset, r *rule, k *key, v *verdict, rec *recorder) {
	if r.findsSource(k) {
		src, ok := f.source6(k.dst, nil, v.hop) // what the route says of a source does not count
		if !ok {
			v.result = result{outcome: unclear, note: noteNoSource}
			return
		}
		if !r.from.Contains(src) {
			rec.step(r, stepNotMatched, v, "from")
			v.result = result{}
			return
		}
		k.src = src
	}
	by, doubt := f.suppresses(rs, r, &v.result)
	switch {
	case doubt != "":
		v.result = result{outcome: unclear, note: doubt}
	case by != "":
		rec.step(r, stepSuppressed, v, by)
		v.result = result{}
	}
}

// suppresses returns the suppressor that refuses a route, "" if none does
// (fib4_rule_suppress, fib6_rule_suppress), and the reason if that cannot be
// told.
func (f *FIB) suppresses(rs *ruleset, r *rule, res *result) (by, doubt string) {
	if r.prefixLen < 0 && !r.hasIfGroup {
		return "", ""
	}
	if rs.v6 && rs.gappy && res.route.nhid != 0 && r.prefixLen >= 0 {
		return "", noteShared
	}
	if shared, ok := f.shared[res.route.nhid]; rs.v6 && ok {
		// Linux 6.18 caches answers by nexthop, not by route: the prefix
		// compared may be that of another route by the same object.
		if int32(shared.min) <= r.prefixLen && r.prefixLen < int32(shared.max) {
			return "", noteShared
		}
	}
	if int32(res.length) <= r.prefixLen {
		return "suppress_prefixlength", ""
	}
	if !r.hasIfGroup {
		return "", ""
	}
	h := res.hop
	if !rs.v6 { // the choice of the path comes later
		h = &res.route.hops[0]
	}
	refused := h.inGroup(r.ifGroup)
	if rs.v6 && len(res.either) > 0 {
		for i := range res.route.hops {
			if res.route.hops[i].inGroup(r.ifGroup) != refused {
				return "", noteGroup
			}
		}
	}
	if refused {
		return "suppress_ifgroup", ""
	}
	return "", ""
}

func (h *hop) inGroup(group uint32) bool { return h.link != nil && h.link.Group == group }

// tableOf returns the table that a rule looks up for a flow, nil if it is
// absent; not ok if the table of a VRF is not known. A rule for VRFs that
// matches a flow outside of any (by not) looks up table 0, which means main.
func (f *FIB) tableOf(rs *ruleset, r *rule, k *key) (t *table, ok bool) {
	if !r.isVRFLookup {
		return r.table, true
	}
	if k.l3mdev == 0 {
		return rs.tables[rpdb.TableMain], true
	}
	vrf := f.byIndex[k.l3mdev]
	if vrf == nil || vrf.VRFTable == 0 {
		return nil, false
	}
	return rs.tables[vrf.VRFTable], true
}

// walkMerged is the walk of IPv4 rules that were never changed: the longest
// prefix of local and main together, then default (fib_lookup). The kernel
// reports table main for both. The two steps recorded for local and main are
// one search.
func (f *FIB) walkMerged(rs *ruleset, k *key, v *verdict, rec *recorder) {
	rules := rs.rules.parts[0]
	local, main, rest := rules[0], rules[1], rules[2]
	*v = verdict{table: rs.merged, rule: main}
	if rs.lacks(rs.merged) {
		v.result = result{outcome: unclear, note: noteNoTable}
		rec.decided(main, v)
		return
	}
	rs.merged.find4(k, &v.result, rec)
	if v.outcome == hit || v.outcome == denied || v.outcome == unclear {
		if v.route.table == rpdb.TableLocal {
			v.rule = local
			rec.decided(local, v)
			return
		}
		rec.decided(main, v)
		rec.step(local, stepMiss, &verdict{table: local.table}, "")
		return
	}
	rec.step(main, stepMiss, &verdict{table: main.table}, "")
	rec.step(local, stepMiss, &verdict{table: local.table}, "")
	if !f.act(rs, rest, k, v, rec) {
		v.end()
	}
}

// end is the answer of a walk that came to the end of the list.
func (v *verdict) end() {
	*v = verdict{result: result{outcome: denied, errno: errNoRoute, note: noteEnd}}
}

// decision starts the answer for a verdict about a flow: what the rules decided, or
// the error. Delivered decisions still lack the disposition and the addresses.
func (v *verdict) decision(k *key, d *rpdb.Decision) {
	*d = rpdb.Decision{Errno: v.errno, Note: v.note}
	if v.rule != nil {
		d.Rule = rpdb.Some(v.rule.at.priority())
	}
	switch v.outcome {
	case unclear:
		d.Errno = 0
		return
	case denied:
		d.Disposition = rpdb.Refused
	}
	if v.route == nil {
		return
	}
	d.Table, d.Type = v.table.id, v.route.typ
	d.Prefix, _ = k.dst.Prefix(int(v.length))
	if v.outcome == hit {
		d.Hop, d.Either = v.hop.out(), v.either
	}
}

// unspecified reports whether an address is absent.
func unspecified(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }
