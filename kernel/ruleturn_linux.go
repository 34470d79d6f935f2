package kernel

import (
	"bytes"
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
	return !taken
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

// revokeRules deletes rules that requests have added, each the only one of its priority
// when it was. One that is not there any more is none to delete; one that somebody has
// put another in front of in the meantime, which the kernel would delete in its place,
// stays, and the error says so.
func (s *Socket) revokeRules(ctx context.Context, p *Pipeline, requests []int) error {
	there := map[rpdb.Family][]rpdb.Rule{}
	var failed error
	for _, i := range requests {
		if err := s.revokeRule(ctx, p.batch.Payload(i), there); err != nil && failed == nil {
			failed = &UnrevokedError{i, err}
		}
	}
	return failed
}

// revokeRule deletes the rule that a payload added. The rules of the families that were
// read are there.
func (s *Socket) revokeRule(ctx context.Context, payload []byte, there map[rpdb.Family][]rpdb.Rule) error {
	asked, err := askedFor(payload)
	if err != nil {
		return err
	}
	rules, read := there[asked.Family]
	if !read {
		again := func() { rules = nil }
		if err := s.EachRule(ctx, []uint8{uint8(asked.Family)}, again, func(m *RuleMessage) error {
			rules = append(rules, m.Rule)
			return nil
		}); err != nil {
			return err
		}
		there[asked.Family] = rules
	}
	stored, ok := addedBy(&asked, rules)
	if !ok {
		return nil
	}
	if hit, ok := firstHit(stored, rules); ok && hit != stored {
		return &OtherRuleError{Hit: hit}
	}
	if err := deleteStored(ctx, s.nl, stored); !errors.Is(err, unix.ENOENT) { // else somebody was faster
		return err
	}
	return nil
}

// askedFor reads what a request says of a rule, which is not all that the kernel makes
// of it. Addresses of "any" may have no bytes there.
func askedFor(payload []byte) (rpdb.Rule, error) {
	said := bytes.Clone(payload[:sizeofRuleHdr])
	d := netlink.NewDecoder(payload[sizeofRuleHdr:])
	for d.Next() {
		if typ := d.Type(); len(d.Data()) > 0 || typ != fraSrc && typ != fraDst {
			said = d.Raw(said)
		}
	}
	if err := d.Err(); err != nil {
		return rpdb.Rule{}, err
	}
	return decodeRule(said)
}

// addedBy returns the rule that a request has added where there was none: of those that
// stand there now, it is one that agrees with all that the request says. If there are
// several, somebody else has added the others, and it is the first that the kernel would
// have made of a whole request.
func addedBy(asked *rpdb.Rule, rules []rpdb.Rule) (stored rpdb.Rule, ok bool) {
	n := 0
	for i := range rules {
		r := &rules[i]
		if r.Priority != asked.Priority || !hit(*asked, *r) {
			continue
		}
		if n++; n == 1 || !sameRule(asked, &stored) && sameRule(asked, r) {
			stored = *r
		}
	}
	return stored, n > 0
}
