package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/format/iproute2"
)

// ipObjects are the commands whose options are ip's and never reach the parser
// of flags.
func ipObjects() map[string]func(a *app, ctx context.Context, args []string) error {
	return map[string]func(a *app, ctx context.Context, args []string) error{
		"ip":    func(a *app, _ context.Context, args []string) error { return a.ended(ipCall(args, a.Streams).Run()) },
		"rule":  (*app).runRule,
		"route": (*app).runRoute,
	}
}

// ipWords recognises the commands of [ipObjects]. It returns the object, "" for
// other commands, and the words without it.
func ipWords(args []string) (object string, words []string) {
	args = slices.Clone(args)
	for i, w := range args {
		if name, found := strings.CutPrefix(w, "--netns="); found {
			args = slices.Replace(args, i, i+1, "-netns", name)
			break
		}
	}
	_, rest, err := ipcmd.ParseOptions(args)
	if err != nil || len(rest) == 0 || ipObjects()[rest[0]] == nil {
		return "", nil
	}
	return rest[0], slices.Concat(args[:len(args)-len(rest)], rest[1:])
}

// ipCall is "rpdb ip" with the given words.
func ipCall(words []string, s Streams) ipcmd.Call {
	return ipcmd.Call{Args: words, Stdin: s.In, Stdout: s.Out, Stderr: s.Err, Getenv: os.Getenv}
}

// ended turns the exit code of a command that has said everything into an
// error.
func (a *app) ended(code int) error {
	if code == exitOK {
		return nil
	}
	return &codeError{code: code}
}

// objectCall is one call of "rpdb OBJECT", as in "rpdb rule".
type objectCall struct {
	*app
	object string
	usage  string   // what its help prints
	typed  []string // the words behind the verb
	opts   ipcmd.Options
	named  *rpdb.Names // nil before they are read
}

// names returns the names of what the call is about. They are read when they are
// first asked for.
func (o *objectCall) names() rpdb.Names {
	if o.named == nil {
		n := o.loadNames()
		o.named = &n
	}
	return *o.named
}

// forgetNames is called when something else has become what the call is about.
func (o *objectCall) forgetNames() { o.named = nil }

// options reads the options in front of the verb, or behind it, and returns what
// stands behind them.
func (o *objectCall) options(args []string) ([]string, error) {
	opts, words, err := o.opts.Parse(args)
	switch {
	case errors.Is(err, ipcmd.ErrVersion):
		o.json = opts.JSON
		if err := o.version(); err != nil {
			return nil, err
		}
		return nil, &codeError{code: exitOK}
	case err != nil:
		text, _, _ := strings.Cut(err.Error(), ", try ")
		return nil, o.wrong("", "%s%s", strings.ToLower(text[:1]), text[1:])
	}
	if opts.Batch != nil {
		return nil, &usageError{o.object + ": a batch is in ip's words", `see "rpdb ip -batch FILE"`}
	}
	if f := rpdb.Family(opts.Family); f != 0 && f.Bits() == 0 {
		return nil, &usageError{fmt.Sprintf("%s: %v is no family of %ss", o.object, f, o.object), "use -4 or -6"}
	}
	o.netns, o.opts = opts.NetNS, opts
	o.forgetNames() // for those of the namespace
	return words, nil
}

// only refuses options that would change nothing about what a verb does, or
// about how the answer looks. Which family and which namespace is never one.
func (o *objectCall) only(verb string, honoured ...string) error {
	honoured = append(honoured, "-4", "-6", "-family", "-netns")
	for _, option := range o.opts.Given {
		if !slices.Contains(honoured, option) {
			return o.wrong(verb, "the option %s changes nothing here: leave it out", option)
		}
	}
	if o.opts.Pretty && !o.opts.JSON {
		return o.wrong(verb, "-pretty is for -json: add it, or leave both out")
	}
	return nil
}

// asksForHelp reports whether one of the words is an option for help.
func asksForHelp(args []string) bool {
	return slices.ContainsFunc(args, func(w string) bool { return w == "-h" || w == "-help" || w == "--help" })
}

func (o *objectCall) help() error {
	_, err := fmt.Fprint(o.Out, o.usage)
	return err
}

// takeSource takes the options out of the words that name a file to read the
// state from; the others are ip's. They may stand anywhere.
func (o *objectCall) takeSource(args []string) (rest []string, err error) {
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(args[i], "=")
		to := map[string]*string{"--snapshot": &o.snapshot, "--from-text": &o.fromText}[name]
		if to == nil {
			rest = append(rest, args[i])
			continue
		}
		if !hasValue {
			i++
			if i == len(args) {
				return nil, o.wrong("", "%s: the name of a file must follow", name)
			}
			value = args[i]
		}
		if value == "" {
			return nil, o.wrong("", "%s: the name of a file is empty", name)
		}
		*to = value
	}
	return rest, nil
}

// readsOnly refuses a file as the source of the state for verbs that do not
// read alone.
func (o *objectCall) readsOnly(verb string, reading ...string) error {
	if o.fromFile() && !slices.Contains(reading, verb) {
		return o.wrong(verb, "a state from a file can only be read: %s", strings.Join(reading, ", "))
	}
	return nil
}

// wrong is an error in the words of a verb, "" for none, with a hint to the
// help.
func (o *objectCall) wrong(verb, format string, args ...any) error {
	text := strings.TrimSpace(o.object+" "+verb) + ": " + fmt.Sprintf(format, args...)
	return &usageError{text, fmt.Sprintf("see \"rpdb %s help\"", o.object)}
}

// badWords is what the parser of the words behind a verb has to say.
func (o *objectCall) badWords(verb string, err error) error {
	var bad *iproute2.ParseError
	switch {
	case errors.As(err, &bad) && bad.Kind == iproute2.Usage && bad.Word != "" && strings.HasPrefix("help", bad.Word):
		if err := o.help(); err != nil {
			return err
		}
		return &codeError{code: exitOK} // nothing else is to be done
	case bad != nil && bad.Kind == iproute2.Incomplete && len(o.typed) > 0:
		return o.wrong(verb, "%q: a value must follow", o.typed[len(o.typed)-1])
	case bad != nil && strings.HasSuffix(bad.Reason, "requires arguments."):
		return o.wrong(verb, "the %s is missing", o.object)
	case bad != nil && isOption(bad.Word):
		text := fmt.Sprintf("%s %s: %q stands in the wrong place", o.object, verb, bad.Word)
		return &usageError{text, fmt.Sprintf("options come before the command: rpdb %s %s %s", o.object, bad.Word, verb)}
	}
	return o.wrong(verb, "%v", err)
}

// isOption reports whether a word is an option of ip without a value.
func isOption(word string) bool {
	_, rest, err := ipcmd.ParseOptions([]string{word})
	return strings.HasPrefix(word, "-") && err == nil && len(rest) == 0
}

// unknownVerb is an error about a verb that is none, with the one that it may be
// a slip for.
func (o *objectCall) unknownVerb(word string, verbs []string) error {
	hint := fmt.Sprintf("see \"rpdb %s help\"", o.object)
	if near := rpdb.NearWords(word, verbs); len(near) > 0 {
		hint = fmt.Sprintf("perhaps %q is meant; %s", near[0], hint)
	}
	return &usageError{fmt.Sprintf("%s: unknown command %q", o.object, word), hint}
}

// refused turns the reasons of [iproute2.RefusalError] into our error.
func (o *objectCall) refused(verb string, err error) error {
	var refused *iproute2.RefusalError
	if errors.As(err, &refused) {
		return &refusedError{object: o.object, verb: verb, reasons: refused.Reasons}
	}
	return err
}

// refusedError is a rule or route that would not be what was typed.
type refusedError struct {
	object, verb string
	reasons      []string
	translates   bool // the rule has nat, which is another thing to ip
}

func (e *refusedError) Error() string {
	front := e.object + " " + e.verb + ": "
	return front + strings.Join(e.reasons, "\n"+front)
}

// Hint says how to do it all the same.
func (e *refusedError) Hint() string {
	if e.translates {
		return (*natRefused)(nil).Hint()
	}
	return fmt.Sprintf("\"rpdb ip %s\" does it all the same", e.object)
}

// families returns the families that a command is about.
func (o *objectCall) families() []rpdb.Family {
	if o.opts.Family != 0 {
		return []rpdb.Family{rpdb.Family(o.opts.Family)}
	}
	both := rpdb.Families()
	return both[:]
}

// plain returns the streams as the process has them, so that they can be asked
// whether they are terminals.
func (o *objectCall) plain() Streams {
	s := o.Streams
	if out, ok := s.Out.(*answer); ok {
		s.Out = out.w
	}
	if in, ok := s.In.(*interruptible); ok {
		s.In = in.r
	}
	return s
}

// perFamily reads words for each family that they can be about: addresses are
// of one.
func perFamily[T any](o *objectCall, verb string, parse func(rpdb.Family) (T, error)) (families []rpdb.Family, parsed []T, err error) {
	var wrong error
	for _, f := range o.families() {
		v, err := parse(f)
		var bad *iproute2.ParseError
		switch {
		case errors.As(err, &bad) && (bad.Kind == iproute2.BadPrefix || bad.Kind == iproute2.BadAddress):
			wrong = err // an address of the other family
		case err != nil:
			return nil, nil, o.badWords(verb, err)
		default:
			families, parsed = append(families, f), append(parsed, v)
		}
	}
	var bad *iproute2.ParseError
	switch {
	case len(families) > 0:
		return families, parsed, nil
	case o.opts.Family == 0 && errors.As(wrong, &bad):
		either := *bad // of no family
		either.Reason = "any valid"
		wrong = &either
	}
	return nil, nil, o.badWords(verb, wrong)
}
