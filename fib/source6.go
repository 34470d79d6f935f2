package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"rpdb"
)

// address6 is an IPv6 address that may be chosen as a source.
type address6 struct {
	addr      netip.Addr
	link      *link
	length    int // of the prefix
	scope     int
	label     uint8
	preferred bool // not deprecated
	temporary bool
	orchid    bool
}

// source6 returns the source of a packet without one that leaves by a route:
// its preferred source, else the best address of the host (RFC 6724,
// ipv6_dev_get_saddr). Not ok: there is none, or it depends on settings that
// the snapshot does not hold. Without a route (nil) no interface is preferred.
func (f *FIB) source6(dst netip.Addr, r *route, h *hop) (netip.Addr, bool) {
	if r != nil && r.prefsrc.IsValid() {
		return r.prefsrc, true
	}
	var out *link
	if h != nil {
		out = h.link
	}
	want := newWanted6(dst, out)
	best := f.best6(&want)
	if best == nil || !f.surely6(&want, best) {
		return netip.Addr{}, false
	}
	return best.addr, true
}

// best6 returns the address that is better than all others, the first of
// equals; nil if none comes into question.
func (f *FIB) best6(want *wanted6) (best *address6) {
	for i := range f.addrs6 {
		a := &f.addrs6[i]
		if !want.admits(a) {
			continue
		}
		if best == nil {
			best = a
		} else if better, _ := want.prefers(a, best); better {
			best = a
		}
	}
	return best
}

// surely6 reports whether no setting that is not known makes another address
// better than the best.
func (f *FIB) surely6(want *wanted6, best *address6) bool {
	for i := range f.addrs6 {
		if a := &f.addrs6[i]; want.admits(a) {
			if _, by := want.prefers(best, a); by == ruleTemporary {
				return false
			}
		}
	}
	return true
}

// wanted6 is what a source is chosen for.
type wanted6 struct {
	dst    netip.Addr
	out    *link
	scope  int
	label  uint8
	orchid bool
}

func newWanted6(dst netip.Addr, out *link) wanted6 {
	return wanted6{dst: dst, out: out, scope: scope6(dst), label: label6(dst), orchid: isOrchid(dst)}
}

// admits reports whether an address comes into question.
func (w *wanted6) admits(a *address6) bool {
	if w.out != nil && (w.dst.IsMulticast() || w.scope <= scopeLink6) {
		return a.link == w.out
	}
	return a.link.vrfIndex() == w.out.vrfIndex()
}

// sourceRule6 is a rule of RFC 6724, section 5, by which one source is better
// than another.
type sourceRule6 uint8

const (
	ruleSame       sourceRule6 = 1
	ruleScope      sourceRule6 = 2
	ruleDeprecated sourceRule6 = 3
	ruleInterface  sourceRule6 = 5
	ruleLabel      sourceRule6 = 6
	ruleTemporary  sourceRule6 = 7
	ruleLongest    sourceRule6 = 8
	ruleOrchid     sourceRule6 = 9  // of Linux, asked before rule 8
	ruleFirst      sourceRule6 = 10 // none: the first one stays
)

// prefers reports whether a is a better source than b, and by which rule that
// is settled. Which of a temporary and a public address wins is a setting that
// is not known.
func (w *wanted6) prefers(a, b *address6) (better bool, by sourceRule6) {
	if x, y := a.addr == w.dst, b.addr == w.dst; x != y {
		return x, ruleSame
	}
	if x, y := w.rateScope(a.scope), w.rateScope(b.scope); x != y {
		return x > y, ruleScope
	}
	if a.preferred != b.preferred {
		return a.preferred, ruleDeprecated
	}
	if w.out != nil {
		if x, y := a.link == w.out, b.link == w.out; x != y {
			return x, ruleInterface
		}
	}
	if x, y := a.label == w.label, b.label == w.label; x != y {
		return x, ruleLabel
	}
	if a.temporary != b.temporary {
		return false, ruleTemporary
	}
	if x, y := a.orchid == w.orchid, b.orchid == w.orchid; x != y {
		return x, ruleOrchid
	}
	if x, y := w.common(a), w.common(b); x != y {
		return x > y, ruleLongest
	}
	return false, ruleFirst
}

// rateScope prefers the smallest scope that reaches the destination, else the
// largest.
func (w *wanted6) rateScope(scope int) int {
	if scope >= w.scope {
		return -scope
	}
	return scope - 128
}

// common is the number of leading bits that an address shares with the
// destination, at most the length of its prefix.
func (w *wanted6) common(a *address6) int {
	return min(commonBits(a.addr, w.dst), a.length)
}

func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	if d := binary.BigEndian.Uint64(x[:8]) ^ binary.BigEndian.Uint64(y[:8]); d != 0 {
		return bits.LeadingZeros64(d)
	}
	return 64 + bits.LeadingZeros64(binary.BigEndian.Uint64(x[8:])^binary.BigEndian.Uint64(y[8:]))
}

// The scopes of IPv6 addresses (RFC 4291).
const (
	scopeLink6   = 0x2
	scopeSite6   = 0x5
	scopeGlobal6 = 0xe
)

// scope6 returns the scope of an address (ipv6_addr_src_scope).
func scope6(a netip.Addr) int {
	b := a.As16()
	switch {
	case a.IsMulticast():
		return int(b[1] & 0xf)
	case a.IsUnspecified():
		return -1
	case a.IsLoopback(), a.IsLinkLocalUnicast():
		return scopeLink6
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0:
		return scopeSite6
	}
	return scopeGlobal6
}

// label6 returns the label of an address in the kernel's own table
// (ip-addrlabel(8)).
func label6(a netip.Addr) uint8 {
	b := a.As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	switch {
	case hi == 0 && lo == 1:
		return 0 // ::1/128
	case hi == 0 && lo>>32 == 0xffff:
		return 4 // ::ffff:0:0/96
	case hi == 0 && lo>>32 == 0:
		return 3 // ::/96
	case hi>>32 == 0x20010000:
		return 6 // 2001::/32
	case isOrchid(a):
		return 7
	case hi>>48 == 0x2002:
		return 2
	case hi>>48 == 0x3ffe:
		return 12
	case hi>>54 == 0xfec0>>6:
		return 11
	case hi>>57 == 0xfc>>1:
		return 5
	}
	return 1
}

// isOrchid reports whether an address is in 2001:10::/28.
func isOrchid(a netip.Addr) bool {
	b := a.As16()
	return b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3]&0xf0 == 0x10
}

// newAddress6 prepares an address for the choice; not ok if it can never be a
// source.
func newAddress6(a rpdb.Address, l *link) (address6, bool) {
	addr := a.Prefix.Addr()
	if !a.Usable() || addr.IsMulticast() || addr.IsUnspecified() || l == nil {
		return address6{}, false
	}
	deprecated := a.Flags&rpdb.AddressDeprecated != 0
	return address6{
		addr: addr, link: l, length: a.Prefix.Bits(), scope: scope6(addr), label: label6(addr),
		preferred: !deprecated || addr.IsLoopback(),
		temporary: a.Flags&rpdb.AddressSecondary != 0,
		orchid:    isOrchid(addr),
	}, true
}
