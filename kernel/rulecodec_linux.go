package kernel

import (
	"golang.org/x/sys/unix"

	"rpdb"
)

// DecodeRule reads the payload of a message about a rule, RTM_NEWRULE or
// RTM_DELRULE: a struct fib_rule_hdr and its attributes, in the byte order of
// this machine. Attributes that are not known are kept in the rule. Package
// ipsave has the frames of saved rules, this is what is in them.
func DecodeRule(payload []byte) (rpdb.Rule, error) { return decodeRule(payload) }

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
