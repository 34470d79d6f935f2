package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"

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
// there the kernel walks over its list for each rule that it deletes.
func (s *Socket) FlushRules(ctx context.Context, family uint8, doomed func(*rpdb.Rule) bool) error {
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
