package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/cli/ipcmd"
)

// The exit codes of rpdb, as `rpdb help` lists them.
const (
	exitOK      = 0 // done, or nothing wrong
	exitFailed  = 1 // an error, or something found wrong
	exitTrouble = 2 // check: it could not be carried out
	exitWaiting = 3 // apply, rollback: done as far as possible, part of the policy waits; status: drifted
	exitOpen    = 4 // status: something is unfinished
)

// Streams are where a command reads and writes. All three are used from one
// goroutine.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// codeError carries an exit code through cobra. A nil err prints nothing: the
// view has said it all.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// app is the state that the commands of one call share: the streams, and the
// options that every command takes.
type app struct {
	Streams
	netns    string
	json     bool
	snapshot string
	raw      bool        // show the rules that hold a generation
	whyNot   whyNotValue // of explain
	fromText string
	// assumed is what a text leaves open that the state was read from.
	assumed   []string
	textNames *rpdb.Names // the host's of the text, nil for none
	// color is when explain colours: "auto", "always" or "never"; all says that
	// it folds nothing.
	color string
	all   bool
	// stateDir is where generations are kept, "" for the namespace's own place,
	// and wait how long another writer is waited for.
	stateDir   string
	wait       time.Duration
	protection protection // of apply, rollback and remove
	// root stands for "/" where the files of names are, "" for that itself.
	root string
}

// Run carries out one command line, without the program's name, and returns
// the exit code. It ends early when ctx does.
func Run(ctx context.Context, args []string, s Streams) int { return run(ctx, args, s, "") }

// run is Run with the files of names below a root of their own.
func run(ctx context.Context, args []string, s Streams, root string) int {
	out := &answer{w: s.Out}
	s.In, s.Out = untilEnd(ctx, s.In), out
	a := &app{Streams: s, root: root}
	err := a.execute(ctx, args)
	a.sayAssumed()
	if err == nil {
		err = out.err // of texts that are printed without asking, such as help
	}
	code := exitOK
	if err != nil {
		code = exitFailed
	}
	var coded *codeError
	if errors.As(err, &coded) {
		code, err = coded.code, coded.err
	}
	if err != nil {
		a.printError(err)
	}
	return code
}

// execute carries out a command: the one whose options are ip's, or one of the
// others.
func (a *app) execute(ctx context.Context, args []string) error {
	if object, words := ipWords(args); object != "" {
		return ipObjects()[object](a, ctx, words)
	}
	if len(args) > 0 && args[0] == guardWord {
		return a.guard(ctx, args[1:])
	}
	if opts, _, err := ipcmd.ParseOptions(args); errors.Is(err, ipcmd.ErrVersion) {
		a.json = opts.JSON
		return a.version()
	}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	return root.ExecuteContext(ctx)
}

// Main runs the process's own command line with signals handled, and returns
// the exit code. A process that was called by the name of ip(8) is ip.
func Main() int { return mainBelow("") }

// mainBelow is Main with the files of names below a root of their own.
func mainBelow(root string) int {
	if ipcmd.IsName(os.Args[0]) {
		return ipcmd.Main()
	}
	std := Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	switch object, words := ipWords(os.Args[1:]); {
	case object == "ip":
		return ipCall(words, std).Run()
	case object == "rule" && listsRules(words):
		// Nothing is left undone when a signal ends it, and to prepare for one takes as
		// long as the list.
		return run(context.Background(), os.Args[1:], std, root)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx, os.Args[1:], std, root)
}

const rootLong = `rpdb explains, checks and changes the routing policy database of Linux:
which rule decides where a packet goes, in IPv4 and IPv6.

What changes this host are apply, rollback, confirm, repair, remove, enable and
disable, and what is added, deleted or restored by rule, route, table and ip. Nothing
else does, and most of that needs no root.

Exit codes: 0 done, or nothing wrong; 1 an error, or something wrong was found;
2 "rpdb check" could not be carried out; 3 "rpdb apply", "rollback" or "repair" did
what it could, and a part of the policy waits for an interface or an address, or
"rpdb status" found that the host has drifted; 4 "rpdb status" found something
unfinished.`

const rootExample = `  rpdb show                             what there is here
  rpdb check                            what is wrong with it
  rpdb explain 203.0.113.10             why a packet goes its way
  rpdb init > policy.yaml               begin a policy for this host
  rpdb try policy.yaml                  rehearse it elsewhere
  rpdb plan policy.yaml                 what it would change here
  rpdb apply policy.yaml --confirm 5m   do it, and undo it unless
                                        it is confirmed
  rpdb enable                           and after each boot`

func (a *app) rootCommand() *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:           "rpdb",
		Short:         "the routing policy database of Linux, explained, planned and kept true",
		Long:          rootLong,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return a.version()
			}
			return cmd.Help()
		},
	}
	root.PersistentFlags().StringVarP(&a.netns, "netns", "n", "", "work in the network namespace `NAME` (as \"ip netns\" lists it, or a path)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return checkNames(cmd) }
	// Not cobra's own: that needs a template, and with templates in it the linker
	// keeps every exported method of the program, which doubles it.
	root.Flags().BoolVarP(&version, "version", "v", false, "version for rpdb")
	root.PersistentFlags().BoolVarP(&a.json, "json", "j", false, "print JSON for programs")
	root.AddCommand(a.showCommand(), a.checkCommand(), a.explainCommand(), a.initCommand(), a.adoptCommand(), a.importCommand(), a.planCommand(), a.applyCommand(), a.tryCommand(),
		a.confirmCommand(), a.rollbackCommand(), a.historyCommand(), a.statusCommand(), a.repairCommand(), a.removeCommand(), a.exportCommand(), a.enableCommand(), a.disableCommand(),
		a.ruleCommand(), a.routeCommand(), a.tableCommand(), a.nexthopCommand(), a.ipCommand(), a.versionCommand(), a.snapshotCommand())
	root.SetFlagErrorFunc(flagError)
	a.setHelp(root)
	root.SetHelpCommand(a.helpCommand())
	a.addCompletion(root)
	for _, cmd := range commandsOf(root) {
		cmd.DisableFlagsInUseLine = true
	}
	return root
}

// checkNames refuses options whose value is an empty name, as from a variable
// that is not set: they would do nothing, and the answer be about this host. And
// it refuses to read standard input twice.
func checkNames(cmd *cobra.Command) error {
	value := func(option string) (string, bool) {
		f := cmd.Flags().Lookup(option)
		if f == nil || !f.Changed {
			return "", false
		}
		return f.Value.String(), true
	}
	if name, given := value("netns"); given && name == "" {
		return &usageError{text: "--netns: the name of a namespace is empty"}
	}
	if wait, given := value("wait"); given && strings.HasPrefix(wait, "-") {
		return &usageError{text: fmt.Sprintf("--wait %s: a negative time", wait)}
	}
	input := ""
	for _, option := range []string{"snapshot", "from-text", "pcap"} {
		name, given := value(option)
		switch {
		case given && name == "":
			return &usageError{fmt.Sprintf("--%s: the name of a file is empty", option), "- is standard input"}
		case name == "-" && input != "":
			return &usageError{text: fmt.Sprintf("--%s and --%s cannot both be standard input", input, option)}
		case name == "-":
			input = option
		}
	}
	return nil
}

// usageError is a command line that cannot be understood.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

// Hint says where help is.
func (e *usageError) Hint() string { return e.hint }

// snapshotFlag adds the options that let a reading command work on a file.
func (a *app) snapshotFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.fromText, "from-text", "", "read the state from `FILE` (the output of ip(8) commands, as in a support bundle) instead of this host; - is standard input")
	cmd.Flags().StringVar(&a.snapshot, "snapshot", "", "read the state from `FILE` (written by \"rpdb snapshot save\") instead of this host; - is standard input")
}
