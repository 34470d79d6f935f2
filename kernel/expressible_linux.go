package kernel

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// expressible refuses what a request cannot say, or would say differently.
func expressible(r *rpdb.Rule) error {
	var t ruleTrial
	return t.expressible(r)
}

// ruleTrial looks at one rule after the other in the same memory. The zero value
// is ready.
type ruleTrial struct {
	e netlink.Encoder
	p ruleParts
}

// expressible writes the rule as a request and reads it back, unless it is plain.
func (t *ruleTrial) expressible(r *rpdb.Rule) error {
	if isPlain(r) {
		return nil
	}
	invalid := func(format string, args ...any) error {
		return &netlink.Error{Errno: unix.EINVAL, Message: fmt.Sprintf(format, args...)}
	}
	if r.Family.Bits() == 0 {
		return invalid("no family")
	}
	if v, ok := r.Suppress.PrefixLength.Get(); ok && v == -1 {
		return invalid("suppress_prefixlength -1 means none")
	}
	if v, ok := r.Suppress.IfGroup.Get(); ok && v == unset {
		return invalid("suppress_ifgroup %d means none", v)
	}
	encodeRuleIn(&t.e, unix.RTM_NEWRULE, 0, r)
	if _, err := t.e.Message(); err != nil {
		return invalid("%v", err)
	}
	if err := t.p.decode(t.e.Payload()); err != nil {
		return invalid("decode rule: %v", err)
	}
	if t.p.rule.Canonical() != r.Canonical() {
		return invalid("the rule cannot be written as a request")
	}
	return nil
}

// isPlain reports whether it is plain that a request can say the rule: it has
// nothing that could go wrong. Most rules are, and of ten thousand it spares the
// reading back. Another one may be expressible all the same.
func isPlain(r *rpdb.Rule) bool {
	s := &r.Selector
	return r.Family.Bits() != 0 && r.Flags&ruleInvert == 0 && r.Unknown == "" && r.Suppress == (rpdb.Suppressor{}) &&
		isPlainPrefix(s.From, r.Family) && isPlainPrefix(s.To, r.Family) &&
		isPlainName(s.IIF) && isPlainName(s.OIF) && isPlainPorts(s.SPort) && isPlainPorts(s.DPort)
}

func isPlainPrefix(p netip.Prefix, f rpdb.Family) bool {
	return p == netip.Prefix{} || p.IsValid() && p.Addr().BitLen() == f.Bits()
}

func isPlainName(n rpdb.LinkName) bool {
	return n == "" || len(n) < unix.IFNAMSIZ && strings.IndexByte(string(n), 0) < 0
}

func isPlainPorts(p rpdb.Ports) bool { return p == rpdb.Ports{} || p.First != 0 }
