package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// completeFunc is how cobra asks a command what may stand next: the words
// before, and the beginning of the next one.
type completeFunc = func(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective)

// noFiles keeps the shell from offering files, and the offers in our order.
const noFiles = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder

// addCompletion tells the shells what may follow each command and flag.
// Commands that are not named here offer nothing of their own.
func (a *app) addCompletion(root *cobra.Command) {
	root.SetOut(a.Out) // it looks for the output now
	root.InitDefaultCompletionCmd()
	arguments := map[string]completeFunc{
		"show": noArguments, "check": noArguments, "init": noArguments,
		"plan": policyFile, "apply": policyFile, "try": policyFile,
		"explain": a.completeFlow,
		"rule":    a.completeRule, "route": a.completeRoute, "ip": a.completeIP,
		"table": noArguments, "table list": noArguments, "table show": a.completeTable,
		"table name": a.completeTableName, "table unname": a.completeTableUnname,
		"nexthop": noArguments, "nexthop list": noArguments,
		"snapshot": noArguments, "snapshot save": anyFile,
		"confirm": a.completePending, "rollback": a.completeGeneration,
		"history": noArguments, "history show": a.completeGeneration,
		"status": noArguments, "remove": noArguments, "repair": noArguments, "enable": noArguments, "disable": noArguments,
		"completion": noArguments, "version": noArguments, "export": completeWords(notationWords()...),
		"adopt": a.completeAdopt, "import": completeImport,
	}
	flags := map[string]completeFunc{
		"netns":     completeNetNS,
		"snapshot":  anyFile,
		"from-text": anyFile,
		"pcap":      anyFile,
		"socket":    a.completeSocket,
		"pid":       a.completePID,
		"to":        noArguments,
		"rp-filter": completeRPFilter,
		"color":     completeColor,
		"redact":    completeRedact,
		"why-not":   a.completeWhyNot,
		"confirm":   completeWords("1m", "5m", "10m"),
		"wait":      completeWords("10s", "30s", "1m"),
		"dad":       completeWords("3s", "5s", "10s"),
		"last":      completeWords("1", "2", "3"),
		"message":   noArguments,
		"protect":   noArguments,
		"state-dir": directory,
		"output":    directory,
		"policy":    policyFile,
		"for":       completeVersions,
		"into":      anyFile,
		"root":      directory,
		"program":   anyFile,
	}
	for _, cmd := range commandsOf(root) {
		path := strings.TrimPrefix(cmd.CommandPath(), "rpdb ")
		if path == "completion" {
			describeScripts(cmd)
		}
		if complete, ok := arguments[path]; ok {
			cmd.ValidArgsFunction = complete
		}
		for name, complete := range flags {
			if cmd.LocalFlags().Lookup(name) != nil {
				// An error means that the flag is not there, or that somebody was
				// first: a test completes each.
				_ = cmd.RegisterFlagCompletionFunc(name, complete)
			}
		}
	}
}

// commandsOf returns a command and those below it.
func commandsOf(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		all = append(all, commandsOf(sub)...)
	}
	return all
}

// describeScripts says in our words what cobra's command does, and leaves out
// the shell that no Linux starts by itself.
func describeScripts(cmd *cobra.Command) {
	cmd.Short = "print the script that lets a shell complete the command line"
	cmd.Long = `completion prints the script that lets a shell complete the command line:

  bash   rpdb completion bash > /etc/bash_completion.d/rpdb
  zsh    rpdb completion zsh > "${fpath[1]}/_rpdb"
  fish   rpdb completion fish > /etc/fish/completions/rpdb.fish`
	cmd.Args = noWords
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, shell := range cmd.Commands() {
		shell.DisableFlagsInUseLine, shell.Args = true, noWords
		shell.Short = fmt.Sprintf("print the script for %s", shell.Name())
		shell.Long = "" // says how to install packages of others
		if shell.Name() == "powershell" {
			cmd.RemoveCommand(shell)
		}
	}
}

func noArguments(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func anyFile(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// policyFile offers one file, as YAML files are named.
func policyFile(_ *cobra.Command, before []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(before) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

func completeRPFilter(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	o := offers{begun: begun}
	o.add("0", "off")
	o.add("1", "strict")
	o.add("2", "loose")
	return o.list, noFiles
}

// completeNetNS offers the namespaces that "ip netns" lists, and files for what
// looks like a path.
func completeNetNS(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if strings.Contains(begun, "/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	o := offers{begun: begun}
	for _, name := range namespaces() {
		o.add(name, "")
	}
	return o.list, noFiles
}

// offers collects the words that may stand next. The zero value has none.
type offers struct {
	begun   string // what is typed of the word
	list    []cobra.Completion
	offered map[string]bool
}

// add offers a word, with what it is about, if it goes on from what is typed
// and was not offered before. Words that a shell could take for more than a
// word are not offered: names of interfaces, tables and namespaces come from
// outside, a shell puts an offer on the command line as it is, and cobra's
// scripts evaluate that line at the next press of the key.
func (o *offers) add(word, about string) {
	if !strings.HasPrefix(word, o.begun) || !pasteable(word) || o.offered[word] {
		return
	}
	if o.offered == nil {
		o.offered = map[string]bool{}
	}
	o.offered[word] = true
	if about = strings.Join(strings.Fields(strings.Map(plain, about)), " "); about != "" {
		word += "\t" + about
	}
	o.list = append(o.list, word)
}

// pasteable reports whether every shell reads the word as that word.
func pasteable(word string) bool {
	if word == "" {
		return false
	}
	for _, r := range word {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-+:/@,%", r)) {
			return false
		}
	}
	return true
}

// plain replaces what does not belong on a terminal.
func plain(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// completeColor offers when to colour.
func completeColor(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	o := offers{begun: begun}
	o.add("auto", "on a terminal, unless NO_COLOR is set")
	o.add("always", "")
	o.add("never", "")
	return o.list, noFiles
}
