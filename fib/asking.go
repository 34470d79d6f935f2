package fib

// asking is the walk of one flow past the rules that fit it.
type asking struct {
	rs *ruleset
	at order // where it is: rules before that are done with
	image
	fits bool // whether the image is enough for rules that say all by it
	// nothing has a bit for each of the first shapes that have no rule for the flow.
	nothing uint64
	// lists are what is left of the rules that the first shapes have for the
	// flow; listed are those that have been looked up.
	lists  [listed][]*rule
	listed uint
	// spent is how many shapes were asked. Where a flow goes on and on past rules of
	// many shapes, to ask one rule after the other is soon less work.
	spent int
}

// listed is for how many shapes a walk remembers what it found. Further ones are
// looked up again each time.
const listed = 16

// next returns the next rule that fits the flow, nil if there is none. The flow is
// the same each time, but for a source found meanwhile, which nothing compares.
func (a *asking) next(k *key) *rule {
	if a.spent > patience+2*a.rs.rules.n {
		return a.plainly(k)
	}
	var best *rule
	for i, t := range a.rs.found.shapes {
		if best != nil && t.min > best.at {
			break
		}
		a.spent++
		if t.max < a.at || a.nothing>>i&1 != 0 {
			continue
		}
		list := a.list(i, t, k)
		if len(list) == 0 {
			a.nothing |= 1 << i // nothing if i is beyond
			continue
		}
		for len(list) > 0 && (best == nil || list[0].at < best.at) {
			if r := list[0]; a.fit(r, k) {
				best = r
				break
			}
			list = list[1:]
		}
		if i < listed {
			a.lists[i] = list
		}
	}
	if best != nil {
		a.at = best.at + 1
	}
	return best
}

// patience is how many shapes are asked in any walk before it goes from rule to rule.
const patience = 256

// plainly is next by one rule after the other.
func (a *asking) plainly(k *key) *rule {
	parts := a.rs.rules.parts
	for at := a.rs.rules.part(a.at); at < len(parts); at++ {
		rules := parts[at]
		for _, r := range rules[seek(rules, a.at):] {
			if !r.idle && a.fit(r, k) {
				a.at = r.at + 1
				return r
			}
		}
	}
	return nil
}

// list returns the rules that a shape has for the flow, from where the walk is.
func (a *asking) list(i int, t *tuples, k *key) []*rule {
	var list []*rule
	if bit := uint(1) << i; i >= listed || a.listed&bit == 0 {
		list = t.fitting(k, &a.image)
		if i < listed {
			a.listed |= bit
		}
	} else {
		list = a.lists[i]
	}
	for n := 0; len(list) > 0 && list[0].at < a.at; n++ {
		if n == near {
			return list[seek(list, a.at):]
		}
		list = list[1:]
	}
	return list
}

// fit reports whether a rule fits the flow.
func (a *asking) fit(r *rule, k *key) bool {
	if a.fits && r.fit.all {
		return r.fit.fits(&a.image)
	}
	return r.mismatch(k) == ""
}

// fitting returns the rules of the table that may fit a flow.
func (t *tuples) fitting(k *key, im *image) []*rule {
	switch {
	case t.segments != nil:
		return t.find(t.parts.hash(im))
	case t.shape.not.Not && t.loose[0].mismatch(k) != "":
		return nil
	}
	return t.loose
}

// near is how many rules are passed over one by one before their list is searched.
const near = 4
