package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/format/iproute2"
)

// completeRule offers what may follow "rpdb rule": options, a verb, and the
// verb's words, each where it may stand.
func (a *app) completeRule(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeObject(cmd, before, begun, commandPart{ruleOptions(), func(v *hostOffers, f rpdb.Family, words []string) {
		v.addRuleCommand(ownRuleVerbs(), f, words)
	}})
}

// completeIP offers what may follow "rpdb ip" and is done by rpdb itself. What
// the system's ip does is for its own completion.
func (a *app) completeIP(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	options := append(ipOptions(), listingOptions()...)
	return a.completeOptions(cmd, before, begun, commandPart{options, func(v *hostOffers, f rpdb.Family, words []string) {
		if len(words) == 0 {
			v.add("rule", "list and change rules")
			v.add("route", "list and change routes, and ask for one")
			v.add("monitor", "print changes as they happen")
			return
		}
		switch object := words[0]; { // m is maddress
		case object != "" && strings.HasPrefix("route", object):
			v.addRouteCommand(ipRouteVerbs(), f, words[1:])
		case len(object) > 1 && strings.HasPrefix("rule", object):
			v.addRuleCommand(ipRuleVerbs(), f, words[1:])
		case len(object) > 1 && strings.HasPrefix("monitor", object):
			v.addMonitorWords(words[1:])
		}
	}})
}

// commandPart is what a command takes: options, and behind them what offer
// offers after the words that are there.
type commandPart struct {
	options [][2]string
	offer   func(v *hostOffers, f rpdb.Family, words []string)
}

// completeObject is completeOptions for a command that reads files as well, by
// options of ours.
func (a *app) completeObject(cmd *cobra.Command, before []string, begun string, part commandPart) ([]cobra.Completion, cobra.ShellCompDirective) {
	here := *a
	o := objectCall{app: &here}
	words, err := o.takeSource(before)
	switch {
	case err != nil:
		return anyFile(cmd, nil, begun)
	case strings.HasPrefix(begun, "--"):
		v := here.newOffers(cmd.Context(), begun)
		for _, option := range sourceOptions() {
			v.add(option[0], option[1])
		}
		return v.list, noFiles
	}
	return here.completeOptions(cmd, words, begun, part)
}

// sourceOptions are those that name a file to read the state from.
func sourceOptions() [][2]string {
	return [][2]string{
		{"--snapshot", "read the state from a file of \"rpdb snapshot save\""},
		{"--from-text", "read the state from the output of ip commands"},
	}
}

// completeOptions reads ip's options, which stand before everything else, and
// offers them where one is begun, else what comes behind them.
func (a *app) completeOptions(cmd *cobra.Command, before []string, begun string, part commandPart) ([]cobra.Completion, cobra.ShellCompDirective) {
	opts, words, err := ipcmd.ParseOptions(before)
	if err != nil {
		return completeOptionValue(cmd, before, begun)
	}
	here := *a
	if opts.NetNS != "" {
		here.netns = opts.NetNS
	}
	v := here.newOffers(cmd.Context(), begun)
	if len(words) == 0 && strings.HasPrefix(begun, "-") {
		for _, option := range part.options {
			v.add(option[0], option[1])
		}
		return v.list, noFiles
	}
	part.offer(v, rpdb.Family(opts.Family), words)
	return v.list, noFiles
}

// completeOptionValue offers values of the option that stands last. The parser
// itself says which one that is, by where it puts a value.
func completeOptionValue(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	with := func(value string) ipcmd.Options {
		opts, _, _ := ipcmd.ParseOptions(append(slices.Clone(before), value))
		return opts
	}
	const probe = "/probe"
	o := offers{begun: begun}
	switch batch := with(probe).Batch; {
	case with(probe).NetNS == probe:
		return completeNetNS(cmd, nil, begun)
	case batch != nil && *batch == probe:
		return anyFile(cmd, nil, begun)
	case with("inet").Family == uint8(rpdb.IPv4) && with("inet6").Family == uint8(rpdb.IPv6):
		o.add("inet", "IPv4")
		o.add("inet6", "IPv6")
	}
	return o.list, noFiles
}

// ruleOptions are the options of "rpdb rule".
func ruleOptions() [][2]string {
	return [][2]string{
		{"-4", "IPv4"},
		{"-6", "IPv6"},
		{"-json", "print JSON"},
		{"-pretty", "indent the JSON"},
		{"-details", "also show who installed the kernel's own rules"},
		{"-Numeric", "numbers instead of names"},
		{"-netns", "work in this network namespace"},
		{"-echo", "print what the kernel made of a change"},
	}
}

// ipOptions are those of "rpdb ip" that do something about rules.
func ipOptions() [][2]string {
	return append(ruleOptions(), [][2]string{
		{"-color", "colour addresses and interfaces"},
		{"-batch", "carry out the commands of a file"},
		{"-force", "go on after a command of a batch failed"},
		{"-timestamp", "print the time of each event"},
		{"-tshort", "print it on the event's own line"},
	}...)
}

// ruleVerb is a verb of rules, for completion.
type ruleVerb struct {
	word, about string
	grammar     iproute2.RuleVerb // what words follow it
	there       bool              // it is about rules that are there
	translates  bool              // nat is not that of ip
}

// ipRuleVerbs are the verbs of ip-rule(8).
func ipRuleVerbs() []ruleVerb {
	return []ruleVerb{
		{"list", "print rules", iproute2.RuleList, true, false},
		{"add", "add a rule", iproute2.RuleAdd, false, false},
		{"delete", "delete a rule", iproute2.RuleDelete, true, false},
		{"flush", "delete rules", iproute2.RuleFlush, true, false},
		{"save", "write all rules to standard output, for restore", iproute2.RuleSave, false, false},
		{"restore", "read rules from standard input", iproute2.RuleRestore, false, false},
		{"help", "print the grammar", iproute2.RuleHelpVerb, false, false},
	}
}

// ownRuleVerbs are those of "rpdb rule".
func ownRuleVerbs() []ruleVerb {
	verbs := slices.Insert(
		ipRuleVerbs(), 2,
		ruleVerb{"ensure", "add a rule unless it is there", iproute2.RuleAdd, false, true},
		ruleVerb{"replace", "put a rule in the place of the one with its priority", iproute2.RuleAdd, true, false},
		ruleVerb{"test", "is this rule there? exit code 0 or 1", iproute2.RuleAdd, true, true},
	)
	for i, v := range verbs {
		verbs[i].translates = v.translates || v.word == "add" || v.word == "delete"
	}
	return verbs
}

// verbOf finds the verb that a word means, as ip finds it: by a beginning, in
// ip's order. Verbs of ours are spelled out.
func verbOf(verbs []ruleVerb, word string) (verb ruleVerb, ok bool) {
	meant, err := iproute2.ParseRuleVerb(word)
	for _, v := range verbs {
		if v.word == word || err == nil && v.word == meant.String() {
			return v, true
		}
	}
	return ruleVerb{}, false
}

// addRuleCommand offers a verb, or what may follow it.
func (v *hostOffers) addRuleCommand(verbs []ruleVerb, f rpdb.Family, words []string) {
	if len(words) == 0 {
		for _, verb := range verbs {
			v.add(verb.word, verb.about)
		}
		return
	}
	verb, ok := verbOf(verbs, words[0])
	if !ok {
		return
	}
	line := newRuleLine(verb, f)
	for _, word := range words[1:] {
		line.read(word)
	}
	v.addRuleWord(line)
}

// addMonitorWords offers what monitor can watch.
func (v *hostOffers) addMonitorWords(before []string) {
	for _, w := range [][2]string{{"rule", "changes of rules"}, {"route", "changes of routes"}, {"label", "say what each line is about"}} {
		if !slices.Contains(before, w[0]) {
			v.add(w[0], w[1])
		}
	}
}

func newRuleLine(verb ruleVerb, f rpdb.Family) *wordLine {
	l := &wordLine{there: verb.there, translates: verb.translates, family: f, keywords: iproute2.RuleKeywords(verb.grammar), given: map[string]bool{}, group: actionGroup}
	if verb.grammar == iproute2.RuleList || verb.grammar == iproute2.RuleFlush {
		l.bare = "to"
		l.keywords = append(iproute2.WideFilterKeywords(), l.keywords...)
	}
	return l
}

// actionField stands in [wordLine.given] for any action. A table is one, but
// may stand beside a suppressor and the like; ip lets it stand beside others.
const actionField = "an action"

func actionGroup(k iproute2.Keyword) string {
	if isAction(k) || k.Value == iproute2.TypeValue {
		return actionField
	}
	return ""
}

func isAction(k iproute2.Keyword) bool {
	switch k.Field {
	case "lookup", "goto", "nop", "blackhole", "unreachable", "prohibit":
		return true
	}
	return false
}

// ruleWords are the words that are offered for rules. Fields that are not here
// are read and not offered: the kernel has no use for them (the types of routes that
// are no actions), or they add nothing to what they stand before (type).
func ruleWords() []fieldWords {
	return []fieldWords{
		{"not", "not"},
		{"from", "from src"},
		{"to", "to dst"},
		{"iif", "iif dev"},
		{"oif", "oif"},
		{"fwmark", "fwmark"},
		{"uidrange", "uidrange"},
		{"ipproto", "ipproto"},
		{"sport", "sport"},
		{"dport", "dport"},
		{"tos", "tos dsfield"},
		{"dscp", "dscp"},
		{"flowlabel", "flowlabel"},
		{"tun_id", "tun_id"},
		{"l3mdev", "l3mdev"},
		{"pref", "priority preference order"},
		{"lookup", "lookup table"},
		{"goto", "goto"},
		{"nop", "nop"},
		{"blackhole", "blackhole"},
		{"unreachable", "unreachable"},
		{"prohibit", "prohibit"},
		{"suppress_prefixlength", "suppress_prefixlength sup_pl"},
		{"suppress_ifgroup", "suppress_ifgroup sup_group"},
		{"nat", "nat map-to"},
		{"realms", "realms"},
		{"protocol", "protocol"},
	}
}

// addRuleWord offers the next word of a line.
func (v *hostOffers) addRuleWord(l *wordLine) {
	if l.wants != nil {
		v.addRuleValue(l)
		return
	}
	v.addKeywords(l, ruleWords(), ruleTakes)
}

// ruleTakes reports whether a keyword makes sense where the line is.
func ruleTakes(l *wordLine, k iproute2.Keyword) bool {
	switch {
	case l.given[k.Field], isAction(k) && l.given[actionField]:
		return false
	case k.Field == "flowlabel":
		return l.family != rpdb.IPv4
	case k.Field == "realms":
		return l.family != rpdb.IPv6 && !l.given["nat"]
	case k.Field == "nat": // elsewhere it makes a rule that drops packets
		return l.translates
	case k.Field == "tos" || k.Field == "dscp":
		return !l.given["tos"] && !l.given["dscp"]
	}
	return true
}

// addRuleValue offers values of the keyword that was typed last: names that
// exist, and those that rules already use.
func (v *hostOffers) addRuleValue(l *wordLine) {
	switch k := *l.wants; k.Value {
	case iproute2.PrefixValue:
		v.add("all", "every address")
		if l.there {
			v.addInUse(k.Field, l.family)
		}
		v.addAddresses(l.family, true)
	case iproute2.LinkValue:
		v.addLinks()
		v.addInUse(k.Field, l.family) // interfaces that are not there at the moment
	case iproute2.TableValue:
		v.addTables()
	case iproute2.ProtocolValue:
		v.addProtocols()
	case iproute2.GroupValue:
		v.addGroups()
	case iproute2.RealmsValue:
		v.addRealms()
	case iproute2.IPProtoValue:
		v.addIPProtos()
	case iproute2.DSFieldValue, iproute2.DSCPValue:
		v.addDSFields(k.Value == iproute2.DSCPValue)
		v.addInUse(k.Field, l.family)
	case iproute2.TypeValue:
		for _, action := range []string{"unicast", "blackhole", "unreachable", "prohibit"} {
			v.add(action, "")
		}
	case iproute2.NumberValue:
		v.addRuleNumber(k.Field, l)
	case iproute2.AddressValue:
		v.add("masquerade", "the address of the interface that a packet leaves by")
	default:
		v.addInUse(k.Field, l.family)
	}
}

// addRuleNumber offers numbers by what they stand for. That of a new rule is the
// user's own to choose.
func (v *hostOffers) addRuleNumber(field string, l *wordLine) {
	switch field {
	case "goto":
		v.addPriorities(l.family)
	case "pref":
		if l.there {
			v.addPriorities(l.family)
		}
	case "suppress_prefixlength":
		v.add("0", "refuse default routes")
		v.addInUse(field, l.family)
	default:
		v.addInUse(field, l.family)
	}
}
