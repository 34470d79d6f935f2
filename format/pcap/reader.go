package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Packet is one packet of a capture.
type Packet struct {
	// Number is the position in the file from 1, as Wireshark counts.
	Number int64
	// Offset is where the record of the packet begins, in bytes of the file.
	Offset int64
	// Link is the type of the first header in Data.
	Link LinkType
	// Interface is the name of the interface that it was captured at, where a
	// pcapng file tells it; else empty.
	Interface string
	// Direction is what a pcapng file tells; unknown in other files, where the
	// link layer may tell it ([Frame.Direction]).
	Direction Direction
	// Length is the number of bytes that the packet had, of which Data holds
	// the first.
	Length int
	// Data belongs to the reader, and is valid until its next call.
	Data []byte
}

// Error says where and why a file cannot be read as a capture.
type Error struct {
	Packet int64 // the packet that could not be read; 0: the header of the file
	Offset int64 // in bytes of the file
	Err    error
}

// Error names packet, offset and reason.
func (e *Error) Error() string {
	if e.Packet == 0 {
		return fmt.Sprintf("byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("packet %d at byte %d: %v", e.Packet, e.Offset, e.Err)
}

// Unwrap returns the reason: [io.ErrUnexpectedEOF] for a file that is cut.
func (e *Error) Unwrap() error { return e.Err }

// maxPacket is the most that a record may hold, in bytes: what libpcap allows
// any link type but USB (MAXIMUM_SNAPLEN).
const maxPacket = 256 << 10

// Reader reads the packets of a capture one after the other. It keeps one
// packet and the list of interfaces, however long the file is. It is not safe
// for concurrent use.
type Reader struct {
	in     *bufio.Reader
	offset int64
	number int64 // of the packet read last
	order  binary.ByteOrder
	head   [24]byte // of a record or block
	buf    []byte
	failed error

	ng bool
	// interfaces of the section; a classic file has one.
	interfaces []captured
}

// captured is where packets were captured, and how.
type captured struct {
	name string
	link LinkType
	most uint32 // bytes of each packet that were kept; 0: all
}

// The first four bytes of a file, read in little-endian order.
const (
	magicMicro   = 0xa1b2c3d4
	magicNano    = 0xa1b23c4d
	magicPatched = 0xa1b2cd34 // by a patch of 1999 that added fields to each record
	magicNG      = 0x0a0d0d0a
)

// NewReader reads the head of a capture. It fails for files that are none, and
// for classic files of a link type that [Packet.Frame] does not read. The error
// is of type *[Error]; it wraps that of r if r failed.
func NewReader(r io.Reader) (*Reader, error) {
	p := &Reader{in: bufio.NewReaderSize(r, 64<<10), order: binary.LittleEndian}
	magic, err := p.in.Peek(4)
	if err != nil {
		return nil, &Error{Err: notCapture(magic, err)}
	}
	switch first := binary.LittleEndian.Uint32(magic); first {
	case magicMicro, magicNano:
		err = p.classicHeader()
	case swapped(magicMicro), swapped(magicNano):
		p.order = binary.BigEndian
		err = p.classicHeader()
	case magicNG:
		p.ng = true
		err = p.section()
	default:
		return nil, &Error{Err: notCapture(magic, nil)}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func swapped(v uint32) uint32 {
	return v>>24 | v>>8&0xff00 | v<<8&0xff0000 | v<<24
}

// notCapture says what a file is that does not begin as a capture does.
func notCapture(b []byte, err error) error {
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case len(b) == 0:
		return cutError("the file is empty")
	case len(b) < 4:
		return cutError("the file ends within the first 4 bytes")
	case b[0] == 0x1f && b[1] == 0x8b:
		return errors.New("the file is compressed by gzip: decompress it first")
	case string(b) == "\x28\xb5\x2f\xfd":
		return errors.New("the file is compressed by zstd: decompress it first")
	case binary.LittleEndian.Uint32(b) == magicPatched || binary.BigEndian.Uint32(b) == magicPatched:
		return errors.New("a patched form of pcap, which editcap can convert")
	}
	return fmt.Errorf("neither pcap nor pcapng: it begins with %q", b)
}

// classicHeader reads the head of a classic file.
func (p *Reader) classicHeader() error {
	b := p.head[:24]
	if err := p.fill(b); err != nil {
		return p.fail(0, err)
	}
	if major := p.order.Uint16(b[4:]); major != 2 {
		return p.fail(4, fmt.Errorf("pcap of version %d, and only 2 is known", major))
	}
	// The upper bits say whether frames end with a checksum, which IP packets
	// do not reach.
	link := LinkType(p.order.Uint32(b[20:]))
	if !link.readable() {
		return p.fail(20, unreadable(link))
	}
	p.interfaces = []captured{{link: link}}
	return nil
}

func unreadable(t LinkType) error {
	return fmt.Errorf("link type %v: %s", t, readableTypes)
}

// Next returns the next packet, and [io.EOF] after the last. Any other error is
// of type *[Error], and every later call returns it again.
func (p *Reader) Next() (Packet, error) {
	if p.failed != nil {
		return Packet{}, p.failed
	}
	p.number++
	var packet Packet
	if p.ng {
		packet, p.failed = p.nextNG()
	} else {
		packet, p.failed = p.nextClassic()
	}
	return packet, p.failed
}

// nextClassic reads a record of a classic file.
func (p *Reader) nextClassic() (Packet, error) {
	start := p.offset
	if p.atEnd() {
		return Packet{}, io.EOF
	}
	b := p.head[:16]
	if err := p.fill(b); err != nil {
		return Packet{}, p.fail(start, err)
	}
	return p.packet(record{start, p.interfaces[0], p.order.Uint32(b[8:]), p.order.Uint32(b[12:])})
}

// record is what stands before the bytes of a packet.
type record struct {
	offset         int64
	from           captured
	kept, original uint32
}

// packet reads the bytes of a packet.
func (p *Reader) packet(r record) (Packet, error) {
	if err := r.check(); err != nil {
		return Packet{}, p.fail(r.offset, err)
	}
	data := p.room(int(r.kept))
	if err := p.fill(data); err != nil {
		return Packet{}, p.fail(r.offset, err)
	}
	return r.packet(p.number, data), nil
}

// check refuses lengths that no capture has.
func (r record) check() error {
	switch {
	case r.kept > maxPacket:
		return fmt.Errorf("the record claims %d bytes, and none has more than %d: the file is damaged", r.kept, maxPacket)
	case r.original > 1<<30:
		return fmt.Errorf("the record claims a packet of %d bytes: the file is damaged", r.original)
	}
	return nil
}

func (r record) packet(number int64, data []byte) Packet {
	return Packet{
		Number: number, Offset: r.offset, Link: r.from.link, Interface: r.from.name,
		Length: max(int(r.original), len(data)), Data: data,
	}
}

// room returns n bytes that the next call gives to somebody else.
func (p *Reader) room(n int) []byte {
	if cap(p.buf) < n {
		p.buf = make([]byte, n)
	}
	return p.buf[:n]
}

// atEnd reports whether the file ends here.
func (p *Reader) atEnd() bool {
	_, err := p.in.Peek(1)
	return errors.Is(err, io.EOF)
}

// fill reads exactly len(b) bytes.
func (p *Reader) fill(b []byte) error {
	n, err := io.ReadFull(p.in, b)
	p.offset += int64(n)
	return cut(err, n, len(b))
}

// skip reads n bytes that nobody looks at.
func (p *Reader) skip(n int) error {
	done, err := p.in.Discard(n)
	p.offset += int64(done)
	return cut(err, done, n)
}

func cut(err error, have, want int) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return cutError(fmt.Sprintf("the file ends here: %d of %d bytes are there", have, want))
	}
	return err
}

// cutError is a file that ends too early, in words.
type cutError string

// Error returns the words.
func (e cutError) Error() string { return string(e) }

// Unwrap returns [io.ErrUnexpectedEOF].
func (cutError) Unwrap() error { return io.ErrUnexpectedEOF }

func (p *Reader) fail(offset int64, err error) error {
	return &Error{Packet: p.number, Offset: offset, Err: err}
}
