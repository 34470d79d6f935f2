package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
)

// DecodeRule reads the payload of a message about a rule, RTM_NEWRULE or
// RTM_DELRULE: a struct fib_rule_hdr and its attributes, in the byte order of
// this machine. Attributes that are not known are kept in the rule. Package
// ipsave has the frames of saved rules, this is what is in them.
func DecodeRule(payload []byte) (rpdb.Rule, error) { return decodeRule(payload) }

// RuleDecoder reads messages about rules one after another into the same memory,
// in a fifth of the time of [DecodeRule]. It allocates only for what it does not
// know, and for the name of an interface that the rule before did not have. The
// zero value is ready. It is not safe for concurrent use.
type RuleDecoder struct {
	parts ruleParts
}

// Decode reads one payload as [DecodeRule] does. The rule is valid until the next
// one is read; a copy of it is the caller's.
func (d *RuleDecoder) Decode(payload []byte) (*rpdb.Rule, error) {
	if err := d.parts.decode(payload); err != nil {
		return nil, fmt.Errorf("decode rule: %w", err)
	}
	return &d.parts.rule, nil
}

// EncodeRule writes the payload that [DecodeRule] reads, with every attribute
// that the rule has. The state that the kernel computes is left out. The error
// is about unknown attributes that are not well formed.
func EncodeRule(r rpdb.Rule) ([]byte, error) {
	e := encodeRule(unix.RTM_NEWRULE, 0, r)
	if _, err := e.Message(); err != nil {
		return nil, err
	}
	return e.Payload(), nil
}

// DecodeRoute reads the payload of a message about a route of IPv4 or IPv6,
// RTM_NEWROUTE or RTM_DELROUTE: a struct rtmsg and its attributes, in the byte
// order of this machine. Attributes that have no field of their own are kept as
// they are in Route.Unknown, RTA_NEWDST and RTA_TTL_PROPAGATE among them, which
// only MPLS uses. [RouteDecoder] is for many.
func DecodeRoute(payload []byte) (rpdb.Route, rpdb.RouteDetails, error) {
	var d RouteDecoder
	return d.Decode(payload)
}

// EncodeRoute writes the payload that [DecodeRoute] reads, with every attribute
// that the route has. State is left out, and so is what a nexthop object leads
// to: only its id is configuration. The error is about unknown attributes that
// are not well formed, and metrics whose text is not.
func EncodeRoute(r rpdb.Route) ([]byte, error) {
	e := encodeRoute(unix.RTM_NEWROUTE, 0, r)
	if _, err := e.Message(); err != nil {
		return nil, err
	}
	return e.Payload(), nil
}
