package cli

import (
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/fib"
	"rpdb/sandbox"
)

// prediction is what the engine says beforehand about one probe.
type prediction struct {
	// Links are the interfaces that the host's packets may leave by: one, or
	// several where the kernel's choice cannot be foretold, or none.
	Links []rpdb.LinkName `json:"links,omitempty"`
	// Answered says whether the probe comes back.
	Answered bool       `json:"answered"`
	Errno    rpdb.Errno `json:"errno,omitzero"` // of the host's own send
	Reason   string     `json:"reason,omitzero"`
	// Source is what the world sees of a forwarded packet; absent where that is not
	// known, and for the host's own.
	Source netip.Addr `json:"source,omitzero"`
}

// predictor foretells the fate of probes: the engine decides which way packets
// go, and the specification of the sandbox says what its gateways let through.
type predictor struct {
	fib  *fib.FIB
	snap *rpdb.Snapshot
	spec sandbox.Spec
}

func newPredictor(s *rpdb.Snapshot, spec sandbox.Spec) predictor {
	return predictor{fib: fib.Compile(s), snap: s, spec: spec}
}

// predict foretells one prepared probe.
func (p predictor) predict(probe sandbox.Probe) prediction {
	if probe.Inside != "" {
		return p.forwarded(probe)
	}
	flow := probe.Flow()
	if probe.Direction == sandbox.Inbound {
		question := reverse(flow)
		question.IIF = p.linkOf(probe.Uplink)
		if d := p.fib.Lookup(question); d.Disposition != rpdb.Local {
			return prediction{Reason: "the question is dropped on arrival: " + d.Note}
		}
	}
	d := p.fib.Lookup(flow)
	if d.Disposition != rpdb.Sent {
		return p.refused(probe, d)
	}
	if !d.Via.IsValid() && !p.answersOnLink(d.Link, flow.Dst) {
		return prediction{Reason: "taken for a neighbour on " + string(d.Link) + ", and nobody there answers"}
	}
	out := prediction{Links: linksOf(d)}
	src := d.Src
	if flow.Src.IsValid() {
		src = flow.Src
	}
	out.Answered, out.Reason = p.comesBack(probe, flow, d.Link, src)
	return out
}

// linksOf returns the interfaces that a packet may leave by.
func linksOf(d rpdb.Decision) []rpdb.LinkName {
	links := []rpdb.LinkName{d.Link}
	for _, hop := range d.Either {
		if !slices.Contains(links, hop.Link) {
			links = append(links, hop.Link)
		}
	}
	return links
}

// refused is the prediction for a packet that the RPDB does not send.
func (p predictor) refused(probe sandbox.Probe, d rpdb.Decision) prediction {
	out := prediction{Reason: d.Note}
	// A UDP service is told that its answer cannot be sent; the kernel's own
	// answers, to TCP and ping, have nobody to tell.
	if probe.Direction == sandbox.Outbound || probe.Protocol == rpdb.UDP {
		out.Errno = d.Errno
	}
	return out
}

// comesBack says whether the other side's packet reaches the host, given the
// door that the host's own packet took and the source that it carried.
func (p predictor) comesBack(probe sandbox.Probe, flow rpdb.Flow, link rpdb.LinkName, src netip.Addr) (bool, string) {
	if !p.legal(link, src) {
		return false, "the gateway drops a source that is not its own"
	}
	if probe.Direction == sandbox.Inbound {
		return true, ""
	}
	answer := reverse(flow)
	answer.Dst, answer.IIF = src, link
	if d := p.fib.Lookup(answer); d.Disposition != rpdb.Local {
		return false, "the answer is dropped on arrival: " + d.Note
	}
	return true, ""
}

// reverse is the flow of a packet in the other direction. Marks, users and
// sockets belong to this host and are not on the wire.
func reverse(f rpdb.Flow) rpdb.Flow {
	return rpdb.Flow{Dst: f.Src, Src: f.Dst, IPProto: f.IPProto, SPort: f.DPort, DPort: f.SPort, TOS: f.TOS}
}

func (p predictor) linkOf(uplink string) rpdb.LinkName {
	for _, u := range p.spec.Uplinks {
		if u.Name == uplink {
			return u.Link
		}
	}
	return rpdb.LinkName(uplink)
}

// legal reports whether a gateway forwards packets with the source: those of
// its own networks, and of what its provider routes here. Interfaces that are no uplinks filter nothing.
func (p predictor) legal(link rpdb.LinkName, src netip.Addr) bool {
	for _, u := range p.spec.Uplinks {
		if u.Link == link {
			return slices.ContainsFunc(slices.Concat(u.Addresses, u.Routed), func(n netip.Prefix) bool { return n.Contains(src) })
		}
	}
	return true
}

// answersOnLink reports whether somebody on the link answers for an address
// that is routed without a gateway: tunnels resolve no neighbours.
func (p predictor) answersOnLink(link rpdb.LinkName, dst netip.Addr) bool {
	for _, e := range p.spec.Extra {
		if e.Link == link {
			return true
		}
	}
	return false
}

// agrees reports whether what was seen is what was foretold.
func (q prediction) agrees(o sandbox.Outcome) bool {
	if q.Answered != o.Answered || q.Errno != o.Errno {
		return false
	}
	if len(o.Departures) == 0 {
		return len(q.Links) == 0
	}
	if q.Source.IsValid() && q.Source != o.Source {
		return false
	}
	for _, d := range o.Departures {
		if !slices.Contains(q.Links, d.Link) {
			return false
		}
	}
	return true
}
