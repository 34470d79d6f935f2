package kernel

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

// oddRule makes a rule of which every part may be one that no request can say.
func oddRule(random *rand.Rand) rpdb.Rule {
	odd := func(n int) bool { return random.IntN(n) == 0 }
	prefixes := []netip.Prefix{
		{},
		prefix("192.0.2.7/24"), prefix("0.0.0.0/0"), prefix("2001:db8::7/32"), prefix("::/0"),
		netip.PrefixFrom(addr("192.0.2.1"), -1), netip.PrefixFrom(addr("::ffff:192.0.2.1"), 120), prefix("192.0.2.1/32"),
	}
	names := []rpdb.LinkName{"", "eth0", "a\x00b", "x\x00", "a name that is longer than one can be", "123456789012345"}
	ports := []rpdb.Ports{{}, rpdb.Port(80), {First: 80, Last: 80}, {Last: 9}, {Mask: 0xffff}, {Mask: 7}, {First: 1, Last: 9, Mask: 3}, {First: 9, Last: 1}}
	r := rpdb.Rule{Family: rpdb.Families()[random.IntN(2)], Priority: rpdb.Priority(random.Uint32())}
	if odd(20) {
		r.Family = rpdb.Family(random.IntN(20))
	}
	r.Action = rpdb.RawAction(rpdb.ActionType(random.IntN(12)), rpdb.TableID(random.IntN(2)*random.IntN(1000)), rpdb.Priority(random.IntN(2)*900))
	r.Protocol, r.Realms = rpdb.Protocol(random.IntN(3)), rpdb.Realms(random.IntN(2)*77)
	s := &r.Selector
	s.Not, s.L3MDev, s.TOS, s.IPProto, s.TunID = odd(2), odd(2), uint8(random.IntN(9)), rpdb.IPProto(random.IntN(2)), uint64(random.IntN(2))
	s.From, s.To = prefixes[random.IntN(len(prefixes))], prefixes[random.IntN(len(prefixes))]
	s.Mark, s.FlowLabel = rpdb.Mark{Value: uint32(random.IntN(2)), Mask: uint32(random.IntN(2))}, rpdb.FlowLabel{Value: uint32(random.IntN(2)), Mask: uint32(random.IntN(2))}
	if odd(3) {
		s.IIF, s.OIF = names[random.IntN(len(names))], names[random.IntN(len(names))]
	}
	if odd(2) {
		s.SPort, s.DPort = ports[random.IntN(len(ports))], ports[random.IntN(len(ports))]
	}
	if odd(3) {
		s.DSCP, s.UIDRange = rpdb.Some(rpdb.DSCP{Value: uint8(random.IntN(300)), Mask: uint8(random.IntN(300))}), rpdb.Some(rpdb.UIDRange{First: random.Uint32(), Last: random.Uint32()})
	}
	if odd(6) {
		r.Suppress.PrefixLength, r.Suppress.IfGroup = rpdb.Some(int32(random.IntN(3)-1)), rpdb.Some(uint32(random.IntN(2))-1)
	}
	if odd(6) {
		r.Flags = rpdb.RuleFlags(random.Uint32())
	}
	if odd(9) {
		r.Unknown = []rpdb.Raw{"x", "\x08\x00\x3c\x00abcd", "\x08\x00\x06\x00abcd"}[random.IntN(3)]
	}
	return r
}

// What is taken for plain without a trial comes back from a request as it was.
func TestPlainRulesAreExpressible(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	plain, other := 0, 0
	for range 30000 {
		r := oddRule(random)
		if !isPlain(&r) {
			if expressible(&r) == nil {
				other++
			}
			continue
		}
		plain++
		e := encodeRule(unix.RTM_NEWRULE, 0, r)
		if _, err := e.Message(); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if back, err := decodeRule(e.Payload()); err != nil || back.Canonical() != r.Canonical() {
			t.Fatalf("%+v comes back as %+v, %v", r, back, err)
		}
	}
	if plain < 1000 || other < 1000 {
		t.Errorf("%d rules were plain, %d others expressible", plain, other)
	}
}

// A decoder that was used before reads as one that was not, and what was copied of
// it stays.
func TestRuleDecoderIsUsedAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var d RuleDecoder
	var kept, want []rpdb.Rule
	for range 3000 {
		r := oddRule(random)
		e := encodeRule(unix.RTM_NEWRULE, 0, r)
		if _, err := e.Message(); err != nil {
			continue
		}
		once, err := DecodeRule(e.Payload())
		again, aerr := d.Decode(e.Payload())
		if (err == nil) != (aerr == nil) {
			t.Fatalf("%+v: %v, and %v", r, err, aerr)
		}
		if err == nil {
			kept, want = append(kept, *again), append(want, once)
		}
	}
	for i := range want {
		if kept[i] != want[i] {
			t.Errorf("got %+v, want %+v", kept[i], want[i])
		}
	}
	if len(want) < 500 {
		t.Errorf("only %d rules were read", len(want))
	}
}
