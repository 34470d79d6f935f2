package kernel

import (
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

func FuzzDecodeRule(f *testing.F) {
	for _, r := range everyAttribute() {
		f.Add(encodeRule(unix.RTM_NEWRULE, 0, r).Payload())
	}
	f.Add([]byte{})
	f.Add(append([]byte{2, 33, 0}, make([]byte, 9)...))
	f.Add(append([]byte{2, 32, 0}, make([]byte, 9)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRule(b)
		if err != nil {
			return
		}
		e := encodeRule(unix.RTM_NEWRULE, 0, r)
		if _, err := e.Message(); err != nil {
			t.Fatalf("%+v cannot be encoded: %v", r, err)
		}
		again, err := decodeRule(e.Payload())
		if err != nil {
			t.Fatalf("%+v cannot be decoded again: %v", r, err)
		}
		if again.Canonical() != r.Canonical() {
			t.Errorf("decode(encode(rule)) is another rule\n got %+v\nwant %+v", again, r)
		}
	})
}

// What is read of a socket lies in the ranges that its fields have.
func FuzzDecodeSocket(f *testing.F) {
	f.Add(make([]byte, sizeofDiagMsg), uint8(rpdb.TCP))
	f.Add(append(make([]byte, sizeofDiagMsg), 8, 0, diagMark, 0, 1, 2, 3, 4, 5, 0, diagTOS, 0, 9, 0, 0, 0), uint8(protoRaw))
	f.Fuzz(func(t *testing.T, b []byte, proto uint8) {
		s, err := decodeSocket(b, rpdb.IPProto(proto))
		if err != nil {
			return
		}
		if !s.Local.IsValid() || s.Local.Addr().Is4In6() || s.IsConnected() && s.Remote.Addr().IsUnspecified() {
			t.Errorf("%x is %+v", b, s)
		}
	})
}

func FuzzDecodeRoute(f *testing.F) {
	for _, r := range routeShapes(2, 3) {
		f.Add(encodeRoute(unix.RTM_NEWROUTE, 0, r).Payload())
	}
	e := netlink.NewEncoder(nil, 0, 0, fixed([]byte{unix.AF_INET, 32, 0, 0, 254, 2, 0, 1}, routeCloned))
	e.Uint32(unix.RTA_UID, 0)
	e.Uint32s(unix.RTA_CACHEINFO, 0, 0, 0xffffffff, 0, 0, 0, 0, 0)
	f.Add(e.Payload())
	var used RouteDecoder
	f.Fuzz(func(t *testing.T, b []byte) {
		r, details, err := DecodeRoute(b)
		again, same, againErr := used.Decode(b)
		if (err == nil) != (againErr == nil) || details != same {
			t.Errorf("a decoder that is used again says %+v, %v", same, againErr)
		}
		if err != nil {
			return
		}
		if !r.Equal(again) {
			t.Errorf("a decoder that is used again says %+v, not %+v", again, r)
		}
		if len(r.Nexthops) > len(b)/sizeofRtNexthop+1 {
			t.Errorf("%d nexthops in %d bytes", len(r.Nexthops), len(b))
		}
		_, _ = encodeRoute(unix.RTM_NEWROUTE, 0, r).Message()
		_ = mergeSiblings([]rpdb.Route{r, r})
		findsItself(t, b, r)
	})
}

// findsItself checks that a saved route is found by what the kernel would list,
// and its deletion can be written.
func findsItself(t *testing.T, b []byte, r rpdb.Route) {
	var s SavedRoutes
	if err := s.Add(unix.RTM_NEWROUTE, 4, b); err != nil {
		return // a tunnel that is not to be sent
	}
	x := newSavedIndex(&s)
	found := 0
	x.each(RouteMessage{Message: Message{Payload: b}, Route: r}, func(m unitMatch) {
		if m.exact {
			found++
		}
	})
	if found < unitsOf(r) {
		t.Errorf("%d of %d units of %+v are found", found, unitsOf(r), r)
	}
	m, err := encodeDeletion(r, 0).Message()
	if err == nil {
		err = netlink.Guard(unix.RTM_DELROUTE, m[unix.SizeofNlMsghdr:])
	}
	if _, encodes := EncodeRoute(r); err != nil && encodes == nil {
		t.Errorf("the deletion of %+v: %v", r, err)
	}
}

// FuzzDecodeEvents reads every other kind of message.
func FuzzDecodeEvents(f *testing.F) {
	types := []uint16{unix.RTM_NEWRULE, unix.RTM_NEWROUTE, unix.RTM_NEWLINK, unix.RTM_NEWADDR, rtmNewNexthop, unix.RTM_NEWNEIGH}
	for i := range types {
		f.Add(uint8(i), append([]byte{2}, make([]byte, 40)...))
		f.Add(uint8(i), []byte{10, 128})
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		m := netlink.Message{Type: types[int(kind)%len(types)], Data: b}
		if ev, ok, err := decodeEvent(m); ok && (err != nil || ev.Type == 0) {
			t.Errorf("got %+v, %v", ev, err)
		}
		_, _, _ = decodeNeighbour(b)
		_ = touched(m)
	})
}
