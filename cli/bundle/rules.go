package bundle

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/format/iptext"
)

// ruleList is one listing of rules.
type ruleList struct {
	family  rpdb.Family // 0: not known yet
	rules   []rpdb.Rule
	entries []iptext.Entry // where each of them stands
}

// readRules takes a section, which is one listing if a command stands before it,
// and else may be several: the priorities of one rise.
func (b *builder) readRules(s iptext.Section) error {
	var open ruleList
	close := func() {
		if len(open.rules) > 0 || s.Command.Line != 0 && len(s.Entries) == 0 {
			b.lists = append(b.lists, open)
		}
		open = ruleList{}
	}
	family := s.Command.Family
	if s.Command.Line != 0 && family == 0 {
		family = rpdb.IPv4 // of which ip lists rules where no family is given
	}
	for _, e := range s.Entries {
		rules, own, err := b.parseRules(s, e)
		if err != nil {
			return err
		}
		if s.JSON {
			close()
		}
		for _, r := range rules {
			// The listings of this program say the family of each rule.
			last := len(open.rules) - 1
			if own && last >= 0 && open.rules[last].Family != r.Family || !own && s.Command.Line == 0 && last >= 0 && open.rules[last].Priority > r.Priority {
				close()
			}
			open.family = family
			if own {
				open.family = r.Family
			}
			open.rules, open.entries = append(open.rules, r), append(open.entries, e)
		}
	}
	open.family = max(open.family, family)
	close()
	return nil
}

// parseRules reads the rules of an entry, and whether it says their family.
func (b *builder) parseRules(s iptext.Section, e iptext.Entry) (rules []rpdb.Rule, own bool, err error) {
	if s.JSON {
		rules, err = b.parseRuleArray(e)
		return rules, false, err
	}
	words := strings.Fields(e.Text)
	front := ""
	if words[0] == "IPv4" || words[0] == "IPv6" {
		front, words, own = words[0]+" ", words[1:], true
	}
	line := front + words[0] + "\t" + strings.Join(words[1:], " ")
	r, err := iproute2.RuleContext{Names: b.names}.ParseListing(line)
	if err != nil {
		return nil, false, failed(e, err)
	}
	if !slices.Contains(words, "proto") {
		r.Protocol = untold(r)
	}
	if r.Action == rpdb.ToTable(0) && !r.Selector.L3MDev {
		return nil, false, e.Fail(len(e.Text), "", "the rule stops short")
	}
	return []rpdb.Rule{r}, own, nil
}

// untold returns the protocol of a rule of which ip does not tell it. Without -d
// it leaves out two: that of the kernel, which makes the rules of a new
// namespace and the one for VRFs, and none, which users give.
func untold(r rpdb.Rule) rpdb.Protocol {
	const forVRFs = 1000 // FRA_L3MDEV, l3mdev_fib_rule
	stock := slices.ContainsFunc(rpdb.DefaultRules(rpdb.IPv4), func(d rpdb.Rule) bool {
		d.Family, d.Protocol = r.Family, r.Protocol
		return d == r
	})
	if stock || r.Priority == forVRFs && r.Selector.L3MDev {
		return rpdb.ProtocolKernel
	}
	return rpdb.ProtocolUnspec
}

// ruleSink is a builder that knows whether the protocol was told.
type ruleSink struct {
	*iproute2.RuleBuilder
	protocol bool
}

// String takes a field.
func (s *ruleSink) String(key, text, value string) {
	s.protocol = s.protocol || key == "protocol"
	s.RuleBuilder.String(key, text, value)
}

func (b *builder) parseRuleArray(e iptext.Entry) (rules []rpdb.Rule, err error) {
	err = ipjson.Read([]byte(e.Text), func() ipjson.Sink {
		return &ruleSink{RuleBuilder: iproute2.NewRuleBuilder(0, b.names)}
	}, func(s ipjson.Sink) error {
		sink := s.(*ruleSink)
		r, err := sink.Rule()
		if !sink.protocol {
			r.Protocol = untold(r)
		}
		rules = append(rules, r)
		return err
	})
	if err != nil {
		return nil, failed(e, err)
	}
	return rules, nil
}

// finishRules finds the family of each listing, and puts the rules into the
// snapshot.
func (b *builder) finishRules() error {
	byFamily := map[rpdb.Family]*ruleList{}
	var open []ruleList
	take := func(l ruleList) error {
		for i := range l.rules {
			if said := saidFamily(l.rules[i]); said != 0 && said != l.family {
				return l.entries[i].FailWord("", "a rule of "+familyWord(said)+" in a listing of "+familyWord(l.family))
			}
			l.rules[i].Family = l.family
		}
		was := byFamily[l.family]
		if was == nil {
			byFamily[l.family] = &l
			return nil
		}
		if slices.Equal(was.rules, l.rules) {
			return nil
		}
		return differing(*was, l)
	}
	for _, l := range b.lists {
		if l.family == 0 {
			l.family = l.evident()
		}
		if l.family == 0 {
			open = append(open, l)
			continue
		}
		if err := take(l); err != nil {
			return err
		}
	}
	for _, l := range open {
		// It ends without the rule that IPv4 has as its last, as those of IPv6 do.
		if byFamily[rpdb.IPv4] == nil || alike(byFamily[rpdb.IPv4].rules, l.rules) {
			return l.entries[0].FailWord("", `rules of which family: put a line "# ip rule" or "# ip -6 rule" before them`)
		}
		l.family = rpdb.IPv6
		if err := take(l); err != nil {
			return err
		}
	}
	for _, f := range rpdb.Families() {
		b.finishFamily(f, byFamily[f])
	}
	return nil
}

func (b *builder) finishFamily(f rpdb.Family, l *ruleList) {
	part := rpdb.PartRules4
	if f == rpdb.IPv6 {
		part = rpdb.PartRules6
	}
	switch {
	case l != nil:
		b.snap.Rules = append(b.snap.Rules, l.rules...)
	case b.has(f):
		b.snap.Missing |= part
		b.snap.Rules = append(b.snap.Rules, rpdb.DefaultRules(f)...)
		b.assume("no %v rules (ip %srule): those of a new namespace are assumed", f, map[rpdb.Family]string{rpdb.IPv6: "-6 "}[f])
	default:
		b.snap.Missing |= part
		b.snap.Rules = append(b.snap.Rules, rpdb.DefaultRules(f)...)
	}
}

// has reports whether the text has routes of a family, or says that there are
// none.
func (b *builder) has(f rpdb.Family) bool {
	if b.all[f] || slices.ContainsFunc(b.snap.Rules, func(r rpdb.Rule) bool { return r.Family == f }) && !b.assumesRules(f) {
		return true
	}
	for ref := range b.covered {
		if ref.Family == f {
			return true
		}
	}
	return false
}

func (b *builder) assumesRules(f rpdb.Family) bool {
	if f == rpdb.IPv6 {
		return b.snap.Missing.Has(rpdb.PartRules6)
	}
	return b.snap.Missing.Has(rpdb.PartRules4)
}

// saidFamily returns the family that a rule itself shows, 0 if it shows none.
func saidFamily(r rpdb.Rule) rpdb.Family {
	s := r.Selector
	switch {
	case s.From.IsValid():
		return rpdb.FamilyOf(s.From.Addr())
	case s.To.IsValid():
		return rpdb.FamilyOf(s.To.Addr())
	case s.FlowLabel.Mask != 0:
		return rpdb.IPv6
	}
	return 0
}

// evident returns the family of a listing by its rules: by the addresses, or by
// the rule for table default, which only IPv4 has. 0 if neither is there.
func (l ruleList) evident() rpdb.Family {
	for _, r := range l.rules {
		if f := saidFamily(r); f != 0 {
			return f
		}
	}
	for _, r := range l.rules {
		if r.Priority == rpdb.PriorityDefault && r.Action == rpdb.ToTable(rpdb.TableDefault) {
			return rpdb.IPv4
		}
	}
	return 0
}

// alike compares rules whatever their family.
func alike(a, b []rpdb.Rule) bool {
	return slices.EqualFunc(a, b, func(x, y rpdb.Rule) bool { x.Family = y.Family; return x == y })
}

// differing is the error about two listings of one family.
func differing(a, b ruleList) error {
	const reason = "the rules are listed twice, and not alike"
	for i := range b.rules {
		if i >= len(a.rules) || a.rules[i] != b.rules[i] {
			return b.entries[i].FailWord("", reason)
		}
	}
	return a.entries[len(b.rules)].FailWord("", reason)
}

// failed gives an error of a reader its place: that of the word that it quotes
// last, or in JSON of the byte or of the object.
func failed(e iptext.Entry, err error) error {
	var syntax *ipjson.SyntaxError
	if errors.As(err, &syntax) {
		text, _, _ := strings.Cut(e.Text[min(syntax.Offset, len(e.Text)):], "\n")
		return e.Fail(syntax.Offset, text, syntax.Text)
	}
	object := 0 // where it begins
	_, _ = fmt.Sscanf(err.Error(), "read JSON: object at byte %d:", &object)
	for _, prefix := range []string{"read rule: ", "read route: "} {
		if _, after, ok := strings.Cut(err.Error(), prefix); ok {
			return failedField(e, object, after)
		}
	}
	return e.FailBehind(object, "", err.Error())
}

// The reasons of errors about names that are neither here nor in the text.
const (
	UnknownTable    = "no table has this name here"
	UnknownProtocol = "no protocol has this name here"
)

// failedField says what is wrong in the words of listings.
func failedField(e iptext.Entry, object int, text string) error {
	word := lastQuoted(text)
	switch {
	case strings.HasPrefix(text, `field "table": bad value`):
		return e.FailBehind(object, word, UnknownTable)
	case strings.HasPrefix(text, `field "protocol": bad value`):
		return e.FailBehind(object, word, UnknownProtocol)
	}
	// The word is quoted behind the reason, and once is enough.
	quoted := strconv.Quote(word)
	reason := strings.TrimSuffix(text, " "+quoted)
	if reason == quoted+": unknown" {
		reason = "a word that no listing of ip has"
	}
	return e.FailBehind(object, word, reason)
}

// lastQuoted returns the last quoted part of a text, "" if there is none.
func lastQuoted(text string) string {
	end := strings.LastIndexByte(text, '"')
	if end < 0 {
		return ""
	}
	begin := strings.LastIndexByte(text[:end], '"')
	return text[begin+1 : end]
}
