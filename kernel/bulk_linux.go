package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// A rule that is added with NLM_F_EXCL costs the kernel two walks over its list:
// one to find a rule that is the same, and one to the place. Neither is needed
// where it is known that nothing stands at the priorities: then the last rule is
// sent first, and each goes in front of the one before. Ten thousand rules take
// some ten milliseconds so, and a second otherwise; fifty thousand a tenth of a
// second, and a minute and a half.

// BulkError says which of many rules the kernel did not take, or did not delete.
// It unwraps to the cause as an [*OpError].
type BulkError struct {
	Index int // in the rules that were given
	Err   error
}

// Error is that of the cause.
func (e *BulkError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *BulkError) Unwrap() error { return e.Err }

// OccupiedError says that a rule stands at a priority at which many were to be
// written. It is EEXIST for errors.Is.
type OccupiedError struct {
	Rule rpdb.Rule // that stands there
}

// Error names the rule.
func (e *OccupiedError) Error() string { return fmt.Sprintf("%v stands at the place", e.Rule) }

// Unwrap returns EEXIST.
func (e *OccupiedError) Unwrap() error { return unix.EEXIST }

// AddRules adds many rules at priorities at which none stands, all of them or
// none: much faster than [Conn.Do] one by one. Those of one priority stand in the
// order in which they are given. The others come from the last to the first, so
// this is for a place where no packet comes: one that came would see the end of
// the list without its beginning.
//
// It looks whether the priorities are free, an [*OccupiedError] if not, and reads
// back what was made, some thousands of rules at a time, which is compared by
// [rpdb.Rule.Canonical]. The kernel's
// refusal of one is a [*BulkError]; an attribute that the kernel does not know is
// an [*UnsupportedError] in it. Whatever goes wrong, what was written is taken
// away again; that this failed the error says, too, as a [*LeftError]. No rules
// are no work.
func (c *Conn) AddRules(ctx context.Context, rules []rpdb.Rule) error {
	if len(rules) == 0 {
		return nil
	}
	w := newBulk(c, rules, walkOf(rules))
	if err := w.check(); err != nil {
		return err
	}
	if err := w.free(ctx); err != nil {
		return opError("add", w.object(), err)
	}
	return w.write(ctx)
}

// LeftError says that many rules could not be written, nor what was written of
// them be taken away. It unwraps to both reasons.
type LeftError struct {
	Cause, Err error
}

// Error says both.
func (e *LeftError) Error() string {
	return fmt.Sprintf("%v; and what was written could not be taken away: %v", e.Cause, e.Err)
}

// Unwrap returns both.
func (e *LeftError) Unwrap() []error { return []error{e.Cause, e.Err} }

// rulesFrom names many rules in errors.
func rulesFrom(n int, first rpdb.Rule) string {
	if n == 1 {
		return first.String()
	}
	return fmt.Sprintf("%d rules from %v on", n, first)
}

// bulk is the writing of many rules under way.
type bulk struct {
	conn  *Conn
	rules []rpdb.Rule // of which none is copied
	walk  []int       // those that are written, as they will stand
	order []int       // the same as they are sent
}

// walkOf returns the numbers of rules in the order in which they will stand: by
// family and priority.
func walkOf(rules []rpdb.Rule) []int {
	walk := make([]int, len(rules))
	for i := range walk {
		walk[i] = i
	}
	compare := func(a, b int) int { return placeAt(rules, a).compare(placeAt(rules, b)) }
	if !slices.IsSortedFunc(walk, compare) {
		slices.SortStableFunc(walk, compare)
	}
	return walk
}

// newBulk returns the writing of those of the rules that walk has, in the order of
// [walkOf].
func newBulk(c *Conn, rules []rpdb.Rule, walk []int) *bulk {
	w := &bulk{conn: c, rules: rules, walk: walk}
	// The last priority first; those of one priority in their order.
	w.order = make([]int, 0, len(walk))
	for end := len(walk); end > 0; {
		from := end - 1
		for from > 0 && placeAt(rules, walk[from-1]) == placeAt(rules, walk[from]) {
			from--
		}
		w.order = append(w.order, walk[from:end]...)
		end = from
	}
	return w
}

// at returns those of the rules that are to stand at a place, as they will.
func (w *bulk) at(p place) []int {
	from, found := slices.BinarySearchFunc(w.walk, p, func(i int, p place) int { return placeAt(w.rules, i).compare(p) })
	if !found {
		return nil
	}
	end := from
	for end < len(w.walk) && placeAt(w.rules, w.walk[end]) == p {
		end++
	}
	return w.walk[from:end]
}

// object names what is written in errors.
func (w *bulk) object() string { return rulesFrom(len(w.walk), w.rules[w.walk[0]]) }

// check refuses what no request can say.
func (w *bulk) check() error {
	var t ruleTrial
	for i := range w.rules {
		if err := t.expressible(&w.rules[i]); err != nil {
			return &BulkError{i, opError("add", w.rules[i].String(), err)}
		}
	}
	return nil
}

// familiesOf returns the families that rules are of.
func familiesOf(rules []rpdb.Rule) []rpdb.Family {
	var families []rpdb.Family
	for _, f := range rpdb.Families() {
		has := false
		for i := 0; i < len(rules) && !has; i++ {
			has = rules[i].Family == f
		}
		if has {
			families = append(families, f)
		}
	}
	return families
}

// free reports whether nothing stands where the rules are to go.
func (w *bulk) free(ctx context.Context) error {
	for _, f := range familiesOf(w.rules) {
		there, err := w.conn.rules(ctx, f)
		if err != nil {
			return err
		}
		for i := range there {
			if len(w.at(placeOf(&there[i]))) > 0 {
				return &OccupiedError{there[i]}
			}
		}
	}
	return nil
}

// write sends the rules and reads them back. If anything goes wrong it takes them
// away again.
func (w *bulk) write(ctx context.Context) error {
	seen, err := w.send(ctx)
	if err == nil && !seen {
		err = w.verify(context.WithoutCancel(ctx))
	}
	if err == nil {
		return nil
	}
	if left := w.back(context.WithoutCancel(ctx)); left != nil {
		return &LeftError{err, left}
	}
	return err
}

// send writes the rules a stretch at a time, and looks at each as soon as it stands:
// it is at the head of the list then, and what the kernel takes to list many rules
// grows with the square of their number. Seen is false if a stretch did not look as
// it should.
func (w *bulk) send(ctx context.Context) (seen bool, err error) {
	s := sending{op: "add", object: w.object(), conn: w.conn, rules: w.rules, encode: func(e *netlink.Encoder, i int) {
		encodeRuleIn(e, unix.RTM_NEWRULE, netlink.Create, &w.rules[i])
	}}
	seen = true
	length := stretch
	for end := len(w.walk); end > 0; {
		from := w.stretchBefore(end, length)
		if _, err := s.carryOut(ctx, w.order[len(w.walk)-end:len(w.walk)-from]); err != nil {
			return false, err
		}
		if seen {
			var before int
			before, seen = w.look(context.WithoutCancel(ctx), w.walk[from:end])
			length = max(stretch, 4*before) // so that passing those over costs little
		}
		end = from
	}
	return seen, nil
}

// stretch is how many rules are written before they are looked at.
const stretch = 5000

// stretchBefore returns where in the walk a stretch of some length begins that ends
// at end. It has all rules of a place or none, and those of one family.
func (w *bulk) stretchBefore(end, length int) (from int) {
	place := func(at int) place { return placeAt(w.rules, w.walk[at]) }
	for from = end - 1; from > 0; from-- {
		p, q := place(from-1), place(from)
		if p.family != q.family || p != q && end-from >= length {
			break
		}
	}
	return from
}

// look reads the list as far as rules go that are to stand in front, and returns how
// many of others stand before them, and whether they stand there as they should.
func (w *bulk) look(ctx context.Context, want []int) (before int, seen bool) {
	nl, err := netlink.Dial(netlink.Options{NetNS: w.conn.ns.FD()})
	if err != nil {
		return 0, false
	}
	defer nl.Close()
	c := comparison{bulk: w, rest: want}
	f := w.rules[want[0]].Family
	var d RuleDecoder
	err = nl.DumpHead(ctx, dumpOfRules(byte(f)), func(m netlink.Message) (more bool, err error) {
		if m.Type != unix.RTM_NEWRULE {
			return true, nil
		}
		r, err := d.Decode(m.Data)
		if err != nil || r.Family != f {
			return true, err
		}
		if len(c.rest) == len(want) {
			before++
		}
		err = c.next(r)
		return len(c.rest) > 0 || placeOf(r) == c.last, err
	})
	return before, err == nil && len(c.rest) == 0
}

// sending is the sending of one request for each of many rules.
type sending struct {
	op     string
	object string // all of them, for errors that are about none alone
	conn   *Conn
	rules  []rpdb.Rule
	encode func(e *netlink.Encoder, i int) // makes the request for one of the rules
}

// sentAtOnce is how many requests are made before they are sent: what the socket
// takes in one piece. More would only need more memory.
const sentAtOnce = 100

// carryOut sends the requests for the rules with the numbers of order, a piece at a
// time in the same memory. A refusal ends it behind its piece; the first is a
// [*BulkError]. Made are the numbers of those that were carried out.
func (s *sending) carryOut(ctx context.Context, order []int) (made []int, err error) {
	// Its events would be nothing but an overflow for who follows the list.
	if err := s.conn.list.forget(); err != nil {
		return nil, opError(s.op, s.object, err)
	}
	made = make([]int, 0, len(order))
	var e netlink.Encoder
	var b netlink.Batch
	for some := range slices.Chunk(order, sentAtOnce) {
		b.Reset()
		for _, i := range some {
			s.encode(&e, i)
			if err := b.Add(&e); err != nil {
				return made, s.refusal(i, err)
			}
		}
		done, err := s.piece(ctx, &b, some)
		if made = append(made, done...); err != nil {
			return made, err
		}
	}
	return made, nil
}

// piece sends the requests for some of the rules, and returns those that were carried
// out.
func (s *sending) piece(ctx context.Context, b *netlink.Batch, some []int) (made []int, err error) {
	var first error
	var refused []int
	sent, err := s.conn.nl.ExecuteBatch(ctx, b, func(i int, err error) error {
		if refused = append(refused, i); first == nil {
			first = s.refusal(some[i], err)
		}
		return nil
	})
	if err != nil {
		err = opError(s.op, s.object, err)
	}
	made = some[:sent]
	if first != nil {
		made = nil
		for i, n := range some[:sent] {
			if !slices.Contains(refused, i) {
				made = append(made, n)
			}
		}
	}
	return made, cmp.Or(first, err)
}

func (s *sending) refusal(i int, err error) error {
	return &BulkError{i, opError(s.op, s.rules[i].String(), err)}
}

// verify reads the rules back. A list that was torn while it was read may lose
// rules and repeat them, but not invent any: what it has is there. So one that
// is not as it should be is read once more, and with care.
func (w *bulk) verify(ctx context.Context) error {
	for _, f := range familiesOf(w.rules) {
		c := comparison{bulk: w, rest: w.ofFamily(f)}
		_, err := w.conn.eachRule(ctx, f, c.next)
		if err == nil && c.end() == nil {
			continue
		}
		there, err := w.conn.rules(ctx, f)
		if err != nil {
			return opError("read", "rules ("+f.String()+")", err)
		}
		c = comparison{bulk: w, rest: w.ofFamily(f)}
		for i := range there {
			if err := c.next(&there[i]); err != nil {
				return err
			}
		}
		if err := c.end(); err != nil {
			return err
		}
	}
	return nil
}

// ofFamily returns those of the rules that are of a family, as they will stand.
func (w *bulk) ofFamily(f rpdb.Family) []int {
	from, _ := slices.BinarySearchFunc(w.walk, f, func(i int, f rpdb.Family) int { return cmp.Compare(w.rules[i].Family, f) })
	end := from
	for end < len(w.walk) && w.rules[w.walk[end]].Family == f {
		end++
	}
	return w.walk[from:end]
}

// comparison goes over a list that is to have the rules of a family at their
// places, and nothing else there.
type comparison struct {
	*bulk
	rest []int // that were not met yet, as they stand
	last place // of the last one that was
}

func (c *comparison) next(r *rpdb.Rule) error {
	p := placeOf(r)
	switch {
	case len(c.rest) > 0 && placeAt(c.rules, c.rest[0]) == p:
		if want := &c.rules[c.rest[0]]; !sameRule(want, r) {
			lost := &UnsupportedError{}
			lost.Feature, lost.Since = missingInRule(*want, *r)
			return &BulkError{c.rest[0], opError("add", want.String(), lost)}
		}
		c.rest, c.last = c.rest[1:], p
	case c.last == p && p != (place{}):
		return opError("add", c.object(), &OccupiedError{*r})
	}
	return nil
}

func (c *comparison) end() error {
	if len(c.rest) == 0 {
		return nil
	}
	return opError("add", c.rules[c.rest[0]].String(), errors.New("it is not there"))
}

// back takes away what was written.
func (w *bulk) back(ctx context.Context) error {
	var doomed []rpdb.Rule
	for _, f := range familiesOf(w.rules) {
		there, err := w.conn.rules(ctx, f)
		if err != nil {
			return err
		}
		for i := range there {
			r := &there[i]
			// At a place that was free and got what was asked for, or what the
			// kernel made of that.
			if slices.ContainsFunc(w.at(placeOf(r)), func(i int) bool { return w.isOurs(i, r) }) {
				doomed = append(doomed, *r)
			}
		}
	}
	return w.conn.DeleteRules(ctx, doomed)
}

// isOurs reports whether a rule that stands there can be what became of one of
// ours: the same, or what a kernel makes of it that does not know all attributes.
func (w *bulk) isOurs(i int, stored *rpdb.Rule) bool {
	want := &w.rules[i]
	if sameRule(want, stored) {
		return true
	}
	old := func(r rpdb.Rule) rpdb.Rule {
		s := r.Canonical().Selector
		r.Selector = rpdb.Selector{Not: s.Not, From: s.From, To: s.To, TOS: s.TOS, Mark: s.Mark, IIF: s.IIF}
		r.Protocol, r.Realms, r.Suppress, r.Unknown, r.Flags = 0, 0, rpdb.Suppressor{}, "", 0
		return r
	}
	return (stored.Protocol == 0 || stored.Protocol == want.Protocol) && old(*want) == old(*stored)
}

// DeleteRules deletes many rules, much faster than [Conn.Do] one by one. Of those
// of one priority the order counts as it does there: with each request the kernel
// deletes the first rule that agrees, and where that would be another one than the
// rule meant nothing is done, and the cause is an [*OtherRuleError]; in the order of
// the list it never is. Nor is anything done if one of them is not there (ENOENT).
//
// It reads back whether they are gone. The kernel's refusal of one is a
// [*BulkError]; where others are deleted then, they are in a [*PartError] around it.
// Should somebody slip in a rule at the very moment that is deleted in the place of
// another, it is put back, behind others of its priority. No rules are no work.
//
// Those that go to another place go first, of whatever priority: while one is there
// the kernel walks over its list for each rule that it deletes.
func (c *Conn) DeleteRules(ctx context.Context, rules []rpdb.Rule) error {
	if len(rules) == 0 {
		return nil
	}
	s := strike{conn: c, rules: rules, rest: map[rpdb.Family][]rpdb.Rule{}}
	if err := s.find(ctx); err != nil {
		return err
	}
	made, err := s.send(ctx)
	err = errors.Join(err, opError("delete", rulesFrom(len(rules), rules[0]), s.verify(context.WithoutCancel(ctx), err == nil)))
	if err != nil && len(made) > 0 {
		return &PartError{made, err}
	}
	return err
}

// PartError says that of many rules some were deleted before something went wrong,
// and unwraps to what did.
type PartError struct {
	gone []int
	Err  error
}

// Error says how many were deleted.
func (e *PartError) Error() string { return fmt.Sprintf("%v; deleted are %d", e.Err, len(e.gone)) }

// Unwrap returns what went wrong.
func (e *PartError) Unwrap() error { return e.Err }

// Deleted returns which rules were deleted, in no order: their numbers among those
// that were given.
func (e *PartError) Deleted() []int { return slices.Clone(e.gone) }

// strike is the deletion of many rules under way.
type strike struct {
	conn   *Conn
	rules  []rpdb.Rule
	stored []*rpdb.Rule // the same as they are stored, host bits and all
	// rest is what is to be left at the places of rules.
	rest map[rpdb.Family][]rpdb.Rule
}

// standing are the rules of a family while some are deleted.
type standing struct {
	rules []rpdb.Rule // as they are listed
	gone  []bool
	// The window is where those of one priority stand that are not gone.
	at        rpdb.Priority
	from, end int
}

// window finds the rules of a priority.
func (s *standing) window(p rpdb.Priority) {
	if s.at != p || s.end == 0 {
		compare := func(r rpdb.Rule, p rpdb.Priority) int { return cmp.Compare(r.Priority, p) }
		s.at = p
		s.from, _ = slices.BinarySearchFunc(s.rules, p, compare)
		for s.end = s.from; s.end < len(s.rules) && s.rules[s.end].Priority == p; s.end++ {
		}
	}
	for s.from < s.end && s.gone[s.from] {
		s.from++
	}
}

// strike finds the rule that is stored for r, and deletes it, if that is what the
// kernel would do.
func (s *standing) strike(r *rpdb.Rule) (stored *rpdb.Rule, err error) {
	s.window(r.Priority)
	at := s.from
	for ; at < s.end; at++ {
		if !s.gone[at] && (s.rules[at] == *r || same(s.rules[at], *r)) {
			break
		}
	}
	if at == s.end {
		return nil, unix.ENOENT
	}
	for i := s.from; i < at; i++ {
		if !s.gone[i] && hit(s.rules[at], s.rules[i]) {
			return nil, &OtherRuleError{Hit: s.rules[i]}
		}
	}
	s.gone[at] = true
	return &s.rules[at], nil
}

// find looks where the rules stand.
func (s *strike) find(ctx context.Context) error {
	there := map[rpdb.Family]*standing{}
	for _, f := range familiesOf(s.rules) {
		list, _, err := s.conn.dumpRules(ctx, f)
		if err != nil {
			return opError("delete", rulesFrom(len(s.rules), s.rules[0]), err)
		}
		there[f] = &standing{rules: list, gone: make([]bool, len(list))}
	}
	s.stored = make([]*rpdb.Rule, len(s.rules))
	for i := range s.rules {
		r := &s.rules[i]
		stored, err := there[r.Family].strike(r)
		if err != nil {
			return &BulkError{i, opError("delete", r.String(), err)}
		}
		s.stored[i] = stored
	}
	for f, t := range there {
		s.rest[f] = t.rest()
	}
	return nil
}

// rest returns what is left at the priorities of which something goes.
func (s *standing) rest() []rpdb.Rule {
	var rest []rpdb.Rule
	for i := 0; i < len(s.rules); {
		end, touched := i, false
		for ; end < len(s.rules) && s.rules[end].Priority == s.rules[i].Priority; end++ {
			touched = touched || s.gone[end]
		}
		for ; i < end; i++ {
			if touched && !s.gone[i] {
				rest = append(rest, s.rules[i])
			}
		}
	}
	return rest
}

// send deletes the rules and returns which went. What a goto agrees with is another
// goto, so that these keep their order; and what goes later finds less in its way.
func (s *strike) send(ctx context.Context) (made []int, err error) {
	order := make([]int, 0, len(s.rules))
	for _, first := range []bool{true, false} {
		for i := range s.rules {
			if (s.rules[i].Action.Type() == rpdb.ActionGoto) == first {
				order = append(order, i)
			}
		}
	}
	all := sending{op: "delete", object: rulesFrom(len(s.rules), s.rules[0]), conn: s.conn, rules: s.rules, encode: func(e *netlink.Encoder, i int) {
		stored := s.stored[i]
		encodeRuleIn(e, unix.RTM_DELRULE, 0, stored)
		if stored.Realms == 0 && stored.Family == rpdb.IPv4 {
			e.Uint32(fraFlow, 0) // as in encodeRuleDeletion
		}
	}}
	return all.carryOut(ctx, order)
}

// verify looks whether anything else went, which it puts back, and, if all was
// sent, whether the rules are gone.
func (s *strike) verify(ctx context.Context, all bool) error {
	var errs []error
	for _, f := range familiesOf(s.rules) {
		now, err := s.conn.rules(ctx, f)
		if err == nil {
			err = s.compare(ctx, f, now, all)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// near returns those of the rules of a family that stand at a priority of one that was
// to go: as a rule none, and else few.
func (s *strike) near(now []rpdb.Rule) (near []rpdb.Rule) {
	struck := make(map[rpdb.Priority]bool, len(s.rules))
	for i := range s.rules {
		struck[s.rules[i].Priority] = true
	}
	for i := range now {
		if struck[now[i].Priority] {
			near = append(near, now[i])
		}
	}
	return near
}

func (s *strike) compare(ctx context.Context, f rpdb.Family, now []rpdb.Rule, all bool) error {
	rest := s.rest[f]
	left := without(s.near(now), rest)
	if len(left) == 0 {
		return nil
	}
	remain := without(left, without(left, s.rules)) // of what was to go
	if len(remain) == 0 {
		return nil // what else is gone others have deleted
	}
	// A rule went in the place of one that remains.
	for _, lost := range without(rest, now) {
		if !slices.ContainsFunc(remain, func(r rpdb.Rule) bool { return r.Priority == lost.Priority }) {
			continue
		}
		wrong := &OtherRuleError{Hit: lost}
		// Without Excl: the kernel compares less than the whole rule.
		back := encodeRule(unix.RTM_NEWRULE, netlink.Create, lost)
		if err := s.conn.nl.Execute(ctx, back, nil); err != nil {
			return fmt.Errorf("%w, and did: %w", wrong, err)
		}
		return wrong
	}
	if !all {
		return nil
	}
	return fmt.Errorf("%v is still there", remain[0])
}
