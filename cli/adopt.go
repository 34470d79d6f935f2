package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format"
	"rpdb/policy"
)

func (a *app) adoptCommand() *cobra.Command {
	into := ""
	cmd := &cobra.Command{
		Use:   "adopt [SELECTOR]",
		Short: "write a policy of the rules and tables that somebody made here by hand",
		Long: `adopt prints a policy that means the hand-made rules of this host, at their
priorities, and the tables that they lead to, with their routes. It changes
nothing on the host, and writes no file without --into. When the policy is
applied, its rules take the place of the hand-made ones, and packets see nothing
of it: that is what "adopt:" in it says (see rpdb-policy(5)). A rollback to before
that, and "rpdb remove", makes the hand-made ones again.

Without a SELECTOR all rules are taken but the kernel's own, rpdb's own, and
those of programs that would make them again: comments list these. With a
SELECTOR, in the words of "rpdb rule list", exactly the rules that it chooses
are taken, whoever made them: "table 100", "pref 1000", "protocol static",
"from 192.0.2.0/24". Tables of the kernel, of VRFs and of rpdb are never taken.

With --into the rules and tables go into a policy file instead: each rule where
it is walked, each table at the end of its list. Every line that is there stays,
and means what it meant; rules that the file has are not added again. Where that
cannot be, the file stays as it is, with the reason. A file that is not there is
written.

What a policy cannot say is listed with the reason, and nothing is printed
or written.

Exit codes: 0 done; 1 an error, or something cannot be said or added.`,
		Example: "  rpdb adopt > policy.yaml\n  rpdb plan policy.yaml\n  rpdb adopt protocol static\n  rpdb adopt table 100 --into policy.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.adopt(cmd.Context(), args, into); err != nil {
				return fmt.Errorf("adopt: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "add the rules and tables to the policy in `FILE`, or write it if it is not there")
	a.snapshotFlag(cmd)
	return cmd
}

func (a *app) adopt(ctx context.Context, words []string, into string) error {
	if into == "-" {
		return &usageError{"--into takes a file: standard output gets the policy without it", "leave --into out"}
	}
	s, conn, err := a.state(ctx)
	if err != nil {
		return err
	}
	if conn != nil {
		defer conn.Close()
	}
	if a.fromText != "" {
		s = saidByHand(s)
	}
	chosen, err := a.chosenRules(words)
	if err != nil {
		return err
	}
	adoption := leaveTranslating(s, policy.HandMade(s, chosen, a.daemons()))
	if n := len(adoption.Left); chosen != nil && len(adoption.Rules) == 0 && n > 0 {
		return &usageError{"no rule is chosen that could be adopted", fmt.Sprintf("rule %d %s", adoption.Left[n-1].Rule.Priority, adoption.Left[n-1].Reason)}
	}
	if chosen != nil && len(adoption.Rules) == 0 {
		return &usageError{"no rule is chosen that could be adopted", `see "rpdb rule list"; those of the kernel and of rpdb are never taken`}
	}
	adoption.Head = append(adoption.Head, "Rules and tables that were made by hand on this host: see rpdb-policy(5).")
	if slices.ContainsFunc(s.Rules, func(r rpdb.Rule) bool { return r.Protocol == rpdb.ProtocolRPDB }) {
		adoption.Head = append(adoption.Head, "A policy is in force here already, and what it wants is not in this one: put the tables and rules below into that.")
	}
	if into != "" {
		return a.adoptInto(into, s, adoption)
	}
	return a.viewAdopted(s, a.loadNames(), adoption)
}

// leaveTranslating leaves rules that translate to whoever made them, since no rule of a
// policy takes their place as they stand: each has a table and a realm of its own.
func leaveTranslating(s *rpdb.Snapshot, adoption policy.Adoption) policy.Adoption {
	var rules []rpdb.Rule
	for _, r := range adoption.Rules {
		if !r.IsHandNAT() {
			rules = append(rules, r)
			continue
		}
		reason := "was to translate, and nftables knows nothing of it"
		for _, n := range s.NATRules() {
			if t := n.Translation; n.Family == r.Family && n.Copy == r.Action.Table() && t != (rpdb.Translation{}) {
				reason = fmt.Sprintf("translates: write it in a policy that has table %d, with %s, and take this one away with \"rpdb rule del\"", t.CopyOf, policyNAT(t))
			}
		}
		adoption.Left = append(adoption.Left, policy.Left{Rule: r, Reason: reason})
		adoption.Tables = slices.DeleteFunc(slices.Clone(adoption.Tables), func(t rpdb.TableID) bool { return t == r.Action.Table() })
	}
	adoption.Rules = rules
	return adoption
}

// policyNAT is a translation as the key of a policy.
func policyNAT(t rpdb.Translation) string {
	switch {
	case !t.To.IsValid():
		return "nat: masquerade"
	case t.Family == rpdb.IPv6:
		return fmt.Sprintf("nat: %q", t.To)
	}
	return "nat: " + t.To.String()
}

// noteLeft says how many rules are not taken, and where they are listed.
func noteLeft(p *printer, left []policy.Left, where string) {
	translating := 0
	for _, l := range left {
		if l.Rule.IsHandNAT() {
			translating++
		}
	}
	if n := len(left) - translating; n > 0 {
		p.wrap(fmt.Sprintf("note: %d %s left to the programs that made them: %s", n, plural(n, "rule is", "rules are"), where))
	}
	if translating > 0 {
		p.wrap(fmt.Sprintf("note: %d %s, and %s not taken: %s", translating, plural(translating, "rule translates", "rules translate"), plural(translating, "is", "are"), where))
	}
}

// chosenRules reports which rules words choose; it is nil without any.
func (a *app) chosenRules(words []string) (func(rpdb.Rule) bool, error) {
	if len(words) == 0 {
		return nil, nil
	}
	r := a.newRules()
	r.typed = words
	families, filters, err := r.filters("list", words)
	var wrong *usageError
	if errors.As(err, &wrong) {
		return nil, &usageError{
			"selector: " + strings.TrimPrefix(wrong.text, "rule list: "),
			"its words are those of \"rpdb rule list\"; a policy file goes with --into",
		}
	}
	if err != nil {
		return nil, err
	}
	return func(rule rpdb.Rule) bool {
		at := slices.Index(families, rule.Family)
		return at >= 0 && filters[at].Match(rule)
	}, nil
}

// saidByHand returns a state that was read from a text, in which ip leaves out
// that a rule was made by hand.
func saidByHand(s *rpdb.Snapshot) *rpdb.Snapshot {
	out := *s
	out.Rules = slices.Clone(s.Rules)
	for i, r := range out.Rules {
		if r.Protocol == rpdb.ProtocolUnspec {
			out.Rules[i].Protocol = rpdb.ProtocolBoot
		}
	}
	return &out
}

// daemons says who makes static rules and routes on this host.
func (a *app) daemons() map[rpdb.Protocol]string {
	if a.netns != "" || a.fromFile() {
		return nil
	}
	root := os.DirFS(path.Join("/", a.root))
	for _, d := range []struct{ sign, name string }{
		{"run/systemd/netif/state", "systemd-networkd"}, {"run/NetworkManager", "NetworkManager"},
	} {
		if _, err := fs.Stat(root, d.sign); err == nil {
			return map[rpdb.Protocol]string{rpdb.ProtocolStatic: d.name}
		}
	}
	return nil
}

// adoptedDocument is the JSON of adopt and import.
type adoptedDocument struct {
	Version int `json:"version"`
	// Policy is the text of the policy, "" where something cannot be said.
	Policy string        `json:"policy,omitzero"`
	Losses []format.Loss `json:"losses"`
	Left   []leftRule    `json:"left"`
	// Into says what became of the file of --into, whose text Policy then is.
	Into *intoFile `json:"into,omitzero"`
}

// leftRule is a rule that was not taken.
type leftRule struct {
	Rule   rpdb.Rule `json:"rule"`
	Reason string    `json:"reason"`
}

func newAdopted(text string, adoption policy.Adoption) adoptedDocument {
	doc := adoptedDocument{Version: 1, Policy: text, Losses: list[format.Loss](nil), Left: list[leftRule](nil)}
	for _, l := range adoption.Left {
		doc.Left = append(doc.Left, leftRule{l.Rule, l.Reason})
	}
	return doc
}

// viewLost lists what a policy cannot say, if that is the error, and returns the
// error to end with.
func (a *app) viewLost(err error, adoption policy.Adoption, so string) error {
	var lost *policy.AdoptError
	if !errors.As(err, &lost) {
		return err
	}
	if a.json {
		doc := newAdopted("", adoption)
		doc.Losses = lost.Losses
		return errors.Join(a.printJSON(doc), &codeError{code: exitFailed})
	}
	e := newPrinter(a.Err)
	for _, l := range lost.Losses {
		e.printf("lost: %s\n      %s\n", safe(l.Object), safe(l.Reason))
	}
	return fmt.Errorf("a policy cannot say %d %s: %s", len(lost.Losses), plural(len(lost.Losses), "thing", "things"), so)
}

// viewAdopted prints the policy of an adoption, or what keeps it from being one.
func (a *app) viewAdopted(s *rpdb.Snapshot, n rpdb.Names, adoption policy.Adoption) error {
	text, err := policy.Adopt(s, n, adoption)
	if err != nil {
		return a.viewLost(err, adoption, "nothing is printed")
	}
	if a.json {
		return a.printJSON(newAdopted(text, adoption))
	}
	e, w := newPrinter(a.Err), newPrinter(a.Out)
	w.printf("%s", text)
	if len(adoption.Rules) == 0 && len(adoption.Tables) == 0 {
		e.wrap("hint: there is nothing to take, so the policy wants nothing")
	} else {
		noteLeft(e, adoption.Left, "see the comments")
	}
	return w.err
}

// completeAdopt offers what may follow "rpdb rule list".
func (a *app) completeAdopt(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	v.addRuleCommand(ownRuleVerbs(), 0, append([]string{"list"}, before...))
	return v.list, noFiles
}
