package pcap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"rpdb/format/pcap"
)

// classic writes a file with packets of these bytes.
func classic(order binary.AppendByteOrder, magic, link uint32, packets ...string) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = order.AppendUint32(append(b, 0, 0, 0, 0, 0, 0, 0, 0), 65535)
	b = order.AppendUint32(b, link)
	for _, p := range packets {
		b = order.AppendUint32(order.AppendUint32(b, 1700000000), 5)
		b = order.AppendUint32(order.AppendUint32(b, uint32(len(p))), uint32(len(p))+10)
		b = append(b, p...)
	}
	return b
}

// ng writes blocks of pcapng.
type ng struct {
	order binary.AppendByteOrder
	bytes.Buffer
}

func (w *ng) block(kind uint32, body []byte) {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	length := uint32(len(body)) + 12
	b := w.order.AppendUint32(w.order.AppendUint32(nil, kind), length)
	w.Write(w.order.AppendUint32(append(b, body...), length))
}

func (w *ng) section() {
	b := w.order.AppendUint32(nil, 0x1a2b3c4d)
	b = w.order.AppendUint16(w.order.AppendUint16(b, 1), 0)
	w.block(0x0a0d0d0a, append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
}

func (w *ng) iface(link uint16, most uint32, name string) {
	b := w.order.AppendUint16(w.order.AppendUint16(nil, link), 0)
	b = w.order.AppendUint32(b, most)
	if name != "" {
		b = w.option(b, 2, []byte(name))
		b = w.option(b, 0, nil)
	}
	w.block(1, b)
}

func (w *ng) option(b []byte, code uint16, value []byte) []byte {
	b = w.order.AppendUint16(w.order.AppendUint16(b, code), uint16(len(value)))
	for b = append(b, value...); len(b)%4 != 0; {
		b = append(b, 0)
	}
	return b
}

// packet writes an enhanced packet block; flags 0 leaves the option out.
func (w *ng) packet(iface uint32, data string, flags uint32) {
	b := w.order.AppendUint32(nil, iface)
	b = w.order.AppendUint32(append(b, make([]byte, 8)...), uint32(len(data)))
	b = w.order.AppendUint32(b, uint32(len(data))+10)
	for b = append(b, data...); len(b)%4 != 0; {
		b = append(b, 0)
	}
	if flags != 0 {
		b = w.option(b, 1, []byte("a comment"))
		b = w.option(b, 2, w.order.AppendUint32(nil, flags))
	}
	w.block(6, b)
}

// read returns a line for each packet of a file, and the error that ends it,
// nil for its end.
func read(file []byte) (lines []string, err error) {
	r, err := pcap.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		p, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again != err {
				return lines, fmt.Errorf("first %w, then %w", err, again)
			}
			if err == io.EOF {
				err = nil
			}
			return lines, err
		}
		lines = append(lines, fmt.Sprintf("%d@%d %v %s %d %q/%d", p.Number, p.Offset, p.Link, p.Interface, p.Direction, p.Data, p.Length))
	}
}

func wantLines(t *testing.T, file []byte, want ...string) {
	t.Helper()
	got, err := read(file)
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("read %q, %v\nwant %q", got, err, want)
	}
}

func TestClassic(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, magic := range []uint32{0xa1b2c3d4, 0xa1b23c4d} {
			// The upper half of the link type says that a checksum follows.
			wantLines(t, classic(order, magic, 0x14000001, "abc", "", "defgh"),
				`1@24 1 (Ethernet)  0 "abc"/13`, `2@43 1 (Ethernet)  0 ""/10`, `3@59 1 (Ethernet)  0 "defgh"/15`)
			wantLines(t, classic(order, magic, 101))
		}
	}
}

func TestNG(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		w := &ng{order: order}
		w.section()
		w.block(10, []byte("secrets that nobody asked for"))
		w.iface(1, 0, "lan0")
		w.packet(0, "abc", 0)
		w.iface(101, 4, "wg0")
		w.packet(1, "defg", 1) // came in
		w.packet(0, "h", 2)    // went out
		w.packet(0, "i", 1|4<<2)
		old := order.AppendUint16(order.AppendUint16(nil, 1), 0)
		old = order.AppendUint32(append(old, make([]byte, 8)...), 2)
		w.block(2, append(order.AppendUint32(old, 3), "jk"...))
		w.section() // begins with another interface
		w.iface(276, 4, "")
		w.block(3, append(order.AppendUint32(nil, 6), "lmno"...))
		w.block(3, append(order.AppendUint32(nil, 2), "pq"...))
		wantLines(t, w.Bytes(), `1@104 1 (Ethernet) lan0 0 "abc"/13`, `2@172 101 (raw IP) wg0 1 "defg"/14`, `3@232 1 (Ethernet) lan0 2 "h"/11`,
			`4@292 1 (Ethernet) lan0 3 "i"/11`, `5@352 101 (raw IP) wg0 0 "jk"/3`, `6@436 276 (Linux cooked v2)  0 "lmno"/6`, `7@456 276 (Linux cooked v2)  0 "pq"/2`)
	}
}

// A file of another program: two interfaces, of which one has no link layer.
func TestForeignFile(t *testing.T) {
	file, err := os.ReadFile("testdata/two.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcap.NewReader(iotest.OneByteReader(bytes.NewReader(file)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		p, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		f, ok := p.Frame()
		ip, err := f.IP()
		if !ok || err != nil {
			t.Fatal(p, ok, err)
		}
		got = append(got, fmt.Sprintf("%s %v>%v %d>%d", p.Interface, ip.Src, ip.Dst, ip.SPort, ip.DPort))
	}
	want := "lan0 10.0.0.5>203.0.113.10 40000>2000, tun0 10.0.0.5>203.0.113.10 40000>53, lan0 10.0.0.5>203.0.113.10 40000>2000"
	if strings.Join(got, ", ") != want {
		t.Errorf("read %q\nwant %q", got, want)
	}
}

func TestBadFiles(t *testing.T) {
	good := classic(binary.LittleEndian, 0xa1b2c3d4, 1, "abc")
	patch := func(at int, with string) []byte {
		return append(append(bytes.Clone(good[:at]), with...), good[at+len(with):]...)
	}
	section := func(change func(w *ng)) []byte {
		w := &ng{order: binary.LittleEndian}
		w.section()
		change(w)
		return w.Bytes()
	}
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "byte 0: the file is empty"},
		{"two bytes", good[:2], "byte 0: the file ends within the first 4 bytes"},
		{"text", []byte("from all lookup main\n"), `byte 0: neither pcap nor pcapng: it begins with "from"`},
		{"gzip", []byte("\x1f\x8b\x08\x00"), "byte 0: the file is compressed by gzip: decompress it first"},
		{"zstd", []byte("\x28\xb5\x2f\xfd\x00"), "byte 0: the file is compressed by zstd: decompress it first"},
		{"patched", []byte("\x34\xcd\xb2\xa1"), "byte 0: a patched form of pcap, which editcap can convert"},
		{"802.11", classic(binary.BigEndian, 0xa1b2c3d4, 105), "byte 20: link type 105 (802.11): Ethernet, Linux cooked, raw IP and loopback captures can be read"},
		{"unknown link", classic(binary.BigEndian, 0xa1b2c3d4, 4242), "byte 20: link type 4242: Ethernet, Linux cooked, raw IP and loopback captures can be read"},
		{"version", patch(4, "\x03"), "byte 4: pcap of version 3, and only 2 is known"},
		{"head cut", good[:23], "byte 0: the file ends here: 23 of 24 bytes are there"},
		{"record cut", good[:30], "packet 1 at byte 24: the file ends here: 6 of 16 bytes are there"},
		{"packet cut", good[:len(good)-1], "packet 1 at byte 24: the file ends here: 2 of 3 bytes are there"},
		{"huge packet", patch(32, "\x01\x00\x04\x00"), "packet 1 at byte 24: the record claims 262145 bytes, and none has more than 262144: the file is damaged"},
		{"huge original", patch(36, "\x00\x00\x00\x80"), "packet 1 at byte 24: the record claims a packet of 2147483648 bytes: the file is damaged"},
		{"no mark", []byte("\n\r\r\n\x1c\x00\x00\x00marknnnn"), "byte 8: a section of pcapng has no byte-order mark there, but 0x6b72616d"},
		{"no such interface", section(func(w *ng) { w.packet(0, "a", 0) }), "packet 1 at byte 28: of interface 0, and the file has described 0 so far"},
		{
			"802.11 in pcapng", section(func(w *ng) { w.iface(105, 0, "wlan0"); w.packet(0, "a", 0) }),
			"packet 1 at byte 64: link type 105 (802.11): Ethernet, Linux cooked, raw IP and loopback captures can be read",
		},
		{"block too short", section(func(w *ng) { w.block(6, []byte("abcd")) }), "packet 1 at byte 28: a block is too short for what it holds: the file is damaged"},
		{"lengths differ", append(section(func(*ng) {}), "\x05\x00\x00\x00\x0c\x00\x00\x00\x10\x00\x00\x00"...), "packet 1 at byte 28: a block begins with the length 12 and ends with 16: the file is damaged"},
		{"odd length", append(section(func(*ng) {}), "\x05\x00\x00\x00\x0d\x00\x00\x00"...), "packet 1 at byte 28: a block cannot be of 13 bytes: the file is damaged"},
		{"block cut", append(section(func(*ng) {}), "\x05\x00\x00\x00\x20\x00\x00\x00abc"...), "packet 1 at byte 28: the file ends here: 3 of 20 bytes are there"},
		{"second section cut", append(section(func(*ng) {}), "\n\r\r\n\x1c\x00"...), "packet 1 at byte 28: the file ends here: 6 of 16 bytes are there"},
	} {
		_, err := read(c.file)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
		var where *pcap.Error
		if !errors.As(err, &where) {
			t.Errorf("%s: %T is no *pcap.Error", c.name, err)
		}
		if (strings.Contains(c.want, "the file ends") || strings.Contains(c.want, "is empty")) != errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: unwraps to the wrong cause", c.name)
		}
	}
}

// An error of the reader beneath comes through.
func TestReaderFails(t *testing.T) {
	broken := errors.New("input/output error")
	file := classic(binary.LittleEndian, 0xa1b2c3d4, 1, "abc")
	for at := range len(file) {
		r, err := pcap.NewReader(io.MultiReader(bytes.NewReader(file[:at]), iotest.ErrReader(broken)))
		if err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("broken at %d: %v", at, err)
		}
	}
}

// However a file is cut or changed, it is read to its end or an error says
// where, in memory of constant size, and no packet is more than what is there.
func FuzzReader(f *testing.F) {
	w := &ng{order: binary.LittleEndian}
	w.section()
	w.iface(1, 0, "lan0")
	w.packet(0, strings.Repeat("\x45", 60), 1)
	f.Add(w.Bytes())
	f.Add(classic(binary.BigEndian, 0xa1b23c4d, 276, strings.Repeat("\x86\xdd\x60", 30), "abc"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := pcap.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		for n := int64(1); ; n++ {
			p, err := r.Next()
			if err != nil {
				return
			}
			if p.Number != n || p.Offset+int64(len(p.Data)) > int64(len(file)) || p.Length < len(p.Data) {
				t.Fatalf("packet %d: %+v", n, p)
			}
			frame, ok := p.Frame()
			if !ok {
				continue
			}
			ip, err := frame.IP()
			if err == nil && (!ip.Dst.IsValid() || ip.Src.Is4() != ip.Dst.Is4()) {
				t.Fatalf("packet %d: %+v", n, ip)
			}
		}
	})
}
