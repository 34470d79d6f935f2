package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
)

// Adoption is what a policy is made of: rules and tables as they are on a host
// or in the files of another system. The zero Adoption is a policy that wants
// nothing.
type Adoption struct {
	// Head are sentences that stand at the beginning, as comments.
	Head []string
	// Rules are of both families, each in the order of the walk.
	Rules []rpdb.Rule
	// Tables are those whose routes are taken, of both families.
	Tables []rpdb.TableID
	// Live says that the rules and routes are there, so that the policy is to take
	// the place of those who made them. Routes of daemons are then left to them.
	// Otherwise rules may be numbered anew where a policy has to.
	Live bool
	// Daemons names who makes rules and routes of a protocol on the host, besides
	// those that have a protocol of their own.
	Daemons map[rpdb.Protocol]string
	// Left says of each rule why it is not taken.
	Left []Left
}

// Left is a rule that is not taken into a policy.
type Left struct {
	Rule   rpdb.Rule
	Reason string // a clause
}

// AdoptError lists what a policy cannot say.
type AdoptError struct{ Losses []format.Loss }

// Error returns one line for each.
func (e *AdoptError) Error() string {
	lines := make([]string, len(e.Losses))
	for i, l := range e.Losses {
		lines[i] = "adopt " + l.String()
	}
	return strings.Join(lines, "\n")
}

// Adopt returns the text of a policy document that means the rules and routes of
// an adoption, and nothing else: the rules pinned at their priorities, the tables
// with their numbers, and comments that say who made them. Interfaces are those
// of the snapshot. A name is made up only for the target of a goto that is
// numbered anew.
//
// The text parses, and says of each rule and route what it is but for the
// protocol. What it could not say is an error, an [*AdoptError] with all of it.
//
// The result is a function of the arguments, which are neither modified nor kept.
// It is printable ASCII.
func Adopt(s *rpdb.Snapshot, n rpdb.Names, a Adoption) (string, error) {
	w := &adopter{
		Adoption: a, host: s, names: n, objects: map[int]string{}, called: map[rpdb.TableID]string{},
		view: iproute2.RouteView{Names: n, LinkName: s.LinkName}, keys: newKeys(),
	}
	w.nameTables()
	for _, line := range a.Head {
		w.text.comment("", "%s", line)
	}
	w.text.as("version: 1\n")
	w.tableSection()
	w.ruleSection()
	w.leftSection()
	text := w.text.String()
	w.judge(text)
	if len(w.losses) > 0 {
		return "", &AdoptError{w.losses}
	}
	return text, nil
}

// adopter writes a policy.
type adopter struct {
	Adoption
	host  *rpdb.Snapshot
	names rpdb.Names
	view  iproute2.RouteView
	keys  keys // made once, as each item is read back by itself
	text  draftText
	// objects says for each line of the text, from 1, what it is about. Lines are
	// counted in the first bytes of it.
	objects        map[int]string
	lines, counted int
	called         map[rpdb.TableID]string // the names of the tables that are taken
	losses         []format.Loss
}

func (w *adopter) lose(object, reason string) {
	w.losses = append(w.losses, format.Loss{Object: object, Reason: reason})
}

// write writes lines about an object.
func (w *adopter) write(object, lines string) {
	w.lines += strings.Count(w.text.String()[w.counted:], "\n")
	w.text.WriteString(lines)
	w.counted = w.text.Len() - len(lines)
	for i := range strings.Count(lines, "\n") {
		w.objects[w.lines+i+1] = object
	}
}

// nameTables gives the tables the names that they have on the host, where a
// policy can use them.
func (w *adopter) nameTables() {
	seen := map[string]bool{"main": true, "local": true, "default": true, "unspec": true, "all": true}
	for _, t := range w.Tables {
		name := w.names.Tables[t]
		if id, ok := w.names.TableByName(name); !ok || id != t || seen[name] {
			continue
		}
		if _, why := parseName(name); why == nil {
			w.called[t], seen[name] = name, true
		}
	}
}

// table is how a rule or a list calls a table.
func (w *adopter) table(t rpdb.TableID) string {
	switch name := w.called[t]; {
	case name != "":
		return Word(name)
	case isKernelTable(t):
		return rpdb.Names{}.Table(t)
	}
	return fmt.Sprint(t)
}

func (w *adopter) tableSection() {
	if len(w.Tables) == 0 {
		return
	}
	w.text.as("\ntables:\n")
	routes := map[rpdb.TableID][]rpdb.Route{}
	for _, r := range w.host.Routes {
		routes[r.Table] = append(routes[r.Table], r)
	}
	for _, t := range w.Tables {
		w.tableItem(t, routes[t])
	}
}

// tableItem writes a table and its routes.
func (w *adopter) tableItem(t rpdb.TableID, routes []rpdb.Route) {
	head := fmt.Sprintf("  - number: %d\n", t)
	if name := w.called[t]; name != "" {
		head += fmt.Sprintf("    name: %s\n", Word(name))
	}
	makers := map[rpdb.Protocol]bool{}
	left := map[string]int{}
	var taken []rpdb.Route
	for _, r := range routes {
		if why := w.leaveRoute(r); why != "" {
			left[why]++
			continue
		}
		taken = append(taken, r)
		makers[r.Protocol] = r.Protocol != rpdb.ProtocolRPDB
	}
	maps.DeleteFunc(makers, func(_ rpdb.Protocol, foreign bool) bool { return !foreign })
	if w.Live && len(makers) > 0 {
		head += fmt.Sprintf("    adopt: [%s]\n", protocolList(slices.Sorted(maps.Keys(makers))))
	}
	for _, f := range rpdb.Families() {
		leads := func(r rpdb.Rule) bool { return r.Family == f && r.Action == rpdb.ToTable(t) }
		if w.host.Lacks(f, t) && slices.ContainsFunc(w.Rules, leads) {
			w.lose(fmt.Sprintf("table %d", t), fmt.Sprintf("what %v routes it holds is not known", f))
		}
	}
	w.write(fmt.Sprintf("table %d", t), head)
	for _, why := range slices.Sorted(maps.Keys(left)) {
		w.text.comment("    ", "left to its maker: %d %s %s", left[why], plural(left[why], "route", "routes"), why)
	}
	if len(taken) == 0 {
		return
	}
	w.text.as("    routes:\n")
	seen := map[rpdb.RouteKey]bool{}
	for _, r := range taken {
		object := w.routeObject(r)
		if seen[r.Key()] {
			w.lose(object, "a second route of this prefix and metric, which a table of a policy has once")
			continue
		}
		seen[r.Key()] = true
		w.write(object, fmt.Sprintf("      - %s\n", w.routeItem(object, r)))
	}
}

// routeObject and ruleObject are what errors call a route and a rule.
func (w *adopter) routeObject(r rpdb.Route) string {
	return printable(strings.TrimPrefix(iproute2.RouteCommand(rpdb.Add, r, w.view), "ip "))
}

func (w *adopter) ruleObject(r rpdb.Rule) string {
	return printable(strings.TrimPrefix(iproute2.RuleCommand(rpdb.Add, r, w.names), "ip "))
}

// leaveRoute says why a route of a table that is taken stays its maker's, "" if
// it does not.
func (w *adopter) leaveRoute(r rpdb.Route) string {
	switch daemon := w.daemon(r.Protocol); {
	case !w.Live || r.Protocol == rpdb.ProtocolRPDB:
		return ""
	case daemon != "":
		return daemon
	}
	return ""
}

// daemon says whose the rules and routes of a protocol are, who would make them
// again; "" for those of persons and scripts.
func (a Adoption) daemon(p rpdb.Protocol) string {
	if name := a.Daemons[p]; name != "" {
		return "of " + name
	}
	switch p {
	case rpdb.ProtocolUnspec, rpdb.ProtocolBoot, rpdb.ProtocolStatic:
		return ""
	case rpdb.ProtocolKernel:
		return "of the kernel"
	case rpdb.ProtocolDHCP:
		return "learned by DHCP"
	case rpdb.ProtocolRA, rpdb.ProtocolRedirect:
		return "learned from a router"
	}
	if name := (rpdb.Names{}).Protocol(p); name != fmt.Sprint(uint8(p)) {
		return "of " + name
	}
	return ""
}

// protocolList writes protocols as an item of adopt.
func protocolList(list []rpdb.Protocol) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = rpdb.Names{}.Protocol(p)
	}
	return strings.Join(words, ", ")
}

// leftSection says which rules are not taken, and why.
func (w *adopter) leftSection() {
	if len(w.Left) == 0 {
		return
	}
	w.text.as("\n")
	w.text.comment("", "Rules that are not taken, and stay:")
	view := iproute2.RuleView{Names: w.names}
	for i, l := range w.Left {
		if i == shownRules {
			w.text.comment("", "  and %d more: rpdb rule list", len(w.Left)-i)
			return
		}
		w.text.as("#   %v %5d  %s  (%s)\n", l.Rule.Family, l.Rule.Priority, printable(strings.TrimSpace(view.Text(l.Rule))), printable(l.Reason))
	}
}

// judge reads the text as everybody will, and reports what is wrong with it by
// the rule or route that it is about.
func (w *adopter) judge(text string) {
	doc, err := Parse("", []byte(text))
	if err == nil && w.Live {
		_, err = doc.Resolve(w.host, w.names)
	}
	if err == nil || len(w.losses) > 0 {
		return
	}
	for _, e := range err.(ErrorList) { // which is what both return
		object := cmp.Or(w.objects[e.Position.Line], "the policy")
		reason := e.Reason
		if e.Text != "" {
			reason = fmt.Sprintf("%s %q: %s", e.Object, e.Text, e.Reason)
		}
		w.lose(object, reason)
	}
}
