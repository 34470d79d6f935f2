package cost

import (
	"fmt"
	"slices"

	"rpdb"
	"rpdb/analysis"
)

// Walk is what one packet meets in the rules.
type Walk struct {
	Rules  int `json:"rules"`  // that are asked
	Tables int `json:"tables"` // that are looked up
	// Lookup is what one walk is foretold to cost, and Forwarded what all walks do that a
	// forwarded packet causes, with the search for ports.
	Lookup    Range `json:"lookup_ns"`
	Forwarded Range `json:"forwarded_ns"`
}

// Kind is what a fact is about.
type Kind string

// The facts that cost something, or save it.
const (
	Shortcut    Kind = "shortcut"     // rules were never changed: nobody walks them
	Unsplit     Kind = "split"        // they look as if they never were, which nobody can tell
	Split       Kind = "was-split"    // they were changed, and the shortcut is gone for good
	SecondWalk  Kind = "second-walk"  // the way back is looked up too
	NoSecond    Kind = "no-second"    // it is not, on some interfaces
	Dissection  Kind = "dissection"   // every packet is searched for ports
	MissedTable Kind = "missed-table" // tables that every packet asks and goes on
	NotWalked   Kind = "not-asked"    // rules that cost nothing, as no packet comes to them
)

// Fact is one reason for the cost. Message and Reason are clauses, ASCII and safe to
// print.
type Fact struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	Reason  string `json:"reason,omitzero"`
	// Rules are the priorities of the rules that it is about, at most sixteen.
	Rules []rpdb.Priority `json:"rules,omitempty"`
}

// Family is the cost of the rules of one family.
type Family struct {
	Family rpdb.Family `json:"family"`
	Rules  int         `json:"rules"` // in the list
	// Walks is how often a forwarded packet has the rules walked; 0 if nobody does.
	Walks int `json:"walks"`
	// Typical is a packet that no rule with a selector is for, and that goes by the
	// first default route. Worst is the longest walk that any packet can have.
	Typical Walk     `json:"typical"`
	Worst   Walk     `json:"worst"`
	Facts   []Fact   `json:"facts"`
	Savings []Saving `json:"savings"`
}

// Of returns the cost in both families, as far as the snapshot tells it. It is
// deterministic and changes nothing.
func Of(s *rpdb.Snapshot) []Family {
	var all []Family
	for _, f := range rpdb.Families() {
		all = append(all, of(s, f))
	}
	return all
}

func of(s *rpdb.Snapshot, f rpdb.Family) Family {
	rules := s.RulesOf(f)
	c := Family{Family: f, Rules: len(rules), Facts: []Fact{}, Savings: []Saving{}}
	if pristine(s, f) == rpdb.CustomisedNo {
		c.Facts = append(c.Facts, Fact{Kind: Shortcut, Message: "nobody has changed the rules: the kernel looks the tables up without asking them"})
		pristine := modelOf(f).pristine
		c.Typical = Walk{Tables: 1, Lookup: pristine, Forwarded: pristine}
		c.Worst = c.Typical
		return c
	}
	c.Walks = 1
	c.split(s)
	c.secondWalk(s)
	dissects := c.dissection(rules)
	c.Typical, c.Worst = typical(s, f, rules), worst(rules, s)
	for _, w := range []*Walk{&c.Typical, &c.Worst} {
		w.Lookup = Lookup(f, w.Rules, w.Tables)
		w.Forwarded = w.Lookup.times(c.Walks)
		if dissects {
			w.Forwarded = w.Forwarded.plus(dissection())
		}
	}
	c.tables(s, rules)
	c.notAsked(s)
	c.Savings = append(c.Savings, savings(s, f)...)
	return c
}

// pristine says whether the rules of a family were ever changed, as the engine takes
// it.
func pristine(s *rpdb.Snapshot, f rpdb.Family) rpdb.Customised {
	custom := s.Custom4
	if f == rpdb.IPv6 {
		custom = s.Custom6
	}
	if custom == rpdb.CustomisedUnknown && !stock(s, f) {
		return rpdb.CustomisedYes
	}
	return custom
}

// stock reports whether the list is the one that a namespace begins with.
func stock(s *rpdb.Snapshot, f rpdb.Family) bool {
	rules := s.RulesOf(f)
	return len(rules) == len(rpdb.DefaultRules(f)) && !slices.ContainsFunc(rules, func(r rpdb.Rule) bool { return !analysis.IsKernelRule(r) })
}

// split says what a list of no rules of its own costs, that was or may have been
// changed.
func (c *Family) split(s *rpdb.Snapshot) {
	if !stock(s, c.Family) {
		return
	}
	switch pristine(s, c.Family) {
	case rpdb.CustomisedYes:
		c.Facts = append(c.Facts, Fact{
			Kind: Split, Message: "the rules are those of a new namespace, and were others before: the kernel walks them all the same",
			Reason: "its shortcut past the list ends with the first change, and with it local and main become two tables, as long as the namespace lives",
		})
	case rpdb.CustomisedUnknown:
		c.Facts = append(c.Facts, Fact{
			Kind: Unsplit, Message: "whether the rules were ever changed cannot be seen: if not, the kernel takes a shortcut past them, and this is less",
		})
	}
}

// secondWalk says whether the way back is looked up too (fib_validate_source).
func (c *Family) secondWalk(s *rpdb.Snapshot) {
	if c.Family != rpdb.IPv4 || stock(s, c.Family) && pristine(s, c.Family) == rpdb.CustomisedUnknown && filtersNone(s) {
		return
	}
	var spared []string
	asked, redirects := 0, 0
	realms := usesRealms(s)
	for _, l := range s.Links {
		if l.IsLoopback() || !l.IsUp() {
			continue
		}
		conf := s.Sysctls.Links[l.Name]
		if !realms && s.Sysctls.RPFilter(l.Name) == 0 && (conf.AcceptLocal || s.Sysctls.All.AcceptLocal) {
			spared = append(spared, analysis.Name(l.Name))
			if s.Sysctls.SendRedirects(l.Name) {
				redirects++
			}
			continue
		}
		asked++
	}
	if asked > 0 || len(spared) == 0 {
		c.Walks = 2
		c.Facts = append(c.Facts, Fact{
			Kind: SecondWalk, Message: "every packet that comes in has the rules walked twice: once more for the way back to its source",
			Reason: secondReason(s, realms),
		})
	}
	if len(spared) > 0 {
		reason := "accept_local is set there and rp_filter is not; the kernel does not check there that a source is no address of its own"
		if redirects > 0 {
			reason += "; those that leave by the interface that they came in by have them walked twice all the same, as long as send_redirects is set there or for all"
		}
		c.Facts = append(c.Facts, Fact{
			Kind: NoSecond, Message: fmt.Sprintf("packets that come in by %s have them walked once", some(spared)), Reason: reason,
		})
	}
}

func filtersNone(s *rpdb.Snapshot) bool {
	return !slices.ContainsFunc(s.Links, func(l rpdb.Link) bool { return s.Sysctls.RPFilter(l.Name) != 0 })
}

// usesRealms reports whether a rule or a route of IPv4 has realms: then the kernel
// looks every way back up, for the realms that it gives.
func usesRealms(s *rpdb.Snapshot) bool {
	return slices.ContainsFunc(s.Rules, func(r rpdb.Rule) bool { return r.Family == rpdb.IPv4 && r.Realms != 0 }) ||
		slices.ContainsFunc(s.Routes, func(r rpdb.Route) bool {
			return r.Family == rpdb.IPv4 && (r.Realms != 0 || slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return n.Realms != 0 }))
		})
}

func secondReason(s *rpdb.Snapshot, realms bool) string {
	if realms {
		return "a rule or a route has realms, and the way back gives a packet some too; without realms, rp_filter and accept_local would decide"
	}
	if filtersNone(s) {
		return "also with rp_filter=0, as soon as the rules were changed once: the kernel wants to know that the source is none of its own addresses; accept_local=1 would end that, and the protection with it"
	}
	return "rp_filter asks for it, and the kernel does so without rp_filter too as soon as the rules were changed once"
}

// dissection names the rules that make the kernel look for ports in every packet
// (fib_rules_require_fldissect): not those for packets of this host.
func (c *Family) dissection(rules []rpdb.Rule) bool {
	var which []rpdb.Priority
	for _, r := range rules {
		x := r.Selector
		if x.IIF != "lo" && (x.IPProto != 0 || x.SPort != (rpdb.Ports{}) || x.DPort != (rpdb.Ports{})) {
			which = append(which, r.Priority)
		}
	}
	if len(which) == 0 {
		return false
	}
	verb := "makes"
	if len(which) > 1 {
		verb = "make"
	}
	d := dissection()
	c.Facts = append(c.Facts, Fact{
		Kind: Dissection, Rules: first(which),
		Message: fmt.Sprintf("%s with ipproto, sport or dport %s the kernel take every packet that comes in apart: %.0f to %.0f ns", numbered(which), verb, d.Low, d.High),
		Reason:  "one such rule is enough, wherever it stands; rules with iif lo do not count",
	})
	return true
}

// tables names the rules by which every typical packet asks a table in vain.
func (c *Family) tables(s *rpdb.Snapshot, rules []rpdb.Rule) {
	var which []rpdb.Priority
	ends := analysis.EndingTables(s, c.Family)
	for _, i := range path(s, ends, rules) {
		r := rules[i]
		t := r.Action.Table()
		if r.Action.Type() == rpdb.ActionTable && applies(s, r) && !analysis.IsKernelRule(r) && (!ends[t] || r.Suppress != rpdb.Suppressor{}) {
			which = append(which, r.Priority)
		}
	}
	if len(which) > 0 {
		c.Facts = append(c.Facts, Fact{
			Kind: MissedTable, Rules: first(which),
			Message: fmt.Sprintf("%s: a table that packets to the outside look up in vain on their way", numbered(which)),
			Reason:  "a table costs two or three times as much as a rule that does not match",
		})
	}
}

// notAsked counts what costs nothing.
func (c *Family) notAsked(s *rpdb.Snapshot) {
	var which []rpdb.Priority
	for _, at := range analysis.Walk(s, c.Family) {
		if at.Asked == analysis.AskedNever {
			which = append(which, at.Rule.Priority)
		}
	}
	if len(which) > 0 {
		c.Facts = append(c.Facts, Fact{
			Kind: NotWalked, Rules: first(which), Message: numbered(which) + ": no packet comes there, so deleting them saves nothing",
		})
	}
}

// numbered writes "rule 5", "rules 5, 6 and 7" or "5000 rules, the first is 5".
func numbered(p []rpdb.Priority) string {
	switch {
	case len(p) == 1:
		return fmt.Sprintf("rule %d", p[0])
	case len(p) > 4:
		return fmt.Sprintf("%d rules, of which %d is the first,", len(p), p[0])
	}
	var words []string
	for _, n := range p {
		words = append(words, fmt.Sprint(n))
	}
	return "rules " + some(words)
}

// some joins words, and counts what are too many.
func some(words []string) string {
	switch n := len(words); {
	case n == 1:
		return words[0]
	case n > 4:
		return fmt.Sprintf("%s and %d others", words[0], n-1)
	}
	text := words[0]
	for i, w := range words[1:] {
		sep := ", "
		if i == len(words)-2 {
			sep = " and "
		}
		text += sep + w
	}
	return text
}

func first(p []rpdb.Priority) []rpdb.Priority { return slices.Clip(p[:min(len(p), 16)]) }
