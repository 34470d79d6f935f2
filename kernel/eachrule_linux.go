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
		r := ruleReading{use: use}
		quiet, err = s.nl.DumpWatched(ctx, dumpOfRules(f), eventGroup(EventRule, rpdb.Family(f)), r.add)
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

// ruleReading takes the messages of a list and has them used block by block: those
// of a short list when it is there, those of a long one while it comes.
type ruleReading struct {
	block []byte // of records, which is being filled
	seq   uint32
	pid   uint32

	ahead chan []byte   // blocks to use, nil if there is no goroutine for that
	free  chan []byte   // blocks that were used
	done  chan struct{} // closed when the goroutine has ended

	// Below is what using has, wherever it runs.
	use    func(*RuleMessage) error
	parts  ruleParts
	told   RuleMessage
	failed error // the first, after which nothing is used any more
}

const (
	readingBlock = 32 << 10 // some 400 rules, as many as the kernel tells at once
	readingAhead = 4        // how many blocks may wait to be used
)

// add takes one message.
func (r *ruleReading) add(m netlink.Message) error {
	if m.Type != unix.RTM_NEWRULE {
		return nil
	}
	size := recordHead + len(m.Data)
	switch {
	case r.block == nil:
		r.seq, r.pid = m.Seq, m.PID
		r.block = make([]byte, 0, max(size, readingBlock))
	case cap(r.block)-len(r.block) < size:
		r.handOn(size)
	}
	r.block = appendRecord(r.block, m)
	return nil
}

// handOn has the full block used and goes on in another with room for a record.
func (r *ruleReading) handOn(size int) {
	if r.ahead == nil {
		r.ahead, r.done = make(chan []byte, readingAhead), make(chan struct{})
		r.free = make(chan []byte, readingAhead+2) // with the one in use and the one being filled: all that there are
		go r.work()
	}
	r.ahead <- r.block
	r.block = nil
	select {
	case b := <-r.free:
		r.block = b[:0]
	default:
	}
	if cap(r.block) < size {
		r.block = make([]byte, 0, max(size, readingBlock))
	}
}

// work uses blocks until there will be no more.
func (r *ruleReading) work() {
	defer close(r.done)
	for b := range r.ahead {
		r.useAll(b)
		r.free <- b
	}
}

// end has what is left used, and returns the error of using.
func (r *ruleReading) end() error {
	if r.ahead == nil {
		r.useAll(r.block)
		return r.failed
	}
	r.ahead <- r.block
	close(r.ahead)
	<-r.done
	return r.failed
}

// useAll reads the rules of a block and gives each to use.
func (r *ruleReading) useAll(block []byte) {
	if r.failed != nil {
		return
	}
	m := Message{Seq: r.seq, PID: r.pid}
	r.failed = m.records(block, func(m *Message) error {
		if err := r.parts.decode(m.Payload); err != nil {
			return fmt.Errorf("decode rule: %w", err)
		}
		r.told.Message, r.told.Rule = *m, r.parts.rule
		return r.use(&r.told)
	})
}
