package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rpdb"
)

// adoptedRule is one item of the list of rules.
type adoptedRule struct {
	rule   rpdb.Rule   // its meaning; of both families alike if family is 0
	family rpdb.Family // 0: both
	makers []rpdb.Protocol
	copies int
	object string // what errors call it
	name   string // "" for none
}

// floats reports whether the rule stands where a policy numbers rules itself.
func floats(p rpdb.Priority) bool { return firstPriority <= p && p <= lastPriority }

func (w *adopter) ruleSection() {
	items := w.collect()
	if len(items) == 0 {
		return
	}
	w.text.as("\nrules:\n")
	last := ""
	for _, r := range items {
		if about := w.ruleComment(r); about != last {
			if last = about; about != "" {
				w.text.comment("  ", "%s", about)
			}
		}
		w.write(r.object, w.ruleItem(r))
	}
}

// ruleComment says who made a rule.
func (w *adopter) ruleComment(r adoptedRule) string {
	var words []string
	for _, p := range r.makers {
		switch {
		case !w.Live: // what a file says is by whoever wrote that
		case p == rpdb.ProtocolBoot || p == rpdb.ProtocolUnspec:
			words = append(words, "set by hand or by a script")
		default:
			words = append(words, "set by protocol "+w.names.Protocol(p))
		}
	}
	slices.Sort(words)
	about := strings.Join(slices.Compact(words), ", and ")
	if r.copies > 1 {
		about += fmt.Sprintf(" (stands there %d times: once is enough)", r.copies)
	}
	if floats(r.rule.Priority) {
		about += fmt.Sprintf("; was at %d, among the priorities that the tool numbers itself", r.rule.Priority)
	}
	return strings.TrimLeft(about, "; ")
}

// collect makes items of the rules, in the order of the walk: equal ones become
// one, and so do rules that are the same in both families.
func (w *adopter) collect() []adoptedRule {
	var items []adoptedRule
	at := map[rpdb.Rule]int{}
	for _, r := range w.Rules {
		m := r.Meaning()
		i, ok := at[m]
		if !ok || floats(m.Priority) {
			i = len(items)
			at[m] = i
			items = append(items, adoptedRule{rule: m, family: r.Family, object: w.ruleObject(r)})
		}
		items[i].copies++
		if !slices.Contains(items[i].makers, r.Protocol) {
			items[i].makers = append(items[i].makers, r.Protocol)
			slices.Sort(items[i].makers)
		}
		w.checkPlace(items[i].object, r)
	}
	slices.SortStableFunc(items, func(a, b adoptedRule) int { return cmp.Compare(a.rule.Priority, b.rule.Priority) })
	items = joinFamilies(items)
	w.nameTargets(items)
	return items
}

// checkPlace reports a rule that stands where none of a policy can.
func (w *adopter) checkPlace(object string, r rpdb.Rule) {
	switch p := r.Priority; {
	case p == rpdb.PriorityLocal || p == rpdb.PriorityMain || p == rpdb.PriorityDefault:
		w.lose(object, "stands at the place of the kernel's own rule: give it another priority first")
	case floats(p) && w.Live:
		w.lose(object, fmt.Sprintf("stands among the priorities %d to %d, which a policy numbers itself: give it another one first", firstPriority, lastPriority))
	}
}

// joinFamilies makes one item of two that are the same in IPv4 and IPv6.
func joinFamilies(items []adoptedRule) []adoptedRule {
	four := map[rpdb.Rule]int{}
	var joined []adoptedRule
	for _, r := range items {
		key := r.rule
		key.Family = 0
		if r.family == rpdb.IPv4 && !floats(key.Priority) {
			four[key] = len(joined)
		}
		if i, ok := four[key]; ok && r.family == rpdb.IPv6 && slices.Equal(joined[i].makers, r.makers) && joined[i].copies == r.copies && joined[i].family != 0 {
			joined[i].family = 0
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// nameTargets gives the first rule at a number that will be another one a name,
// if a goto leads there.
func (w *adopter) nameTargets(items []adoptedRule) {
	type place struct {
		family rpdb.Family
		at     rpdb.Priority
	}
	wanted := map[place]bool{}
	for _, r := range w.Rules {
		if r.Action.Type() == rpdb.ActionGoto && floats(r.Action.Target()) {
			wanted[place{r.Family, r.Action.Target()}] = true
		}
	}
	for i, r := range items {
		if at := (place{r.family, r.rule.Priority}); wanted[at] {
			items[i].name = targetName(at.family, at.at)
			delete(wanted, at)
		}
	}
}

func targetName(f rpdb.Family, p rpdb.Priority) string {
	return fmt.Sprintf("at-%d-%s", p, familyText(f))
}

// ruleItem writes a rule as an item of the list, or reports that it cannot be
// said.
func (w *adopter) ruleItem(r adoptedRule) string {
	var head pairs
	if r.name != "" {
		head.add("name", "%s", r.name)
	}
	if r.family != 0 && !r.rule.Selector.From.IsValid() && !r.rule.Selector.To.IsValid() {
		head.add("family", "%s", familyText(r.family))
	}
	if !floats(r.rule.Priority) {
		head.add("priority", "%d", r.rule.Priority)
		if makers := slices.DeleteFunc(slices.Clone(r.makers), func(p rpdb.Protocol) bool { return p == rpdb.ProtocolRPDB }); w.Live && len(makers) > 0 {
			head.add("adopt", "[%s]", protocolList(makers))
		}
	}
	item := append(head, selectorPairs(r.rule.Selector)...)
	w.actionPairs(&item, r.rule)
	if err := w.ruleMeans(item, r); err != nil {
		w.lose(r.object, firstReason(err))
	}
	return "  - " + strings.Join(item, "\n    ") + "\n"
}

func selectorPairs(s rpdb.Selector) pairs {
	var item pairs
	flag := func(key string, set bool) {
		if set {
			item.add(key, "true")
		}
	}
	text := func(key, value string) {
		if value != "" {
			item.add(key, "%s", value)
		}
	}
	name := func(key string, l rpdb.LinkName) {
		if l != "" {
			item.add(key, "%s", Word(string(l)))
		}
	}
	flag("not", s.Not)
	if s.From.IsValid() {
		item.add("from", "%s", prefixText(s.From))
	}
	if s.To.IsValid() {
		item.add("to", "%s", prefixText(s.To))
	}
	if s.TOS != 0 {
		item.add("tos", "0x%02x", s.TOS)
	}
	if d, ok := s.DSCP.Get(); ok {
		item.add("dscp", "%s", maskedText(uint64(d.Value), uint64(d.Mask), 63))
	}
	if s.Mark.Mask != 0 {
		text("fwmark", maskedText(uint64(s.Mark.Value), uint64(s.Mark.Mask), 1<<32-1))
	}
	name("iif", s.IIF)
	name("oif", s.OIF)
	flag("l3mdev", s.L3MDev)
	if u, ok := s.UIDRange.Get(); ok {
		item.add("uidrange", "%d-%d", u.First, u.Last)
	}
	if s.IPProto != 0 {
		item.add("ipproto", "%d", s.IPProto)
	}
	text("sport", portsText(s.SPort))
	text("dport", portsText(s.DPort))
	if s.FlowLabel.Mask != 0 {
		text("flowlabel", maskedText(uint64(s.FlowLabel.Value), uint64(s.FlowLabel.Mask), 0xfffff))
	}
	if s.TunID != 0 {
		item.add("tun_id", "%d", s.TunID)
	}
	return item
}

// maskedText writes a value, with its mask unless that is the full one. The mark
// 0 without a mask is none.
func maskedText(value, mask, full uint64) string {
	if mask == full && (value != 0 || full == 63) {
		return fmt.Sprintf("0x%x", value)
	}
	return fmt.Sprintf("0x%x/0x%x", value, mask)
}

func portsText(p rpdb.Ports) string {
	switch {
	case p == rpdb.Ports{}:
		return ""
	case p.Mask == 0xffff:
		return fmt.Sprint(p.First)
	case p.Mask != 0:
		return fmt.Sprintf("0x%x/0x%x", p.First, p.Mask)
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// actionPairs writes what a rule does. A rule with l3mdev alone looks up the
// VRF's own table.
func (w *adopter) actionPairs(item *pairs, r rpdb.Rule) {
	switch a := r.Action; a.Type() {
	case rpdb.ActionTable:
		if a.Table() != rpdb.TableUnspec || !r.Selector.L3MDev {
			item.add("lookup", "%s", w.table(a.Table()))
		}
	case rpdb.ActionGoto:
		if floats(a.Target()) {
			item.add("goto", "%s", targetName(r.Family, a.Target()))
		} else {
			item.add("goto", "%d", a.Target())
		}
	default:
		item.add("action", "%v", a.Type())
	}
	if n, ok := r.Suppress.PrefixLength.Get(); ok {
		item.add("suppress_prefixlength", "%d", n)
	}
	if g, ok := r.Suppress.IfGroup.Get(); ok {
		item.add("suppress_ifgroup", "%d", g)
	}
	switch {
	case r.Realms == 0:
	case r.Realms.From() == 0:
		item.add("realms", "%d", r.Realms.To())
	default:
		item.add("realms", "%d/%d", r.Realms.From(), r.Realms.To())
	}
}

// ruleMeans checks that an item is read as the rule that it was written for.
// Where a goto leads is checked with the whole list.
func (w *adopter) ruleMeans(item pairs, r adoptedRule) error {
	if r.rule.Unknown != "" {
		return errors.New("has attributes that are not known here")
	}
	item = slices.Clone(item)
	if r.rule.Action.Type() == rpdb.ActionGoto {
		i := slices.IndexFunc(item, func(p string) bool { return strings.HasPrefix(p, "goto: ") })
		item[i], r.rule.Action = "action: nop", rpdb.Nop()
	}
	doc, err := parse("", []byte("rules: ["+item.flow()+"]"), w.keys)
	if err != nil {
		return err
	}
	read := &resolver{host: &rpdb.Snapshot{}, names: w.names, doc: doc, byName: map[string]rpdb.TableID{}, ids: map[rpdb.TableID]bool{r.rule.Action.Table(): true}}
	for t, name := range w.called {
		read.byName[name] = t
	}
	read.resolveRule(doc.Rules[0])
	if err := read.err(); err != nil {
		return err
	}
	families := []rpdb.Family{r.family}
	if r.family == 0 {
		families = []rpdb.Family{rpdb.IPv4, rpdb.IPv6}
	}
	if len(read.out.Rules) != len(families) {
		return errOther
	}
	for i, f := range families {
		is, want := read.out.Rules[i].Rule.Meaning(), r.rule
		want.Family = f
		if floats(want.Priority) {
			want.Priority = 0
		}
		if is != want.Meaning() {
			return errOther
		}
	}
	return nil
}
