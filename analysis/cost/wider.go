package cost

import (
	"iter"
	"net/netip"

	"rpdb"
)

// widerThan yields selectors that select all that x does, and x itself first: with a
// shorter prefix, or without one of the fields, or without any.
func widerThan(x rpdb.Selector) iter.Seq[rpdb.Selector] {
	return func(yield func(rpdb.Selector) bool) {
		if !yield(x) {
			return
		}
		for _, field := range []func(*rpdb.Selector) *netip.Prefix{
			func(s *rpdb.Selector) *netip.Prefix { return &s.From },
			func(s *rpdb.Selector) *netip.Prefix { return &s.To },
		} {
			w := x
			p := field(&w)
			for p.IsValid() {
				*p = shorter(*p)
				if !yield(w) {
					return
				}
			}
		}
		for _, clear := range clearings() {
			w := x
			if clear(&w); w != x && !yield(w) {
				return
			}
		}
		yield(rpdb.Selector{})
	}
}

func clearings() []func(*rpdb.Selector) {
	return []func(*rpdb.Selector){
		func(s *rpdb.Selector) { s.Mark = rpdb.Mark{} },
		func(s *rpdb.Selector) { s.IIF = "" },
		func(s *rpdb.Selector) { s.OIF = "" },
		func(s *rpdb.Selector) { s.TOS = 0 },
		func(s *rpdb.Selector) { s.DSCP = rpdb.Opt[rpdb.DSCP]{} },
		func(s *rpdb.Selector) { s.UIDRange = rpdb.Opt[rpdb.UIDRange]{} },
		func(s *rpdb.Selector) { s.SPort = rpdb.Ports{} },
		func(s *rpdb.Selector) { s.DPort = rpdb.Ports{} },
		func(s *rpdb.Selector) { s.IPProto = 0 },
		func(s *rpdb.Selector) { s.FlowLabel = rpdb.FlowLabel{} },
		func(s *rpdb.Selector) { s.TunID = 0 },
	}
}

// shorter returns the prefix that has p as one half; the zero prefix for length 1, which
// selects all, as packets without a source are.
func shorter(p netip.Prefix) netip.Prefix {
	if p.Bits() <= 1 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
}

// union returns the selector of all that either selects, if they differ in one field
// only and what they have there is the two halves of one thing. Neither may be inverted.
func union(a, b rpdb.Selector) (rpdb.Selector, bool) {
	u := a
	for _, join := range []func() bool{
		func() bool { return joinPrefix(&u.From, b.From) },
		func() bool { return joinPrefix(&u.To, b.To) },
		func() bool { return joinPorts(&u.SPort, b.SPort) },
		func() bool { return joinPorts(&u.DPort, b.DPort) },
		func() bool { return joinUsers(&u.UIDRange, b.UIDRange) },
	} {
		u = a
		if !join() {
			continue
		}
		// What is left must be the same.
		x, y := a, b
		for _, s := range []*rpdb.Selector{&x, &y} {
			if u.From != a.From {
				s.From = u.From
			}
			if u.To != a.To {
				s.To = u.To
			}
			if u.SPort != a.SPort {
				s.SPort = u.SPort
			}
			if u.DPort != a.DPort {
				s.DPort = u.DPort
			}
			if u.UIDRange != a.UIDRange {
				s.UIDRange = u.UIDRange
			}
		}
		if x == y {
			return u, true
		}
	}
	return rpdb.Selector{}, false
}

// joinPrefix joins the two halves of a prefix that is one itself.
func joinPrefix(a *netip.Prefix, b netip.Prefix) bool {
	if !a.IsValid() || !b.IsValid() || *a == b || a.Bits() != b.Bits() || a.Bits() < 2 || shorter(*a) != shorter(b) {
		return false
	}
	*a = shorter(b)
	return true
}

// joinPorts joins neighbouring ranges. A port that is masked is none.
func joinPorts(a *rpdb.Ports, b rpdb.Ports) bool {
	plain := func(p rpdb.Ports) bool { return p.First != 0 && (p.Mask == 0 || p.Mask == 0xffff) }
	if !plain(*a) || !plain(b) || uint32(a.Last)+1 != uint32(b.First) && uint32(b.Last)+1 != uint32(a.First) {
		return false
	}
	*a = rpdb.PortRange(min(a.First, b.First), max(a.Last, b.Last))
	return true
}

func joinUsers(a *rpdb.Opt[rpdb.UIDRange], b rpdb.Opt[rpdb.UIDRange]) bool {
	x, ok := a.Get()
	y, also := b.Get()
	if !ok || !also || uint64(x.Last)+1 != uint64(y.First) && uint64(y.Last)+1 != uint64(x.First) {
		return false
	}
	*a = rpdb.Some(rpdb.UIDRange{First: min(x.First, y.First), Last: max(x.Last, y.Last)})
	return true
}
