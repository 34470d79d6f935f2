package ipcmd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// rule carries out the words behind "ip rule".
func (s *session) rule(words []string) error {
	if len(words) == 0 {
		return s.list(nil)
	}
	verb, err := iproute2.ParseRuleVerb(words[0])
	if err != nil {
		return parseFailure(err)
	}
	words = words[1:]
	switch verb {
	case iproute2.RuleList:
		return s.list(words)
	case iproute2.RuleAdd, iproute2.RuleDelete:
		return s.change(verb, words)
	case iproute2.RuleFlush:
		return s.flush(words)
	case iproute2.RuleSave:
		return s.save(words)
	case iproute2.RuleRestore:
		return s.restore()
	}
	return exit(255, "%s", iproute2.RuleHelp())
}

// context is what the words of a rule are read in.
func (s *session) context() iproute2.RuleContext {
	return iproute2.RuleContext{Family: rpdb.Family(s.opts.Family), Numbers: s.names.number(inTurn{s})}
}

// list prints the rules that the words choose. ip's own lists ignore the
// protocol and know no actions, realms and suppressors; ours do.
func (s *session) list(words []string) error {
	l := &ruleList{session: s}
	if err := l.choose(words); err != nil {
		return parseFailure(err)
	}
	l.begin()
	sock, err := s.socket()
	if err == nil {
		err = sock.RuleMessages(context.Background(), []uint8{s.opts.Listed()}, l.begin, l.add)
	}
	if err != nil {
		l.begin() // with -json, an empty list, as of a flush
	}
	l.printer.close()
	l.text.WriteTo(s.out) // an error of standard output is noticed at the end
	if err != nil {
		return fail(255, "%sDump terminated\n", kernelText(err))
	}
	return nil
}

// ruleList is a list of rules under way, which is not printed before it is known to be
// right. What its functions put on the stack is gone when they return: a new process
// pays for each stack that it outgrows.
type ruleList struct {
	*session
	filter  iproute2.RuleFilter
	before  iproute2.NameState // of the session
	text    Held
	printer *rulePrinter
}

// choose reads the words of a filter, and of files what they name.
func (l *ruleList) choose(words []string) (err error) {
	l.filter, err = l.context().ParseWideFilter(words)
	l.before = l.names.state
	return err
}

// begin begins the list, for the first time or anew.
func (l *ruleList) begin() {
	l.text, l.names.state = Held{}, l.before
	l.printer = l.rulePrinterTo(&l.text, false)
	l.printer.stream = iproute2.NewRuleStream(l.printer.view, l.filter, l.printer)
}

func (l *ruleList) add(m *kernel.Message) error { return l.printer.stream.Add(m.Payload) }

// palette is the colours of -color.
func (s *session) palette() iproute2.Palette { return s.opts.Palette(s.Stdout, s.getenv) }

// Palette returns the colours of -color for what is written to a stream. There
// are none in JSON.
func (o Options) Palette(to any, getenv func(string) string) iproute2.Palette {
	switch {
	case o.JSON, o.Color == "", o.Color == "never", o.Color == "auto" && !isTerminal(to):
		return iproute2.NoColor
	case darkBackground(getenv("COLORFGBG")):
		return iproute2.DarkBackground
	}
	return iproute2.LightBackground
}

// darkBackground reads COLORFGBG, which ends in the number of the background
// behind a semicolon: 0 to 6 and 8 are dark. Nothing said is dark too.
func darkBackground(fgbg string) bool {
	i := strings.LastIndexByte(fgbg, ';')
	return i < 0 || slices.Contains([]string{"0", "1", "2", "3", "4", "5", "6", "8"}, fgbg[i+1:])
}

// natTrap is the one line that ip does not have: the kernel accepts the rule, and
// that it drops all that it selects nobody says.
const natTrap = "Warning: this rule DROPS every packet that it selects, no kernel translates for it; \"rpdb rule add ... nat ADDRESS\" makes one that translates"

// change adds or deletes the rule that the words say.
func (s *session) change(verb iproute2.RuleVerb, words []string) error {
	parse := iproute2.RuleContext.ParseAdd
	if verb == iproute2.RuleDelete {
		parse = iproute2.RuleContext.ParseDelete
	}
	req, err := parse(s.context(), words)
	if err != nil {
		return parseFailure(err)
	}
	s.warn(req.Warnings())
	if req.Action == rpdb.ActionNAT && !req.Delete {
		s.warn([]string{natTrap})
	}
	sock, err := s.socket()
	if err != nil {
		return fail(1, "%s", kernelText(err))
	}
	r := kernel.RuleRequest{Delete: req.Delete, Echo: s.opts.Echo, Payload: req.Payload()}
	revocable := func() bool { return s.waiting.takes(sock, r) }
	if waits, err := s.put(sock, revocable, func(p *kernel.Pipeline) error { return p.AddRule(r) }); waits || err != nil {
		return err
	}
	start := time.Now()
	told, err := sock.SendRule(context.Background(), r)
	s.waiting.sentAlone(r, time.Since(start))
	if err != nil {
		return fail(2, "%s", kernelText(err))
	}
	s.echo(told)
	return nil
}

// echo prints what the kernel made of a change.
func (s *session) echo(told []kernel.RuleMessage) {
	if !s.opts.Echo {
		return
	}
	for _, m := range told {
		s.printOne(m.Rule, m.Deleted())
	}
}

// printOne prints one rule that was added or deleted.
func (s *session) printOne(r rpdb.Rule, deleted bool) {
	p := s.rulePrinter(deleted)
	p.print(&r)
	p.close()
}

// flush deletes the rules that the words choose, but for those of priority 0,
// which ip never deletes.
func (s *session) flush(words []string) error {
	filter, err := s.context().ParseFilter(iproute2.RuleFlush, words)
	if err != nil {
		return parseFailure(err)
	}
	sock, err := s.socket()
	if err != nil {
		return fail(255, "%s", kernelText(err))
	}
	err = sock.FlushRules(context.Background(), s.opts.Listed(), func(r *rpdb.Rule) bool {
		return r.Priority != 0 && filter.Match(*r)
	})
	s.rulePrinter(false).close()
	var refused *kernel.Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fail(255, "%sDump terminated\n", kernelText(err))
	}
	return fail(255, "ip: flush rules: %v\n", err)
}
