package kerneltest

import (
	"context"
	"net/netip"
	"slices"
	"syscall"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// ruleRequest is a netlink request about a rule.
type ruleRequest struct {
	rpdb.Rule
	given  iproute2.Given
	realms bool // the realms are given although they are 0
}

// withState adds the flags that the kernel computes when it lists a rule.
func (m *Memory) withState(r rpdb.Rule) rpdb.Rule {
	detached := func(name rpdb.LinkName) bool {
		return name != "" && !slices.ContainsFunc(m.links, func(l memoryLink) bool { return l.Name == name })
	}
	if detached(r.Selector.IIF) {
		r.Flags |= rpdb.RuleIIFDetached
	}
	if detached(r.Selector.OIF) {
		r.Flags |= rpdb.RuleOIFDetached
	}
	if r.Action.Type() == rpdb.ActionGoto && !slices.ContainsFunc(m.rules[index(r.Family)], func(o rpdb.Rule) bool {
		return o.Priority == r.Action.Target()
	}) {
		r.Flags |= rpdb.RuleUnresolved
	}
	return r
}

// addRule is fib_newrule with NLM_F_EXCL.
func (m *Memory) addRule(q ruleRequest) error {
	if err := m.readRule(&q); err != nil {
		return err
	}
	list := m.rules[index(q.Family)]
	if slices.ContainsFunc(list, func(s rpdb.Rule) bool { return sameInAll(q.Rule, s) && givenAgrees(q, s) }) {
		return syscall.EEXIST
	}
	if err := m.configureRule(&q); err != nil {
		return err
	}
	m.insertRule(q.Rule)
	return nil
}

// insertRule puts a rule behind all of its priority.
func (m *Memory) insertRule(r rpdb.Rule) {
	list := m.rules[index(r.Family)]
	at := len(list)
	if i := slices.IndexFunc(list, func(s rpdb.Rule) bool { return s.Priority > r.Priority }); i >= 0 {
		at = i
	}
	m.rules[index(r.Family)] = slices.Insert(list, at, r)
	m.custom[index(r.Family)] = rpdb.CustomisedYes
	m.tell(kernel.Event{Type: kernel.EventRule, Rule: m.withState(r)})
}

// deleteRule is fib_delrule: the first rule that agrees in what is given.
func (m *Memory) deleteRule(q ruleRequest) error {
	if err := m.readRule(&q); err != nil {
		return err
	}
	i := m.firstHit(q)
	if i < 0 {
		return syscall.ENOENT
	}
	list := m.rules[index(q.Family)]
	gone := m.withState(list[i])
	if gone.Flags&rpdb.RulePermanent != 0 {
		return syscall.EPERM
	}
	m.rules[index(q.Family)] = slices.Delete(slices.Clone(list), i, i+1)
	if q.Family == rpdb.IPv4 { // IPv6 counts only additions
		m.custom[index(q.Family)] = rpdb.CustomisedYes
	}
	m.tell(kernel.Event{Type: kernel.EventRule, Deleted: true, Rule: gone})
	return nil
}

func (m *Memory) firstHit(q ruleRequest) int {
	return slices.IndexFunc(m.rules[index(q.Family)], func(s rpdb.Rule) bool { return hits(q, s) && givenAgrees(q, s) })
}

func (m *Memory) addExactRule(r rpdb.Rule) error {
	if r.Family.Bits() == 0 {
		return refuse(syscall.EINVAL, "no family")
	}
	if r.Suppress.PrefixLength == rpdb.Some[int32](-1) || r.Suppress.IfGroup == rpdb.Some[uint32](1<<32-1) {
		return refuse(syscall.EINVAL, "the suppressor means none")
	}
	return m.addRule(ruleRequest{Rule: r, given: everything(r)})
}

// deleteExactRule deletes r, and refuses where the kernel would take another.
func (m *Memory) deleteExactRule(r rpdb.Rule) error {
	list := m.rules[index(r.Family)]
	i := slices.IndexFunc(list, func(s rpdb.Rule) bool { return s.Canonical() == r.Canonical() })
	if i < 0 {
		return syscall.ENOENT
	}
	q := ruleRequest{list[i], everything(list[i]), true}
	if hit := m.firstHit(q); hit >= 0 && list[hit].Canonical() != r.Canonical() {
		return &kernel.OtherRuleError{Hit: list[hit]}
	}
	return m.deleteRule(q)
}

func everything(r rpdb.Rule) iproute2.Given {
	return iproute2.Given{Priority: true, Goto: r.Action.Type() == rpdb.ActionGoto}
}

// readRule makes the checks of fib_nl2rule in its order, and completes the
// request: the implied masks, the default priority.
func (m *Memory) readRule(q *ruleRequest) error {
	s := &q.Selector
	if err := attributesFit(q.Rule); err != nil {
		return err
	}
	if s.From.IsValid() && s.From.Bits() > 0 && s.From.Addr().BitLen() != q.Family.Bits() {
		return refuse(syscall.EINVAL, "Invalid source address")
	}
	if s.To.IsValid() && s.To.Bits() > 0 && s.To.Addr().BitLen() != q.Family.Bits() {
		return refuse(syscall.EINVAL, "Invalid dst address")
	}
	isGoto, hasTarget := q.Action.Type() == rpdb.ActionGoto, q.given.Goto || q.Action.Target() != 0
	switch u, hasUID := s.UIDRange.Get(); {
	case hasTarget && !isGoto:
		return refuse(syscall.EINVAL, "Unexpected goto")
	case isGoto && !hasTarget:
		return refuse(syscall.EINVAL, "Missing goto target for action goto")
	case s.L3MDev && q.Action.Table() != 0:
		return refuse(syscall.EINVAL, "l3mdev and table are mutually exclusive")
	case hasUID && (u.First > u.Last || u.Last == 1<<32-1):
		return refuse(syscall.EINVAL, "Invalid uid range")
	}
	if err := checkPorts(s.SPort, "sport"); err != nil {
		return err
	}
	if err := checkPorts(s.DPort, "dport"); err != nil {
		return err
	}
	q.Rule = stored(q.Rule)
	if !q.given.Priority {
		q.Priority = m.defaultPriority(q.Family)
	}
	if isGoto && q.Action.Target() <= q.Priority {
		return refuse(syscall.EINVAL, "Backward goto not supported")
	}
	return nil
}

// attributesFit refuses what the netlink policy refuses.
func attributesFit(r rpdb.Rule) error {
	s := r.Selector
	d, _ := s.DSCP.Get()
	switch {
	case r.Family != rpdb.IPv4 && r.Family != rpdb.IPv6:
		return refuse(syscall.EAFNOSUPPORT, "Rule family not supported")
	case len(s.IIF) > 15, len(s.OIF) > 15, d.Value > 0x3f:
		return refuse(syscall.ERANGE, "Error parsing msg")
	case d.Mask > 0x3f:
		return refuse(syscall.EINVAL, "Error parsing msg")
	}
	return nil
}

func checkPorts(p rpdb.Ports, name string) error {
	switch {
	case p == rpdb.Ports{}:
	case p.First == 0, p.Last == 0xffff, p.First > p.Last:
		return refuse(syscall.EINVAL, "Invalid "+name+" range")
	case p.Mask != 0 && p.First != p.Last:
		return refuse(syscall.EINVAL, "Cannot specify port mask for port range")
	case p.Mask != 0 && p.First&^p.Mask != 0:
		return refuse(syscall.EINVAL, "Invalid port mask")
	}
	return nil
}

// stored returns the rule as the kernel keeps it: like its canonical form, but
// with host bits.
func stored(r rpdb.Rule) rpdb.Rule {
	from, to := r.Selector.From, r.Selector.To
	r = r.Canonical()
	if r.Selector.From.IsValid() {
		r.Selector.From = from
	}
	if r.Selector.To.IsValid() {
		r.Selector.To = to
	}
	return r
}

// defaultPriority is fib_default_rule_pref: one before the second rule.
func (m *Memory) defaultPriority(f rpdb.Family) rpdb.Priority {
	list := m.rules[index(f)]
	if len(list) > 1 && list[1].Priority != 0 {
		return list[1].Priority - 1
	}
	return 0
}

// configureRule is fib4_rule_configure and fib6_rule_configure.
func (m *Memory) configureRule(q *ruleRequest) error {
	s := &q.Selector
	d, hasDSCP := s.DSCP.Get()
	l := s.FlowLabel
	switch {
	case q.Family == rpdb.IPv4 && l != rpdb.FlowLabel{}:
		return refuse(syscall.EINVAL, "Flow label cannot be specified for IPv4 FIB rules")
	case s.TOS&3 != 0:
		return refuse(syscall.EINVAL, "Invalid dsfield (tos): ECN bits must be 0")
	case q.Family == rpdb.IPv4 && s.TOS&^0x1c != 0:
		return refuse(syscall.EINVAL, "Invalid tos")
	case s.TOS != 0 && hasDSCP:
		return refuse(syscall.EINVAL, "Cannot specify both TOS and DSCP")
	case hasDSCP && d.Value&^d.Mask != 0:
		return refuse(syscall.EINVAL, "Invalid DSCP mask")
	case l.Mask > 0xfffff:
		return refuse(syscall.EINVAL, "Invalid flow label mask")
	case l.Value&^l.Mask != 0:
		return refuse(syscall.EINVAL, "Flow label and mask do not match")
	case q.Action.Type() != rpdb.ActionTable || q.Action.Table() != 0 || s.L3MDev:
		return nil
	case q.Family == rpdb.IPv6:
		return refuse(syscall.EINVAL, "Invalid table")
	}
	t := rpdb.TableID(1)
	for m.tables[t] {
		t++
	}
	m.tables[t] = true
	q.Action = rpdb.ToTable(t)
	return nil
}

// sameInAll compares what the duplicate check compares of every rule
// (rule_exists): neither "not" nor the target of a goto.
func sameInAll(q, s rpdb.Rule) bool {
	plain := func(r rpdb.Rule) rpdb.Rule {
		c := r.Selector
		r.Selector = rpdb.Selector{
			Mark: c.Mark, IIF: c.IIF, OIF: c.OIF, L3MDev: c.L3MDev, UIDRange: c.UIDRange,
			IPProto: c.IPProto, SPort: c.SPort, DPort: c.DPort, TunID: c.TunID,
		}
		r.Action = rpdb.RawAction(r.Action.Type(), r.Action.Table(), 0)
		r.Flags, r.Realms, r.Unknown = 0, 0, ""
		return r
	}
	return plain(q) == plain(s)
}

// hits compares what a deletion gives (rule_find).
func hits(q ruleRequest, s rpdb.Rule) bool {
	a, b := q.Selector, s.Selector
	return agrees(q.Action.Type(), s.Action.Type()) && agrees(q.Action.Table(), s.Action.Table()) &&
		(!q.given.Priority || q.Priority == s.Priority) && agrees(a.IIF, b.IIF) && agrees(a.OIF, b.OIF) &&
		agrees(a.Mark.Value, b.Mark.Value) && agrees(a.Mark.Mask, b.Mark.Mask) &&
		agrees(q.Suppress.IfGroup, s.Suppress.IfGroup) && agrees(q.Suppress.PrefixLength, s.Suppress.PrefixLength) &&
		agrees(a.TunID, b.TunID) && agrees(a.L3MDev, b.L3MDev) && agrees(a.UIDRange, b.UIDRange) &&
		agrees(a.IPProto, b.IPProto) && agrees(q.Protocol, s.Protocol) &&
		agrees(rpdb.PortRange(a.SPort.First, a.SPort.Last), rpdb.PortRange(b.SPort.First, b.SPort.Last)) &&
		agrees(rpdb.PortRange(a.DPort.First, a.DPort.Last), rpdb.PortRange(b.DPort.First, b.DPort.Last)) &&
		agrees(a.SPort.Mask, b.SPort.Mask) && agrees(a.DPort.Mask, b.DPort.Mask)
}

// givenAgrees is the comparison of the families, which looks only at what the
// request carries (fib4_rule_compare, fib6_rule_compare).
func givenAgrees(q ruleRequest, s rpdb.Rule) bool {
	a, b := q.Selector, s.Selector
	if d, ok := a.DSCP.Get(); ok {
		have, _ := b.DSCP.Get()
		if !b.DSCP.IsSet() || d.Value != have.Value || (d.Mask != 0x3f && d.Mask != have.Mask) {
			return false
		}
	}
	if q.Family == rpdb.IPv4 && (q.Realms != 0 || q.realms) && q.Realms != s.Realms {
		return false
	}
	same := func(p, o netip.Prefix) bool { return !p.IsValid() || p.Bits() == 0 || p == o }
	return same(a.From, b.From) && same(a.To, b.To) && agrees(a.TOS, b.TOS) && agrees(a.FlowLabel, b.FlowLabel)
}

// agrees reports whether a criterion matches; the zero value is not given.
func agrees[T comparable](criterion, value T) bool {
	var zero T
	return criterion == zero || criterion == value
}

// AddRules adds rules at priorities at which none stands, as [kernel.Conn.AddRules].
func (m *Memory) AddRules(ctx context.Context, rules []rpdb.Rule) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rules {
		if i := slices.IndexFunc(m.rules[index(r.Family)], func(s rpdb.Rule) bool { return s.Priority == r.Priority }); i >= 0 {
			return opError("add", r.String(), &kernel.OccupiedError{Rule: m.withState(m.rules[index(r.Family)][i])})
		}
	}
	before := m.rules
	for i, r := range rules {
		m.rules[index(r.Family)] = slices.Clone(m.rules[index(r.Family)])
		if err := m.appendExactRule(r); err != nil {
			m.rules = before
			return &kernel.BulkError{Index: i, Err: opError("add", r.String(), err)}
		}
	}
	return nil
}

// appendExactRule adds a rule whatever else stands there.
func (m *Memory) appendExactRule(r rpdb.Rule) error {
	q := ruleRequest{Rule: r, given: everything(r)}
	if err := m.readRule(&q); err != nil {
		return err
	}
	if err := m.configureRule(&q); err != nil {
		return err
	}
	m.insertRule(q.Rule)
	return nil
}

// DeleteRules deletes rules, as [kernel.Conn.DeleteRules].
func (m *Memory) DeleteRules(ctx context.Context, rules []rpdb.Rule) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.rules
	for i, r := range rules {
		if err := m.deleteExactRule(r); err != nil {
			m.rules = before
			return &kernel.BulkError{Index: i, Err: opError("delete", r.String(), err)}
		}
	}
	return nil
}
