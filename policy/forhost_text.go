package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/resident"
)

// What is listed in comments, at most; the rest is counted.
const (
	shownNetworks = 8
	shownRules    = 100
	shownLinks    = 50
)

// draftText is the text of a policy that is being written.
type draftText struct{ strings.Builder }

// comment writes sentences as a comment, wrapped.
func (b *draftText) comment(indent, format string, args ...any) {
	b.wrap(indent+"#", "", format, args...)
}

// item writes what is said of one interface as a comment, wrapped; further lines
// stand two columns on.
func (b *draftText) item(indent, format string, args ...any) {
	b.wrap(indent+"#", "  ", format, args...)
}

func (b *draftText) wrap(begin, hang, format string, args ...any) {
	const width = 80
	line, words := begin, 0
	for _, w := range strings.Fields(printable(fmt.Sprintf(format, args...))) {
		if words > 0 && len(line)+1+len(w) > width {
			b.WriteString(line + "\n")
			line = begin + hang
		}
		line += " " + w
		words++
	}
	b.WriteString(line + "\n")
}

// as writes lines that stand there as they are.
func (b *draftText) as(format string, args ...any) { fmt.Fprintf(b, format, args...) }

// text writes the policy.
func (v *survey) text() string {
	b := &draftText{}
	b.comment("", "A policy for this host, made from what was found on it: see rpdb-policy(5).")
	b.comment("", "Next: rpdb try FILE, rpdb plan FILE, rpdb apply FILE.")
	v.gaps(b)
	v.earlier(b)
	b.as("version: 1\n")
	v.uplinkSection(b)
	v.gatelessSection(b)
	v.othersSection(b)
	v.ruleSection(b)
	return b.String()
}

// gaps says what a snapshot that no kernel made does not tell.
func (v *survey) gaps(b *draftText) {
	for _, f := range rpdb.Families() {
		var unknown []string
		ranks := v.tablesOf(f)
		for _, t := range slices.SortedFunc(maps.Keys(ranks), func(a, b rpdb.TableID) int { return cmp.Compare(ranks[a], ranks[b]) }) {
			if v.host.Lacks(f, t) {
				unknown = append(unknown, v.names.Table(t))
			}
		}
		if len(unknown) > 0 {
			b.comment("", "Not known: the %v routes of %s %s, and so the gateways there.", f, plural(len(unknown), "table", "tables"), strings.Join(unknown, ", "))
		}
		rules := rpdb.PartRules4
		if f == rpdb.IPv6 {
			rules = rpdb.PartRules6
		}
		if v.host.Missing.Has(rules) {
			b.comment("", "Not known: the %v rules, and which tables they lead to.", f)
		}
	}
	if v.host.Missing.Has(rpdb.PartAddresses) {
		b.comment("", "Not known: the addresses, so no uplink could be tried.")
	}
}

// earlier warns of a policy that is in force: this one would take its place.
func (v *survey) earlier(b *draftText) {
	if !slices.ContainsFunc(v.host.Rules, isOwn) {
		return
	}
	b.comment("", "A policy is in force here already, and only its uplinks are in this file. Applying this one takes away whatever else that had: rpdb history shows it.")
}

func isOwn(r rpdb.Rule) bool { return r.Protocol == rpdb.ProtocolRPDB }

// uplinkSection writes the interfaces that have a way to the world, each with
// where that was found.
func (v *survey) uplinkSection(b *draftText) {
	written := 0
	for i, c := range v.uplinks {
		if written == maxUplinks || i-written == shownLinks {
			b.as("\n")
			b.comment("  ", "%d more interfaces are left out: a policy has at most %d uplinks", len(v.uplinks)-i, maxUplinks)
			break
		}
		if len(c.uplink.Gateways) > 0 {
			if written == 0 {
				b.as("\nuplinks:")
			}
			written++
		}
		b.as("\n")
		v.uplinkItem(b, c)
	}
	if written > 0 {
		return
	}
	b.as("\n")
	b.comment("", "No interface has a gateway that an uplink could have, so this policy wants nothing. Uplinks are written so, without the \"#\":")
	b.as("#uplinks:\n")
	if len(v.gateless) == 0 {
		b.as("#  - interface: NAME\n#    gateways: [IPV4-GATEWAY, IPV6-GATEWAY]\n")
	}
}

// uplinkItem writes one of them: as an uplink, if it can be one.
func (v *survey) uplinkItem(b *draftText, c candidate) {
	const indent = "  "
	b.item(indent, "%s%s: %s", c.link.Name, kindText(c.link), prefixesText(c.addrs))
	for _, w := range c.chosen {
		b.item(indent, "%s", v.wayText(w))
	}
	if slices.ContainsFunc(c.uplink.Gateways, func(g Located[Gateway]) bool { return g.Value.IsAuto() }) {
		b.item(indent, "auto is whichever gateway table main has at the time")
	}
	for i, n := range c.notes {
		if i == shownNetworks {
			b.item(indent, "and %d more gateways", len(c.notes)-i)
			break
		}
		b.item(indent, "%s", n)
	}
	b.networks(indent, v.behind[c.link.Index])
	if len(c.uplink.Gateways) > 0 {
		b.as("%s", uplinkText(c.uplink, indent))
	}
}

// gatelessSection writes uplinks that are not known to be any.
func (v *survey) gatelessSection(b *draftText) {
	if len(v.gateless) == 0 {
		return
	}
	b.as("\n")
	b.comment("  ", "These have addresses, and no gateway in any table that rules lead to. Which of them is an uplink, and by which gateways, is not to be seen here: fill them in, and take the \"#\" away.")
	for i, c := range v.gateless {
		b.as("\n")
		if i == shownLinks {
			b.comment("  ", "and %d more", len(v.gateless)-i)
			return
		}
		b.item("  ", "%s%s: %s", c.link.Name, kindText(c.link), prefixesText(c.addrs))
		b.networks("  ", v.behind[c.link.Index])
		var gateways []string
		for _, f := range rpdb.Families() {
			if c.hasAddress(f) {
				gateways = append(gateways, strings.ToUpper(f.String())+"-GATEWAY")
			}
		}
		b.as("  #- interface: %s\n  #  gateways: [%s]\n", Word(string(c.link.Name)), strings.Join(gateways, ", "))
	}
}

// othersSection lists interfaces that are no uplinks. The main table keeps the
// way to what is behind them.
func (v *survey) othersSection(b *draftText) {
	if len(v.others) == 0 {
		return
	}
	b.as("\n")
	b.comment("", "Not uplinks. What the main table knows behind them keeps its way.")
	for i, c := range v.others {
		if i == shownLinks {
			b.comment("", "  and %d more", len(v.others)-i)
			return
		}
		b.item("", "%s%s: %s", c.link.Name, kindText(c.link), strings.Join(append([]string{prefixesText(c.addrs)}, c.notes...), "; "))
		b.networks("", v.behind[c.link.Index])
	}
}

// ruleSection lists the rules that are neither the kernel's nor of an earlier
// policy.
func (v *survey) ruleSection(b *draftText) {
	var rules []rpdb.Rule
	for _, f := range rpdb.Families() {
		for _, r := range v.host.RulesOf(f) {
			if !isOwn(r) && !slices.Contains(rpdb.DefaultRules(f), r.Canonical()) {
				rules = append(rules, r)
			}
		}
	}
	if len(rules) == 0 {
		return
	}
	b.as("\n")
	b.comment("", "Rules that are here already. They stay. Those below %d are walked before this policy, and decide before it; those above %d behind it: packets from the address of an uplink do not come to them any more.", firstPriority, lastPriority)
	view := iproute2.RuleView{Names: v.names}
	for i, r := range rules {
		if i == shownRules {
			b.comment("", "  and %d more: rpdb rule list", len(rules)-i)
			break
		}
		b.as("#   %v %5d  %s  (%s)\n", r.Family, r.Priority, printable(strings.TrimSpace(view.Text(r))), printable(v.ownerText(r)))
	}
	for _, r := range rules {
		if firstPriority <= r.Priority && r.Priority <= lastPriority {
			b.comment("", "Rule %d (%v) is in the way: plan and apply want %d to %d for themselves. Give it another priority first.", r.Priority, r.Family, firstPriority, lastPriority)
			break
		}
	}
}

// networks lists what the main table has behind gateways of an interface.
func (b *draftText) networks(indent string, n networks) {
	if n.count == 0 {
		return
	}
	words := make([]string, len(n.first), len(n.first)+1)
	for i, p := range n.first {
		words[i] = p.String()
	}
	if more := n.count - len(n.first); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	b.item(indent, "behind it, by the main table: %s", strings.Join(words, ", "))
}

// wayText says where a gateway was found.
func (v *survey) wayText(w way) string {
	what := fmt.Sprintf("an %v default route without a gateway", w.family)
	if w.via.IsValid() {
		what = "gateway " + w.via.String()
	}
	if w.peer {
		what += ", the other end of the link"
	}
	table := fmt.Sprintf("table %s", v.names.Table(w.table))
	if w.metric != 0 {
		table += fmt.Sprintf(", metric %d", w.metric)
	}
	maker := v.makerText(w.protocol)
	if w.learned && !w.peer && w.protocol == rpdb.ProtocolBoot {
		maker = "set by a script, by a leased address"
	}
	return fmt.Sprintf("%s, %s (%s)", what, maker, table)
}

// makerText says who made a route, as its protocol tells.
func (v *survey) makerText(p rpdb.Protocol) string {
	switch p {
	case rpdb.ProtocolUnspec, rpdb.ProtocolBoot:
		return "set by hand or by a script"
	case rpdb.ProtocolKernel:
		return "set by the kernel"
	case rpdb.ProtocolStatic:
		return "static"
	case rpdb.ProtocolDHCP:
		return "learned by DHCP, may change with the lease"
	case rpdb.ProtocolRA:
		return "learned by router advertisement"
	case rpdb.ProtocolRPDB:
		return "of an earlier policy"
	}
	return "set by protocol " + v.names.Protocol(p)
}

// ownerText says whose a rule looks like.
func (v *survey) ownerText(r rpdb.Rule) string {
	for _, certain := range []bool{true, false} {
		at := slices.IndexFunc(v.programs, func(p resident.Program) bool { return p.Lives(r) || !certain && p.HasPriority(r.Priority) })
		if at >= 0 {
			return "looks like one of " + v.programs[at].Name
		}
	}
	return v.makerText(r.Protocol)
}

// kindText is the kind of a virtual interface, and that one is down, in brackets.
func kindText(l rpdb.Link) string {
	words := []string{l.Kind}
	if l.Kind == "" {
		words = nil
	}
	if !l.IsUp() {
		words = append(words, "down")
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// prefixesText lists addresses. A peer stands for the network.
func prefixesText(addrs []rpdb.Address) string {
	if len(addrs) == 0 {
		return "no address of its own"
	}
	var words []string
	for i, a := range addrs {
		if i == shownNetworks {
			words = append(words, fmt.Sprintf("and %d more", len(addrs)-i))
			break
		}
		text := a.Prefix.String()
		if a.Peer.IsValid() && a.Peer != a.Prefix.Addr() {
			text += " peer " + a.Peer.String()
		}
		words = append(words, text)
	}
	return strings.Join(words, ", ")
}

// uplinkText writes an uplink as an item of a list in YAML.
func uplinkText(u Uplink, indent string) string {
	b := &draftText{}
	b.as("%s- interface: %s\n", indent, Word(string(u.Interface)))
	if u.Name != "" {
		b.as("%s  name: %s\n", indent, Word(u.Name))
	}
	gateways := u.GatewayTexts()
	for i, text := range gateways {
		if strings.Contains(text, ":") {
			gateways[i] = quoted(text)
		}
	}
	b.as("%s  gateways: [%s]\n", indent, strings.Join(gateways, ", "))
	if u.Onlink {
		b.as("%s  onlink: true\n", indent)
	}
	return b.String()
}

// quoted writes text in double quotes, with the escapes that Go and YAML have in
// common.
func quoted(text string) string { return strconv.QuoteToASCII(strings.ToValidUTF8(text, "\ufffd")) }
