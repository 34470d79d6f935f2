package policy

import (
	"fmt"
	"strconv"

	"rpdb"
)

// checkRule looks at the keys of one rule together. What ip(8) and the kernel
// accept though no one can mean it is refused here.
func checkRule(p *parser, m entries, r *Rule) {
	checkRuleFamily(p, m, r)
	checkSelector(p, m, r)
	checkTOS(p, m, r)
	checkActions(p, m, r)
	checkModifiers(p, m, r)
	checkPriority(p, m, r)
	checkNAT(p, m, r)
	if m.has("adopt") && !m.has("priority") {
		p.fail(m.values["adopt"], "adopt", bad("takes the place of a rule at a priority, and none is given").try("add the priority of the rule that is there"))
	}
}

// checkRuleFamily finds the family, and refuses what disagrees with it.
func checkRuleFamily(p *parser, m entries, r *Rule) {
	said := "family"
	settle := func(f rpdb.Family, key string) {
		switch {
		case f == 0:
		case r.Family == 0:
			r.Family, said = f, key
		case r.Family != f:
			p.fail(m.scalarNode(key), key, bad("is for %v, and %s says %v", f, said, r.Family))
		}
	}
	settle(rpdb.FamilyOf(r.Selector.From.Addr()), "from")
	settle(rpdb.FamilyOf(r.Selector.To.Addr()), "to")
	if m.has("flowlabel") {
		settle(rpdb.IPv6, "flowlabel")
	}
}

// selectorKeys are the keys that select.
func selectorKeys() []string {
	return []string{"from", "to", "tos", "dscp", "fwmark", "iif", "oif", "l3mdev", "uidrange", "ipproto", "sport", "dport", "flowlabel", "tun_id"}
}

func checkSelector(p *parser, m entries, r *Rule) {
	s := r.Selector
	s.Not = false
	switch {
	case !r.Selector.Not:
	case m.anyOf(selectorKeys()...) == "":
		p.fail(m.values["not"], "not", bad("there is no selector to invert, so the rule would never match"))
	case s.Canonical() == rpdb.Selector{} && everySelectorRead(m, r):
		p.fail(m.values["not"], "not", bad("the selectors match everything, so the rule would never match"))
	case s.L3MDev && m.anyOf("lookup", "table", "goto", "action") == "":
		p.fail(m.values["not"], "not", bad("what is not of a VRF has no VRF's table to look up").try("add lookup, goto or action"))
	}
	if s.IIF != "" && s.IIF != "lo" && s.OIF != "" {
		p.fail(m.values["oif"], "oif", bad("a packet that came in by %q has no sender bound to an interface, so the rule would never match", s.IIF))
	}
}

// everySelectorRead reports whether the only selectors are prefixes, and were
// read: an empty selector is then what was written, and no error's result.
func everySelectorRead(m entries, r *Rule) bool {
	for _, k := range selectorKeys() {
		switch {
		case !m.has(k):
		case k == "from" && r.Selector.From.IsValid():
		case k == "to" && r.Selector.To.IsValid():
		case k == "l3mdev" && m.values[k].Value == "false":
		default:
			return false
		}
	}
	return true
}

func checkTOS(p *parser, m entries, r *Rule) {
	if m.has("tos") && m.has("dscp") {
		p.fail(m.values["dscp"], "dscp", bad("a rule selects by tos or by dscp, not by both"))
	}
	if r.Selector.TOS&0xe0 != 0 && r.Family != rpdb.IPv6 {
		p.fail(m.values["tos"], "tos", bad("IPv4 knows the bits 0x1c of tos only").try("write dscp: %d, or family: ipv6", r.Selector.TOS>>2))
	}
}

// checkActions wants exactly one action. An l3mdev selector is one if there
// is no other.
func checkActions(p *parser, m entries, r *Rule) {
	var found []string
	for _, k := range []string{"lookup", "table", "goto", "action"} {
		if m.has(k) {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 0 && r.Selector.L3MDev:
		r.Action = rpdb.ToTable(rpdb.TableUnspec)
	case len(found) == 0:
		p.report(Error{
			Position: r.Position, Object: "rule", Text: firstText(r.Name, p.text(m.node)), Reason: "says not what to do",
			Hint: "add lookup, goto or action",
		})
	case len(found) > 1:
		p.fail(m.values[found[1]], found[1], bad("a second action, after %s", found[0]))
	case r.Selector.L3MDev && (found[0] == "lookup" || found[0] == "table"):
		p.fail(m.values[found[0]], found[0], bad("a rule with l3mdev looks up the VRF's own table").try("leave %s out", found[0]))
	}
	if n, err := strconv.ParseUint(r.Lookup.Value, 10, 64); err == nil && n == 0 {
		p.reportAt(r.Lookup.Position, "lookup", r.Lookup.Text, bad("table 0 is none"))
	}
	if r.Lookup.Value == "unspec" {
		p.reportAt(r.Lookup.Position, "lookup", r.Lookup.Text, bad("not a table"))
	}
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// checkModifiers wants suppressors and realms beside a lookup only.
func checkModifiers(p *parser, m entries, r *Rule) {
	looksUp := m.anyOf("lookup", "table") != "" || r.Selector.L3MDev && m.anyOf("goto", "action") == ""
	for _, k := range []string{"suppress_prefixlength", "suppress_ifgroup", "realms"} {
		if m.has(k) && !looksUp {
			p.fail(m.values[k], k, bad("does nothing without lookup"))
		}
	}
	if m.has("realms") && r.Family != rpdb.IPv4 {
		why := bad("only IPv4 has realms")
		if r.Family == 0 {
			why = why.try("write family: ipv4, and another rule for IPv6")
		}
		p.fail(m.values["realms"], "realms", why)
	}
	if n, ok := r.SuppressPrefixLength.Get(); ok && n > 32 && r.Family != rpdb.IPv6 {
		p.fail(m.values["suppress_prefixlength"], "suppress_prefixlength", bad("greater than 32, the length of an IPv4 address").try("write family: ipv6 if the rule is for IPv6 alone"))
	}
}

func checkPriority(p *parser, m entries, r *Rule) {
	pin, ok := r.Priority.Get()
	switch {
	case !ok:
	case pin == rpdb.PriorityLocal || pin == rpdb.PriorityMain || pin == rpdb.PriorityDefault:
		p.fail(m.values["priority"], "priority", bad("the place of the kernel's own rule"))
	case pin >= firstPriority && pin <= lastPriority:
		p.fail(m.values["priority"], "priority", bad("in the range %d to %d, which the tool numbers itself", firstPriority, lastPriority).try("leave the key out: the order of the list counts"))
	}
}

// nameRules refuses doubled names, and gives names to rules that have none.
func nameRules(p *parser, d *draft) {
	seen := map[string]Position{}
	for i := range d.Rules {
		r := &d.Rules[i]
		if first, ok := seen[r.Name]; ok && r.Name != "" {
			p.reportAt(r.Position, "rule", r.Name, bad("a second rule of this name, the first is in line %d", first.Line))
		}
		seen[r.Name] = r.Position
		r.Name = ruleText(i, *r)
	}
}

// checkOrder refuses a pinned rule that is walked elsewhere than the list says.
func checkOrder(p *parser, d *draft) {
	var last rpdb.Priority
	var same []Rule // those pinned at last
	lastName := ""
	for i, r := range d.Rules {
		if i == d.UplinksAt && len(d.Uplinks) > 0 {
			p.checkMarker(d, lastName, last)
			last, lastName, same = max(last, firstPriority), "the rules of the uplinks", nil
		}
		pin, pinned := r.Priority.Get()
		switch {
		case !pinned && last > lastPriority:
			p.reportAt(r.Position, "rule", r.Name, bad("stands behind %s, which is pinned at %d, but is walked before it", lastName, last).try("move the rule up"))
		case !pinned:
			last, lastName, same = firstPriority, strconv.Quote(r.Name), nil
		case pin < last:
			p.reportAt(r.Position, "priority", fmt.Sprint(pin), bad("stands behind %s, but is walked before", lastName).try("the list is in the order of the walk: move the rule up"))
		case pin == last:
			p.checkBeside(r, pin, same)
			same, lastName = append(same, r), strconv.Quote(r.Name)
		default:
			last, lastName, same = pin, strconv.Quote(r.Name), []Rule{r}
		}
	}
	if d.UplinksAt == len(d.Rules) {
		p.checkMarker(d, lastName, last)
	}
}

// checkBeside refuses a rule at the priority of others, where it matters which
// one stands first: the kernel has them in the order in which they were added.
func (p *parser) checkBeside(r Rule, pin rpdb.Priority, others []Rule) {
	if len(others) == maxBeside {
		p.reportAt(r.Position, "priority", fmt.Sprint(pin), bad("more than %d rules have this priority", maxBeside))
	}
	if len(others) >= maxBeside {
		return
	}
	for _, o := range others {
		if (o.Family == 0 || r.Family == 0 || r.Family == o.Family) && !r.Selector.Disjoint(o.Selector) {
			p.reportAt(r.Position, "priority", fmt.Sprint(pin), bad("%q has this priority already, and may select the same packets", o.Name).
				try("rules share a number where no packet is of both, as with two sources"))
			return
		}
	}
}

// checkMarker refuses the word uplinks behind a rule that is pinned behind
// all that the tool numbers.
func (p *parser) checkMarker(d *draft, lastName string, last rpdb.Priority) {
	if d.markerNode != nil && last > lastPriority {
		p.fail(d.markerNode, "rules", bad("the uplinks' rules are walked before %s, which is pinned at %d", lastName, last).try("move the word up"))
	}
}

// checkGotos wants every goto to lead to a later rule, in all of its families.
func checkGotos(p *parser, d *draft) {
	byName, byPriority := map[string]int{}, map[rpdb.Priority][]int{}
	for i, r := range d.Rules {
		byName[r.Name] = i
		if pin, ok := r.Priority.Get(); ok {
			byPriority[pin] = append(byPriority[pin], i)
		}
	}
	for i, r := range d.Rules {
		if !r.Goto.IsSet() {
			continue
		}
		if n, err := strconv.ParseUint(r.Goto.Value, 10, 32); err == nil {
			p.checkGotoPriority(r, rpdb.Priority(n), coverage(d, byPriority[rpdb.Priority(n)]))
			continue
		}
		target, ok := byName[r.Goto.Value]
		switch {
		case !ok:
			p.reportAt(r.Goto.Position, "goto", r.Goto.Text, unknownTarget(r.Goto.Value, d))
		case target == i:
			p.reportAt(r.Goto.Position, "goto", r.Goto.Text, bad("the rule itself"))
		case target < i:
			p.reportAt(r.Goto.Position, "goto", r.Goto.Text, bad("leads backward, and a walk only goes forward"))
		case sharesPriority(d.Rules[target], d.Rules[:target]):
			p.reportAt(r.Goto.Position, "goto", r.Goto.Text, bad("other rules stand in front of that one at its priority, and are walked too").
				try("go to the priority, if that is meant"))
		case d.Rules[target].Family != 0 && d.Rules[target].Family != r.Family:
			p.reportAt(r.Goto.Position, "goto", r.Goto.Text, bad("that rule is for %v only, this one is not", d.Rules[target].Family))
		}
	}
}

// sharesPriority reports whether the last of the rules before one is pinned at
// the same number.
func sharesPriority(r Rule, before []Rule) bool {
	return r.Priority.IsSet() && len(before) > 0 && before[len(before)-1].Priority == r.Priority
}

func unknownTarget(text string, d *draft) *problem {
	if len(d.Rules) > 500 {
		return bad("no rule has this name")
	}
	names := make([]string, 0, len(d.Rules))
	for _, r := range d.Rules {
		names = append(names, r.Name)
	}
	why := bad("no rule has this name")
	if near := nearestSorted(text, names); near != "" {
		return why.try("did you mean %q?", near)
	}
	return why
}

// coverage returns the families that the rules at one priority are for.
func coverage(d *draft, rules []int) map[rpdb.Family]bool {
	families := map[rpdb.Family]bool{}
	for _, i := range rules {
		for _, f := range d.Rules[i].Families() {
			families[f] = true
		}
	}
	return families
}

// checkGotoPriority wants a number to be that of a rule of the policy or of
// the kernel: a goto to a rule that may go would silently do nothing.
func (p *parser) checkGotoPriority(r Rule, to rpdb.Priority, there map[rpdb.Family]bool) {
	own, pinned := r.Priority.Get()
	if !pinned {
		own = lastPriority
	}
	switch {
	case to >= firstPriority && to <= lastPriority:
		p.reportAt(r.Goto.Position, "goto", r.Goto.Text, bad("in the range %d to %d, which the tool numbers itself", firstPriority, lastPriority).try("name the rule and go to the name"))
		return
	case to <= own:
		p.reportAt(r.Goto.Position, "goto", r.Goto.Text, bad("leads backward, and a walk only goes forward"))
		return
	}
	for _, f := range r.Families() {
		kernels := to == rpdb.PriorityMain || to == rpdb.PriorityDefault && f == rpdb.IPv4
		if !kernels && !there[f] {
			p.reportAt(r.Goto.Position, "goto", r.Goto.Text, bad("no rule of the policy has this priority in %v", f))
			return
		}
	}
}
