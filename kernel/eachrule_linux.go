package kernel

import (
	"context"
	"errors"

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
	var decoder RuleDecoder
	var told RuleMessage
	return s.RuleMessages(ctx, families, again, func(m *Message) error {
		r, err := decoder.Decode(m.Payload)
		if err != nil {
			return err
		}
		told.Message, told.Rule = *m, *r
		return use(&told)
	})
}

// RuleMessages does what [Socket.EachRule] does with messages that were not read.
func (s *Socket) RuleMessages(ctx context.Context, families []uint8, again func(), use func(*Message) error) error {
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
func (s *Socket) eachOf(ctx context.Context, families []uint8, use func(*Message) error) (quiet bool, err error) {
	for _, f := range families {
		r := listReading{use: func(m *Message) error {
			if m.Type != unix.RTM_NEWRULE {
				return nil
			}
			return use(m)
		}}
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
