package netplan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
)

// Path is the file that [Write] writes.
const Path = "/etc/netplan/90-rpdb.yaml"

// Options say what [Write] has to know besides.
type Options struct {
	// Leases are of interfaces that get addresses for a time. netplan has words for
	// who gives them, and for nothing that hangs on them.
	Leases []format.Lease
}

// Write returns a file of netplan that says what a snapshot does, and what it
// cannot say. What is lost is left out as a whole: no rule that is written matches
// more than it did.
//
// The snapshot holds what is to be written: its rules have their final
// priorities, and of the kernel's own rules and routes it has none. Rules of one
// family and priority are all lost, because networkd adds them in no particular
// order, but for those that plainly select no flow that another selects. All rules and routes become static, and names of
// tables become numbers. Rules, and routes that belong to no interface, are said of
// the loopback interface.
func Write(s *rpdb.Snapshot, _ rpdb.Names, o Options) ([]format.File, []format.Loss) {
	w := &writer{snapshot: s, devices: map[rpdb.LinkName]*lists{}}
	w.leases(o.Leases)
	w.links()
	w.routes()
	w.rules()
	if len(w.devices) == 0 {
		return nil, w.losses
	}
	return []format.File{{Path: Path, Text: w.text()}}, w.losses
}

type writer struct {
	snapshot *rpdb.Snapshot
	devices  map[rpdb.LinkName]*lists
	losses   []format.Loss
}

// lists are the entries of an interface.
type lists struct {
	leases                   [2]*format.Lease // by family
	addresses, routes, rules []string
}

func (w *writer) device(name rpdb.LinkName) *lists {
	if w.devices[name] == nil {
		w.devices[name] = &lists{}
	}
	return w.devices[name]
}

func (w *writer) lose(object, reason string) {
	w.losses = append(w.losses, format.Loss{Object: object, Reason: reason})
}

// text returns the document, the interfaces in the order of their names.
func (w *writer) text() string {
	var b strings.Builder
	b.WriteString("network:\n  version: 2\n  ethernets:\n")
	var names []rpdb.LinkName
	for name := range w.devices {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "    %s:\n      renderer: networkd\n", scalar(string(name)))
		d := w.devices[name]
		for i, key := range []string{"dhcp4", "accept-ra"} {
			if d.leases[i] != nil {
				fmt.Fprintf(&b, "      %s: true\n", key)
			}
		}
		switch l := d.leases[0]; {
		case l == nil:
		case !l.Default:
			b.WriteString("      dhcp4-overrides: {use-routes: false}\n")
		default: // netplan would say 100
			fmt.Fprintf(&b, "      dhcp4-overrides: {route-metric: %d}\n", l.Metric)
		}
		for _, l := range []struct {
			key     string
			entries []string
		}{{"addresses", d.addresses}, {"routes", d.routes}, {"routing-policy", d.rules}} {
			if len(l.entries) > 0 {
				fmt.Fprintf(&b, "      %s:\n        - %s\n", l.key, strings.Join(l.entries, "\n        - "))
			}
		}
	}
	return b.String()
}

// scalar writes a word, in quotes where YAML would take it for something else.
func scalar(word string) string {
	plain := word != "" && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, strings.ToLower(word))
	for i, c := range []byte(word) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		plain = plain && (letter || i > 0 && strings.IndexByte("0123456789.-_", c) >= 0)
	}
	if plain {
		return word
	}
	return `"` + word + `"`
}

// reasonOfLink says why nothing can be said of an interface, "" if it can.
func (w *writer) reasonOfLink(i rpdb.LinkIndex) string {
	l, ok := w.snapshot.Link(i)
	if !ok {
		return "it leads to no interface"
	}
	for _, c := range []byte(l.Name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("0123456789.-_", c) >= 0) {
			return "the name of the interface has no plain form in netplan"
		}
	}
	if l.Kind != "" && l.Kind != "veth" {
		return fmt.Sprintf("%s is a %s, and netplan wants to make it itself", l.Name, l.Kind)
	}
	return ""
}

// links writes the addresses.
func (w *writer) links() {
	for _, l := range w.snapshot.Links {
		if l.Group != 0 {
			w.lose(fmt.Sprintf("ip link set %q group %d", string(l.Name), l.Group), "netplan has no groups of interfaces")
		}
	}
	for _, a := range w.snapshot.Addresses {
		reason := w.reasonOfLink(a.Link)
		implied := rpdb.ScopeGlobal
		if a.Prefix.Addr().IsLinkLocalUnicast() {
			implied = rpdb.ScopeLink
		} else if a.Prefix.Addr().IsLoopback() {
			implied = rpdb.ScopeHost
		}
		switch {
		case reason != "":
		case a.Peer.IsValid():
			reason = "netplan has no addresses with a peer"
		case a.Prefix.Addr().Is4() && a.Scope != implied:
			reason = "netplan has no scopes of addresses"
		}
		if name := w.snapshot.LinkName(a.Link); reason != "" {
			w.lose(fmt.Sprintf("ip address add %v dev %q", a.Prefix, string(name)), reason)
		} else if d := w.device(name); a.Flags&rpdb.AddressDeprecated != 0 {
			d.addresses = append(d.addresses, fmt.Sprintf("%q: {lifetime: 0}", a.Prefix))
		} else {
			d.addresses = append(d.addresses, fmt.Sprintf("%q", a.Prefix))
		}
	}
}

// metric6 is the metric that routes of advertisements have: that which netplan has
// networkd give to those of DHCP, if there are any, and otherwise its own.
func (d *lists) metric6() uint32 {
	switch l := d.leases[0]; {
	case l == nil:
		return 1024
	case !l.Default:
		return 100
	default:
		return l.Metric
	}
}

// leases writes by which way interfaces get addresses.
func (w *writer) leases(leases []format.Lease) {
	for _, l := range leases {
		name := w.snapshot.LinkName(l.Link)
		if reason := w.reasonOfLink(l.Link); reason != "" {
			w.lose(fmt.Sprintf("the leases of %q (%v)", string(name), l.Family), reason)
			continue
		}
		if l.Family == rpdb.IPv4 {
			w.device(name).leases[0] = &l
		} else {
			w.device(name).leases[1] = &l
		}
	}
	for _, l := range leases {
		d := w.devices[w.snapshot.LinkName(l.Link)]
		if l.Family == rpdb.IPv6 && d != nil && (!l.Default || l.Metric != d.metric6()) {
			w.lose(fmt.Sprintf("the default route of table main by %s (IPv6)", w.snapshot.LinkName(l.Link)),
				fmt.Sprintf("netplan has no word for it, and the one of an advertisement has the metric %d", d.metric6()))
		}
	}
	w.losses = append(w.losses, iproute2.LeaseLosses(w.snapshot, rpdb.Names{}, leases, "netplan", nil)...)
}

// flow is a mapping on one line.
type flow struct{ entries []string }

func (f *flow) add(key, format string, args ...any) {
	f.entries = append(f.entries, key+": "+fmt.Sprintf(format, args...))
}

func (f *flow) String() string { return "{" + strings.Join(f.entries, ", ") + "}" }

// loopback is the interface of what belongs to no other.
const loopback rpdb.LinkName = "lo"

// rules writes the rules in the order of their priorities.
func (w *writer) rules() {
	rules := slices.Clone(w.snapshot.Rules)
	slices.SortStableFunc(rules, rpdb.Rule.Compare)
	inOrder := iproute2.OrderCounts(rules)
	var can []rpdb.Rule
	for i, r := range rules {
		reason := ruleLoss(r)
		if reason == "" && inOrder[i] {
			reason = "networkd adds rules of equal priority in no particular order"
		}
		if reason != "" {
			w.lose(iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{}), reason)
			continue
		}
		can = append(can, r)
	}
	slices.SortStableFunc(can, func(a, b rpdb.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, r := range can {
		d := w.device(loopback)
		d.rules = append(d.rules, ruleEntry(r).String())
	}
}

// ruleLoss says why a rule cannot be written as it is, "" if it can.
func ruleLoss(r rpdb.Rule) string {
	p := iproute2.PlainRule(r)
	sayable := p
	s := &sayable.Selector
	s.From, s.To, s.TOS, s.Mark = r.Selector.From, r.Selector.To, r.Selector.TOS, r.Selector.Mark
	said := rpdb.Selector{From: s.From, To: s.To, TOS: s.TOS, Mark: s.Mark}
	switch {
	case r.Unknown != "":
		return "it has attributes that are not known here"
	case *s != said:
		return "netplan has no selectors but from, to, mark and type-of-service"
	case p.Action.Type() != rpdb.ActionTable:
		return fmt.Sprintf("netplan has no rules of the type %v", p.Action.Type())
	case p.Suppress != rpdb.Suppressor{}:
		return "netplan has no suppressors"
	case p.Realms != 0:
		return "netplan has no realms in rules"
	case p.Flags&rpdb.RuleFindSaddr != 0:
		return "netplan has no word for its flags"
	case p.Selector.Mark.Mask != 0 && p.Selector.Mark.Mask != 1<<32-1:
		return "netplan has no masks of marks"
	case p.Selector.Mark.Mask != 0 && p.Selector.Mark.Value == 0:
		return "netplan leaves a mark 0 out, and the rule would match every mark"
	case p.Action.Table() == 0:
		return "netplan has no such table"
	case p.Selector.Mark.Value > highest, p.Priority > highest, p.Action.Table() > highest:
		return fmt.Sprintf("netplan hands on numbers up to %d, and -1 for those that are larger", highest)
	}
	return ""
}

// ruleEntry returns the entry of a rule that nothing of is lost. One without
// addresses is from everywhere, as netplan wants one of the two.
func ruleEntry(r rpdb.Rule) *flow {
	f, s := &flow{}, r.Selector.Canonical()
	if !s.From.IsValid() && !s.To.IsValid() {
		s.From = anywhere(r.Family)
	}
	if s.From.IsValid() {
		f.add("from", "%q", s.From)
	}
	if s.To.IsValid() {
		f.add("to", "%q", s.To)
	}
	if s.TOS != 0 {
		f.add("type-of-service", "%d", s.TOS)
	}
	if s.Mark.Mask != 0 {
		f.add("mark", "%d", s.Mark.Value)
	}
	f.add("table", "%d", r.Action.Table())
	f.add("priority", "%d", r.Priority)
	return f
}
