package kernel

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// RulePlaces are the priorities of a family at which rules stand, as far as one process
// knows. A rule that is the only one of its priority can be told from all others, and so
// it can be deleted again and no other: the kernel deletes the first rule that agrees
// with what a request says, and those that say more agree. It is not safe for concurrent
// use.
type RulePlaces struct {
	family rpdb.Family
	taken  map[rpdb.Priority]struct{}
}

// RulePlaces reads which priorities of a family are taken. The error is an
// [*UnstableError] if rules changed meanwhile.
func (s *Socket) RulePlaces(ctx context.Context, family rpdb.Family) (*RulePlaces, error) {
	p := &RulePlaces{family: family, taken: map[rpdb.Priority]struct{}{}}
	again := func() { clear(p.taken) }
	err := s.EachRule(ctx, []uint8{uint8(family)}, again, func(m *RuleMessage) error {
		p.taken[m.Rule.Priority] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Take takes the priority of a request, and reports whether that adds a rule of the
// family where none is: then [Pipeline.FlushInTurn] may carry it out. It is false where
// the kernel is to choose the priority.
func (p *RulePlaces) Take(r RuleRequest) bool {
	at, ok := r.place()
	if !ok || r.Delete || r.Echo || at.family != p.family {
		return false
	}
	_, taken := p.taken[at.priority]
	p.taken[at.priority] = struct{}{}
	return !taken && !r.makesTable()
}

// Family returns the family that a request is about, 0 if it is about none.
func (r RuleRequest) Family() rpdb.Family {
	if len(r.Payload) < sizeofRuleHdr {
		return 0
	}
	return rpdb.Family(r.Payload[0])
}

// HasPlace reports whether a request says the priority of its rule, which else the
// kernel chooses.
func (r RuleRequest) HasPlace() bool {
	_, ok := r.place()
	return ok
}

// makesTable reports whether the kernel makes a table for the rule, which stays when
// that goes: IPv4 gives one that looks up table 0 the first that nobody has.
func (r RuleRequest) makesTable() bool {
	if r.Family() != rpdb.IPv4 || rpdb.ActionType(r.Payload[7]) != rpdb.ActionTable {
		return false
	}
	table := uint32(r.Payload[4])
	d := netlink.NewDecoder(r.Payload[sizeofRuleHdr:])
	for d.Next() {
		if d.Type() == fraTable {
			table = d.Uint32()
		}
	}
	return table == 0
}

// place returns where a request puts its rule. It is false if that does not say it.
func (r RuleRequest) place() (at place, ok bool) {
	if at.family = r.Family(); at.family == 0 {
		return at, false
	}
	d := netlink.NewDecoder(r.Payload[sizeofRuleHdr:])
	for d.Next() {
		if d.Type() == fraPriority { // the last one counts
			at.priority, ok = rpdb.Priority(d.Uint32()), true
		}
	}
	return at, ok && d.Err() == nil
}

// toldRules are what the kernel has made of requests, in little memory: most are never
// looked at.
type toldRules struct {
	payloads []byte
	of       []toldRule
}

// toldRule is the request that a payload is about, and where it ends.
type toldRule struct{ request, end int }

func (t *toldRules) reset() { t.payloads, t.of = t.payloads[:0], t.of[:0] }

func (t *toldRules) add(request int, payload []byte) {
	t.payloads = append(t.payloads, payload...)
	t.of = append(t.of, toldRule{request, len(t.payloads)})
}

// rule returns what a request has made.
func (t *toldRules) rule(request int) (rpdb.Rule, error) {
	from := 0
	for _, r := range t.of {
		if r.request == request {
			return decodeRule(t.payloads[from:r.end])
		}
		from = r.end
	}
	return rpdb.Rule{}, errors.New("the kernel has not told what it made of it")
}

// revokeRules deletes the rules that requests have added, each the only one of its
// priority when that was taken. One that is not there any more is none to delete; one
// that somebody has put another in front of in the meantime, which the kernel would
// delete in its place, stays, and the error says so.
func (p *Pipeline) revokeRules(ctx context.Context, requests []int) error {
	others := map[rpdb.Family][]rpdb.Rule{}
	var failed error
	for _, i := range requests {
		stored, err := p.told.rule(i)
		if err == nil {
			err = p.socket.revokeRule(ctx, stored, others)
		}
		if err != nil && failed == nil {
			failed = &UnrevokedError{i, err}
		}
	}
	return failed
}

// revokeRule deletes a rule. The lists that were read are kept in lists. A torn one will
// do: what it has is there, and of what it lacks the deletion itself finds that it was
// wrong.
func (s *Socket) revokeRule(ctx context.Context, stored rpdb.Rule, lists map[rpdb.Family][]rpdb.Rule) error {
	list, read := lists[stored.Family]
	if !read {
		_, err := s.eachOf(ctx, []uint8{uint8(stored.Family)}, func(m *Message) error {
			r, err := decodeRule(m.Payload)
			list = append(list, r)
			return err
		})
		if err != nil {
			return err
		}
		lists[stored.Family] = list
	}
	if hit, ok := firstHit(stored, list); ok && hit.Canonical() != stored.Canonical() {
		return &OtherRuleError{Hit: hit}
	}
	if err := deleteStored(ctx, s.nl, stored); !errors.Is(err, unix.ENOENT) { // else somebody was faster
		return err
	}
	return nil
}
