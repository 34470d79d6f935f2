package fib

import (
	"cmp"
	"math/bits"
	"slices"
)

// order is the place of a rule in its list, by which rules compare: the priority,
// and among rules of one priority their number. It does not change when other
// rules come and go.
type order uint64

// classifier finds the rules that fit a flow, in order, without asking those that
// do not: tuple space search. Rules of one shape stand in one hash table, so a
// lookup costs as much as there are shapes, whatever the number of rules. It never
// changes: what adds a rule returns another one, which shares most of it.
type classifier struct {
	// shapes begin with the one whose first rule comes first. The zero shape has the
	// rules that are compared one by one.
	shapes []*tuples
	kinds  shards[kind, census] // those that there are
	enough int                  // rules of a kind that have tables
}

// census is how many rules of a kind there are, and whether they are in tables: a
// kind that had enough keeps its tables as long as it has rules.
type census struct {
	rules    int
	inTables bool
}

// enough is how many rules of a kind have tables in all that is compiled: a hash
// costs as much as comparing some rules.
const enough = 4

// tuples holds the rules of one shape.
type tuples struct {
	min, max order // between which its rules are, and maybe were
	gone     int   // how many were taken away since it was made
	filter   filter
	segments []segment // where a hash tells rules apart: by the upper bits of the hash
	shift    uint      // that leaves those bits
	loose    []*rule   // where none does: all of them, in order
	n        int
	parts    parts // of the shape
	shape    shape
}

// segment is a part of a hash table with open addressing, as large as a change
// may copy.
type segment []slot

// slot holds the rules of one hash: most often one.
type slot struct {
	hash uint64
	one  [1]*rule // nil in a free slot
	more *[]*rule // if there are several: all of them, in order
}

// list returns the rules in order.
func (s *slot) list() []*rule {
	switch {
	case s.more != nil:
		return *s.more
	case s.one[0] == nil:
		return nil
	}
	return s.one[:]
}

// set makes the rules of a slot a list that it may keep.
func (s *slot) set(rules []*rule) {
	s.more, s.one[0] = nil, rules[0]
	if len(rules) > 1 {
		s.more = &rules
	}
}

// filter tells of most hashes that are not in a table that they are not: it has a
// bit set for each that is. It stays in the cache where the table does not.
type filter []uint64

// perWord is how many hashes there are at most to a word of a new filter.
const perWord = 8

func newFilter(n int) filter { return make(filter, 1<<bits.Len(uint(n/perWord))) }

// place returns the word and the bit of a hash. The other bits of the hash choose its
// segment and slot.
func (f filter) place(hash uint64) (word int, bit uint64) {
	return int(hash>>22) & (len(f) - 1), 1 << (hash >> 16 & 63)
}

func (f filter) has(hash uint64) bool {
	word, bit := f.place(hash)
	return f[word]&bit != 0
}

func (f filter) set(hash uint64) {
	word, bit := f.place(hash)
	f[word] |= bit
}

// with returns the filter with one hash more.
func (f filter) with(hash uint64) filter {
	if f.has(hash) {
		return f
	}
	f = slices.Clone(f)
	f.set(hash)
	return f
}

// newClassifier compiles a list of rules, with tables for the kinds of which there
// are enough.
func newClassifier(rules []*rule, enough int) *classifier {
	kinds := map[kind]census{}
	for _, r := range rules {
		if d, _ := r.kindOf(); d != (kind{}) && !r.idle {
			n := kinds[d].rules + 1
			kinds[d] = census{n, n >= enough}
		}
	}
	c := &classifier{kinds: newShards(kinds), enough: enough}
	found := map[shape]*pile{{}: {}}
	for _, r := range rules {
		c.places(r, func(e entry) {
			p := found[e.shape]
			if p == nil {
				p = &pile{}
				found[e.shape] = p
			}
			*p = append(*p, item{e.hash, r})
		})
	}
	for s, p := range found {
		if len(*p) > 0 {
			c.shapes = append(c.shapes, newTuples(s, *p))
		}
	}
	c.sort()
	return c
}

// places yields where a rule stands.
func (c *classifier) places(r *rule, yield func(entry)) {
	if r.idle {
		return
	}
	d, k := r.kindOf()
	if n, _ := c.kinds.get(d); !n.inTables {
		yield(entry{})
		return
	}
	r.entries(d, k, yield)
}

func (c *classifier) sort() {
	slices.SortFunc(c.shapes, func(a, b *tuples) int { return cmp.Or(cmp.Compare(a.min, b.min), cmp.Compare(a.max, b.max)) })
}

// item is a rule by its hash.
type item struct {
	hash uint64
	rule *rule
}

type pile []item

// perSegment is how many rules a segment is made for.
const perSegment = 128

// newTuples makes the table of a shape, of at least one rule; the rules come in
// order.
func newTuples(s shape, p pile) *tuples {
	t := &tuples{
		shape: s, parts: s.parts(p[0].rule.v6), min: p[0].rule.at, max: p[len(p)-1].rule.at, n: len(p),
	}
	if s == (shape{not: s.not}) {
		for _, i := range p {
			t.loose = append(t.loose, i.rule)
		}
		return t
	}
	width := uint(bits.Len(uint(len(p) / perSegment)))
	t.segments, t.shift = make([]segment, 1<<width), 64-width
	t.filter = newFilter(len(p))
	sizes := make([]int, len(t.segments))
	for _, i := range p {
		sizes[t.segmentOf(i.hash)]++
	}
	for i := range t.segments {
		t.segments[i] = newSegment(sizes[i])
	}
	for _, i := range p {
		t.segments[t.segmentOf(i.hash)].add(i.hash, i.rule)
		t.filter.set(i.hash)
	}
	return t
}

// segmentOf relies on a shift by all 64 bits giving 0.
func (t *tuples) segmentOf(hash uint64) int { return int(hash >> t.shift) }

// find returns the rules of a hash, in order.
func (t *tuples) find(hash uint64) []*rule {
	if !t.filter.has(hash) {
		return nil
	}
	s := t.segments[t.segmentOf(hash)]
	return s[s.slotOf(hash)].list()
}

// newSegment makes room for a number of hashes; a quarter stays free.
func newSegment(n int) segment { return make(segment, 1<<bits.Len(uint(n+n/3))) }

// slotOf returns the slot of a hash, or the free one where it is to go. There is
// always a free one.
func (s segment) slotOf(hash uint64) int {
	last := len(s) - 1
	for i := int(hash) & last; ; i = (i + 1) & last {
		if s[i].hash == hash || s[i].one[0] == nil {
			return i
		}
	}
}

// add puts a rule into its place among those of its hash. Only whoever made the
// segment may do that.
func (s segment) add(hash uint64, r *rule) {
	in := &s[s.slotOf(hash)]
	in.hash = hash
	rules := in.list()
	switch at := seek(rules, r.at); {
	case len(rules) == 0:
		in.one[0] = r
	case at < len(rules):
		in.set(slices.Insert(slices.Clone(rules), at, r))
	case in.more == nil:
		in.set([]*rule{rules[0], r})
	default:
		*in.more = append(rules, r) // past what others see of it
	}
}

// seek returns the place of the first rule that is not before an order.
func seek(rules []*rule, at order) int {
	i, _ := slices.BinarySearchFunc(rules, at, compareOrder)
	return i
}

func compareOrder(r *rule, at order) int { return cmp.Compare(r.at, at) }

// with returns the classifier with one rule more.
func (c *classifier) with(r *rule) *classifier {
	next := &classifier{shapes: slices.Clone(c.shapes), kinds: c.kinds, enough: c.enough}
	if d, _ := r.kindOf(); d != (kind{}) && !r.idle {
		was, _ := c.kinds.get(d)
		n := census{was.rules + 1, was.inTables || was.rules+1 >= c.enough}
		if next.kinds = c.kinds.with(d, n); n.inTables && !was.inTables {
			next.settle(d)
		}
	}
	next.put(r)
	next.sort()
	return next
}

// settle moves the rules of a kind from those that are compared one by one into
// tables.
func (c *classifier) settle(d kind) {
	at := c.table(shape{})
	if at < 0 {
		return
	}
	var stay, move pile
	for _, r := range c.shapes[at].loose {
		if own, _ := r.kindOf(); own == d {
			move = append(move, item{rule: r})
			continue
		}
		stay = append(stay, item{rule: r})
	}
	c.shapes = slices.Delete(c.shapes, at, at+1)
	if len(stay) > 0 {
		c.shapes = append(c.shapes, newTuples(shape{}, stay))
	}
	for _, i := range move {
		c.put(i.rule)
	}
}

// put enters a rule wherever it is found.
func (c *classifier) put(r *rule) {
	c.places(r, func(e entry) {
		if t := c.table(e.shape); t >= 0 {
			c.shapes[t] = c.shapes[t].with(e.hash, r)
			return
		}
		c.shapes = append(c.shapes, newTuples(e.shape, pile{{e.hash, r}}))
	})
}

// without returns the classifier with one rule less, which it must have.
func (c *classifier) without(r *rule) *classifier {
	if r.idle {
		return c
	}
	d, _ := r.kindOf()
	next := &classifier{shapes: slices.Clone(c.shapes), kinds: c.kinds, enough: c.enough}
	next.places(r, func(e entry) {
		t := next.table(e.shape)
		if next.shapes[t] = next.shapes[t].without(e.hash, r); next.shapes[t].n == 0 {
			next.shapes = slices.Delete(next.shapes, t, t+1)
		}
	})
	switch n, _ := c.kinds.get(d); {
	case n.rules > 1:
		next.kinds = c.kinds.with(d, census{n.rules - 1, n.inTables})
	case n.rules == 1:
		next.kinds = c.kinds.without(d)
	}
	next.sort()
	return next
}

// table returns the place of the table of a shape, -1 if there is none.
func (c *classifier) table(s shape) int {
	return slices.IndexFunc(c.shapes, func(t *tuples) bool { return t.shape == s })
}

// with returns the table with one rule more.
func (t *tuples) with(hash uint64, r *rule) *tuples {
	next := *t
	next.min, next.max, next.n = min(t.min, r.at), max(t.max, r.at), t.n+1
	switch {
	case t.segments == nil:
		next.loose = slices.Insert(slices.Clone(t.loose), seek(t.loose, r.at), r)
		return &next
	case next.n > 4*perWord*len(t.filter):
		return newTuples(t.shape, append(t.pile(), item{hash, r}).sorted())
	}
	next.segments = slices.Clone(t.segments)
	i := t.segmentOf(hash)
	next.segments[i] = t.segments[i].with(hash, r)
	next.filter = t.filter.with(hash)
	return &next
}

// without returns the table with one rule less.
func (t *tuples) without(hash uint64, r *rule) *tuples {
	next := *t
	next.n, next.gone = t.n-1, t.gone+1
	if t.segments == nil {
		next.loose = drop(t.loose, r)
		return &next
	}
	next.segments = slices.Clone(t.segments)
	i := t.segmentOf(hash)
	next.segments[i] = t.segments[i].without(hash, r)
	if next.n > 0 && next.gone > next.n+perSegment { // its filter and its bounds still let those pass
		return newTuples(t.shape, next.pile().sorted())
	}
	return &next
}

func drop(rules []*rule, r *rule) []*rule {
	at := slices.Index(rules, r)
	return slices.Delete(slices.Clone(rules), at, at+1)
}

// pile returns all that is in a table.
func (t *tuples) pile() pile {
	var p pile
	for _, s := range t.segments {
		for i := range s {
			for _, r := range s[i].list() {
				p = append(p, item{s[i].hash, r})
			}
		}
	}
	return p
}

func (p pile) sorted() pile {
	slices.SortFunc(p, func(a, b item) int { return cmp.Compare(a.rule.at, b.rule.at) })
	return p
}

// with returns the segment with one rule more, larger if it is full.
func (s segment) with(hash uint64, r *rule) segment {
	next := s.copied(1)
	next.add(hash, r)
	return next
}

// copied returns a copy with room for a number of hashes more. The lists of rules are
// cut so that a rule that is added to one does not become part of the other.
func (s segment) copied(more int) segment {
	used := 0
	for i := range s {
		if s[i].one[0] != nil {
			used++
		}
	}
	next := newSegment(used + more)
	for i := range s {
		if s[i].one[0] == nil {
			continue
		}
		in := &next[next.slotOf(s[i].hash)]
		if *in = s[i]; in.more != nil {
			in.set(slices.Clip(*in.more))
		}
	}
	return next
}

// without returns the segment with one rule less. A hash that has no rule left
// gives its slot back.
func (s segment) without(hash uint64, r *rule) segment {
	next := s.copied(0)
	in := &next[next.slotOf(hash)]
	if rest := drop(in.list(), r); len(rest) > 0 {
		in.set(rest)
		return next
	}
	*in = slot{}
	return next.copied(0)
}
