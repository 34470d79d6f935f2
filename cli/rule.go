package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

// ipWords recognises "rpdb ip ..." and "rpdb rule ...", whose options are ip's
// and never reach the parser of flags. It returns the object, "" for other
// commands, and the words without it.
func ipWords(args []string) (object string, words []string) {
	args = slices.Clone(args)
	for i, w := range args {
		if name, found := strings.CutPrefix(w, "--netns="); found {
			args = slices.Replace(args, i, i+1, "-netns", name)
			break
		}
	}
	_, rest, err := ipcmd.ParseOptions(args)
	if err != nil || len(rest) == 0 || rest[0] != "ip" && rest[0] != "rule" {
		return "", nil
	}
	return rest[0], slices.Concat(args[:len(args)-len(rest)], rest[1:])
}

// ipCall is "rpdb ip" with the given words.
func ipCall(words []string, s Streams) ipcmd.Call {
	return ipcmd.Call{Args: words, Stdin: s.In, Stdout: s.Out, Stderr: s.Err, Getenv: os.Getenv}
}

// ipCommand and ruleCommand are for the help; [ipWords] sees these commands
// first.
func (a *app) ipCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "ip [OPTIONS] OBJECT COMMAND",
		Short:              "the words, output and exit codes of ip(8) for rules, and the system's ip for the rest",
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return a.ended(ipCall(args, a.Streams).Run()) },
	}
}

func (a *app) ruleCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "rule [OPTIONS] COMMAND",
		Short:              "rules of both families: list, add, ensure, replace, test, delete, flush, save, restore",
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return a.runRule(cmd.Context(), args) },
	}
}

// ended turns the exit code of a command that has said everything into an
// error.
func (a *app) ended(code int) error {
	if code == exitOK {
		return nil
	}
	return &codeError{code: code}
}

// rules is one call of "rpdb rule".
type rules struct {
	*app
	opts  ipcmd.Options
	names rpdb.Names
}

// runRule reads the options and the verb of "rpdb rule".
func (a *app) runRule(ctx context.Context, args []string) error {
	if slices.ContainsFunc(args, func(w string) bool { return w == "-h" || w == "-help" || w == "--help" }) {
		return a.ruleHelp()
	}
	opts, words, err := ipcmd.ParseOptions(args)
	if err != nil {
		return &usageError{"rule: " + err.Error(), ruleHint}
	}
	if opts.Batch != nil {
		return &usageError{"rule: a batch is in ip's words", `see "rpdb ip -batch FILE"`}
	}
	if f := rpdb.Family(opts.Family); f != 0 && f.Bits() == 0 {
		return &usageError{fmt.Sprintf("rule: %v has no policy rules", f), "use -4 or -6"}
	}
	a.netns = opts.NetNS
	r := &rules{app: a, opts: opts, names: loadNames()}
	if len(words) == 0 {
		words = []string{"list"}
	}
	return r.verb(ctx, words[0], words[1:])
}

const ruleHint = `see "rpdb rule help"`

// verb carries out one verb: our own by their full words, then ip's with its
// abbreviations.
func (r *rules) verb(ctx context.Context, word string, words []string) error {
	switch word {
	case "ensure":
		return r.ensure(ctx, words)
	case "replace":
		return r.replace(ctx, words)
	case "test":
		return r.test(ctx, words)
	}
	verb, err := iproute2.ParseRuleVerb(word)
	if err != nil {
		return &usageError{fmt.Sprintf("rule: unknown command %q", word), ruleHint}
	}
	switch verb {
	case iproute2.RuleAdd:
		return r.add(ctx, words)
	case iproute2.RuleDelete:
		return r.delete(ctx, words)
	case iproute2.RuleFlush, iproute2.RuleSave, iproute2.RuleRestore:
		return r.asIP(verb, words)
	case iproute2.RuleList:
		return r.list(ctx, words)
	}
	return r.ruleHelp()
}

// asIP lets ip's grammar do what is the same there, for both families where
// none was given.
func (r *rules) asIP(verb iproute2.RuleVerb, words []string) error {
	if verb == iproute2.RuleFlush && r.opts.Family == 0 && len(words) == 0 {
		return &usageError{"rule flush: without -4 or -6 it would take the rules of both families away", "say which family, or which rules"}
	}
	families := r.families()[:1]
	if verb == iproute2.RuleFlush {
		var err error
		if families, _, err = r.filters("flush", words); err != nil {
			return err
		}
	}
	for _, f := range families {
		args := []string{f.Flag()}
		if r.netns != "" {
			args = append(args, "-netns", r.netns)
		}
		call := ipCall(append(append(args, "rule", verb.String()), words...), r.plain())
		call.Both = r.opts.Family == 0 // of a saved stream, whose messages say their family
		if code := call.Run(); code != 0 {
			return r.ended(code)
		}
	}
	return nil
}

// plain returns the streams as the process has them, so that they can be asked
// whether they are terminals.
func (r *rules) plain() Streams {
	s := r.Streams
	if out, ok := s.Out.(*answer); ok {
		s.Out = out.w
	}
	if in, ok := s.In.(*interruptible); ok {
		s.In = in.r
	}
	return s
}

// families returns the families that a command is about.
func (r *rules) families() []rpdb.Family {
	if r.opts.Family != 0 {
		return []rpdb.Family{rpdb.Family(r.opts.Family)}
	}
	both := rpdb.Families()
	return both[:]
}

func (r *rules) context(f rpdb.Family) iproute2.RuleContext {
	return iproute2.RuleContext{Family: f, Names: r.names}
}

// filters reads the words that choose rules, for the families that they can be
// about: addresses are of one.
func (r *rules) filters(verb string, words []string) ([]rpdb.Family, []iproute2.RuleFilter, error) {
	var filters []iproute2.RuleFilter
	var families []rpdb.Family
	var wrong error
	for _, f := range r.families() {
		filter, err := r.context(f).ParseWideFilter(words)
		var bad *iproute2.ParseError
		switch {
		case errors.As(err, &bad) && bad.Kind == iproute2.BadPrefix:
			wrong = err // an address of the other family
		case err != nil:
			return nil, nil, r.badWords(verb, err)
		default:
			families, filters = append(families, f), append(filters, filter)
		}
	}
	if len(families) == 0 {
		return nil, nil, r.badWords(verb, wrong)
	}
	return families, filters, nil
}

// list prints the rules of both families, or of the one given, that the words
// choose.
func (r *rules) list(ctx context.Context, words []string) error {
	families, filters, err := r.filters("list", words)
	if err != nil {
		return err
	}
	conn, err := r.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	var chosen []rpdb.Rule
	for i, f := range families {
		list, err := conn.Rules(ctx, f)
		if err != nil {
			return err
		}
		for _, rule := range list {
			if filters[i].Match(rule) {
				chosen = append(chosen, rule)
			}
		}
	}
	return r.print(chosen)
}

// print writes rules, each with its family unless one was asked for.
func (r *rules) print(list []rpdb.Rule) error {
	v := iproute2.RuleView{
		Names: r.names, Numeric: r.opts.Numeric, Details: r.opts.Details, Family: r.opts.Family == 0,
	}
	if !r.opts.JSON {
		w := newPrinter(r.Out)
		for _, rule := range list {
			w.printf("%s\n", v.Rule(rule))
		}
		return w.err
	}
	w := ipjson.NewWriter(r.Out, r.opts.Pretty)
	for _, rule := range list {
		w.Begin()
		v.Fields(rule, w)
		w.End()
	}
	return w.Close()
}

// badWords is an error in the words behind a verb.
func (r *rules) badWords(verb string, err error) error {
	var bad *iproute2.ParseError
	switch {
	case errors.As(err, &bad) && bad.Kind == iproute2.Usage:
		if err := r.ruleHelp(); err != nil {
			return err
		}
		return &codeError{code: exitOK} // nothing else is to be done
	case bad != nil && strings.HasSuffix(bad.Reason, "requires arguments."):
		return &usageError{fmt.Sprintf("rule %s: the rule is missing", verb), ruleHint}
	}
	return &usageError{fmt.Sprintf("rule %s: %v", verb, err), ruleHint}
}

func (a *app) ruleHelp() error {
	_, err := fmt.Fprint(a.Out, ruleUsage+iproute2.RuleHelp())
	return err
}

const ruleUsage = `Usage: rpdb rule [ -4 | -6 ] [ -j ] [ -n NETNS ] [ list [ FILTER ] ]
       rpdb rule { add | ensure | replace | test | delete } SELECTOR ACTION
       rpdb rule { flush | save | restore }

Without -4 and -6, list shows both families and says which one each rule is of;
the other commands take the family of the addresses, and IPv4 without any.

  add      add the rule; refuse what the kernel would turn into something else
  ensure   add the rule unless it is there, with whatever priority if none is given
  replace  put the rule in the place of the one with its priority
  test     exit with 0 if the rule is there, with 1 if not
  delete   delete the rule that is exactly this one, and no other

The words of rules are those of ip-rule(8):

`
