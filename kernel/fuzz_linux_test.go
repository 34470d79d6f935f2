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

func FuzzDecodeRoute(f *testing.F) {
	for _, r := range routeShapes(2, 3) {
		f.Add(encodeRoute(unix.RTM_NEWROUTE, 0, r).Payload())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRoute(b)
		if err != nil {
			return
		}
		if len(r.Nexthops) > len(b)/sizeofRtNexthop+1 {
			t.Errorf("%d nexthops in %d bytes", len(r.Nexthops), len(b))
		}
		_, _ = encodeRoute(unix.RTM_NEWROUTE, 0, r).Message()
		_ = mergeSiblings([]rpdb.Route{r, r})
		_ = sameRoute(r, r)
	})
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
