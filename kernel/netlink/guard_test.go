package netlink

import (
	"errors"
	"syscall"
	"testing"
)

// tunnel writes a lightweight tunnel of a type under the numbers that routes,
// or nexthop objects, have for it.
func tunnel(e *Encoder, typeOf, encapOf, typ, attr uint16) {
	e.Nest(encapOf|Nested, func() {
		e.NetUint64(1, 99)
		e.Nest(attr|Nested, func() { e.Bytes(1|Nested, make([]byte, 12)) })
	})
	e.Uint16(typeOf, typ)
}

func TestTunnelOptionsAreNotSent(t *testing.T) {
	inRoute := func(typ, attr uint16) func(*Encoder) {
		return func(e *Encoder) { tunnel(e, 21, 22, typ, attr) }
	}
	member := func(write func(*Encoder)) func(*Encoder) {
		return func(e *Encoder) {
			e.Nest(9, func() {
				e.Record(make([]byte, 8), func() {})
				e.Record(make([]byte, 8), func() { write(e) })
			})
		}
	}
	for _, c := range []struct {
		name  string
		typ   uint16
		head  int
		write func(*Encoder)
		bad   bool
	}{
		{"IPv4 tunnel", 24, 12, inRoute(2, 8), true},
		{"IPv6 tunnel", 24, 12, inRoute(4, 8), true},
		{"deletion", 25, 12, inRoute(2, 8), true},
		{"question", 26, 12, inRoute(2, 8), true},
		{"member", 24, 12, member(inRoute(4, 8)), true},
		{"type before the tunnel", 24, 12, func(e *Encoder) { e.Uint16(21, 2); inRoute(1, 8)(e) }, true},
		{"second of two tunnels", 24, 12, func(e *Encoder) { inRoute(2, 5)(e); inRoute(2, 8)(e) }, true},
		{"nexthop object", 104, 8, func(e *Encoder) { tunnel(e, 7, 8, 2, 8) }, true},
		{"no options", 24, 12, inRoute(2, 5), false},
		{"program of seg6local", 24, 12, inRoute(7, 8), false},
		{"member without options", 24, 12, member(inRoute(4, 6)), false},
		{"nexthop object without", 104, 8, func(e *Encoder) { tunnel(e, 7, 8, 2, 4) }, false},
		{"a rule", 32, 12, inRoute(2, 8), false},
		{"no tunnel", 24, 12, func(e *Encoder) { e.Uint32(8, 8) }, false},
	} {
		e := NewEncoder(nil, c.typ, 0, make([]byte, c.head))
		c.write(e)
		err := Guard(c.typ, e.Payload())
		if (err != nil) != c.bad || c.bad && !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Errorf("%s: got %v, want an error: %v", c.name, err, c.bad)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 7), append(make([]byte, 12), 255, 255, 22, 0, 1)} {
		if err := Guard(24, b); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	}
}

// The guard costs nothing that a dump or a load of many routes would feel.
func TestGuardAllocatesNothing(t *testing.T) {
	e := NewEncoder(nil, 24, 0, make([]byte, 12))
	tunnel(e, 21, 22, 2, 5)
	if n := testing.AllocsPerRun(100, func() { _ = Guard(24, e.Payload()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
