package fib

import (
	"net/netip"
	"slices"

	"rpdb"
)

// value is a value of one field: a number, an address or an interface. The
// zero value is that of a flow that says nothing.
type value struct {
	number uint64
	addr   netip.Addr
	link   rpdb.LinkName
}

func valueOf(f rpdb.Flow, x field) value {
	switch x {
	case fieldMark:
		return value{number: uint64(f.Mark)}
	case fieldFrom:
		return value{addr: f.Src}
	case fieldOIF:
		return value{link: f.OIF}
	case fieldUID:
		return value{number: uint64(f.UID)}
	case fieldTOS:
		return value{number: uint64(f.TOS)}
	case fieldIPProto:
		return value{number: uint64(f.IPProto)}
	case fieldDPort:
		return value{number: uint64(f.DPort)}
	case fieldSPort:
		return value{number: uint64(f.SPort)}
	case fieldIIF:
		return value{link: f.IIF}
	case fieldLabel:
		return value{number: uint64(f.FlowLabel)}
	}
	return value{number: f.TunID}
}

func withValue(f rpdb.Flow, x field, v value) rpdb.Flow {
	switch x {
	case fieldMark:
		f.Mark = uint32(v.number)
	case fieldFrom:
		f.Src = v.addr
	case fieldOIF:
		f.OIF = v.link
	case fieldUID:
		f.UID = uint32(v.number)
	case fieldTOS:
		f.TOS = uint8(v.number)
	case fieldIPProto:
		f.IPProto = rpdb.IPProto(v.number)
	case fieldDPort:
		f.DPort = uint16(v.number)
	case fieldSPort:
		f.SPort = uint16(v.number)
	case fieldIIF:
		f.IIF = v.link
	case fieldLabel:
		f.FlowLabel = uint32(v.number)
	default:
		f.TunID = v.number
	}
	return f
}

// valueList collects values of one field, each once, without the present one.
type valueList struct {
	limit int
	seen  map[value]bool
	list  []value
}

func (l *valueList) add(values ...value) {
	for _, v := range values {
		if !l.seen[v] && len(l.list) < l.limit {
			l.seen[v] = true
			l.list = append(l.list, v)
		}
	}
}

func (l *valueList) full() bool { return len(l.list) >= l.limit }

// values returns the values to try for a field when the fields of set are
// changed together: first those by which a rule that leads to the wish
// matches, then none at all, then those by which others do not match, and at
// last everything at the borders of selectors. Only rules count that depend on
// no field outside of set; at the very end, of a single field, all.
func (s *search) values(x field, set fieldSet, limit int) []value {
	l := &valueList{limit: limit, seen: map[value]bool{valueOf(s.flow, x): true}}
	depends := func(f ruleFields) bool { return f.selects.has(x) && f.failing&^set == 0 }
	each := func(take func(ruleFields) bool, values ...func(*rule, field) []value) {
		for i := range s.fields {
			if l.full() {
				return
			}
			for _, of := range values {
				if take(s.fields[i]) {
					l.add(of(s.rules[i], x)...)
				}
			}
		}
	}
	each(func(f ruleFields) bool { return f.way && depends(f) }, s.wanted)
	if x == fieldMark || x == fieldUID || x == fieldOIF || x == fieldFrom && !s.flow.IsInput() {
		l.add(value{})
	}
	each(func(f ruleFields) bool { return !f.way && depends(f) }, s.unwanted)
	if x != fieldIIF && x != fieldFrom {
		l.add(value{}) // every packet has a protocol, but it may be one of no rule
	}
	l.add(s.hostValues(x)...)
	each(depends, s.matching, s.differing)
	if len(set.list()) == 1 {
		each(func(f ruleFields) bool { return f.selects.has(x) }, s.matching, s.differing)
		l.add(s.mirrored(x)...)
	}
	s.bounded = s.bounded || l.full() && len(set.list()) == 1
	return l.list
}

// wanted are values of a field by which the rule applies.
func (s *search) wanted(r *rule, x field) []value {
	if r.Selector.Not {
		return s.differing(r, x)
	}
	return s.matching(r, x)
}

// unwanted are values of a field by which the rule does not apply.
func (s *search) unwanted(r *rule, x field) []value {
	if r.Selector.Not {
		return s.matching(r, x)
	}
	return s.differing(r, x)
}

// hostValues are values of a field that the host suggests, not its rules.
func (s *search) hostValues(x field) (list []value) {
	switch x {
	case fieldOIF, fieldIIF:
		for _, l := range s.f.links {
			switch {
			case x == fieldIIF && l.Index == loopback:
			case l.Name == s.wish.Link:
				list = slices.Insert(list, 0, value{link: l.Name})
			default:
				list = append(list, value{link: l.Name})
			}
		}
	case fieldFrom:
		for _, a := range s.own.list {
			if s.flow.IsInput() { // a neighbour of the interface it comes in by
				a = a.Next()
			}
			list = append(list, value{addr: a})
		}
	case fieldTOS:
		for tos := uint64(0x04); !s.rs.v6 && tos <= legacyTOS; tos += 4 {
			list = append(list, value{number: tos | uint64(s.flow.TOS)&^legacyTOS})
		}
	}
	return list
}

// mirrored are the values that rules suggest for the way back, where source
// and destination change places.
func (s *search) mirrored(x field) (list []value) {
	if !s.flow.IsInput() {
		return nil
	}
	for i := range s.rules {
		r := s.rules[i].copied()
		r.from, r.Selector.SPort, r.Selector.DPort = r.to, r.Selector.DPort, r.Selector.SPort
		if x == fieldFrom && r.from.IsValid() || x == fieldSPort && r.Selector.SPort != (rpdb.Ports{}) ||
			x == fieldDPort && r.Selector.DPort != (rpdb.Ports{}) {
			list = append(append(list, s.matching(&r, x)...), s.differing(&r, x)...)
		}
	}
	return list
}

// matching are values by which a selector is true, the most natural first: the
// lowest, with the bits that it does not look at as they are.
func (s *search) matching(r *rule, x field) []value {
	sel, f := &r.Selector, s.flow
	switch x {
	case fieldMark:
		return numbers(uint64(f.Mark&^sel.Mark.Mask | sel.Mark.Value&sel.Mark.Mask))
	case fieldFrom:
		return s.inside(r.from)
	case fieldOIF:
		return s.links(r.oif)
	case fieldUID:
		return numbers(uint64(r.uids.First), uint64(r.uids.Last))
	case fieldTOS:
		return numbers(uint64(s.tos(r)))
	case fieldIPProto:
		return numbers(uint64(sel.IPProto))
	case fieldDPort:
		return portsIn(sel.DPort, f.DPort)
	case fieldSPort:
		return portsIn(sel.SPort, f.SPort)
	case fieldIIF:
		return s.links(r.iif)
	case fieldLabel:
		return numbers(uint64(f.FlowLabel&^sel.FlowLabel.Mask | sel.FlowLabel.Value&sel.FlowLabel.Mask))
	}
	return numbers(sel.TunID)
}

// differing are values by which a selector is false, next to its borders. That
// of a flow that says nothing, which is tried anyway, is not among them.
func (s *search) differing(r *rule, x field) []value {
	sel := &r.Selector
	switch x {
	case fieldMark:
		return flipped(s.matching(r, x), uint64(sel.Mark.Mask))
	case fieldFrom:
		return s.outside(r.from)
	case fieldUID:
		return around(uint64(r.uids.First), uint64(r.uids.Last), 1<<32-2)
	case fieldTOS:
		if !r.hasDSCP {
			return flipped(s.matching(r, x), legacyTOS)
		}
		return flipped(s.matching(r, x), uint64(r.dscp.Mask)<<2)
	case fieldIPProto:
		other := []value{{number: uint64(rpdb.TCP)}, {number: uint64(rpdb.UDP)}}
		return slices.DeleteFunc(other, func(v value) bool { return v.number == uint64(sel.IPProto) })
	case fieldDPort:
		return portsOut(sel.DPort, s.matching(r, x))
	case fieldSPort:
		return portsOut(sel.SPort, s.matching(r, x))
	case fieldLabel:
		return flipped(s.matching(r, x), uint64(sel.FlowLabel.Mask))
	case fieldTun:
		return numbers(sel.TunID + 1)
	}
	return nil // interfaces are all tried
}

func numbers(n ...uint64) []value {
	list := make([]value, len(n))
	for i := range n {
		list[i].number = n[i]
	}
	return list
}

// flipped changes the lowest and the highest bit that a mask looks at.
func flipped(values []value, mask uint64) []value {
	if mask == 0 || len(values) == 0 {
		return nil
	}
	high := mask
	for high&(high-1) != 0 {
		high &= high - 1
	}
	n := values[0].number
	return numbers(n^mask&-mask, n^high)
}

// around returns the numbers next to a range, up to a greatest one.
func around(first, last, greatest uint64) (list []value) {
	if last < greatest {
		list = numbers(last + 1)
	}
	if first > 0 {
		list = append(list, value{number: first - 1})
	}
	return list
}

func portsIn(p rpdb.Ports, present uint16) []value {
	if p.Mask != 0 {
		return numbers(uint64(present&^p.Mask | p.First&p.Mask))
	}
	return numbers(uint64(p.First), uint64(p.Last))
}

func portsOut(p rpdb.Ports, matching []value) []value {
	if p.Mask != 0 {
		return flipped(matching, uint64(p.Mask))
	}
	return around(uint64(p.First), uint64(p.Last), 1<<16-1)
}

// tos returns a DS field by which tos and dscp of a rule are true, if they can
// be both.
func (s *search) tos(r *rule) uint8 {
	ds := s.flow.TOS
	if r.hasDSCP {
		ds = ds&^(r.dscp.Mask<<2) | (r.dscp.Value&r.dscp.Mask)<<2
	}
	switch {
	case r.Selector.TOS == 0:
	case r.v6:
		ds = ds&3 | r.Selector.TOS&^3
	default:
		ds = ds&^legacyTOS | r.Selector.TOS
	}
	return ds
}

// links are the interfaces that an iif or oif selector matches.
func (s *search) links(m ifmatch) (list []value) {
	for _, l := range s.f.links {
		if m.set && m.matches(l.Index, l.vrfIndex()) && l.Index != loopback {
			list = append(list, value{link: l.Name})
		}
	}
	return list
}

// inside are sources in a prefix: an address of the host for its own packets,
// and for others one that a host may have.
func (s *search) inside(p netip.Prefix) (list []value) {
	if !p.IsValid() {
		return nil
	}
	first, end := p.Addr(), lastAddr(p)
	if s.flow.IsInput() {
		if !p.IsSingleIP() {
			// The first host is often the router itself.
			list = append(list, value{addr: first.Next()}, value{addr: first.Next().Next()})
		}
		return append(list, value{addr: first}, value{addr: end})
	}
	if i, _ := slices.BinarySearchFunc(s.own.sorted, first, netip.Addr.Compare); i < len(s.own.sorted) && p.Contains(s.own.sorted[i]) {
		list = append(list, value{addr: s.own.sorted[i]})
	}
	for _, a := range []netip.Addr{first, end} {
		if s.f.isLocal(a) {
			list = append(list, value{addr: a})
		}
	}
	return list
}

// outside are sources next to a prefix, and for packets of the host one of its
// addresses.
func (s *search) outside(p netip.Prefix) (list []value) {
	if !p.IsValid() {
		return nil
	}
	if !s.flow.IsInput() {
		if i := slices.IndexFunc(s.own.list, func(a netip.Addr) bool { return !p.Contains(a) }); i >= 0 {
			list = append(list, value{addr: s.own.list[i]})
		}
	}
	for _, a := range []netip.Addr{lastAddr(p).Next(), p.Addr().Prev()} {
		if a.IsValid() && !a.IsUnspecified() && (s.flow.IsInput() || s.f.isLocal(a)) {
			list = append(list, value{addr: a})
		}
	}
	return list
}

// lastAddr returns the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// ownAddresses are the addresses that packets of the host may carry. Of
// packets that come in, those of the interface that they come in by.
type ownAddresses struct {
	list   []netip.Addr // those of the wished interface first
	sorted []netip.Addr
}

func (f *FIB) ownAddresses(flow rpdb.Flow, first rpdb.LinkName) (own ownAddresses) {
	var rest []netip.Addr
	add := func(l *link, a netip.Addr) {
		switch {
		case flow.IsInput() && l.Name != flow.IIF:
		case l.Name == first:
			own.list = append(own.list, a)
		default:
			rest = append(rest, a)
		}
	}
	for _, l := range f.links {
		for i := range l.addrs4 {
			if flow.Dst.Is4() {
				add(l, l.addrs4[i].Prefix.Addr())
			}
		}
	}
	for i := range f.addrs6 {
		if flow.Dst.Is6() {
			add(f.addrs6[i].link, f.addrs6[i].addr)
		}
	}
	own.list = append(own.list, rest...)
	own.sorted = slices.SortedFunc(slices.Values(own.list), netip.Addr.Compare)
	return own
}

// isLocal reports whether an address is one of the host, as table local or its
// interfaces have it.
func (f *FIB) isLocal(a netip.Addr) bool {
	if a.Is4() {
		return f.isLocal4(a)
	}
	for i := range f.addrs6 {
		if f.addrs6[i].addr == a {
			return true
		}
	}
	t := f.v6.tables[rpdb.TableLocal]
	if t == nil {
		return false
	}
	var res result
	t.find6(f, &key{dst: a, src: netip.IPv6Unspecified()}, &res, nil)
	return res.outcome == hit && isLocal6(res.route.typ)
}
