package ipsave_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/format/ipsave"
	"rpdb/kernel"
)

// Rules that are saved and restored are the same rules, with the codec that
// whoever restores joins to the frames.
func TestRules(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 1))
	var rules []rpdb.Rule
	for range 500 {
		rules = append(rules, randomRule(g))
	}
	var b bytes.Buffer
	w := ipsave.NewWriter(&b, ipsave.Rules)
	for _, r := range rules {
		payload, err := kernel.EncodeRule(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(ipsave.Message{Type: 32, Flags: 2, Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	r := ipsave.NewReader(&b, ipsave.Rules)
	for i := 0; r.Next(); i++ {
		got, err := kernel.DecodeRule(r.Message().Payload)
		if err != nil || got != rules[i] {
			t.Fatalf("rule %d at %d: %+v, %v\nwant %+v", i, r.Message().Offset, got, err, rules[i])
		}
		rules[i] = rpdb.Rule{}
	}
	if err := r.Err(); err != nil || rules[len(rules)-1] != (rpdb.Rule{}) {
		t.Errorf("the stream ends early: %v", err)
	}
}

// What is typed is sent, and what is sent means what was typed: the requests
// of package iproute2 through the kernel's codec.
func TestRequestsAreRules(t *testing.T) {
	g := rand.New(rand.NewPCG(4, 4))
	for range 2000 {
		want := randomRule(g)
		want.Flags, want.Unknown = 0, ""
		words, err := iproute2.Split(iproute2.RuleCommand(rpdb.Add, want, rpdb.Names{}))
		if err != nil {
			t.Fatal(err)
		}
		q, err := iproute2.RuleContext{Family: want.Family}.ParseAdd(words[4:])
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		got, err := kernel.DecodeRule(q.Payload())
		if err != nil || got.Canonical() != want.Canonical() {
			t.Fatalf("%q: %+v, %v\nwant %+v", words, got, err, want)
		}
	}
}

func randomRule(g *rand.Rand) rpdb.Rule {
	some := func() bool { return g.IntN(3) == 0 }
	f := rpdb.Families()[g.IntN(2)]
	prefix := netip.MustParsePrefix(fmt.Sprintf("198.51.%d.%d/%d", g.IntN(256), g.IntN(256), 1+g.IntN(32)))
	if f == rpdb.IPv6 {
		prefix = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::%x/%d", g.IntN(65536), g.IntN(65536), 1+g.IntN(128)))
	}
	r := rpdb.Rule{Family: f, Priority: rpdb.Priority(g.Uint32()), Protocol: rpdb.Protocol(g.IntN(256))}
	s := &r.Selector
	s.Not = some()
	if some() {
		s.From = prefix
	}
	if some() {
		s.To = prefix
	}
	if some() {
		s.TOS = uint8(g.IntN(256))
		s.IIF, s.OIF = "lo", "a\xffb"
	}
	if some() {
		s.Mark = rpdb.Mark{Value: g.Uint32(), Mask: g.Uint32()}
		s.UIDRange = rpdb.Some(rpdb.UIDRange{First: g.Uint32(), Last: g.Uint32()})
	}
	if some() {
		s.IPProto, s.TunID = rpdb.IPProto(1+g.IntN(255)), g.Uint64()
		s.SPort = rpdb.PortRange(1, uint16(2+g.IntN(60000)))
		s.DPort = rpdb.Ports{First: 8, Last: 8, Mask: uint16(1 + g.IntN(65534))}
	}
	if some() {
		s.DSCP = rpdb.Some(rpdb.DSCP{Value: uint8(g.IntN(64)), Mask: uint8(g.IntN(64))})
		s.FlowLabel = rpdb.FlowLabel{Value: g.Uint32N(1 << 20), Mask: 1 + g.Uint32N(1<<20-1)}
	}
	switch g.IntN(3) {
	case 0:
		r.Action = rpdb.Goto(rpdb.Priority(1 + g.Uint32N(1<<31)))
	case 1:
		r.Action = rpdb.RawAction(rpdb.ActionType(g.IntN(2)*6), rpdb.TableID(g.Uint32()), 0)
	default:
		r.Action = rpdb.ToTable(rpdb.TableID(1 + g.Uint32N(1000)))
		r.Suppress.PrefixLength = rpdb.Some(g.Int32N(129))
		r.Suppress.IfGroup = rpdb.Some(g.Uint32N(1 << 31))
		r.Realms = rpdb.Realms(g.Uint32())
	}
	if some() {
		r.Flags, r.Unknown = rpdb.RulePermanent, "\x05\x00\x63\x00a\x00\x00\x00"
	}
	return r
}

// A stream that ip 6.1 saved from Linux 6.18, on a little-endian machine.
func TestStreamOfIP(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the stream is of a machine with the other byte order")
	}
	data, err := os.ReadFile("testdata/little-endian.rules")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	r := ipsave.NewReader(bytes.NewReader(data), ipsave.Rules)
	var again bytes.Buffer
	w := ipsave.NewWriter(&again, ipsave.Rules)
	for r.Next() {
		rule, err := kernel.DecodeRule(r.Message().Payload)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(iproute2.Rule(rule, rpdb.Names{}) + "\n")
		if err := w.Write(r.Message()); err != nil {
			t.Fatal(err)
		}
	}
	want := "0:\tfrom all lookup local\n" +
		"100:\tnot from 192.0.2.0/24 to 198.51.100.2 fwmark 0x1/0x2 iif lo oif eth9 [detached] uidrange 0-0 ipproto tcp sport 3-4 dport 5 tun_id 5 " +
		"lookup 300 suppress_prefixlength 1 suppress_ifgroup 7 realms 1/2 proto 82\n" +
		"101:\tfrom all tos 0x10 goto 200 [unresolved]\n102:\tfrom all blackhole\n1000:\tfrom all lookup [l3mdev-table]\n" +
		"32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n"
	if err := r.Err(); err != nil || got.String() != want {
		t.Errorf("%v\n got %s\nwant %s", err, got.String(), want)
	}
	if !bytes.Equal(again.Bytes(), data) {
		t.Error("written back it is not the same stream")
	}
}
