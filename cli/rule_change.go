package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
	"rpdb/plan"
)

// asked is a rule that was typed, and all that is known of it.
type asked struct {
	iproute2.RuleRequest
	rule rpdb.Rule
}

// read reads the words of a rule strictly.
func (r *rules) read(verb string, words []string) (asked, error) {
	parse := r.context(rpdb.Family(r.opts.Family)).ParseAdd
	if verb == "delete" {
		parse = r.context(rpdb.Family(r.opts.Family)).ParseDelete
	}
	req, err := parse(words)
	if err != nil {
		return asked{}, r.badWords(verb, err)
	}
	rule, err := req.Strict()
	if err != nil {
		err = r.refused(verb, err)
		var refused *refusedError
		if errors.As(err, &refused) {
			refused.translates = req.NAT.IsSet()
		}
		return asked{}, err
	}
	return asked{req, rule}, nil
}

// add adds a rule, at the priority that the kernel chooses if none was given.
func (r *rules) add(ctx context.Context, words []string) error {
	q, err := r.read("add", words)
	if err != nil {
		return err
	}
	if q.NAT.IsSet() {
		return r.addNAT(ctx, "add", q)
	}
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	there, err := r.find(ctx, conn, q)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return &thereError{there[0]}
	}
	return r.put(ctx, conn, q)
}

// thereError is an add of what is there.
type thereError struct{ rule rpdb.Rule }

func (e *thereError) Error() string { return fmt.Sprintf("add rule: %v is the same", e.rule) }

func (e *thereError) Unwrap() error { return syscall.EEXIST }

// Hint names the verb that is content with it.
func (e *thereError) Hint() string { return `"rpdb rule ensure" adds a rule only if it is not there` }

// put adds a rule and says what it became if that was asked for.
func (r *rules) put(ctx context.Context, conn *kernel.Conn, q asked) error {
	if !q.Given().Priority {
		p, err := r.freePriority(ctx, conn, q.rule.Family)
		if err != nil {
			return err
		}
		q.rule.Priority = p
	}
	if err := conn.Do(ctx, rpdb.RuleChange(rpdb.Add, q.rule)); err != nil {
		return err
	}
	r.noteInTheWay(q.rule)
	if r.opts.Echo {
		return r.print(ctx, []rpdb.Rule{q.rule}, false)
	}
	return nil
}

// freePriority is the priority that the kernel gives a rule without one: one
// less than that of the second rule in the list.
func (r *rules) freePriority(ctx context.Context, conn *kernel.Conn, f rpdb.Family) (rpdb.Priority, error) {
	list, err := conn.Rules(ctx, f)
	return priorityFor(list), err
}

// priorityFor is the priority that the kernel gives a rule beside those of its
// family.
func priorityFor(list []rpdb.Rule) rpdb.Priority {
	if len(list) < 2 || list[1].Priority == 0 {
		return 0
	}
	return list[1].Priority - 1
}

// find returns the rules that are the one asked for.
func (r *rules) find(ctx context.Context, conn *kernel.Conn, q asked) ([]rpdb.Rule, error) {
	list, err := conn.Rules(ctx, q.rule.Family)
	if err != nil {
		return nil, err
	}
	var found []rpdb.Rule
	for _, rule := range list {
		if q.Is(rule) {
			found = append(found, rule)
		}
	}
	return found, nil
}

// ensure adds a rule that is not there.
func (r *rules) ensure(ctx context.Context, words []string) error {
	q, err := r.read("ensure", words)
	if err != nil {
		return err
	}
	if q.NAT.IsSet() {
		return r.addNAT(ctx, "ensure", q)
	}
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	there, err := r.find(ctx, conn, q)
	if err != nil || len(there) > 0 {
		return err
	}
	return r.put(ctx, conn, q)
}

// noteInTheWay says of a rule that was made by hand that it stands where those of a
// policy have to.
func (r *rules) noteInTheWay(made rpdb.Rule) {
	if p := made.Priority; made.Protocol != rpdb.ProtocolRPDB && plan.FirstPriority <= p && p <= plan.LastPriority {
		r.note("the priorities %d to %d are for the rules of a policy: none can be applied or repaired while rule %d stands among them", plan.FirstPriority, plan.LastPriority, p)
	}
}

// test tells with its exit code whether a rule is there.
func (r *rules) test(ctx context.Context, words []string) error {
	q, err := r.read("test", words)
	if err != nil {
		return trouble(err)
	}
	if q.NAT.IsSet() {
		return r.testNAT(ctx, q)
	}
	conn, err := r.open()
	if err != nil {
		return trouble(err)
	}
	defer conn.Close()
	there, err := r.find(ctx, conn, q)
	switch {
	case err != nil:
		return trouble(err)
	case len(there) == 0:
		return &codeError{code: exitFailed}
	}
	return nil
}

// replace puts a rule in the place of the one with its priority: the new one
// is added before the old one goes, unless the kernel takes them for the same.
func (r *rules) replace(ctx context.Context, words []string) error {
	q, err := r.read("replace", words)
	if err != nil {
		return err
	}
	if !q.Given().Priority {
		return r.wrong("replace", "which rule? its priority (pref) is missing")
	}
	if q.NAT.IsSet() {
		return &natRefused{"replace", "", errors.New("a rule that translates takes the place of no other one in one message: delete that one, and add this one")}
	}
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	list, err := conn.Rules(ctx, q.rule.Family)
	if err != nil {
		return err
	}
	var old []rpdb.Rule
	for _, rule := range list {
		if rule.Priority == q.rule.Priority {
			old = append(old, rule)
		}
	}
	switch {
	case len(old) == 0:
		return r.put(ctx, conn, q)
	case len(old) > 1:
		return &refusedError{object: "rule", verb: "replace", reasons: []string{fmt.Sprintf("priority %d has %d rules: delete those that are to go", q.rule.Priority, len(old))}}
	case q.Is(old[0]):
		return nil
	case old[0].IsHandNAT():
		return refusedReplace(old[0])
	}
	return r.exchange(ctx, conn, q, old[0])
}

func (r *rules) exchange(ctx context.Context, conn *kernel.Conn, q asked, old rpdb.Rule) error {
	remove := rpdb.RuleChange(rpdb.Delete, old)
	err := r.put(ctx, conn, q)
	if err == nil {
		return conn.Do(ctx, remove)
	}
	if !errors.Is(err, syscall.EEXIST) {
		return err
	}
	if err := conn.Do(ctx, remove); err != nil {
		return err
	}
	if err := r.put(ctx, conn, q); err != nil {
		return errors.Join(err, conn.Do(context.WithoutCancel(ctx), rpdb.RuleChange(rpdb.Add, old)))
	}
	return nil
}

// delete deletes the one rule that is exactly the one asked for.
func (r *rules) delete(ctx context.Context, words []string) error {
	q, err := r.read("delete", words)
	if err != nil {
		return err
	}
	if q.NAT.IsSet() {
		return r.deleteNAT(ctx, q)
	}
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	there, err := r.find(ctx, conn, q)
	switch {
	case err != nil:
		return err
	case len(there) == 0:
		return &absentError{q.rule, r.near(ctx, conn, q)}
	case len(there) > 1:
		return &severalError{there}
	}
	if there[0].IsHandNAT() {
		err = r.dropNAT(ctx, "delete", there)
	} else {
		err = conn.Do(ctx, rpdb.RuleChange(rpdb.Delete, there[0]))
	}
	if err != nil || !r.opts.Echo {
		return err
	}
	return r.print(ctx, there, true)
}

// near is the command that deletes a rule of the priority that was given, ""
// if there is none or more than one.
func (r *rules) near(ctx context.Context, conn *kernel.Conn, q asked) string {
	list, err := conn.Rules(ctx, q.rule.Family)
	if err != nil || !q.Given().Priority {
		return ""
	}
	var found []rpdb.Rule
	for _, rule := range list {
		if rule.Priority == q.rule.Priority {
			found = append(found, rule)
		}
	}
	if len(found) != 1 {
		return ""
	}
	command := iproute2.RuleCommand(rpdb.Delete, found[0], r.names())
	return "rpdb " + strings.TrimPrefix(command, "ip ")
}

// absentError is a delete of what is not there in full.
type absentError struct {
	rule rpdb.Rule
	near string
}

func (e *absentError) Error() string {
	return fmt.Sprintf("delete rule: no %v rule is exactly this one", e.rule.Family)
}

func (e *absentError) Unwrap() error { return syscall.ENOENT }

// Hint shows how the rule that was perhaps meant is deleted.
func (e *absentError) Hint() string {
	if e.near == "" {
		return `"rpdb rule list" shows what is there; a delete names all of a rule`
	}
	return "the rule of this priority goes with: " + e.near
}

// severalError is a delete that does not say which of several.
type severalError struct{ rules []rpdb.Rule }

func (e *severalError) Error() string {
	return fmt.Sprintf("delete rule: %d rules are this one, from priority %d to %d: say which (pref)",
		len(e.rules), e.rules[0].Priority, e.rules[len(e.rules)-1].Priority)
}
