package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// RuleRequest is a request to add or delete a rule as ip(8) words it. Unlike a
// [rpdb.Change] it may leave out the priority, and delete by a part of a key.
type RuleRequest struct {
	Delete bool
	// Echo asks for what the kernel made of it.
	Echo bool
	// Payload is a struct fib_rule_hdr with attributes (FRA_*).
	Payload []byte
}

// RuleMessage is what the kernel says about a rule.
type RuleMessage struct {
	Message
	Rule rpdb.Rule
}

// SendRule carries one request out: an addition refuses what the kernel takes for
// the same rule, a deletion takes the first rule that agrees with the request.
// With Echo it returns what the kernel made of it. The kernel's refusal is a
// [*Refusal].
func (s *Socket) SendRule(ctx context.Context, r RuleRequest) ([]RuleMessage, error) {
	m := Message{Type: unix.RTM_NEWRULE, Flags: uint16(netlink.Create | netlink.Excl), Payload: r.Payload}
	if r.Delete {
		m.Type, m.Flags = unix.RTM_DELRULE, 0
	}
	if r.Echo {
		m.Flags |= uint16(netlink.Echo)
	}
	var told []RuleMessage
	err := s.request(ctx, m, func(m netlink.Message) error {
		rm, err := ruleMessage(m)
		told = append(told, rm)
		return err
	})
	return told, err
}

// ListRules reads the rules of a family, which may be any number: the kernel
// refuses those that have no rules. Consistent is false if the list may be
// torn: it did not fit one datagram and rules changed meanwhile, or the kernel
// says so. [Conn.RuleMessages] reads until it is not.
//
// Kernels after 6.18 may tell of a change some microseconds after they made it.
// If that is after the end of the list, it stays unnoticed here; not so by
// [Conn.RuleMessages], which reads twice.
func (s *Socket) ListRules(ctx context.Context, family uint8) (list RuleList, consistent bool, err error) {
	consistent, err = s.nl.DumpWatched(ctx, dumpOfRules(family), eventGroup(EventRule, rpdb.Family(family)), list.add)
	if errors.Is(err, netlink.InterruptedError{}) || errors.Is(err, netlink.OverflowError{}) {
		return list, false, nil
	}
	return list, consistent, err
}

// ruleMessage reads a message about a rule, and keeps a copy of it.
func ruleMessage(m netlink.Message) (RuleMessage, error) {
	r, err := decodeRule(m.Data)
	told := RuleMessage{Message: messageOf(m), Rule: r}
	told.Payload = bytes.Clone(m.Data)
	return told, err
}

// flushRounds bounds how often a flush looks for what it could not see before.
const flushRounds = 10

// FlushRules deletes the rules of a family that doomed chooses. The kernel deletes
// the first rule that agrees with a request, so a chosen rule that stands
// behind one of its priority which is not chosen and agrees with it is left,
// and the error is an [*OtherRuleError]. A refusal ends the flush with a
// [*Refusal]; what was deleted before stays deleted, and up to a hundred rules
// behind it may be. Those that go to another place are deleted first: while one is
// there the kernel walks over its list for each rule that it deletes. A long list is
// read and deleted from its head, a stretch at a time, for which more sockets are
// opened: the namespace of the options has to be open still.
func (s *Socket) FlushRules(ctx context.Context, family uint8, doomed func(*rpdb.Rule) bool) error {
	if err := s.flushHead(ctx, family, doomed); err != nil {
		return err
	}
	told := eventGroup(EventRule, rpdb.Family(family)) != 0
	done, err := flush(told, func() (deleted int, whole bool, err error) {
		list, whole, err := s.ListRules(ctx, family)
		if err != nil {
			return 0, false, err
		}
		deleted, err = s.deleteChosen(ctx, list, doomed)
		return deleted, whole, err
	})
	if !done {
		return &UnstableError{Class: fmt.Sprintf("rules (family %d)", family), Attempts: flushRounds}
	}
	return err
}

// slowDeletion is what a deletion takes that looks for rules that go to the deleted
// one: a hundred times as long as others, where the list is long enough to matter.
const slowDeletion = 50 * time.Microsecond

// flushHead deletes chosen rules from the head of the list as long as there are whole
// stretches of them: the kernel begins at the head for each part of a list that it
// tells, and so the whole of it costs the square of what it is long. Whoever comes
// after it has to look at all that is left, at what was spared and for what was torn.
func (s *Socket) flushHead(ctx context.Context, family uint8, doomed func(*rpdb.Rule) bool) error {
	for length := sentAtOnce; ; length = stretch {
		list, err := s.headOfRules(ctx, family, length, doomed)
		if err != nil || list.Len() == 0 {
			return err
		}
		start := time.Now()
		deleted, err := s.deleteChosen(ctx, list, doomed)
		var spared *OtherRuleError
		if err != nil && !errors.As(err, &spared) {
			return err
		}
		// Some rule behind seems to go to another: those have to be found first.
		if deleted == 0 || time.Since(start) > time.Duration(deleted)*slowDeletion {
			return nil
		}
	}
}

// headOfRules reads the list until there are length chosen rules, and returns none if
// there are not, or if as many as a stretch of others stand between them.
func (s *Socket) headOfRules(ctx context.Context, family uint8, length int, doomed func(*rpdb.Rule) bool) (list RuleList, err error) {
	nl, err := netlink.Dial(s.dial)
	if err != nil {
		return RuleList{}, opError("open", "connection to the kernel", err)
	}
	defer nl.Close()
	chosen, others := 0, 0
	var d RuleDecoder
	err = nl.DumpHead(ctx, dumpOfRules(family), func(m netlink.Message) (more bool, err error) {
		if m.Type != unix.RTM_NEWRULE {
			return true, nil
		}
		r, err := d.Decode(m.Data)
		if err != nil {
			return false, err
		}
		if doomed(r) {
			chosen++
		} else {
			others++
		}
		return chosen < length && others < stretch, list.add(m)
	})
	if chosen < length || errors.Is(err, netlink.InterruptedError{}) {
		return RuleList{}, nil
	}
	return list, err
}

// flush looks until a list was whole: one that was torn may lack what is to go. Where
// changes are not told nobody knows that of a long list, and one of which nothing was
// deleted is the last.
func flush(told bool, look func() (deleted int, whole bool, err error)) (done bool, err error) {
	for range flushRounds {
		deleted, whole, err := look()
		if err != nil || whole || deleted == 0 && !told {
			return true, err
		}
	}
	return false, nil
}

// deleteChosen goes over a list once and returns how many rules went. In the order
// of the list each deletion takes the rule that is meant at the kernel's first look,
// also when those that go to another place went before: they agree with no others.
func (s *Socket) deleteChosen(ctx context.Context, list RuleList, doomed func(*rpdb.Rule) bool) (deleted int, err error) {
	chosen, gotos, spared, err := choose(list, doomed)
	if err != nil {
		return 0, err
	}
	if gotos > 0 {
		if deleted, err = s.deleteOf(ctx, list, chosen, chosenGoto); err != nil {
			return deleted, err
		}
	}
	more, err := s.deleteOf(ctx, list, chosen, chosenRule)
	if err == nil {
		err = spared
	}
	return deleted + more, err
}

// choice is what is to become of a rule of a list.
type choice uint8

const (
	keptRule choice = iota
	chosenRule
	chosenGoto
)

// choose returns the choice for every rule of a list, and which chosen ones have to
// be spared, as errors: they stand behind one that agrees with them.
func choose(list RuleList, doomed func(*rpdb.Rule) bool) (chosen []choice, gotos int, spared, err error) {
	chosen = make([]choice, 0, list.Len())
	var kept []rpdb.Rule // of the priority at hand
	var d RuleDecoder
	err = list.messages(func(m *Message) error {
		r, err := d.Decode(m.Payload)
		if err != nil {
			return err
		}
		if len(kept) > 0 && kept[0].Priority != r.Priority {
			kept = kept[:0]
		}
		what := keptRule
		if doomed(r) {
			what = chosenRule
			if hit, ok := firstHit(*r, kept); ok {
				what, spared = keptRule, errors.Join(spared, &OtherRuleError{Hit: hit})
			}
		}
		switch {
		case what == keptRule:
			kept = append(kept, *r)
		case r.Action.Type() == rpdb.ActionGoto:
			what = chosenGoto
			gotos++
		}
		chosen = append(chosen, what)
		return nil
	})
	return chosen, gotos, spared, err
}

// deleteOf deletes what was chosen so of a list, a piece at a time.
func (s *Socket) deleteOf(ctx context.Context, list RuleList, chosen []choice, what choice) (deleted int, err error) {
	var e netlink.Encoder
	var b netlink.Batch
	send := func() error {
		overtaken := 0
		sent, err := s.nl.ExecuteBatch(ctx, &b, func(_ int, err error) error {
			overtaken++
			if errors.Is(err, unix.ENOENT) { // somebody else was faster
				return nil
			}
			return err
		})
		deleted += max(sent-overtaken, 0)
		b.Reset()
		return err
	}
	i := 0
	err = list.messages(func(m *Message) error {
		if i++; chosen[i-1] != what {
			return nil
		}
		e.Reset(unix.RTM_DELRULE, 0, m.Payload)
		if err := b.Add(&e); err != nil || b.Len() < sentAtOnce {
			return err
		}
		return send()
	})
	if err == nil && b.Len() > 0 {
		err = send()
	}
	return deleted, err
}
