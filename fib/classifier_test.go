package fib

import (
	"maps"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"

	"rpdb"
)

// odd makes rules and flows of few values, so that they meet, and rules that no
// kernel would take: ranges that end before they begin, masks with bits beside the
// field, prefixes of the other family.
type odd struct{ *rand.Rand }

func (g odd) once(n int) bool { return g.IntN(n) == 0 }

func of[T any](g odd, values ...T) T { return values[g.IntN(len(values))] }

func (g odd) address(v6 bool) netip.Addr {
	n := number{high: of[uint64](g, 0, 0x0a000000<<32, 0x0a000001<<32, 0xffffffff<<32, 0x20010db8<<32, 1<<63), low: of[uint64](g, 0, 1, 1<<63, ^uint64(0))}
	if !v6 {
		n.high |= uint64(g.IntN(3)) << 32
	}
	return n.address(v6)
}

func (g odd) prefix(v6 bool) netip.Prefix {
	a := g.address(v6 != g.once(30))
	return netip.PrefixFrom(a, of(g, 0, 1, 8, 24, 31, 32, a.BitLen()-1, a.BitLen()))
}

func (g odd) mask32() uint32 { return of[uint32](g, 0, 1, 3, 0xff, 0x80000001, ^uint32(0)) }

func (g odd) port() uint16 { return of[uint16](g, 0, 1, 2, 3, 4, 80, 65534, 65535) }

func (g odd) ports() rpdb.Ports {
	p := rpdb.Ports{First: g.port(), Last: g.port()}
	switch g.IntN(4) {
	case 0:
		p = rpdb.Port(p.First)
	case 1:
		p.Mask = of[uint16](g, 1, 2, 0xff00, 0xffff)
	case 2:
		p.Last = p.First
	}
	return p
}

func (g odd) selector(v6 bool) (s rpdb.Selector) {
	fields := []func(){
		func() { s.From = g.prefix(v6) },
		func() { s.To = g.prefix(v6) },
		func() { s.Mark = rpdb.Mark{Value: g.mask32(), Mask: g.mask32()} },
		func() { s.TOS = of[uint8](g, 0x04, 0x10, 0x1c, 0xb8, 0xff) },
		func() {
			s.DSCP = rpdb.Some(rpdb.DSCP{Value: of[uint8](g, 0, 1, 4, 63, 200), Mask: of[uint8](g, 0, 1, 63, 255)})
		},
		func() { s.IIF = of[rpdb.LinkName](g, "lo", "e0", "red", "gone") },
		func() { s.OIF = of[rpdb.LinkName](g, "lo", "e0", "red", "gone") },
		func() { s.L3MDev = true },
		func() { s.UIDRange = rpdb.Some(rpdb.UIDRange{First: g.mask32(), Last: g.mask32()}) },
		func() { s.IPProto = of[rpdb.IPProto](g, 1, 6, 17) },
		func() { s.SPort = g.ports() },
		func() { s.DPort = g.ports() },
		func() { s.FlowLabel = rpdb.FlowLabel{Value: g.mask32(), Mask: g.mask32()} },
		func() { s.TunID = of[uint64](g, 1, 1<<63) },
	}
	for range g.IntN(4) {
		of(g, fields...)()
	}
	s.Not = g.once(5)
	return s
}

func (g odd) rule(family rpdb.Family) rpdb.Rule {
	p := rpdb.Priority(g.IntN(12))
	if g.once(8) {
		p = ^rpdb.Priority(0) - rpdb.Priority(g.IntN(2))
	}
	r := rpdb.Rule{Family: family, Priority: p, Selector: g.selector(family == rpdb.IPv6)}
	r.Action = of(g, rpdb.Prohibit(), rpdb.Blackhole(), rpdb.Nop(), rpdb.ToTable(7), rpdb.ToTable(8), rpdb.Goto(rpdb.Priority(g.IntN(14))))
	if family == rpdb.IPv6 && g.once(8) {
		r.Flags |= rpdb.RuleFindSaddr
	}
	return r
}

func (g odd) key(v6 bool) key {
	k := key{
		dst: g.address(v6), src: g.address(v6), iif: of[rpdb.LinkIndex](g, 1, 2, 3, 4), oif: of[rpdb.LinkIndex](g, 0, 1, 2),
		mark: g.mask32(), uid: g.mask32(), label: g.mask32() & 0xfffff, tun: of[uint64](g, 0, 1, 1<<63), ds: of[uint8](g, 0, 4, 0x10, 0x1c, 0xb8, 0xff),
		proto: of[rpdb.IPProto](g, 0, 1, 6, 17), sport: g.port(), dport: g.port(),
	}
	if g.once(4) {
		k.src = k.dst
	}
	if g.once(3) && v6 {
		k.src = netip.IPv6Unspecified()
	}
	k.hasSrc = !k.src.IsUnspecified()
	k.l3mdev = of[rpdb.LinkIndex](g, 0, 0, 3)
	return k
}

// oddWorld has a VRF, an interface that belongs to it, and one table that is not
// empty.
func oddWorld() *rpdb.Snapshot {
	const up = rpdb.LinkUp | rpdb.LinkLowerUp
	s := &rpdb.Snapshot{Custom4: rpdb.CustomisedYes, Custom6: rpdb.CustomisedYes, Links: []rpdb.Link{
		{Index: 1, Name: "lo", Flags: up | rpdb.LinkLoopback},
		{Index: 2, Name: "e0", Flags: up},
		{Index: 3, Name: "red", Flags: up, Kind: "vrf", VRFTable: 9},
		{Index: 4, Name: "e1", Flags: up, Master: 3},
	}}
	for _, f := range rpdb.Families() {
		s.Routes = append(s.Routes, rpdb.Route{Family: f, Table: 7, Type: rpdb.RouteBlackhole, Dst: netip.PrefixFrom(f.Unspecified(), f.Bits())})
	}
	return s
}

// version is a FIB and the rules that it is to have, in order.
type version struct {
	f     *FIB
	rules []rpdb.Rule
}

func (v version) with(r rpdb.Rule) version {
	at := slices.IndexFunc(v.rules, func(have rpdb.Rule) bool { return have.Priority > r.Priority })
	if at < 0 {
		at = len(v.rules)
	}
	return version{v.f.WithRule(r), slices.Insert(slices.Clone(v.rules), at, r)}
}

func (v version) without(t *testing.T, r rpdb.Rule) version {
	f, ok := v.f.WithoutRule(r)
	if !ok {
		t.Fatalf("no %+v to take away", r)
	}
	at := slices.IndexFunc(v.rules, func(have rpdb.Rule) bool { return have.Canonical() == r.Canonical() })
	return version{f, slices.Delete(slices.Clone(v.rules), at, at+1)}
}

// check walks past the rules as the engine does and one by one.
func (v version) check(t *testing.T, g odd, family rpdb.Family, fitting map[bool]int) {
	t.Helper()
	rs := v.f.ruleset(family)
	list := rs.rules.flat()
	if len(list) != len(v.rules) {
		t.Fatalf("%d rules, want %d", len(list), len(v.rules))
	}
	for range 3 {
		k := g.key(rs.v6)
		a := asking{rs: rs, image: newImage(&k), fits: !rs.v6 || k.hasSrc}
		for i, r := range list {
			if r.Canonical() != v.rules[i].Canonical() {
				t.Fatalf("rule %d is %+v, want %+v", i, r.Rule, v.rules[i])
			}
			fits := r.mismatch(&k) == ""
			if !fits || r.idle {
				continue
			}
			fitting[r.fit.all]++
			if found := a.next(&k); found != r {
				t.Fatalf("%+v\nfound %+v\nwant  %+v\namong %d", k, found, r.Rule, len(list))
			}
			if to, ok := rs.follows(r); ok && to != v.jump(r) {
				t.Fatalf("%+v leads to %+v, want %+v", r.Rule, to, v.jump(r))
			} else if want := v.jump(r); !ok && want != (jump{}) {
				t.Fatalf("%+v leads nowhere, want %+v", r.Rule, want)
			}
		}
		if found := a.next(&k); found != nil {
			t.Fatalf("%+v\nfound %+v behind the last", k, found.Rule)
		}
	}
}

// jump follows a goto one rule after the other.
func (v version) jump(r *rule) (to jump) {
	list := v.f.ruleset(r.Family).rules.flat()
	for r.Action.Type() == rpdb.ActionGoto {
		i := slices.IndexFunc(list, func(o *rule) bool { return o.Priority == r.Action.Target() })
		if i < 0 || list[i].at <= r.at {
			break
		}
		if to.end = list[i].at; to.first == 0 {
			to.first = to.end
		}
		if r = list[i]; !r.fitsAll() {
			break
		}
	}
	return to
}

// The rules that fit a flow are found in order, whatever they look at, while rules
// come and go, and in the versions before.
func TestClassifierAgainstList(t *testing.T) {
	t.Parallel()
	fitting := map[bool]int{}
	for seed := range uint64(24) {
		g := odd{rand.New(rand.NewPCG(seed, 3))}
		family := rpdb.Families()[seed%2]
		old := []version{{f: Compile(oddWorld())}}
		for range 120 {
			v := old[len(old)-1]
			if g.once(8) {
				v = old[g.IntN(len(old))] // two versions from one
			}
			if grows := len(v.rules) < 8 || seed%4 < 2; len(v.rules) > 0 && g.once(of(g, 2, 5)) && (!grows || g.once(2)) {
				v = v.without(t, v.rules[g.IntN(len(v.rules))])
			} else if r := g.rule(family); len(v.rules) > 0 && g.once(3) { // of a kind that is there
				like := v.rules[g.IntN(len(v.rules))]
				like.Priority, like.Action = r.Priority, r.Action
				v = v.with(like)
			} else {
				v = v.with(r)
			}
			v.check(t, g, family, fitting)
			old = append(old, v)
		}
		for _, v := range old {
			v.check(t, g, family, fitting)
			s := oddWorld()
			s.Rules = v.rules
			version{Compile(s), v.rules}.check(t, g, family, fitting)
		}
	}
	if fitting[true] < 10_000 || fitting[false] < 10_000 {
		t.Errorf("rules that fit say little: %v by their few words, or not", fitting)
	}
}

// However many rules came and went, what is left is not larger for it, and finds what
// it has.
func TestRulesComeAndGoForEver(t *testing.T) {
	t.Parallel()
	const ever, window = 4000, 40
	rule := func(i int) rpdb.Rule {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(1 + i), Action: rpdb.Goto(rpdb.Priority(2*ever + i))}
		r.Selector.Mark = rpdb.Mark{Value: uint32(i), Mask: ^uint32(0)}
		switch i % 4 {
		case 0, 2: // five of a kind, which nobody has again
			r.Selector = rpdb.Selector{Not: true, Mark: rpdb.Mark{Value: uint32(i / 10), Mask: ^uint32(0)}}
		case 3: // several places in one table
			r.Selector = rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{First: uint32(i), Last: uint32(i + 12)})}
		}
		return r
	}
	f := Compile(oddWorld())
	for i := range ever {
		f = f.WithRule(rule(i))
		if i >= window {
			f, _ = f.WithoutRule(rule(i - window))
		}
	}
	rs := &f.v4
	if rs.rules.n != window || rs.found.kinds.n > window || rs.targets.n != window {
		t.Errorf("of %d rules there are %d, %d kinds and %d targets", window, rs.rules.n, rs.found.kinds.n, rs.targets.n)
	}
	for _, s := range rs.found.shapes {
		set := 0
		for _, word := range s.filter {
			set += bits.OnesCount64(word)
		}
		if s.gone > s.n+perSegment || set > s.n+s.gone || len(s.filter) > window {
			t.Errorf("of %d rules and %d that are gone, %d of %d filter words are set", s.n, s.gone, set, len(s.filter))
		}
	}
	for i := ever - window; i < ever; i++ {
		k := key{dst: netip.IPv4Unspecified(), src: netip.IPv4Unspecified(), mark: uint32(i), uid: uint32(i + i%7)}
		a := asking{rs: rs, image: newImage(&k), fits: true}
		for r := range rs.rules.from(0) {
			if r.mismatch(&k) != "" {
				continue
			}
			if found := a.next(&k); found != r {
				t.Fatalf("mark %d: found %+v, want %+v", i, found, r.Rule)
			}
		}
	}
}

// A rule more or less copies a part of what is known of the others, whatever their
// number.
func TestVersionsShareWhatIsKnown(t *testing.T) {
	s := oddWorld()
	rule := func(i int) rpdb.Rule {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(1 + i), Action: rpdb.Goto(rpdb.Priority(20_000 + i))}
		r.Selector = rpdb.Selector{Not: true, From: netip.PrefixFrom(number{high: uint64(i) << 32}.address(false), 32)}
		return r
	}
	for i := range 5000 {
		s.Rules = append(s.Rules, rule(i))
	}
	f := Compile(s)
	for i := range 20 {
		g := f.WithRule(rule(5000 + i))
		h, _ := g.WithoutRule(rule(i))
		for _, v := range [][2]*FIB{{f, g}, {g, h}} {
			if n := changed(&v[0].v4.found.kinds, &v[1].v4.found.kinds); n != 1 {
				t.Errorf("%d parts of the kinds are not shared", n)
			}
			if n := changed(&v[0].v4.targets, &v[1].v4.targets); n != 1 {
				t.Errorf("%d parts of the targets are not shared", n)
			}
		}
		f = h
	}
}

// changed counts the parts that two versions do not share.
func changed[K sharded, V any](a, b *shards[K, V]) (n int) {
	for i := range a.parts {
		if reflect.ValueOf(a.parts[i]).Pointer() != reflect.ValueOf(b.parts[i]).Pointer() {
			n++
		}
	}
	return n
}

// Versions of a map have what was put into them, and nothing of each other.
func TestShardsAgainstMaps(t *testing.T) {
	t.Parallel()
	type version struct {
		shards shards[order, int]
		plain  map[order]int
	}
	g := rand.New(rand.NewPCG(1, 4))
	old := []version{{shards[order, int]{}, map[order]int{}}}
	for i := range 600 {
		v := old[len(old)-1-g.IntN(min(len(old), 3))]
		k := orderOf(rpdb.Priority(g.IntN(400)))
		v.plain = maps.Clone(v.plain)
		if g.IntN(4) == 0 {
			v.shards = v.shards.without(k)
			delete(v.plain, k)
		} else {
			v.shards = v.shards.with(k, i)
			v.plain[k] = i
		}
		old = append(old, v)
	}
	for _, v := range append(old, version{newShards(maps.Clone(old[600].plain)), old[600].plain}) {
		if v.shards.n != len(v.plain) {
			t.Fatalf("%d keys, want %d", v.shards.n, len(v.plain))
		}
		for p := range rpdb.Priority(400) {
			got, ok := v.shards.get(orderOf(p))
			if want, has := v.plain[orderOf(p)]; got != want || ok != has {
				t.Fatalf("%d: %d, %v, want %d, %v", p, got, ok, want, has)
			}
		}
	}
	if n := len(old[600].shards.parts); n < 4 {
		t.Errorf("all in %d parts", n)
	}
}

// Whoever reads a version is not disturbed by those who make others of it: for the
// race detector (make race).
func TestVersionsAreReadWhileOthersAreMade(t *testing.T) {
	t.Parallel()
	s := oddWorld()
	for _, family := range rpdb.Families() {
		g := odd{rand.New(rand.NewPCG(uint64(family), 5))}
		for range 60 {
			s.Rules = append(s.Rules, g.rule(family))
		}
	}
	slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
	pristine := *s
	pristine.Rules = append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)
	pristine.Custom4, pristine.Custom6 = rpdb.CustomisedNo, rpdb.CustomisedNo
	for _, from := range []*FIB{Compile(s), Compile(&pristine)} {
		var wg sync.WaitGroup
		for worker := range uint64(4) {
			wg.Go(func() {
				g := odd{rand.New(rand.NewPCG(worker, 6))}
				f := from
				for range 60 {
					family := of(g, rpdb.IPv4, rpdb.IPv6)
					if list := f.ruleset(family).rules.flat(); g.once(2) && len(list) > 0 {
						f, _ = f.WithoutRule(list[g.IntN(len(list))].Rule)
					} else {
						f = f.WithRule(g.rule(family))
					}
					for _, v := range []*FIB{from, f} {
						flow := rpdb.Flow{Dst: g.address(family == rpdb.IPv6), Mark: g.mask32(), DPort: g.port(), IIF: of[rpdb.LinkName](g, "", "e0", "e1")}
						if trace := v.Trace(flow); !reflect.DeepEqual(trace.Decision, v.Lookup(flow)) {
							t.Errorf("%+v: two answers", flow)
						}
					}
				}
			})
		}
		wg.Wait()
	}
}

// A flow that goes on past rules of very many shapes asks each rule twice at most, and
// still comes to those that fit, in order.
func TestManyShapesAreNoMoreWorkThanTheRules(t *testing.T) {
	g := odd{rand.New(rand.NewPCG(1, 7))}
	const shapes = 300
	s := oddWorld()
	for i := range 16 * shapes {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(1 + i/2), Action: of(g, rpdb.ToTable(7), rpdb.ToTable(8), rpdb.Nop(), rpdb.Goto(rpdb.Priority(1+i)))}
		if r.Selector.Mark = (rpdb.Mark{Value: of[uint32](g, 0, 0, 0, 1), Mask: uint32(1 + i%shapes)}); i%2 == 0 {
			r.Selector = rpdb.Selector{Not: true, Mark: rpdb.Mark{Value: 1, Mask: uint32(1 + i%shapes)}}
		}
		s.Rules = append(s.Rules, r)
	}
	f := Compile(s)
	rs := &f.v4
	flow := rpdb.Flow{Dst: number{high: 1 << 62}.address(false)}
	if n := testing.AllocsPerRun(1, func() { f.Lookup(flow) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	k := key{dst: flow.Dst, src: netip.IPv4Unspecified()}
	a := asking{rs: rs, image: newImage(&k), fits: true}
	fitting := 0
	for r := range rs.rules.from(0) {
		if r.idle || r.mismatch(&k) != "" {
			continue
		}
		if found := a.next(&k); found != r {
			t.Fatalf("found %+v, want %+v", found, r.Rule)
		}
		fitting++
	}
	if found := a.next(&k); found != nil {
		t.Errorf("found %+v behind the last", found.Rule)
	}
	most := patience + 2*rs.rules.n
	if n := len(rs.found.shapes); n < shapes*9/10 || fitting < 500 || a.spent <= most || a.spent > most+n {
		t.Errorf("%d rules of %d shapes fit, and %d shapes were asked for them", fitting, n, a.spent)
	}
}
