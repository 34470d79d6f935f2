package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"rpdb"
	"rpdb/apply"
	"rpdb/cli/ipcmd"
	"rpdb/plan"
)

// natRefused is a rule that cannot translate. What ip does with the words is no
// way out.
type natRefused struct {
	verb, text string
	err        error
}

func (e *natRefused) Error() string { return "rule " + e.verb + ": " + e.text + e.err.Error() }

func (e *natRefused) Unwrap() error { return e.err }

// Hint says what the words would do under another name.
func (e *natRefused) Hint() string {
	return `"rpdb ip rule add ... nat" is no way around it: such a rule drops what it selects`
}

// translation is what the word behind nat comes to for the packets of a rule.
func (q asked) translation(verb string) (rpdb.Translation, error) {
	n, _ := q.NAT.Get()
	s := q.rule.Selector
	refuse := func(format string, args ...any) (rpdb.Translation, error) {
		return rpdb.Translation{}, &natRefused{verb, fmt.Sprintf("nat %q (word %d): ", n.Word, n.Position+1), fmt.Errorf(format, args...)}
	}
	switch {
	case n.Family != 0 && n.Family != q.rule.Family:
		return refuse("an %v address in a rule for %v", n.Family, q.rule.Family)
	case s.Not:
		return refuse("what is not selected is no block, and cannot be translated")
	case s.OIF != "" || s.UIDRange.IsSet() || s.IIF == "lo":
		return refuse("oif, uidrange and iif lo select packets of this host, and only forwarded packets are translated")
	}
	t, err := plan.SettleNAT(q.rule.Family, s.From, n.Addr, n.Bits)
	if err != nil {
		return refuse("%w", err)
	}
	return t, nil
}

// changeNAT makes what a plan has, or nothing, as the only writer.
func (r *rules) changeNAT(ctx context.Context, verb string, wanted func(*rpdb.Snapshot) (plan.Plan, error)) (apply.Result, error) {
	refused := func(err error) error { return &natRefused{verb: verb, err: err} }
	k, done, err := r.natWriter(ctx, verb)
	if err != nil {
		return apply.Result{}, err
	}
	defer done()
	host, err := k.Snapshot(ctx)
	if err != nil {
		return apply.Result{}, err
	}
	p, err := wanted(host)
	if err != nil {
		return apply.Result{}, refused(err)
	}
	result, err := apply.Make(ctx, k, p, wanted, apply.Options{})
	if p.Empty() {
		result.After = host
	}
	var left *apply.RollbackError
	switch failed, step := err.(*apply.StepError); {
	case step: // of a plan that nobody has seen
		err = failed.Err
	case errors.As(err, &left):
	case errors.Is(err, context.Canceled) && result.RolledBack:
		err = fmt.Errorf("%w: what had been done was taken back", context.Cause(ctx))
	case errors.Is(err, context.Canceled):
		err = fmt.Errorf("%w: nothing was changed", context.Cause(ctx))
	}
	if err != nil {
		err = fmt.Errorf("rule %s: %w", verb, err)
	}
	return result, err
}

// natWriter makes this the only writer of the namespace. Nftables is shared with
// policies, and written as a whole.
func (r *rules) natWriter(ctx context.Context, verb string) (k apply.Kernel, done func(), err error) {
	conn, err := r.open()
	if err != nil {
		return nil, nil, err
	}
	var seen rpdb.Snapshot
	if err = (hostDoors{conn}).readNAT(ctx, &seen); err == nil && seen.Missing.Has(rpdb.PartNAT) {
		err = fmt.Errorf("rule %s: nftables shows itself only to those who may change it: %w", verb, syscall.EPERM)
	}
	conn.Close()
	if err != nil {
		return nil, nil, err
	}
	s, err := r.openSite(false)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := s.journal.Lock(ctx, usualWait)
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return s.kernel(), func() { unlock(); s.close() }, nil
}

// addNAT adds a rule that translates, or completes what was begun of it. Ensure is
// content with one that is there.
func (r *rules) addNAT(ctx context.Context, verb string, q asked) error {
	t, err := q.translation(verb)
	if err != nil {
		return err
	}
	var rule rpdb.Rule // at the priority that it has, or gets
	result, err := r.changeNAT(ctx, verb, func(s *rpdb.Snapshot) (plan.Plan, error) {
		if rule == (rpdb.Rule{}) {
			rule = placeNAT(s, q)
		}
		return plan.AddNATRule(s, rule, t, r.names())
	})
	made := madeNAT(result.After, rule)
	switch {
	case err != nil && len(result.Done) == 0:
		return err
	case len(result.Done) == 0 && verb == "add":
		return &thereError{made.Rules[0]}
	case len(result.Done) == 0:
		return nil
	}
	if r.opts.Echo {
		return errors.Join(err, r.printNAT(ctx, made.Rules, false, result.After.NAT.Translations))
	}
	return errors.Join(err, r.tellNAT(result.After, made))
}

// printNAT prints rules, or rules that were deleted, with what nftables did to their
// packets at some time.
func (r *rules) printNAT(ctx context.Context, list []rpdb.Rule, deleted bool, nat []rpdb.Translation) error {
	var text ipcmd.Held
	p := r.printer(ctx, &text)
	p.nat, p.hasNAT = nat, true
	return p.all(list, deleted, &text)
}

// placeNAT gives a rule without a priority that of the same rule that stands, or
// the one that the kernel would give it.
func placeNAT(s *rpdb.Snapshot, q asked) rpdb.Rule {
	rule := q.rule
	if q.Given().Priority {
		return rule
	}
	for _, n := range s.NATRules() {
		for _, r := range n.Rules {
			if q.isNAT(r, n) {
				rule.Priority = r.Priority
				return rule
			}
		}
	}
	rule.Priority = priorityFor(s.RulesOf(rule.Family))
	return rule
}

// isNAT reports whether a rule made by hand is the one that was typed, but for its
// translation.
func (q asked) isNAT(r rpdb.Rule, n rpdb.NATRule) bool {
	want := q.rule.Canonical()
	if !q.Given().Priority {
		want.Priority = r.Priority
	}
	is := r.Canonical()
	is.Action, is.Realms, is.Protocol = want.Action, want.Realms, want.Protocol
	return is == want && (n.Translation.CopyOf == 0 || n.Translation.CopyOf == want.Action.Table())
}

// madeNAT finds a rule in the state that was reached.
func madeNAT(s *rpdb.Snapshot, rule rpdb.Rule) rpdb.NATRule {
	if s == nil {
		return rpdb.NATRule{}
	}
	for _, n := range s.NATRules() {
		for _, r := range n.Rules {
			if r.Family == rule.Family && r.Priority == rule.Priority && r.Selector.Canonical() == rule.Selector.Canonical() {
				n.Rules = []rpdb.Rule{r}
				return n
			}
		}
	}
	return rpdb.NATRule{}
}

// tellNAT says what was made, and what it needs besides.
func (r *rules) tellNAT(s *rpdb.Snapshot, n rpdb.NATRule) error {
	r.noteInTheWay(n.Rules[0])
	w := newPrinter(r.Out)
	v := newWords(s.LinkName, r.names())
	v.nat = s.NAT.Translations
	w.say("rule        ", "%d: %s", n.Rules[0].Priority, v.rule(n.Rules[0]))
	w.say("copy        ", "table %d, %d %s of table %s; \"rpdb repair\" renews it when that changes",
		n.Copy, len(n.Routes), plural(len(n.Routes), "route", "routes"), safe(r.names().Table(n.Translation.CopyOf)))
	w.say("translation ", "%s", translationWords(n.Translation))
	if led := ledWords(s, n.Translation); led != "" {
		w.say("", "%s", led)
	}
	if setting := s.ForwardsNothing(n.Family); setting != "" {
		w.say("", "This host forwards nothing yet (%s), and translates only what it forwards.", setting)
	}
	w.say("", "Like every rule made by hand it is gone after a boot; a rule of a policy comes back.")
	return w.err
}

// ledWords says how packets for the outside addresses have to come here, "" where
// they do.
func ledWords(s *rpdb.Snapshot, t rpdb.Translation) string {
	if !t.To.IsValid() {
		return ""
	}
	for _, a := range s.Addresses {
		switch {
		case a.Prefix.Addr() == t.To.Addr() && t.To.IsSingleIP():
			return ""
		case a.Prefix.Masked().Overlaps(t.To) && !a.Prefix.IsSingleIP():
			asks := "ARP"
			if t.Family == rpdb.IPv6 {
				asks = "neighbour discovery"
			}
			return fmt.Sprintf("Neighbours on %s ask for %v by %s, and nothing here answers: they need a route to it by this host, or a proxy.", safe(s.LinkName(a.Link)), t.To, asks)
		}
	}
	return fmt.Sprintf("Packets for %v must be led to this host, by a route of whoever provides it.", t.To)
}

// testNAT tells whether a rule that translates is there, whole.
func (r *rules) testNAT(ctx context.Context, q asked) error {
	t, err := q.translation("test")
	if err != nil {
		return trouble(err)
	}
	conn, err := r.open()
	if err != nil {
		return trouble(err)
	}
	defer conn.Close()
	s, err := hostDoors{conn}.Snapshot(ctx)
	if err != nil {
		return trouble(err)
	}
	if s.Missing.Has(rpdb.PartNAT) {
		return trouble(fmt.Errorf("rule test: what nftables holds is not known: %w", syscall.EPERM))
	}
	p, err := plan.AddNATRule(s, placeNAT(s, q), t, r.names())
	if err != nil || !p.Empty() {
		return &codeError{code: exitFailed}
	}
	return nil
}

// deleteNAT deletes the rule made by hand that the words choose: by what stands
// behind nat, and by whatever else they say of it.
func (r *rules) deleteNAT(ctx context.Context, q asked) error {
	var found []rpdb.Rule
	var nat []rpdb.Translation
	left := false
	result, err := r.changeNAT(ctx, "delete", func(s *rpdb.Snapshot) (plan.Plan, error) {
		if found == nil {
			for _, n := range s.NATRules() {
				left = left || len(n.Rules) == 0 && q.chooses(rpdb.Rule{Priority: n.Translation.Rule}, n)
				for _, rule := range n.Rules {
					if q.chooses(rule, n) {
						found = append(found, rule)
					}
				}
			}
			if len(found) > 1 {
				return plan.Plan{}, &severalError{found}
			}
			if len(found) == 0 && !left {
				return plan.Plan{}, &absentError{rule: q.rule}
			}
			nat = s.NAT.Translations
		}
		return plan.RemoveNATRules(s, found...)
	})
	var several *severalError
	var absent *absentError
	switch {
	case errors.As(err, &several):
		return several
	case errors.As(err, &absent):
		return absent
	case err != nil:
		return err
	case len(found) == 0:
		w := newPrinter(r.Out)
		w.printf("The rule is gone already; %d %s left of it, and gone now.\n", len(result.Done), plural(len(result.Done), "part was", "parts were"))
		return w.err
	case r.opts.Echo:
		return r.printNAT(ctx, found, true, nat)
	}
	return nil
}

// chooses reports whether the words of a delete choose a rule made by hand that
// translates. What is left of one without a rule has its translation only.
func (q asked) chooses(r rpdb.Rule, n rpdb.NATRule) bool {
	to, _ := q.NAT.Get()
	t, want := n.Translation, q.rule
	named := q.Given().Priority || want.Selector != rpdb.Selector{}
	switch {
	case n.Family != want.Family, q.Given().Priority && want.Priority != r.Priority:
		return false
	case want.Selector != rpdb.Selector{} && len(n.Rules) > 0 && want.Selector.Canonical() != r.Selector.Canonical():
		return false
	case q.Given().Table && t != rpdb.Translation{} && want.Action.Table() != t.CopyOf && want.Action.Table() != n.Copy:
		return false
	case t == rpdb.Translation{}: // nftables has lost it
		return named && len(n.Rules) > 0
	case !to.Addr.IsValid():
		return t.Kind == rpdb.TranslateMasquerade
	}
	return t.To.IsValid() && to.Addr == t.To.Addr() && (to.Bits < 0 || to.Bits == t.To.Bits())
}

// dropNAT deletes rules made by hand that translate, with all that belongs to them.
func (r *rules) dropNAT(ctx context.Context, verb string, doomed []rpdb.Rule) error {
	_, err := r.changeNAT(ctx, verb, func(s *rpdb.Snapshot) (plan.Plan, error) { return plan.RemoveNATRules(s, doomed...) })
	return err
}

// natApart splits rules into those made by hand that translate and all others.
func natApart(list []rpdb.Rule) (translate, rest []rpdb.Rule) {
	for _, r := range list {
		if r.IsHandNAT() {
			translate = append(translate, r)
		} else {
			rest = append(rest, r)
		}
	}
	return translate, rest
}

// refusedReplace says why a rule that translates is not replaced: what belongs to
// it would stay, or not come.
func refusedReplace(rule rpdb.Rule) error {
	return &natRefused{"replace", "", fmt.Errorf("%v translates, and nothing replaces it in one message: delete it first", rule)}
}

// unrestored says of saved rules which ones are not made, as nothing is known of
// what they translated.
func unrestored(rules []rpdb.Rule, names rpdb.Names) string {
	v := newWords(nil, names)
	var all []string
	for _, r := range rules {
		all = append(all, fmt.Sprintf("rule %d: %s", r.Priority, strings.TrimSpace(v.rule(r))))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}
