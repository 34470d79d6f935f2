package fib

import (
	"cmp"
	"maps"
	"slices"

	"rpdb"
)

// orderOf returns the order of the first rule of a priority.
func orderOf(p rpdb.Priority) order { return order(p) << 32 }

func (o order) priority() rpdb.Priority { return rpdb.Priority(o >> 32) }

// jump is where a goto leads.
type jump struct {
	first order // the first rule of the priority
	// end is first, or where the gotos end that begin there and that every flow
	// follows.
	end order
}

// target is a priority that gotos name, by the order of its first rule.
type target struct {
	jump      // zero if no rule has the priority
	named int // how many gotos name it
	plain int // how many of them every flow follows
}

// shard is the priority: those that gotos name lie close together.
func (o order) shard() uint64 { return uint64(o.priority()) }

// setRules compiles a list of rules in place of the one that there is. As in the
// kernel they stand by priority, those of one priority as they come.
func (f *FIB) setRules(rs *ruleset, rules []rpdb.Rule) {
	compiled, all := make([]rule, len(rules)), make([]terms, len(rules))
	sorted := make([]*rule, len(rules))
	for i, r := range rules {
		compiled[i] = f.newRule(rs, r, &all[i])
		sorted[i] = &compiled[i]
	}
	slices.SortStableFunc(sorted, func(a, b *rule) int { return cmp.Compare(a.Priority, b.Priority) })
	rs.ports, rs.realms = 0, 0
	for i, r := range sorted {
		r.at = orderOf(r.Priority)
		if i > 0 && sorted[i-1].Priority == r.Priority {
			r.at = sorted[i-1].at + 1
		}
		rs.count(r, 1)
	}
	rs.rules, rs.found = newList(sorted), newClassifier(sorted, enough)
	rs.setJumps()
}

// count notes a rule more, or one less, in what the whole list is asked for.
func (rs *ruleset) count(r *rule, n int) {
	if r.needsPorts() {
		rs.ports += n
	}
	if !rs.v6 && r.Realms != 0 {
		rs.realms += n
	}
}

// setJumps works out where all gotos lead.
func (rs *ruleset) setJumps() {
	targets := map[order]target{}
	for r := range rs.rules.from(0) {
		if r.does == rpdb.ActionGoto {
			at := orderOf(r.target)
			to := targets[at]
			targets[at] = to.counted(r, 1)
		}
	}
	rs.targets = newShards(targets)
	// The last ones first, since those before may lead to them.
	for _, at := range slices.Backward(slices.Sorted(maps.Keys(targets))) {
		to, _ := rs.targets.get(at)
		to.jump = rs.jumpTo(at)
		rs.targets.part(at)[at] = to // nobody else has it yet
	}
}

// counted returns the target with a goto more that names it, or one less.
func (to target) counted(r *rule, n int) target {
	to.named += n
	if r.fitsAll() && !r.unknown {
		to.plain += n
	}
	return to
}

// jumpTo works out where a goto to a priority leads.
func (rs *ruleset) jumpTo(at order) (to jump) {
	for first := range rs.rules.at(at.priority()) {
		to = jump{first.at, first.at}
		if onward, ok := rs.follows(first); ok && first.fitsAll() {
			to.end = onward.end
		}
		break
	}
	return to
}

// jumpAnew works out what a rule changes of where gotos lead that came, or went.
func (rs *ruleset) jumpAnew(r *rule, n int) {
	if r.does == rpdb.ActionGoto {
		at := orderOf(r.target)
		to, _ := rs.targets.get(at)
		if to = to.counted(r, n); to.named == 0 {
			rs.targets = rs.targets.without(at)
		} else {
			to.jump = rs.jumpTo(at)
			rs.targets = rs.targets.with(at, to)
		}
	}
	at := orderOf(r.Priority)
	switch to, named := rs.targets.get(at); {
	case !named || to.jump == rs.jumpTo(at):
	case to.plain > 0:
		rs.setJumps() // what leads there leads on to somewhere else
	default:
		to.jump = rs.jumpTo(at)
		rs.targets = rs.targets.with(at, to)
	}
}

// fitsAll reports whether the rule fits every flow, by having no selectors.
func (r *rule) fitsAll() bool { return r.Selector.Canonical() == rpdb.Selector{} }

// jumpOf returns where a goto leads; not ok if there is no such rule behind it.
func (rs *ruleset) jumpOf(r *rule) (jump, bool) {
	to, _ := rs.targets.get(orderOf(r.target))
	return to.jump, to.first > r.at
}

// follows returns where a walk goes on behind a rule that fits, if the rule is a
// goto that leads somewhere and is fully known.
func (rs *ruleset) follows(r *rule) (jump, bool) {
	if r.does != rpdb.ActionGoto || r.unknown {
		return jump{}, false
	}
	return rs.jumpOf(r)
}

// WithRule returns the FIB with one rule more, behind those of its priority, as the
// kernel adds it. Its cost does not grow with the number of routes, and with that
// of rules only by the copy of a list, but where gotos that every flow follows lead
// to the rule: then all gotos are looked at. Both share what they have in common, and
// both stay as they are. In a namespace whose rules were never changed they are from
// now on, which in IPv4 parts the tables local and main and costs as much as to
// compile them. A rule of neither family is left out, as by [Compile].
func (f *FIB) WithRule(r rpdb.Rule) *FIB {
	if r.Family.Bits() == 0 {
		return f
	}
	at := orderOf(r.Priority)
	if last := f.ruleset(r.Family).rules.last(r.Priority); last != nil {
		at = last.at + 1
	}
	return f.withRuleAt(r, at)
}

// withRuleAt is WithRule in a place that no rule has.
func (f *FIB) withRuleAt(r rpdb.Rule, at order) *FIB {
	return f.change(r.Family, func(g *FIB, rs *ruleset) {
		n := g.newRule(rs, r, new(terms))
		n.at = at
		rs.rules = rs.rules.with(&n)
		rs.found = rs.found.with(&n)
		rs.count(&n, 1)
		rs.jumpAnew(&n, 1)
	})
}

// WithoutRule returns the FIB with one rule less: the first that equals r in its
// canonical form, priority and protocol included. It reports whether there is one.
// What is said of [FIB.WithRule] holds here too, but that IPv6 goes by the rules of a
// new namespace until one is added, whichever of them are taken away.
func (f *FIB) WithoutRule(r rpdb.Rule) (*FIB, bool) {
	want := r.Canonical()
	rs := f.ruleset(r.Family)
	for own := range rs.rules.at(r.Priority) {
		if own.Canonical() == want && !slices.Contains(rs.absent, own.at) {
			return f.without(r.Family, own.at), true
		}
	}
	return f, false
}

// ruleset returns the rules of a family.
func (f *FIB) ruleset(family rpdb.Family) *ruleset {
	if family == rpdb.IPv6 {
		return &f.v6
	}
	return &f.v4
}

// without is WithoutRule for the rule of an order, which is there.
func (f *FIB) without(family rpdb.Family, at order) *FIB {
	if rs := f.ruleset(family); rs.v6 && rs.pristine {
		g := *f
		g.v6.absent = append(slices.Clip(rs.absent), at)
		return &g
	}
	return f.change(family, func(_ *FIB, rs *ruleset) { rs.remove(at) })
}

// remove takes the rule of an order away.
func (rs *ruleset) remove(at order) {
	for r := range rs.rules.from(at) {
		rs.rules = rs.rules.without(r)
		rs.found = rs.found.without(r)
		rs.count(r, -1)
		rs.jumpAnew(r, -1)
		return
	}
}

// change returns a FIB in which a function has changed the rules of a family. The
// function must not modify what they share.
func (f *FIB) change(family rpdb.Family, by func(*FIB, *ruleset)) *FIB {
	g := *f
	rs := g.ruleset(family)
	if rs.pristine {
		g.customise(rs) // which compiles the rules anew
	}
	by(&g, rs)
	if g.gaps.idle != nil {
		g.splitForwarding6()
	}
	return &g
}

// customise makes rules that were never changed a list like any other. In IPv4
// local and main become tables of their own (fib_unmerge).
func (f *FIB) customise(rs *ruleset) {
	rs.pristine = false
	for _, at := range rs.absent {
		rs.remove(at)
	}
	rs.absent = nil
	if rs.merged == nil {
		return
	}
	rs.tables = maps.Clone(rs.tables)
	merged := rs.merged
	rs.merged = nil
	for _, id := range []rpdb.TableID{rpdb.TableLocal, rpdb.TableMain} {
		rs.tables[id] = newTable(id, false)
		rs.tables[id].missing, rs.tables[id].numbered = slices.Contains(rs.missing, id), merged.numbered
	}
	for i := range merged.nodes {
		n := &merged.nodes[i]
		for _, r := range n.routes {
			t := rs.tables[r.table]
			t.size++
			if n.prefix.Bits() == 0 {
				t.defaults++
			}
			t.pending = append(t.pending, placed{n.prefix, r})
		}
	}
	for _, id := range []rpdb.TableID{rpdb.TableLocal, rpdb.TableMain} {
		rs.tables[id].finish(rs.v6)
	}
	f.setRules(rs, rulesOf(rs.rules.flat()))
}

func rulesOf(compiled []*rule) []rpdb.Rule {
	rules := make([]rpdb.Rule, len(compiled))
	for i, r := range compiled {
		rules[i] = r.Rule
	}
	return rules
}
