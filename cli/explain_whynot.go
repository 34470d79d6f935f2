package cli

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rpdb"
	"rpdb/fib"
)

const whyNotLong = `

With --why-not it answers the other question: which rules could have sent the
packet by the interface DEV, or by what else was named, what stood in the way of
each, and with which smallest change of the packet, or of one rule, it would.`

const whyNotExample = "\n  rpdb explain 203.0.113.10 --why-not eth1\n  rpdb explain 203.0.113.10 mark 0x10 --why-not table 100"

// whyNotFlag adds --why-not to a command.
func (a *app) whyNotFlag(cmd *cobra.Command) {
	a.whyNot.flags = cmd.Flags()
	cmd.Flags().Var(&a.whyNot, "why-not", "say instead why the packet does not leave by the interface `DEV`, and which smallest change would make it; or: table TABLE, via ADDRESS, rule PRIORITY, dev DEV")
}

// whyNotValue is the value of --why-not: an interface, or a keyword with a value
// that may stand in an argument of its own. The zero value asks nothing.
type whyNotValue struct {
	flags   *pflag.FlagSet
	keyword string // "" if the flag was not given
	value   string
	next    int // index of the argument that is the value; -1: it stands with the flag
}

// whyNotWords are the keywords, with what each takes.
func whyNotWords() []flowWord {
	return []flowWord{
		{"dev", "leaves by an interface", nil},
		{"table", "uses a table", nil},
		{"via", "leaves to a gateway", nil},
		{"rule", "is decided by a rule of this priority", nil},
	}
}

func isWhyNotWord(word string) bool {
	for _, w := range whyNotWords() {
		if w.word == word {
			return true
		}
	}
	return false
}

// String returns what was given.
func (f *whyNotValue) String() string {
	if f.keyword == "" {
		return ""
	}
	return strings.TrimSpace(f.keyword + " " + f.value)
}

// Type is the placeholder of the help where it names none.
func (f *whyNotValue) Type() string { return "WISH" }

// Set reads the argument of the flag, the last one if it is given again. The argument that follows a keyword is
// the next one that no flag takes.
func (f *whyNotValue) Set(s string) error {
	f.keyword, f.value, f.next = "dev", s, -1
	at := strings.IndexAny(s, " =")
	switch {
	case isWhyNotWord(s):
		f.keyword, f.value, f.next = s, "", f.flags.NArg()
	case at > 0 && isWhyNotWord(s[:at]):
		f.keyword, f.value = s[:at], strings.TrimSpace(s[at+1:])
	}
	return nil
}

// take returns the arguments without the one that belongs to the flag.
func (f *whyNotValue) take(args []string) ([]string, error) {
	if f.keyword == "" {
		return args, nil
	}
	if f.next >= 0 && f.next < len(args) {
		f.value = args[f.next]
		args = append(args[:f.next:f.next], args[f.next+1:]...)
	}
	switch _, err := netip.ParseAddr(f.value); {
	case f.value == "":
		return nil, &usageError{"--why-not: " + f.missing(), whyNotHint}
	case err == nil && f.keyword != "via":
		return nil, f.fail(whyNotHint, "%q is an address", f.value)
	}
	return args, nil
}

// fail is an error about the value. A keyword that was not typed is not named.
func (f *whyNotValue) fail(hint, format string, args ...any) error {
	where := "--why-not"
	if f.keyword != "dev" {
		where += " " + f.keyword
	}
	return &usageError{where + ": " + fmt.Sprintf(format, args...), hint}
}

const whyNotHint = "it is \"--why-not INTERFACE\", or one of: dev INTERFACE, table TABLE, via ADDRESS, rule PRIORITY"

func (f *whyNotValue) missing() string {
	switch {
	case f.next >= 0:
		return fmt.Sprintf("a value must follow %q", f.keyword)
	case f.keyword == "dev":
		return "the name of an interface is missing"
	}
	return fmt.Sprintf("the value of %q is empty", f.keyword)
}

// wish resolves the flag on a host.
func (f *whyNotValue) wish(s *rpdb.Snapshot, names rpdb.Names) (w fib.Wish, err error) {
	switch f.keyword {
	case "dev":
		w.Link = rpdb.LinkName(f.value)
		if _, ok := s.LinkByName(w.Link); !ok {
			return w, f.fail(linkHint(s, names, f.value), "interface %q does not exist here", f.value)
		}
	case "table":
		id, ok := names.TableByName(f.value)
		if !ok || id == rpdb.TableUnspec {
			return w, f.fail(whyNotHint, "%q is neither the name nor the number of a table", f.value)
		}
		w.Table = id
	case "via":
		if err := parseAddr(f.value, &w.Via); err != nil {
			return w, f.fail(whyNotHint, "%q: %v", f.value, err)
		}
	case "rule":
		var p rpdb.Priority
		if err := parseUint(f.value, 32, &p); err != nil {
			return w, f.fail(whyNotHint, "%q is not a priority from 0 to 4294967295", f.value)
		}
		w.Rule = rpdb.Some(p)
	}
	return w, nil
}

// linkHint says what may be meant by the name of no interface.
func linkHint(s *rpdb.Snapshot, names rpdb.Names, name string) string {
	if _, ok := names.TableByName(name); ok && !isNumber(name) {
		return fmt.Sprintf("for the table, say: --why-not table %s", name)
	}
	var known []string
	for _, l := range s.Links {
		known = append(known, string(l.Name))
	}
	if near := rpdb.NearWords(name, known); len(near) > 0 {
		return fmt.Sprintf("is %q meant?", near[0])
	}
	return whyNotHint
}

// answerWhyNot adds the answer to --why-not to an explanation, if it was given.
func (a *app) answerWhyNot(x explainer, e *explanation) error {
	if a.whyNot.keyword == "" {
		return nil
	}
	w, err := a.whyNot.wish(x.snap, a.loadNames())
	if err != nil {
		return err
	}
	flow := e.Trace.Flow
	if w.Via.IsValid() && w.Via.Is4() && !flow.Dst.Is4() {
		return fmt.Errorf("--why-not via: %v is no gateway for %v: the families differ", w.Via, flow.Dst)
	}
	answer := x.fib.WhyNot(flow, w)
	e.WhyNot = &answer
	return nil
}

// viewWhyNot prints the answer, the short one first.
func (a *app) viewWhyNot(s *rpdb.Snapshot, e explanation) error {
	v := whyNotView{printer: newPrinter(a.Out), say: newWords(s.LinkName, a.loadNames()), flow: e.Trace.Flow, answer: e.WhyNot, width: min(a.width(), 2*lineWidth)}
	v.say.hideProtocol = true
	v.headline()
	if e.WhyNot.Fulfilled != fib.FulfilledYes {
		v.changes()
		v.obstacles()
	}
	v.kernelLine(a.look(), e)
	return v.err
}

type whyNotView struct {
	*printer
	say    words
	flow   rpdb.Flow
	answer *fib.WhyNot
	width  int
}

// wish names what was asked for, as what a packet does.
func (v *whyNotView) wish() string {
	w := v.answer.Wish
	switch {
	case w.Link != "":
		return "by " + safe(w.Link)
	case w.Table != 0:
		return "by table " + v.say.table(w.Table)
	case w.Via.IsValid():
		return "via " + w.Via.String()
	}
	p, _ := w.Rule.Get()
	return fmt.Sprintf("by rule %d", p)
}

func (v *whyNotView) headline() {
	d := v.answer.Decision
	if v.answer.Fulfilled == fib.FulfilledUnknown {
		v.wrap("not known whether " + v.wish() + ": " + safe(d.Note))
		return
	}
	word := map[fib.Fulfilment]string{
		fib.FulfilledNo: "not ", fib.FulfilledMaybe: "perhaps ", fib.FulfilledYes: "already ",
	}[v.answer.Fulfilled]
	v.wrap(word + v.wish() + ": the packet " + fateLine(v.flow, d) + v.decidedBy())
}

func (v *whyNotView) decidedBy() string {
	if v.answer.Decided == nil {
		return ""
	}
	return fmt.Sprintf("; rule %d decides (%s)", v.answer.Decided.Rule.Priority, v.say.rule(v.answer.Decided.Rule))
}

// changes prints what would fulfil the wish.
func (v *whyNotView) changes() {
	w := v.answer
	head := "it would be, with"
	if w.Maybe {
		head = "it may be, with"
	}
	switch {
	case len(w.Changes) > 1:
		v.printf("%s one of these changes of the packet:\n", head)
	case len(w.Changes) == 1:
		v.printf("%s this change of the packet:\n", head)
	case len(w.Ways) == 0: // which is said below
	case w.Bounded:
		v.wrap("no change of the packet was found that gives it; there are too many to try all")
	default:
		v.wrap("no change of up to three parts of the packet was found that gives it")
	}
	column := 0
	for _, c := range w.Changes {
		column = max(column, len(changeWords(c)))
	}
	for _, c := range w.Changes {
		v.printf("  %s  %s\n", pad(changeWords(c), column), v.outcome(c.Decision))
	}
	if len(w.Without) == 0 {
		return
	}
	if len(w.Changes) > 0 {
		v.printf("or, for the packet as it is:\n")
	} else {
		v.printf("it would be, for the packet as it is:\n")
	}
	for _, r := range w.Without {
		if r.Suppressor {
			v.printf("  if rule %d suppressed nothing (%s)\n", r.Rule.Priority, v.say.rule(r.Rule))
			continue
		}
		v.printf("  without rule %d (%s)\n", r.Rule.Priority, v.say.rule(r.Rule))
	}
}

// outcome says in few words what a decision is.
func (v *whyNotView) outcome(d rpdb.Decision) string {
	where := d.Errno.String()
	switch {
	case len(d.Either) > 1:
		where = "one of: " + joinHops(d.Either)
	case d.Disposition == rpdb.Local:
		where = "delivered on this host"
	case d.Disposition == rpdb.Sent:
		where = hopSentence(d.Hop)
	}
	if p, ok := d.Rule.Get(); ok {
		where = fmt.Sprintf("rule %d: %s", p, where)
	}
	return where
}

// changeWords are the words of a flow that a change sets, and without those
// that it takes away.
func changeWords(c fib.FlowChange) string {
	var words []string
	for _, field := range c.Fields {
		words = append(words, changedWord(c.Flow, field))
	}
	return strings.Join(words, " ")
}

func changedWord(f rpdb.Flow, field string) string {
	value := map[string]string{
		"mark": nonZero("%#x", f.Mark), "uid": fmt.Sprint(f.UID), "tos": nonZero("%#02x", f.TOS),
		"ipproto": protocolWord(f.IPProto), "dport": nonZero("%d", f.DPort), "sport": nonZero("%d", f.SPort),
		"oif": safe(f.OIF), "iif": safe(f.IIF), "flowlabel": nonZero("%#x", f.FlowLabel), "tun_id": nonZero("%d", f.TunID),
		"from": addressWord(f.Src),
	}[field]
	if value == "" {
		return "without " + field
	}
	return field + " " + value
}

func nonZero[T cmp.Ordered](format string, v T) string {
	var zero T
	if v == zero {
		return ""
	}
	return fmt.Sprintf(format, v)
}

func addressWord(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func protocolWord(p rpdb.IPProto) string {
	switch p {
	case 0:
		return ""
	case rpdb.TCP:
		return "tcp"
	case rpdb.UDP:
		return "udp"
	case rpdb.ICMP:
		return "icmp"
	case rpdb.ICMPv6:
		return "ipv6-icmp"
	}
	return fmt.Sprint(uint8(p))
}
