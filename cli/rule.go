package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/format/iproute2"
)

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

// listsRules reports whether the words of "rpdb rule" certainly do no more than to
// list the rules of the host.
func listsRules(words []string) bool {
	opts, rest, err := ipcmd.ParseOptions(words)
	if err != nil || opts.Batch != nil || len(rest) == 0 {
		return err == nil && opts.Batch == nil
	}
	verb, err := iproute2.ParseRuleVerb(rest[0])
	return err == nil && verb == iproute2.RuleList && !slices.ContainsFunc(rest, func(w string) bool { return strings.HasPrefix(w, "--") })
}

// rules is one call of "rpdb rule".
type rules struct{ objectCall }

func (a *app) newRules() *rules {
	return &rules{objectCall: objectCall{app: a, object: "rule", usage: ruleUsage + iproute2.RuleHelp()}}
}

// runRule reads the options and the verb of "rpdb rule".
func (a *app) runRule(ctx context.Context, args []string) error {
	r := a.newRules()
	if asksForHelp(args) {
		return r.help()
	}
	args, err := r.takeSource(args)
	if err != nil {
		return err
	}
	words, err := r.options(args)
	if err != nil {
		return err
	}
	verb := "list"
	if len(words) > 0 {
		verb = words[0]
		words, err = r.options(words[1:])
	}
	if err != nil && verb == "test" {
		return trouble(err)
	}
	if err != nil {
		return err
	}
	return r.verb(ctx, verb, words)
}

// verb carries out one verb: our own by their full words, then ip's with its
// abbreviations.
func (r *rules) verb(ctx context.Context, word string, words []string) error {
	verbs := map[string]func(context.Context, []string) error{
		"list": r.list, "add": r.add, "ensure": r.ensure, "replace": r.replace, "test": r.test, "delete": r.delete,
		"flush": r.flush, "save": r.save, "restore": r.restore,
	}
	name := word
	if verbs[name] == nil {
		verb, err := iproute2.ParseRuleVerb(word)
		if err != nil {
			return r.unknownVerb(word, append(iproute2.RuleVerbs(), "ensure", "replace", "test"))
		}
		name = verb.String()
	}
	run := verbs[name]
	if run == nil {
		return r.help()
	}
	if err := r.readsOnly(name, "list"); err != nil {
		return err
	}
	if err := r.only(name, r.honoured(name)...); err != nil {
		if name == "test" {
			err = trouble(err)
		}
		return err
	}
	r.typed = words
	return run(ctx, words)
}

// honoured returns the options that have an effect on a verb.
func (r *rules) honoured(verb string) []string {
	listing := []string{"-json", "-pretty", "-details", "-Numeric", "-oneline", "-color"}
	switch verb {
	case "list":
		return listing
	case "add", "ensure", "replace", "delete":
		if r.opts.Echo {
			return append(listing, "-echo")
		}
	case "flush", "restore":
		return []string{"-json"}
	}
	return nil
}

func (r *rules) context(f rpdb.Family) iproute2.RuleContext {
	return iproute2.RuleContext{Family: f, Names: r.names(), Translate: true}
}

// filters reads the words that choose rules, for the families that they can be
// about.
func (r *rules) filters(verb string, words []string) ([]rpdb.Family, []iproute2.RuleFilter, error) {
	return perFamily(&r.objectCall, verb, func(f rpdb.Family) (iproute2.RuleFilter, error) {
		if len(words) == 0 { // no names are needed
			return iproute2.RuleFilter{}, nil
		}
		return r.context(f).ParseWideFilter(words)
	})
}

const ruleUsage = `Usage: rpdb rule [ -4 | -6 ] [ -j ] [ -n NETNS | SOURCE ] [ list [ FILTER ] ]
       rpdb rule { add | ensure | replace | test | delete } SELECTOR ACTION
       rpdb rule flush FILTER
       rpdb rule save > FILE
       rpdb rule restore < FILE

Without -4 and -6, list shows both families and says which one each rule is of;
the other commands take the family of the addresses, and IPv4 without any.

  add      add the rule; refuse what the kernel would turn into something else
  ensure   add the rule unless it is there, at any priority if none is given
  replace  put the rule in the place of the one with its priority
  test     exit with 0 if the rule is there, with 1 if not
  delete   delete the rule that is exactly this one, and no other
  flush    delete the rules that a FILTER chooses, but for those of priority 0
  save     write all rules to standard output, for restore
  restore  add the saved rules that are not there, in their order, all or none

A FILTER is some of the words of a rule, as in "from 192.0.2.0/24 table 100": it
chooses the rules that have all of them.

With "nat ADDRESS" add and ensure make a rule that translates the source of
the forwarded packets that it leads on, with a copy of its table and a
translation in nftables: each address of "from" onto the one at its place in
the block that begins at ADDRESS, all onto ADDRESS/32 (/128 in IPv6), or with
"nat masquerade" onto that of the interface. "delete nat ADDRESS" takes all of
it away. IPv6 takes CAP_BPF. See rpdb-rule(8).

SOURCE is --snapshot FILE, which "rpdb snapshot save" wrote, or --from-text
FILE, which holds the output of ip commands of another host.

The words of rules are those of ip-rule(8):

`
