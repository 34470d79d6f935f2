package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Refusal is the kernel's negative answer to a request: its errno, its own
// text, and the attribute that it misses.
type Refusal = netlink.Error

// RuleRequest is a request to add or delete a rule as ip(8) words it. Unlike a
// [rpdb.Change] it may leave out the priority, and delete by a part of a key.
type RuleRequest struct {
	Delete bool
	// Echo asks for what the kernel made of it.
	Echo bool
	// Payload is a struct fib_rule_hdr with attributes (FRA_*).
	Payload []byte
}

// RuleMessage is what the kernel says about a rule: in a list, as an echo or as
// an event.
type RuleMessage struct {
	Rule rpdb.Rule
	// Type and Flags are those of the message's header, Seq and PID name the
	// request that it answers.
	Type, Flags uint16
	Seq, PID    uint32
	// Payload is the message behind its header, as it was received.
	Payload []byte
}

// Deleted reports whether the message is about a deletion.
func (m RuleMessage) Deleted() bool { return m.Type == unix.RTM_DELRULE }

// RuleSocket sends requests about rules as they are and reads nothing back,
// which is what ip(8) does. Nothing is checked but by the kernel; [Conn.Do] is
// the careful way. It is safe for concurrent use.
type RuleSocket struct {
	nl *netlink.Conn
}

// OpenRuleSocket opens a socket in the caller's namespace, or in that of the
// options. It needs no privilege for the caller's own.
func OpenRuleSocket(o Options) (*RuleSocket, error) {
	dial := netlink.Options{Strict: true}
	if o.NetNS != nil {
		dial.NetNS = o.NetNS.FD()
	}
	nl, err := netlink.Dial(dial)
	if err != nil {
		return nil, opError("open", "connection to the kernel", err)
	}
	return &RuleSocket{nl: nl}, nil
}

// Close closes the socket.
func (s *RuleSocket) Close() error { return s.nl.Close() }

// Send carries one request out: an addition refuses what the kernel takes for
// the same rule, a deletion takes the first rule that agrees with the request.
// With Echo it returns what the kernel made of it. The kernel's refusal is a
// [*Refusal].
func (s *RuleSocket) Send(ctx context.Context, r RuleRequest) ([]RuleMessage, error) {
	typ, flags := uint16(unix.RTM_NEWRULE), netlink.Create|netlink.Excl
	if r.Delete {
		typ, flags = unix.RTM_DELRULE, 0
	}
	if r.Echo {
		flags |= netlink.Echo
	}
	var told []RuleMessage
	err := s.nl.Execute(ctx, netlink.NewEncoder(nil, typ, flags, r.Payload), func(m netlink.Message) error {
		if m.Type != typ {
			return nil
		}
		rm, err := ruleMessage(m)
		told = append(told, rm)
		return err
	})
	return told, err
}

// List reads the rules of a family, which may be any number: the kernel
// refuses those that have no rules. Consistent is false if the list may be
// torn: it did not fit one datagram, or the kernel says so. [Conn.Rules] reads
// until it is not.
func (s *RuleSocket) List(ctx context.Context, family uint8) (rules []RuleMessage, consistent bool, err error) {
	e := netlink.NewEncoder(nil, unix.RTM_GETRULE, 0, append([]byte{family}, make([]byte, sizeofRuleHdr-1)...))
	n, err := s.nl.Dump(ctx, e, func(m netlink.Message) error {
		if m.Type != unix.RTM_NEWRULE {
			return nil
		}
		rm, err := ruleMessage(m)
		rules = append(rules, rm)
		return err
	})
	if errors.Is(err, netlink.InterruptedError{}) {
		return rules, false, nil
	}
	return rules, n <= 1, err
}

// ruleMessage reads a message about a rule, and keeps a copy of it.
func ruleMessage(m netlink.Message) (RuleMessage, error) {
	r, err := decodeRule(m.Data)
	return RuleMessage{
		Rule: r, Type: m.Type, Flags: uint16(m.Flags), Seq: m.Seq, PID: m.PID,
		Payload: append([]byte(nil), m.Data...),
	}, err
}

// flushRounds bounds how often a flush looks for what it could not see before.
const flushRounds = 10

// Flush deletes the rules of a family that doomed chooses. The kernel deletes
// the first rule that agrees with a request, so a chosen rule that stands
// behind one of its priority which is not chosen and agrees with it is left,
// and the error is an [*OtherRuleError]. The first refusal ends the flush with
// a [*Refusal]; what was deleted before stays deleted.
func (s *RuleSocket) Flush(ctx context.Context, family uint8, doomed func(rpdb.Rule) bool) error {
	for range flushRounds {
		rules, consistent, err := s.List(ctx, family)
		if err != nil {
			return err
		}
		deleted, err := s.deleteChosen(ctx, rules, doomed)
		if err != nil || consistent || deleted == 0 {
			return err
		}
	}
	return &UnstableError{Class: fmt.Sprintf("rules (family %d)", family), Attempts: flushRounds}
}

// deleteChosen goes over a list once and returns how many rules went.
func (s *RuleSocket) deleteChosen(ctx context.Context, rules []RuleMessage, doomed func(rpdb.Rule) bool) (deleted int, err error) {
	var kept []rpdb.Rule // of the priority at hand
	var spared error
	for _, m := range rules {
		if len(kept) > 0 && kept[0].Priority != m.Rule.Priority {
			kept = kept[:0]
		}
		if !doomed(m.Rule) {
			kept = append(kept, m.Rule)
			continue
		}
		if hit, ok := firstHit(m.Rule, kept); ok {
			spared = errors.Join(spared, &OtherRuleError{Hit: hit})
			kept = append(kept, m.Rule)
			continue
		}
		switch _, err := s.Send(ctx, RuleRequest{Delete: true, Payload: m.Payload}); {
		case errors.Is(err, unix.ENOENT): // somebody else was faster
		case err != nil:
			return deleted, err
		default:
			deleted++
		}
	}
	return deleted, spared
}

// LinkName returns the name of an interface in the socket's namespace, "" if
// there is none with the number.
func (s *RuleSocket) LinkName(index rpdb.LinkIndex) rpdb.LinkName {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	ifr.SetUint32(uint32(index))
	var failed error
	if err := s.nl.Control(func(fd int) { failed = unix.IoctlIfreq(fd, unix.SIOCGIFNAME, ifr) }); err != nil || failed != nil {
		return ""
	}
	return rpdb.LinkName(ifr.Name())
}
