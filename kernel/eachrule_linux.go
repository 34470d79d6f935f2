package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// EachRule reads the rules of some families, which may be any numbers, as they were
// at one moment, and gives each of them to use, in order and in the same memory: use
// may keep the rule, and of the message nothing. If one of the lists turns out to be
// torn, all are read once more, after again was called to forget what use was given.
// An error of use ends the reading and is returned.
//
// It holds a few blocks of messages however long a list is. While the kernel makes
// the next part of a long one use has the last, on a goroutine of its own; it is
// called for one rule at a time, and not after EachRule has returned. It must not use
// the socket. See [Socket.ListRules] for what is not noticed.
func (s *Socket) EachRule(ctx context.Context, families []uint8, again func(), use func(*RuleMessage) error) error {
	for range maxReadings {
		quiet, err := s.eachOf(ctx, families, use)
		if quiet || err != nil {
			return err
		}
		again()
	}
	return &UnstableError{Class: "rules", Attempts: maxReadings}
}

// eachOf reads every family once, up to the first torn list.
func (s *Socket) eachOf(ctx context.Context, families []uint8, use func(*RuleMessage) error) (quiet bool, err error) {
	for _, f := range families {
		r := readingOfRules(use)
		quiet, err = s.nl.DumpParts(ctx, dumpOfRules(f), eventGroup(EventRule, rpdb.Family(f)), r.add)
		used := r.end()
		if errors.Is(err, netlink.InterruptedError{}) || errors.Is(err, netlink.OverflowError{}) {
			quiet, err = false, nil
		}
		if err = errors.Join(err, used); !quiet || err != nil {
			return false, err
		}
	}
	return true, nil
}

// readingOfRules returns a reading that decodes rules and gives them to use.
func readingOfRules(use func(*RuleMessage) error) *listReading {
	var parts ruleParts
	var told RuleMessage
	return &listReading{use: func(m *Message) error {
		if m.Type != unix.RTM_NEWRULE {
			return nil
		}
		if err := parts.decode(m.Payload); err != nil {
			return fmt.Errorf("decode rule: %w", err)
		}
		told.Message, told.Rule = *m, parts.rule
		return use(&told)
	}}
}
