package fib

import "rpdb"

// ReverseVerdict is what a reverse-path check came to. The zero value passes.
type ReverseVerdict uint8

// The packet passes, is dropped, or the snapshot does not tell.
const (
	ReversePass ReverseVerdict = iota
	ReverseDrop
	ReverseUnknown
)

// String returns "pass", "drop" or "unknown".
func (v ReverseVerdict) String() string {
	return [...]string{"pass", "drop", "unknown"}[min(v, ReverseUnknown)]
}

// MarshalText writes the word.
func (v ReverseVerdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// ReverseReason is what settled a reverse-path check.
type ReverseReason uint8

// The reasons. Whether one of the last four passes depends on rp_filter.
const (
	ReverseOff       ReverseReason = iota // not asked of the rules: nothing wants it
	ReverseUnclear                        // the snapshot does not tell the way back
	ReverseOwnSource                      // the source is an address of this host
	ReverseBroadcast                      // the source is a broadcast address or the like
	ReverseSame                           // the way back leaves by the interface that the packet came in by
	ReverseOther                          // it leaves by another one
	ReverseNoRoute                        // there is no way back
	ReverseNoAddress                      // the interface that the packet came in by has no address
)

// String returns a word for programs, such as "own-source".
func (r ReverseReason) String() string {
	return [...]string{
		"off", "unclear", "own-source", "broadcast-source", "same-interface", "other-interface", "no-route", "no-address",
	}[min(r, ReverseNoAddress)]
}

// MarshalText writes the word.
func (r ReverseReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

const noteOwnSource = "the source is an address of this host"

// note is the reason as the note of a packet that is dropped for it.
func (r ReverseReason) note() string {
	switch r {
	case ReverseOwnSource:
		return noteOwnSource
	case ReverseBroadcast:
		return "reverse-path check: the source is a broadcast address"
	case ReverseOther:
		return "reverse-path check: the route to the source leaves by another interface"
	case ReverseNoRoute:
		return "reverse-path check: there is no route to the source"
	case ReverseNoAddress:
		return "reverse-path check: the ingress interface has no address"
	}
	return ""
}

// ReverseCheck is the check of the way back to the source of an IPv4 packet
// that came in (fib_validate_source).
type ReverseCheck struct {
	// RPFilter is the mode of the interface that the packet came in by, with
	// that of conf.all mixed in: 0 off, 1 strict, 2 loose.
	RPFilter uint8         `json:"rp_filter"`
	Ingress  rpdb.LinkName `json:"ingress"`
	// Egress is the interface that the packet is to leave by, "" if it is
	// delivered here.
	Egress  rpdb.LinkName  `json:"egress,omitzero"`
	Verdict ReverseVerdict `json:"verdict"`
	Reason  ReverseReason  `json:"reason"`
	// Asked says whether the rules were asked for the way back.
	Asked bool `json:"asked"`
	// Back lists the interfaces of the way back.
	Back []rpdb.LinkName `json:"back,omitempty"`
	// AcceptLocal and SrcValidMark are the settings of the interface: sources
	// of this host are accepted, and the way back is looked up with the mark of
	// the packet.
	AcceptLocal  bool `json:"accept_local"`
	SrcValidMark bool `json:"src_valid_mark"`
	// SendRedirects is that the packet leaves by the interface that it came in by
	// and send_redirects is on there: then the rules are asked for the way back
	// whatever the other settings are.
	SendRedirects bool `json:"send_redirects,omitzero"`
	// Unknown are the settings that the snapshot does not tell. The check that is
	// described is the one with them at zero; the decision holds for all values.
	Unknown rpdb.Settings `json:"unknown,omitzero"`
}

func newReverseCheck(r *reverse, v ReverseVerdict, why ReverseReason) ReverseCheck {
	c := ReverseCheck{
		RPFilter: r.in.rpFilter, Ingress: r.in.Name, Verdict: v, Reason: why,
		AcceptLocal: r.in.acceptSelf, SrcValidMark: r.in.markSrc, SendRedirects: r.in.redirects && r.turnsBack(),
		Unknown: r.unknown(),
	}
	if r.egress != nil {
		c.Egress = r.egress.Name
	}
	c.Asked = r.walked
	if r.walked && r.way.outcome == hit {
		for i := range r.way.route.hops {
			if l := r.way.route.hops[i].link; l != nil {
				c.Back = append(c.Back, l.Name)
			}
		}
	}
	return c
}
