package cli

import (
	"net/netip"

	"rpdb"
	"rpdb/sandbox"
)

// forwarded foretells a probe of an inside host: the engine decides about it and its
// answer, and what stands in nftables changes them as explain says.
func (p predictor) forwarded(probe sandbox.Probe) prediction {
	flow := probe.Flow()
	var tracked bool // what an inbound map with state has made of the question
	if probe.Direction == sandbox.Inbound {
		var reason string
		if tracked, reason = p.comesIn(probe); reason != "" {
			return prediction{Reason: reason}
		}
	}
	d := p.fib.Lookup(flow)
	if d.Disposition != rpdb.Sent {
		return prediction{Reason: elsewhere(d)}
	}
	out := prediction{Links: linksOf(d), Source: flow.Src}
	var by rpdb.Translation
	if t := leave(p.snap, flow, d, netip.Addr{}); tracked {
		out.Source = probe.Asks()
	} else if t != nil {
		by, out.Source = t.Translation, t.Source
	}
	switch {
	case by.Kind == rpdb.TranslateNeutral && !out.Source.IsValid():
		return prediction{Reason: "its address cannot be mapped without a change of checksums"}
	case out.Source.IsValid() && !p.legal(d.Link, out.Source):
		out.Reason = "the gateway drops a source that is not its own"
	case probe.Direction == sandbox.Inbound:
		out.Answered = true
	default:
		out.Answered, out.Reason = p.returns(probe, d.Link, out.Source, by)
	}
	return out
}

// comesIn follows the question of an inbound probe to the inside host, and says
// whether connection tracking remembers that its destination was changed. The
// reason is why it does not come there, "" if it does.
func (p predictor) comesIn(probe sandbox.Probe) (tracked bool, reason string) {
	question := reverse(probe.Flow())
	question.Dst, question.IIF = probe.Asks(), p.linkOf(probe.Uplink)
	mapped, arrived := arrive(p.snap.NAT, question)
	d := p.fib.Lookup(mapped)
	if d.Disposition != rpdb.Sent || d.Link != probe.Inside || mapped.Dst != probe.Local {
		return false, "the question does not come to the inside host: " + elsewhere(d)
	}
	if !arrived.IsValid() {
		return false, ""
	}
	t, _ := inboundMap(p.snap.NAT, arrived)
	return !t.Kind.Stateless(), ""
}

// returns says whether the answer comes to the inside host that asked, given the
// source that it is sent to and what made that.
func (p predictor) returns(probe sandbox.Probe, link rpdb.LinkName, source netip.Addr, by rpdb.Translation) (bool, string) {
	answer := reverse(probe.Flow())
	answer.Dst, answer.IIF = source, link
	if by.Kind != 0 && !by.Kind.Stateless() { // tracked, and translated back
		answer.Dst = probe.Local
	} else if by.Kind != 0 {
		answer, _ = arrive(p.snap.NAT, answer)
	}
	d := p.fib.Lookup(answer)
	if d.Disposition != rpdb.Sent || d.Link != probe.Inside {
		return false, "the answer does not come back to the inside host: " + elsewhere(d)
	}
	// Connection tracking leaves answers alone; without state each packet counts.
	if t := leave(p.snap, answer, d, netip.Addr{}); t != nil && t.Translation.Kind.Stateless() {
		return false, "the answer is translated, too"
	}
	return true, ""
}

// elsewhere says what becomes of a packet that does not go where it should.
func elsewhere(d rpdb.Decision) string {
	switch {
	case d.Note != "":
		return d.Note
	case d.Disposition == rpdb.Sent:
		return "it leaves by " + string(d.Link)
	case d.Disposition == rpdb.Refused:
		return "it is refused with " + d.Errno.String()
	}
	return "it ends as " + d.Disposition.String()
}
