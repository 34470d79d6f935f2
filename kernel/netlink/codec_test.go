package netlink

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	twin "github.com/mdlayher/netlink"
)

// everyKind writes one attribute of every kind.
func everyKind(e *Encoder) {
	e.Uint8(1, 200)
	e.Uint16(2, 50000)
	e.Uint32(3, 4000000000)
	e.NetUint32(4, 0xabcde)
	e.NetUint64(5, 1<<63+1)
	e.String(6, "eth0")
	e.Bytes(7, []byte{1, 2, 3})
	e.Uint16s(8, 1, 65534)
	e.Uint32s(9, 0, 4294967294)
	e.Addr(10, netip.MustParseAddr("192.0.2.1"))
	e.Addr(11, netip.MustParseAddr("2001:db8::1"))
	e.NetUint16(12, 443)
	e.Bytes(13, nil)
	e.Nest(14|Nested, func() {
		e.Uint8(1, 7)
		e.Nest(2, func() { e.String(1, "inner") })
	})
}

func TestRoundTripOfEveryKind(t *testing.T) {
	e := NewEncoder(nil, 24, Create, make([]byte, 12))
	everyKind(e)
	b, err := e.Message()
	if err != nil {
		t.Fatal(err)
	}
	ms := ParseMessages(b)
	if !ms.Next() {
		t.Fatal(ms.Err())
	}
	m := ms.Message()
	if m.Type != 24 || m.Flags != Create || ms.Next() || ms.Err() != nil {
		t.Errorf("got %+v, %v", m, ms.Err())
	}
	d := NewDecoder(m.Data[12:])
	checks := map[uint16]func() bool{
		1:  func() bool { return d.Uint8() == 200 },
		2:  func() bool { return d.Uint16() == 50000 },
		3:  func() bool { return d.Uint32() == 4000000000 },
		4:  func() bool { return d.NetUint32() == 0xabcde },
		5:  func() bool { return d.NetUint64() == 1<<63+1 },
		6:  func() bool { return d.String() == "eth0" },
		7:  func() bool { return bytes.Equal(d.Data(), []byte{1, 2, 3}) && len(d.Raw(nil)) == 8 },
		8:  func() bool { a, b := d.Uint16Pair(); return a == 1 && b == 65534 },
		9:  func() bool { a, b := d.Uint32Pair(); return a == 0 && b == 4294967294 },
		10: func() bool { return d.AddrOf(32) == netip.MustParseAddr("192.0.2.1") },
		11: func() bool { return d.Addr() == netip.MustParseAddr("2001:db8::1") },
		12: func() bool { return bytes.Equal(d.Data(), []byte{1, 0xbb}) },
		13: func() bool { return len(d.Data()) == 0 },
		14: func() bool {
			n := d.Nest()
			ok := n.Next() && n.Uint8() == 7 && n.Next()
			inner := n.Nest()
			ok = ok && inner.Next() && inner.String() == "inner" && !inner.Next()
			n.Join(&inner)
			d.Join(&n)
			return ok
		},
	}
	seen := 0
	for d.Next() {
		seen++
		if check := checks[d.Type()]; check == nil || !check() {
			t.Errorf("attribute %d does not read back", d.Type())
		}
	}
	if d.Err() != nil || seen != len(checks) {
		t.Errorf("%d attributes, %v", seen, d.Err())
	}
}

// The other library's encoder and decoder are the twins of ours.
func TestTwinCodec(t *testing.T) {
	ours := NewEncoder(nil, 0, 0, nil)
	everyKind(ours)
	theirs := twin.NewAttributeEncoder()
	theirs.Uint8(1, 200)
	theirs.Uint16(2, 50000)
	theirs.Uint32(3, 4000000000)
	theirs.Bytes(4, binary.BigEndian.AppendUint32(nil, 0xabcde))
	theirs.Bytes(5, binary.BigEndian.AppendUint64(nil, 1<<63+1))
	theirs.String(6, "eth0")
	theirs.Bytes(7, []byte{1, 2, 3})
	theirs.Bytes(8, binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, 1), 65534))
	theirs.Bytes(9, binary.NativeEndian.AppendUint32(make([]byte, 4), 4294967294))
	theirs.Bytes(10, []byte{192, 0, 2, 1})
	theirs.Bytes(11, netip.MustParseAddr("2001:db8::1").AsSlice())
	theirs.Bytes(12, []byte{1, 0xbb})
	theirs.Bytes(13, nil)
	theirs.Nested(14, func(n *twin.AttributeEncoder) error {
		n.Uint8(1, 7)
		// The twin flags every nested attribute; ours does where it is told to.
		n.Bytes(2, append([]byte{10, 0, 1, 0}, "inner\x00\x00\x00"...))
		return nil
	})
	want, err := theirs.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours.Payload(), want) {
		t.Fatalf("the encoders differ\nours   %x\ntheirs %x", ours.Payload(), want)
	}
	agree(t, want)
}

// agree checks that both decoders see the same attributes in b.
func agree(t *testing.T, b []byte) {
	t.Helper()
	d := NewDecoder(b)
	their, err := twin.NewAttributeDecoder(b)
	if err != nil {
		for d.Next() {
		}
		if d.Err() == nil {
			t.Errorf("%x: theirs says %v, ours nothing", b, err)
		}
		return
	}
	for their.Next() {
		more := d.Next()
		if err := d.Err(); err != nil && strings.Contains(err.Error(), "length 0 of") {
			return // an attribute shorter than its header, which only the twin takes
		}
		if !more || d.Type() != their.Type() || !bytes.Equal(d.Data(), their.Bytes()) {
			t.Fatalf("%x: theirs has attribute %d %x, ours %d %x, %v", b, their.Type(), their.Bytes(), d.Type(), d.Data(), d.Err())
		}
	}
	if more := d.Next(); more || (d.Err() == nil) != (their.Err() == nil) {
		t.Errorf("%x: ends differ: %v, ours %v, theirs %v", b, more, d.Err(), their.Err())
	}
}

func TestMalformedInput(t *testing.T) {
	attr := func(b ...byte) []byte { return b }
	for name, b := range map[string][]byte{
		"three bytes":     attr(4, 0, 1),
		"length zero":     attr(0, 0, 1, 0),
		"length three":    attr(3, 0, 1, 0),
		"overlong":        attr(9, 0, 1, 0, 1, 2, 3, 4),
		"second overlong": attr(5, 0, 1, 0, 9, 0, 0, 0, 255, 255, 1, 0),
	} {
		d := NewDecoder(b)
		for d.Next() {
			d.Uint32() // the wrong length is an error too
		}
		if d.Err() == nil || d.Next() || d.Data() != nil && name != "second overlong" {
			t.Errorf("%s: %v", name, d.Err())
		}
	}
	header := make([]byte, 16)
	for length, want := range map[uint32]bool{0: false, 15: false, 16: true, 17: false, 1<<32 - 1: false} {
		binary.NativeEndian.PutUint32(header, length)
		ms := ParseMessages(header)
		if got := ms.Next(); got != want || (ms.Err() == nil) != want {
			t.Errorf("message of length %d: %v, %v", length, got, ms.Err())
		}
	}
}

// The last attribute may lack its padding, as the kernel sends it.
func TestPaddingMayBeMissing(t *testing.T) {
	d := NewDecoder([]byte{5, 0, 1, 0, 9})
	if !d.Next() || d.Uint8() != 9 || d.Next() || d.Err() != nil {
		t.Errorf("got %v", d.Err())
	}
}

func TestErrorSticks(t *testing.T) {
	d := NewDecoder([]byte{5, 0, 1, 0, 9, 0, 0, 0, 8, 0, 2, 0, 1, 0, 0, 0})
	d.Next()
	if d.Uint32() != 0 || d.Err() == nil || d.Next() {
		t.Fatal("a value of the wrong length does not stop the decoder")
	}
	if got := d.Err().Error(); got != "decode attribute 1: 1 bytes, want 4" {
		t.Error(got)
	}
	var zero Decoder
	if zero.Next() || zero.Type() != 0 || zero.Data() != nil || zero.Err() != nil {
		t.Error("the zero decoder is not empty")
	}
}

func TestEncoderRefusesWhatDoesNotFit(t *testing.T) {
	for name, write := range map[string]func(*Encoder){
		"attribute": func(e *Encoder) { e.Bytes(1, make([]byte, 65532)) },
		"nest":      func(e *Encoder) { e.Nest(1, func() { e.Bytes(1, make([]byte, 65531)) }) },
		"record":    func(e *Encoder) { e.Record(make([]byte, 8), func() { e.Bytes(1, make([]byte, 65524)) }) },
		"address":   func(e *Encoder) { e.Addr(1, netip.Addr{}) },
		"raw":       func(e *Encoder) { e.Raw([]byte{9, 0, 1, 0, 0}) },
		"string":    func(e *Encoder) { e.String(1, "eth0\x00.1") },
	} {
		e := NewEncoder(nil, 24, 0, nil)
		write(e)
		e.Uint8(2, 1) // does not hide the error
		if b, err := e.Message(); err == nil {
			t.Errorf("%s: encoded %d bytes", name, len(b))
		}
	}
	e := NewEncoder(nil, 24, 0, nil)
	e.Bytes(1, make([]byte, 65531))
	if _, err := e.Message(); err != nil {
		t.Errorf("the greatest attribute: %v", err)
	}
}

func TestAcknowledgements(t *testing.T) {
	ack := func(status int32, flags Flags, request int, attrs func(*Encoder)) Message {
		e := NewEncoder(nil, 0, 0, binary.NativeEndian.AppendUint32(nil, uint32(status)))
		header := make([]byte, 16+request)
		binary.NativeEndian.PutUint32(header, uint32(16+request))
		if flags&capped != 0 {
			header = header[:16]
			binary.NativeEndian.PutUint32(header, 500) // the length of what is left out
		}
		e.Fixed(header)
		attrs(e)
		return Message{Type: typeError, Flags: flags, Data: e.Payload()}
	}
	report := func(e *Encoder) {
		e.String(extMessage, "Invalid tos")
		e.Uint32(extOffset, 28)
		e.Uint32(extMissingType, 9)
	}
	want := Error{Errno: 22, Message: "Invalid tos", Offset: 28, Missing: 9}
	for _, flags := range []Flags{extAttrs, extAttrs | capped} {
		if got, ok := parseAck(ack(-22, flags, 20, report)).(*Error); !ok || *got != want {
			t.Errorf("flags %#x: got %+v", flags, got)
		}
	}
	if got := parseAck(ack(-22, 0, 20, report)); got.Error() != "invalid argument" {
		t.Errorf("without the flag: %v", got)
	}
	if err := parseAck(ack(0, extAttrs, 0, report)); err != nil {
		t.Errorf("success: %v", err)
	}
	if got := parseAck(ack(-17, extAttrs, 0, func(e *Encoder) { e.Fixed([]byte{255, 255, 1, 0}) })); got == nil || got.Error() != "file exists" {
		t.Errorf("broken report: %v", got)
	}
	if err := parseAck(Message{Type: typeError, Data: []byte{1}}); err == nil || !strings.Contains(err.Error(), "1 bytes") {
		t.Errorf("short: %v", err)
	}
	if err := parseAck(Message{Type: typeDone}); err != nil {
		t.Errorf("done without a status: %v", err)
	}
	b := binary.NativeEndian.AppendUint32(nil, 0xffffffea) // -22
	if err := parseAck(Message{Type: typeDone, Data: b}); err == nil {
		t.Error("done with an error is success")
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	e := NewEncoder(nil, 24, 0, make([]byte, 12))
	everyKind(e)
	b, err := e.Message()
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		ms := ParseMessages(b)
		for ms.Next() {
			d := NewDecoder(ms.Message().Data[12:])
			for d.Next() {
				if d.Type() == 3 {
					d.Uint32()
				}
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeMessages(f *testing.F) {
	e := NewEncoder(nil, 24, Create, make([]byte, 12))
	everyKind(e)
	b, _ := e.Message()
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{})
	f.Add(make([]byte, 16))
	f.Add(append([]byte{28, 0, 0, 0, 2, 0, 0, 2}, make([]byte, 20)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		ms := ParseMessages(b)
		total := 0
		for ms.Next() {
			m := ms.Message()
			total += headerLen + len(m.Data)
			_ = parseAck(Message{Type: typeError, Flags: m.Flags, Data: m.Data})
			_ = parseAck(Message{Type: typeDone, Flags: m.Flags, Data: m.Data})
			walk(m.Data, 0)
			agree(t, m.Data)
		}
		if total > len(b) {
			t.Errorf("%d bytes of messages in %d", total, len(b))
		}
	})
}

// walk reads everything in every way, as deep as it nests.
func walk(b []byte, depth int) {
	d := NewDecoder(b)
	for d.Next() {
		each := d
		each.Uint8()
		each.Uint16()
		each.Uint32()
		each.NetUint64()
		each.Uint64()
		each.Addr()
		_ = each.String()
		if depth < 8 {
			walk(d.Data(), depth+1)
		}
	}
}

// An encoder that is reset writes what a new one writes, an error before or not.
func TestResetEncoder(t *testing.T) {
	var used Encoder
	for range 3 {
		fresh := NewEncoder(nil, 24, Create, []byte{1, 2, 3})
		used.Reset(24, Create, []byte{1, 2, 3})
		everyKind(fresh)
		everyKind(&used)
		want, err := fresh.Message()
		got, gotErr := used.Message()
		if err != nil || gotErr != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %x, %v, want %x, %v", got, gotErr, want, err)
		}
		used.String(6, "a\x00b")
		if _, err := used.Message(); err == nil {
			t.Error("a NUL byte is written")
		}
	}
}
