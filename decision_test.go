package rpdb_test

import (
	"testing"

	"rpdb"
)

// TestAgrees holds what the engine may say beside the kernel's answer.
func TestAgrees(t *testing.T) {
	eth0, eth1 := rpdb.Hop{Link: "eth0", Via: addr("192.0.2.1")}, rpdb.Hop{Link: "eth1", Via: addr("198.51.100.1")}
	sent := rpdb.Decision{Disposition: rpdb.Sent, Table: 1001, Type: rpdb.RouteUnicast, Hop: eth1, Src: addr("198.51.100.10")}
	with := func(change func(*rpdb.Decision)) rpdb.Decision {
		d := sent
		change(&d)
		return d
	}
	refused := rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.ENETUNREACH}
	martian := rpdb.Decision{Disposition: rpdb.Martian, Errno: rpdb.EINVAL}
	either := with(func(d *rpdb.Decision) { d.Either = []rpdb.Hop{eth0, eth1} })
	for _, c := range []struct {
		name           string
		engine, kernel rpdb.Decision
		want           bool
	}{
		{"the same", sent, sent, true},
		{"unknown beforehand", rpdb.Decision{}, sent, true},
		{"unknown to the kernel", sent, rpdb.Decision{}, true},
		{"what only the engine can tell", with(func(d *rpdb.Decision) {
			d.Prefix, d.Rule, d.Realms, d.Note = prefix("0.0.0.0/0"), rpdb.Some[rpdb.Priority](1001), 5, "note"
		}), sent, true},
		{"another gateway", sent, with(func(d *rpdb.Decision) { d.Via = addr("198.51.100.2") }), false},
		{"another interface", sent, with(func(d *rpdb.Decision) { d.Link = "eth2" }), false},
		{"another table", sent, with(func(d *rpdb.Decision) { d.Table = 254 }), false},
		{"another type", sent, with(func(d *rpdb.Decision) { d.Type = rpdb.RouteAnycast }), false},
		{"another source", sent, with(func(d *rpdb.Decision) { d.Src = addr("198.51.100.11") }), false},
		{"source not told", sent, with(func(d *rpdb.Decision) { d.Src = rpdb.Flow{}.Src }), true},
		{"delivered here instead", sent, with(func(d *rpdb.Decision) { d.Disposition = rpdb.Local }), false},
		{"one of several", either, with(func(d *rpdb.Decision) { d.Hop = eth0 }), true},
		{"none of several", either, with(func(d *rpdb.Decision) { d.Link = "eth2" }), false},
		{"one of several, wrong table", either, with(func(d *rpdb.Decision) { d.Hop, d.Table = eth0, 254 }), false},
		{"refused alike", refused, refused, true},
		{"refused otherwise", refused, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EACCES}, false},
		{"refused, not sent", refused, sent, false},
		{"sent, not refused", sent, refused, false},
		{"a martian is refused by its error", martian, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EINVAL}, true},
		{"and by no other", martian, refused, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.engine.Agrees(c.kernel); got != c.want {
				t.Errorf("%+v agrees with %+v: %v", c.engine, c.kernel, got)
			}
		})
	}
}

func TestAgreesWithItself(t *testing.T) {
	eachRound(t, func(t *testing.T, g generator) {
		d := random[rpdb.Decision](g)
		if d.Disposition.Delivered() && len(d.Either) > 0 {
			d.Hop = d.Either[0] // as the type promises
		}
		if !d.Agrees(d) {
			t.Errorf("%+v does not agree with itself", d)
		}
	})
}

func TestDelivered(t *testing.T) {
	for d, want := range map[rpdb.Disposition]bool{
		rpdb.DispositionUnknown: false, rpdb.Sent: true, rpdb.Local: true, rpdb.Refused: false, rpdb.Martian: false,
	} {
		if got := d.Delivered(); got != want {
			t.Errorf("%v: %v", d, got)
		}
	}
}

func TestFlow(t *testing.T) {
	for _, c := range []struct {
		flow   rpdb.Flow
		family rpdb.Family
		input  bool
	}{
		{rpdb.Flow{}, 0, false},
		{rpdb.Flow{Dst: addr("192.0.2.1")}, rpdb.IPv4, false},
		{rpdb.Flow{Dst: addr("2001:db8::1"), IIF: "lo"}, rpdb.IPv6, false},
		{rpdb.Flow{Dst: addr("2001:db8::1"), IIF: "eth0"}, rpdb.IPv6, true},
		{rpdb.Flow{Dst: addr("192.0.2.1"), OIF: "eth0"}, rpdb.IPv4, false},
	} {
		if got := c.flow.Family(); got != c.family {
			t.Errorf("%+v: %v", c.flow, got)
		}
		if got := c.flow.IsInput(); got != c.input {
			t.Errorf("%+v: input %v", c.flow, got)
		}
	}
}
