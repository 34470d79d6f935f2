package cli

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
)

// viewCapture prints the groups, and what was left out.
func (a *app) viewCapture(s *rpdb.Snapshot, c captureExplanation) error {
	w := newPrinter(a.Out)
	for i, g := range c.Groups {
		if i > 0 {
			w.printf("\n")
		}
		w.wrap(groupTitle(g, c.FlowsCut))
		if w.err == nil {
			w.err = a.viewExplain(s, g.Explanation)
		}
		for _, line := range groupNotes(g) {
			w.wrap(line)
		}
	}
	if len(c.LeftOut) > 0 && len(c.Groups) > 0 {
		w.printf("\n")
	}
	for _, l := range c.LeftOut {
		w.wrap(fmt.Sprintf("not explained: %s: %s", l.tally, safe(l.Reason)))
	}
	if c.Packets == 0 {
		w.printf("the capture holds no packets\n")
	}
	return w.err
}

// String returns "3 packets (1, 5, 6)".
func (t tally) String() string {
	words := make([]string, len(t.Examples))
	for i, n := range t.Examples {
		words[i] = fmt.Sprint(n)
	}
	list := strings.Join(words, ", ")
	if t.Packets > int64(len(words)) {
		list += ", ..."
	}
	return fmt.Sprintf("%d %s (%s)", t.Packets, plural(int(t.Packets), "packet", "packets"), list)
}

// groupTitle says how many packets there are, and what the first is.
func groupTitle(g *packetGroup, atLeast bool) string {
	bound := ""
	if atLeast {
		bound = "at least "
	}
	return fmt.Sprintf("%s, %s%d %s, the first: %s", g.tally, bound, g.Flows, plural(g.Flows, "flow", "flows"), shortFlow(g.first))
}

// shortFlow spells a flow shortly: "udp 10.0.0.5:40000 > 203.0.113.10:2000".
func shortFlow(f rpdb.Flow) string {
	end := func(a netip.Addr, port uint16) string {
		switch {
		case !a.IsValid():
			return "no source"
		case port == 0:
			return a.String()
		}
		return netip.AddrPortFrom(a, port).String()
	}
	name := map[rpdb.IPProto]string{rpdb.TCP: "tcp", rpdb.UDP: "udp", rpdb.ICMP: "icmp", rpdb.ICMPv6: "ipv6-icmp", 132: "sctp", 33: "dccp"}[f.IPProto]
	if name == "" {
		name = fmt.Sprintf("protocol %d", f.IPProto)
	}
	text := fmt.Sprintf("%s %s > %s", name, end(f.Src, f.SPort), end(f.Dst, f.DPort))
	if (f.IPProto == rpdb.ICMP || f.IPProto == rpdb.ICMPv6) && !f.IsInput() {
		text = fmt.Sprintf("%s %d/%d %s > %s", name, f.DPort>>8, f.DPort&0xff, end(f.Src, 0), end(f.Dst, 0))
	}
	if f.OIF != "" {
		text += " oif " + safe(f.OIF)
	}
	if f.TOS != 0 {
		text += fmt.Sprintf(" tos 0x%02x", f.TOS)
	}
	return text
}

// groupNotes says what else there is to know about the packets of a group.
func groupNotes(g *packetGroup) []string {
	var notes []string
	if g.Cut {
		notes = append(notes, "note: the capture cut off the ports of these packets, and rules look at ports or protocol: this is the answer for port 0")
	}
	if g.Fragments > 0 {
		text := "note: fragments among them: %d: no fragment has ports here, not even the first; where connections are tracked, packets are put together before"
		if !g.first.IsInput() {
			text = "note: first fragments among them: %d: the packet was routed as a whole, with its ports"
		}
		notes = append(notes, fmt.Sprintf(text, g.Fragments))
	}
	if g.Expiring > 0 {
		notes = append(notes, fmt.Sprintf("note: packets whose time to live ends here: %d: they are not sent on, and their senders get ICMP time exceeded", g.Expiring))
	}
	for _, name := range slices.Sorted(maps.Keys(g.Elsewhere)) {
		notes = append(notes, fmt.Sprintf("note: the capture shows %d leaving by %s: for a mark, a user or a bound interface that no packet carries, or under rules and routes that have changed",
			g.Elsewhere[name], safe(name)))
	}
	return notes
}
