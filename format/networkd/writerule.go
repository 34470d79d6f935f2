package networkd

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/iproute2"
)

// loopback is the interface whose file has the rules, and the routes that
// belong to no other.
const loopback rpdb.LinkName = "lo"

// rules writes the rules in the order of their priorities. A rule of IPv4 and
// its twin of IPv6 share a section.
func (w *writer) rules() {
	rules := slices.Clone(w.snapshot.Rules)
	slices.SortStableFunc(rules, rpdb.Rule.Compare)
	inOrder := iproute2.OrderCounts(rules)
	var can []rpdb.Rule
	for i, r := range rules {
		reason := w.ruleLoss(r)
		if reason == "" && inOrder[i] {
			reason = "networkd adds rules of equal priority in no particular order"
		}
		if reason != "" {
			w.lose(w.ruleObject(r), reason)
			continue
		}
		r.Protocol = rpdb.ProtocolStatic
		can = append(can, r)
	}
	can = w.withoutLostTargets(rules, can)
	var sixes []rpdb.Rule
	for _, r := range can {
		if r.Family == rpdb.IPv6 {
			sixes = append(sixes, r)
		}
	}
	slices.SortStableFunc(can, func(a, b rpdb.Rule) int { return int(int64(a.Priority) - int64(b.Priority)) })
	for _, r := range can {
		twin := r
		twin.Family = rpdb.IPv6
		switch {
		case r.Family == rpdb.IPv4 && slices.Contains(sixes, twin):
			w.section(loopback, "RoutingPolicyRule", w.ruleKeys(r, "both"))
		case r.Family == rpdb.IPv6 && hasTwin(can, r):
		default:
			w.section(loopback, "RoutingPolicyRule", w.ruleKeys(r, strings.ToLower(r.Family.String())))
		}
	}
}

// withoutLostTargets drops the rules that jump to one that is lost.
func (w *writer) withoutLostTargets(all, can []rpdb.Rule) (left []rpdb.Rule) {
	for _, f := range rpdb.Families() {
		other := func(r rpdb.Rule) bool { return r.Family != f }
		left = append(left, iproute2.WithoutLostTargets(
			slices.DeleteFunc(slices.Clone(all), other), slices.DeleteFunc(slices.Clone(can), other),
			func(r rpdb.Rule, reason string) { w.lose(w.ruleObject(r), reason) },
		)...)
	}
	return left
}

func hasTwin(rules []rpdb.Rule, r rpdb.Rule) bool {
	r.Family = rpdb.IPv4
	return slices.Contains(rules, r)
}

// ruleLoss says why a rule cannot be written as it is, "" if it can.
func (w *writer) ruleLoss(r rpdb.Rule) string {
	s := r.Selector
	mark := s.Mark
	switch {
	case r.Unknown != "":
		return "it has attributes that are not known here"
	case r.Flags&rpdb.RuleFindSaddr != 0:
		return "networkd has no word for its flags"
	case r.Realms != 0:
		return "networkd has no realms in rules"
	case s.DSCP.IsSet():
		return "networkd has no selector for the DSCP alone"
	case s.FlowLabel != rpdb.FlowLabel{}:
		return "networkd has no selector for the flow label"
	case s.TunID != 0:
		return "networkd has no selector for tunnel ids"
	case !isPortsWord(s.SPort), !isPortsWord(s.DPort):
		return "networkd has ranges of ports from 1 to 65535, and no masks"
	case mark.Value == 0 && mark.Mask != 0 && w.version < sinceMarkZero:
		return fmt.Sprintf("systemd-networkd %d leaves the selector out if the mark is 0", w.version)
	case s.L3MDev && w.version < sinceL3MDev:
		return fmt.Sprintf("systemd-networkd %d has no L3MasterDevice=", w.version)
	case s.IPProto != 0 && !isIPProtocol(s.IPProto):
		return "networkd takes no protocol without a name of its own"
	}
	for _, name := range []rpdb.LinkName{s.IIF, s.OIF} {
		if name != "" && (!isLinkName(string(name)) || strings.HasSuffix(string(name), `\`)) {
			return fmt.Sprintf("networkd takes %q for no name of an interface", string(name))
		}
	}
	if u, ok := s.UIDRange.Get(); ok && (isNoUser(u.First) || isNoUser(u.Last) || u.First > u.Last) {
		return "networkd takes 65535 for no user"
	}
	return w.actionLoss(r)
}

func (w *writer) actionLoss(r rpdb.Rule) string {
	if l, ok := r.Suppress.PrefixLength.Get(); ok && (l < -1 || l > 128) {
		return "networkd suppresses prefixes of up to 128 bits"
	}
	if g, ok := r.Suppress.IfGroup.Get(); ok && g > 1<<31-1 && g != 1<<32-1 {
		return "a group is at most 2147483647 in networkd"
	}
	a := r.Action
	switch a.Type() {
	case rpdb.ActionTable:
		if a.Table() == 0 && !r.Selector.L3MDev || a.Table() != 0 && r.Selector.L3MDev {
			return "networkd has no such table"
		}
	case rpdb.ActionGoto, rpdb.ActionNop:
		if w.version < sinceGoto {
			return fmt.Sprintf("systemd-networkd %d has no rules of the type %v, and would look up the main table instead", w.version, a.Type())
		}
		if a.Type() == rpdb.ActionGoto && a.Target() <= r.Priority {
			return "the goto does not lead forward"
		}
	case rpdb.ActionBlackhole, rpdb.ActionUnreachable, rpdb.ActionProhibit:
	default:
		return fmt.Sprintf("networkd has no rules of the type %v", a.Type())
	}
	return ""
}

func isIPProtocol(p rpdb.IPProto) bool {
	for _, known := range ipProtocols() {
		if known == p && p != 115 { // which 252 does not know
			return true
		}
	}
	return false
}

// isPortsWord reports whether networkd has a word for a selector of ports.
func isPortsWord(p rpdb.Ports) bool {
	if p == (rpdb.Ports{}) {
		return true
	}
	return p.First > 0 && p.Last >= p.First && (p.Mask == 0 || p.Mask == 0xffff && p.First == p.Last)
}

func portsWord(p rpdb.Ports) string {
	if p.First == p.Last {
		return fmt.Sprint(p.First)
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// ruleKeys returns the section of a rule that nothing of is lost.
func (w *writer) ruleKeys(r rpdb.Rule, family string) *keys {
	k, s := &keys{}, r.Selector.Canonical()
	if !s.From.IsValid() && !s.To.IsValid() {
		k.add("Family", "%s", family)
	}
	k.add("Priority", "%d", r.Priority)
	if s.Not {
		k.add("InvertRule", "yes")
	}
	if s.From.IsValid() {
		k.add("From", "%v", s.From)
	}
	if s.To.IsValid() {
		k.add("To", "%v", s.To)
	}
	if s.TOS != 0 {
		k.add("TypeOfService", "%d", s.TOS)
	}
	if s.Mark.Mask != 0 {
		k.add("FirewallMark", "0x%x/0x%x", s.Mark.Value, s.Mark.Mask)
	}
	if s.IIF != "" {
		k.add("IncomingInterface", "%s", s.IIF)
	}
	if s.OIF != "" {
		k.add("OutgoingInterface", "%s", s.OIF)
	}
	if u, ok := s.UIDRange.Get(); ok {
		k.add("User", "%d-%d", u.First, u.Last)
	}
	if s.IPProto != 0 {
		k.add("IPProtocol", "%s", ipProtocolWord(s.IPProto))
	}
	if s.SPort != (rpdb.Ports{}) {
		k.add("SourcePort", "%s", portsWord(s.SPort))
	}
	if s.DPort != (rpdb.Ports{}) {
		k.add("DestinationPort", "%s", portsWord(s.DPort))
	}
	w.actionKeys(k, r)
	return k
}

// ipProtocolWord is the name of the protocols that people know by it.
func ipProtocolWord(p rpdb.IPProto) string {
	for _, name := range []string{"icmp", "tcp", "udp", "sctp"} {
		if ipProtocols()[name] == p {
			return name
		}
	}
	return fmt.Sprint(uint8(p))
}

func (w *writer) actionKeys(k *keys, r rpdb.Rule) {
	if r.Selector.L3MDev {
		k.add("L3MasterDevice", "yes")
	}
	switch a := r.Action; a.Type() {
	case rpdb.ActionTable:
		if !r.Selector.L3MDev {
			k.add("Table", "%s", w.table(a.Table()))
		}
	case rpdb.ActionGoto:
		k.add("Type", "goto")
		k.add("GoTo", "%d", a.Target())
	default:
		k.add("Type", "%v", a.Type())
	}
	if l, ok := r.Suppress.PrefixLength.Get(); ok && l >= 0 {
		k.add("SuppressPrefixLength", "%d", l)
	}
	if g, ok := r.Suppress.IfGroup.Get(); ok && g != 1<<32-1 {
		k.add("SuppressInterfaceGroup", "%d", g)
	}
}
