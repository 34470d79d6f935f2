package cli

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"rpdb"
	"rpdb/fib"
)

// decided reports whether a step ended its walk.
func decided(s fib.Step) bool {
	switch s.Detail.(type) {
	case fib.Chosen, fib.Denied, fib.Unknown:
		return true
	}
	return false
}

// detail spells what a rule did, with tables by name, safe to print.
func (w words) detail(d fib.Detail) string {
	switch d := d.(type) {
	case fib.NotMatched:
		if d.Field == "ipproto" {
			d.Packet, d.Rule = namedProtocol(d.Packet), namedProtocol(d.Rule)
		}
		return d.Words(safe[string])
	case fib.Miss:
		return "no route in " + w.table(d.Table)
	case fib.NoTable:
		return w.table(d.Table) + " is empty"
	case fib.Throw:
		return fmt.Sprintf("throw %s in %s", destination(d.Route), w.table(d.Table))
	case fib.Suppressed:
		return destination(d.Route) + ", suppressed" + suppressedBy(d.By)
	case fib.Chosen:
		return fmt.Sprintf("%s %s", destination(d.Route), hopWords(d.Route.Type, d.Hop))
	case fib.Denied:
		if d.Table != 0 {
			return fmt.Sprintf("%v %s in %s: %v", d.Route.Type, destination(d.Route), w.table(d.Table), d.Errno)
		}
		return fmt.Sprintf("denies: %v", d.Errno)
	}
	return safe(d.String())
}

// namedProtocol is the name of a protocol given by its number, or the number.
func namedProtocol(number string) string {
	n, err := strconv.ParseUint(number, 10, 8)
	if name := protocolName(rpdb.IPProto(n)); err == nil && !strings.Contains(name, " ") {
		return name
	}
	return number
}

// suppressedBy names the suppressor that is not the usual one.
func suppressedBy(by string) string {
	if by == "suppress_prefixlength" {
		return ""
	}
	return " by " + by
}

// destination is what a route is for.
func destination(r rpdb.Route) string {
	text := r.Dst.String()
	if r.IsDefault() {
		text = "default"
	}
	if r.Src.IsValid() && r.Src.Bits() > 0 {
		text += " from " + r.Src.String()
	}
	return text
}

func hopWords(t rpdb.RouteType, h rpdb.Hop) string {
	var parts []string
	if t != rpdb.RouteUnicast {
		parts = append(parts, t.String())
	}
	if h.Via.IsValid() {
		parts = append(parts, "via "+h.Via.String())
	}
	if h.Link != "" {
		parts = append(parts, "dev "+safe(h.Link))
	}
	return strings.Join(parts, " ")
}

// candidateWords says of a route or nexthop what it is and why it was passed
// over, safe to print.
func candidateWords(c fib.Candidate) string {
	text := strings.TrimSpace(destination(c.Route) + " " + hopWords(c.Route.Type, c.Hop))
	if c.Share > 0 {
		text += fmt.Sprintf(" (%.3g%% of flows)", c.Share*100)
	}
	return text + ": " + safe(c.Why)
}

// verdictLine is fateLine for a packet of this host.
func verdictLine(d rpdb.Decision) string { return fateLine(rpdb.Flow{}, d) }

// fateLine says in one sentence what becomes of a packet.
func fateLine(f rpdb.Flow, d rpdb.Decision) string {
	var line string
	switch d.Disposition {
	case rpdb.Sent:
		line = "leaves by " + hopSentence(d.Hop)
		if len(d.Either) > 1 {
			line = "leaves by one of: " + joinHops(d.Either)
		}
		if d.Src.IsValid() {
			line += ", source " + d.Src.String()
		}
	case rpdb.Local:
		line = "is delivered on this host"
	case rpdb.Refused:
		line = refusal(f, d)
	case rpdb.Martian:
		line = "is dropped on arrival"
		if icmp := icmpWords(f.Family(), d.ICMP); icmp != "" {
			line += ", the sender gets " + icmp
		}
	default:
		line = "unknown"
	}
	if d.Note != "" {
		line += " (" + d.Note + ")"
	}
	return line
}

// refusal says what a sender learns of a packet that goes nowhere: a local one
// the errno, one elsewhere an ICMP error or nothing.
func refusal(f rpdb.Flow, d rpdb.Decision) string {
	if !f.IsInput() {
		return fmt.Sprintf("is not sent: %v, %s", d.Errno, syscall.Errno(d.Errno).Error())
	}
	if icmp := icmpWords(f.Family(), d.ICMP); icmp != "" {
		return fmt.Sprintf("is not forwarded: %v, the sender gets %s", d.Errno, icmp)
	}
	return fmt.Sprintf("is not forwarded: %v, dropped without a word to the sender", d.Errno)
}

// icmpWords names an ICMP error as the RFCs do, "" for none.
func icmpWords(family rpdb.Family, e rpdb.ICMPError) string {
	if e == (rpdb.ICMPError{}) {
		return ""
	}
	protocol, name := "ICMP", map[rpdb.ICMPError]string{
		{Type: 3, Code: 0}: "network unreachable", {Type: 3, Code: 1}: "host unreachable",
		{Type: 3, Code: 13}: "administratively prohibited",
	}[e]
	if family == rpdb.IPv6 {
		protocol, name = "ICMPv6", map[rpdb.ICMPError]string{
			{Type: 1, Code: 0}: "no route to destination", {Type: 1, Code: 1}: "administratively prohibited",
			{Type: 1, Code: 2}: "beyond scope of source address",
		}[e]
	}
	if name == "" {
		return fmt.Sprintf("%s %v", protocol, e)
	}
	return fmt.Sprintf("%s %v, %s", protocol, e, name)
}

func hopSentence(h rpdb.Hop) string {
	if h.Via.IsValid() {
		return fmt.Sprintf("%s via %v", safe(h.Link), h.Via)
	}
	return safe(h.Link)
}

func joinHops(hops []rpdb.Hop) string {
	var words []string
	for _, h := range hops {
		words = append(words, hopSentence(h))
	}
	return strings.Join(words, "; ")
}

// sourceWords says why a source was chosen, safe to print.
func sourceWords(s fib.Source) string {
	link := safe(s.Link)
	switch s.By {
	case fib.SourceRoute:
		return "the route says so (src)"
	case fib.SourceNetwork:
		return "the address of " + link + " whose network holds the gateway"
	case fib.SourcePrimary:
		return "the first primary address of " + link
	case fib.SourceVRF:
		return "the first address of the VRF, on " + link
	case fib.SourceOther:
		return "the first address of " + link + ", for the interface that sends has none"
	case fib.SourceDestination:
		return "the destination itself, which is this host"
	}
	return rulesWords(s, link)
}

// rulesWords names the rule by which an IPv6 address was better than the one
// that came closest.
func rulesWords(s fib.Source, link string) string {
	if len(s.Rivals) == 0 {
		return "of " + link + ", the only address that comes into question"
	}
	closest := s.Rivals[0]
	for _, r := range s.Rivals {
		if settledLate(r) > settledLate(closest) {
			closest = r
		}
	}
	return fmt.Sprintf("of %s, better than %v of %s by %s", link, closest.Addr, safe(closest.Link), rivalRule(closest))
}

// settledLate orders the rules of RFC 6724 as the kernel asks them.
func settledLate(r fib.SourceRival) int {
	switch {
	case r.Rule == 8:
		return 10
	case r.Rule > 0:
		return r.Rule
	case strings.HasPrefix(r.Why, "first"):
		return 11
	}
	return 9
}

// rivalRule names the rule by which a rival lost.
func rivalRule(r fib.SourceRival) string {
	if r.Rule == 0 {
		return r.Why
	}
	return fmt.Sprintf("rule %d of RFC 6724, %s", r.Rule, r.Why)
}

// reverseWords says what a reverse-path check came to and why, safe to print.
func reverseWords(c fib.ReverseCheck, f rpdb.Flow) string {
	mode := []string{"off", "strict", "loose"}[min(c.RPFilter, 2)]
	text := fmt.Sprintf("rp_filter is %d (%s): ", c.RPFilter, mode)
	if c.Unknown.Has(rpdb.SettingRPFilter) {
		text = fmt.Sprintf("rp_filter is not known; with %d: ", c.RPFilter)
	}
	passes := map[fib.ReverseVerdict]string{fib.ReversePass: "passes", fib.ReverseDrop: "dropped", fib.ReverseUnknown: "unknown"}[c.Verdict]
	if c.Reason == fib.ReverseOff {
		return text + "not checked" + reverseOff(c)
	}
	text += reverseReason(c, f) + ": " + passes
	if c.Asked && f.Mark != 0 {
		if c.SrcValidMark {
			text += " (asked with the mark: src_valid_mark is 1)"
		} else {
			text += " (asked without the mark: src_valid_mark is 0)"
		}
	}
	if c.Asked && c.RPFilter == 0 && c.AcceptLocal && c.SendRedirects {
		text += " (asked though accept_local is 1: the packet leaves by " + safe(c.Egress) + " again, and send_redirects is 1)"
	}
	return text
}

func reverseOff(c fib.ReverseCheck) string {
	if c.AcceptLocal {
		return ", and accept_local is 1"
	}
	return ", for the rules were never changed"
}

func reverseReason(c fib.ReverseCheck, f rpdb.Flow) string {
	var back []string
	for _, name := range c.Back {
		back = append(back, safe(name))
	}
	way := fmt.Sprintf("the way back to %v leaves by %s", f.Src, strings.Join(back, ", "))
	in := safe(c.Ingress)
	switch c.Reason {
	case fib.ReverseSame:
		return way + ", by which the packet came"
	case fib.ReverseOther:
		return way + ", and the packet came by " + in
	case fib.ReverseNoRoute:
		return fmt.Sprintf("there is no way back to %v", f.Src)
	case fib.ReverseNoAddress:
		return way + ", and " + in + ", by which the packet came, has no address"
	case fib.ReverseBroadcast:
		return "the source is a broadcast address"
	case fib.ReverseOwnSource:
		return "the source is an address of this host, and accept_local is " + oneOrZero(c.AcceptLocal)
	}
	return "the snapshot does not tell the way back"
}

func oneOrZero(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
