package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/kernel"
)

// save writes the rules of both families, or of the one given, as the kernel
// told them.
func (r *rules) save(ctx context.Context, words []string) error {
	if len(words) > 0 {
		return r.wrong("save", "it takes no words: %q", words[0])
	}
	if isTerminal(r.plain().Out) {
		return r.wrong("save", "what it writes is not for terminals: send it to a file")
	}
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	var all []kernel.RuleList
	for _, f := range r.families() {
		list, err := conn.RuleMessages(ctx, f)
		if err != nil {
			return err
		}
		all = append(all, list)
	}
	out := bufio.NewWriter(r.Out)
	if err := ipcmd.WriteSavedRules(out, all...); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return r.noteSaved(all)
}

// noteSaved says of rules that translate that no restore brings them back.
func (r *rules) noteSaved(all []kernel.RuleList) error {
	n := 0
	for _, list := range all {
		err := list.Each(func(m *kernel.RuleMessage) error {
			if m.Rule.IsHandNAT() {
				n++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if n > 0 {
		r.note("%d of the rules %s, which is not saved: restore leaves them out, \"rpdb rule add ... nat\" makes them", n, plural(n, "translates", "translate"))
	}
	return nil
}

// notSaved is an error about a stream, with what writes one that can be read.
func notSaved(object string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &hinted{err, fmt.Sprintf("it reads from standard input what \"rpdb %s save\" or \"ip %s save\" wrote", object, object)}
}

// restoreOutcome is what a restore did, and its JSON.
type restoreOutcome struct {
	Version int `json:"version"`
	Added   int `json:"added"`
	There   int `json:"there"`
	Moved   int `json:"moved"`    // of those that were there
	LeftOut int `json:"left_out"` // of the family that was not asked for
	// Translating are those left out that translated, made by hand: what they did
	// is not saved with them. Those that stand count as there.
	Translating int `json:"translating,omitzero"`
}

// restore adds the saved rules that are not there, all of them or none, puts
// those of one priority into the order of the stream, and says what it did.
func (r *rules) restore(ctx context.Context, words []string) error {
	if len(words) > 0 {
		return r.wrong("restore", "it takes no words: %q", words[0])
	}
	if isTerminal(r.plain().In) {
		return r.wrong("restore", "what it reads is not typed: give it a file on standard input")
	}
	ipcmd.CollectLate()
	saved, err := ipcmd.ReadSavedRules(r.In)
	if err != nil {
		return notSaved("rule", fmt.Errorf("rule restore: %w", err))
	}
	outcome := restoreOutcome{Version: 1}
	chosen, numbers := r.ofFamily(saved.Rules)
	outcome.LeftOut = len(saved.Rules) - len(chosen)
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	var lost []rpdb.Rule
	if chosen, numbers, lost, err = withoutNAT(ctx, conn, chosen, numbers); err != nil {
		return err
	}
	done, err := conn.RestoreRules(ctx, chosen)
	var one *kernel.RestoreError
	if errors.As(err, &one) {
		i := one.Index
		if numbers != nil {
			i = numbers[i]
		}
		return fmt.Errorf("rule restore: rule %d of the stream, byte %d: %w", i+1, saved.Offsets[i], err)
	}
	if err != nil {
		return fmt.Errorf("rule restore: %w", err)
	}
	outcome.Added, outcome.There, outcome.Moved, outcome.Translating = done.Added, done.There, done.Moved, len(lost)
	if err := r.tell(outcome, outcome.String()); err != nil || len(lost) == 0 {
		return err
	}
	r.note("left out, as what %s is not saved: %s; make %s with \"rpdb rule add ... nat\"",
		plural(len(lost), "it translated", "they translated"), unrestored(lost, r.names()), plural(len(lost), "it", "them"))
	return &codeError{code: exitWaiting}
}

// withoutNAT leaves out the rules that translated and do not stand, with their
// numbers in the stream, of which nil is all.
func withoutNAT(ctx context.Context, conn *kernel.Conn, saved []rpdb.Rule, numbers []int) (chosen []rpdb.Rule, kept []int, lost []rpdb.Rule, err error) {
	if !slices.ContainsFunc(saved, rpdb.Rule.IsHandNAT) {
		return saved, numbers, nil, nil
	}
	var standing []rpdb.Rule
	for _, f := range rpdb.Families() {
		rules, err := conn.Rules(ctx, f)
		if err != nil {
			return nil, nil, nil, err
		}
		standing = append(standing, rules...)
	}
	for i, rule := range saved {
		same := func(r rpdb.Rule) bool { return r.Canonical() == rule.Canonical() }
		if rule.IsHandNAT() && !slices.ContainsFunc(standing, same) {
			lost = append(lost, rule)
			continue
		}
		if numbers != nil {
			i = numbers[i]
		}
		chosen, kept = append(chosen, rule), append(kept, i)
	}
	return chosen, kept, lost, nil
}

// ofFamily returns the rules of the family that was asked for and their numbers
// among all, nil if they are all.
func (r *rules) ofFamily(all []rpdb.Rule) (chosen []rpdb.Rule, numbers []int) {
	if r.opts.Family == 0 {
		return all, nil
	}
	for i, rule := range all {
		if rule.Family == rpdb.Family(r.opts.Family) {
			chosen, numbers = append(chosen, rule), append(numbers, i)
		}
	}
	return chosen, numbers
}

// String says it in one line.
func (o restoreOutcome) String() string {
	text := fmt.Sprintf("%d %s added; %d %s there", o.Added, plural(o.Added, "rule", "rules"), o.There, plural(o.There, "was", "were"))
	if o.Moved > 0 {
		text += fmt.Sprintf(", %d put in order", o.Moved)
	}
	if o.LeftOut > 0 {
		text += fmt.Sprintf("; %d of the other family left out", o.LeftOut)
	}
	return text
}

// flushOutcome is what a flush did, and its JSON.
type flushOutcome struct {
	Version int `json:"version"`
	Deleted int `json:"deleted"`
	Kept    int `json:"kept"` // that were chosen and have priority 0
}

// flush deletes the rules that the words choose, but for those of priority 0,
// which only a delete takes away.
func (r *rules) flush(ctx context.Context, words []string) error {
	if r.opts.Family == 0 && len(words) == 0 {
		return &usageError{"rule flush: without -4 or -6 it would take the rules of both families away", "say which family, or which rules"}
	}
	families, filters, err := r.filters("flush", words)
	if err != nil {
		return err
	}
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	outcome := flushOutcome{Version: 1}
	var spared error
	for i, f := range families {
		list, err := conn.Rules(ctx, f)
		if err != nil {
			return err
		}
		var doomed []rpdb.Rule
		for _, rule := range list {
			if !filters[i].Match(rule) {
				continue
			}
			if rule.Priority == 0 {
				outcome.Kept++
				continue
			}
			doomed = append(doomed, rule)
		}
		translate, doomed := natApart(doomed)
		if len(translate) > 0 { // with all that belongs to them
			if err := r.dropNAT(ctx, "flush", translate); err != nil {
				return err
			}
			outcome.Deleted += len(translate)
		}
		remain := deleteMany(ctx, conn, doomed)
		outcome.Deleted += len(doomed) - len(remain)
		for _, rule := range remain { // one by one, to see which
			var other *kernel.OtherRuleError
			switch err := conn.Do(ctx, rpdb.RuleChange(rpdb.Delete, rule)); {
			case err == nil:
				outcome.Deleted++
			case errors.Is(err, syscall.ENOENT): // somebody else was faster
			case errors.As(err, &other):
				spared = errors.Join(spared, err)
			default:
				return fmt.Errorf("rule flush, after %d: %w", outcome.Deleted, err)
			}
		}
	}
	if spared != nil {
		return fmt.Errorf("rule flush: %d deleted; %w", outcome.Deleted, spared)
	}
	text := fmt.Sprintf("%d %s deleted", outcome.Deleted, plural(outcome.Deleted, "rule", "rules"))
	if outcome.Kept > 0 && len(words) > 0 {
		text += fmt.Sprintf("; %d of priority 0 %s, only a delete takes %s away", outcome.Kept,
			plural(outcome.Kept, "stays", "stay"), plural(outcome.Kept, "it", "them"))
	}
	return r.tell(outcome, text)
}

// deleteMany deletes rules at once as far as that goes, and returns the others.
func deleteMany(ctx context.Context, conn *kernel.Conn, doomed []rpdb.Rule) (remain []rpdb.Rule) {
	err := conn.DeleteRules(ctx, doomed)
	var part *kernel.PartError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &part):
		return doomed
	}
	gone := map[int]bool{}
	for _, i := range part.Deleted() {
		gone[i] = true
	}
	for i, rule := range doomed {
		if !gone[i] {
			remain = append(remain, rule)
		}
	}
	return remain
}

// tell prints what was done, as JSON or in one line.
func (r *rules) tell(outcome any, text string) error {
	if r.opts.JSON {
		return r.printJSON(outcome)
	}
	w := newPrinter(r.Out)
	w.printf("%s\n", text)
	return w.err
}
