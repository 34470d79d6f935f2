package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The blocks of pcapng that matter; all others are skipped.
const (
	blockSection   = magicNG
	blockInterface = 1
	blockOldPacket = 2 // written until about 2010
	blockSimple    = 3
	blockPacket    = 6
)

// Limits that no capture comes near, so that a damaged file is noticed before
// it fills the memory.
const (
	maxBlock      = 2 * maxPacket // of those that are read
	maxInterfaces = 1 << 16
)

const (
	optionEnd     = 0
	optionName    = 2 // of an interface
	optionFlags   = 2 // of a packet
	endianMark    = 0x1a2b3c4d
	blockOverhead = 12
)

// section reads the head of a section: from here on there is another byte
// order, and there are other interfaces.
func (p *Reader) section() error {
	start := p.offset
	b := p.head[:16]
	if err := p.fill(b); err != nil {
		return p.fail(start, err)
	}
	switch mark := binary.LittleEndian.Uint32(b[8:]); mark {
	case endianMark:
		p.order = binary.LittleEndian
	case swapped(endianMark):
		p.order = binary.BigEndian
	default:
		return p.fail(start+8, fmt.Errorf("a section of pcapng has no byte-order mark there, but %#08x", mark))
	}
	length := p.order.Uint32(b[4:])
	if length < 28 || length%4 != 0 || length > 1<<30 {
		return p.fail(start, badLength(length))
	}
	if major := p.order.Uint16(b[12:]); major != 1 {
		return p.fail(start+12, fmt.Errorf("pcapng of version %d, and only 1 is known", major))
	}
	p.interfaces = nil
	if err := p.skip(int(length) - len(b) - 4); err != nil {
		return p.fail(start, err)
	}
	return p.trailer(start, length)
}

func badLength(length uint32) error {
	return fmt.Errorf("a block cannot be of %d bytes: the file is damaged", length)
}

// trailer reads the length that a block ends with.
func (p *Reader) trailer(start int64, length uint32) error {
	b := p.head[:4]
	if err := p.fill(b); err != nil {
		return p.fail(start, err)
	}
	if again := p.order.Uint32(b); again != length {
		return p.fail(start, fmt.Errorf("a block begins with the length %d and ends with %d: the file is damaged", length, again))
	}
	return nil
}

// nextNG reads blocks until one holds a packet.
func (p *Reader) nextNG() (Packet, error) {
	for {
		if p.atEnd() {
			return Packet{}, io.EOF
		}
		kind, body, start, err := p.block()
		if err != nil {
			return Packet{}, err
		}
		switch kind {
		case blockInterface:
			err = p.addInterface(body)
		case blockPacket, blockOldPacket, blockSimple:
			packet, err := p.packetOf(kind, body, start)
			if err != nil {
				return Packet{}, p.fail(start, err)
			}
			return packet, nil
		}
		if err != nil {
			return Packet{}, p.fail(start, err)
		}
	}
}

// block reads one block. The body is nil for those that do not matter.
func (p *Reader) block() (kind uint32, body []byte, start int64, err error) {
	start = p.offset
	if magic, _ := p.in.Peek(4); len(magic) == 4 && binary.LittleEndian.Uint32(magic) == blockSection {
		return blockSection, nil, start, p.section()
	}
	b := p.head[:8]
	if err := p.fill(b); err != nil {
		return 0, nil, start, p.fail(start, err)
	}
	kind = p.order.Uint32(b)
	length := p.order.Uint32(b[4:])
	if length < blockOverhead || length%4 != 0 || length > 1<<30 {
		return 0, nil, start, p.fail(start, badLength(length))
	}
	n := int(length) - blockOverhead
	switch kind {
	case blockInterface, blockPacket, blockOldPacket, blockSimple:
		if n > maxBlock {
			return 0, nil, start, p.fail(start, badLength(length))
		}
		body = p.room(n)
		err = p.fill(body)
	default:
		err = p.skip(n)
	}
	if err != nil {
		return 0, nil, start, p.fail(start, err)
	}
	return kind, body, start, p.trailer(start, length)
}

// errShort is a block that ends before what it must hold.
var errShort = errors.New("a block is too short for what it holds: the file is damaged")

func (p *Reader) addInterface(body []byte) error {
	if len(body) < 8 {
		return errShort
	}
	if len(p.interfaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces: the file is damaged", maxInterfaces)
	}
	i := captured{link: LinkType(p.order.Uint16(body)), most: p.order.Uint32(body[4:])}
	i.name = string(p.option(body[8:], optionName))
	p.interfaces = append(p.interfaces, i)
	return nil
}

// option returns the value of the first option with a code, nil if there is
// none. Options are a courtesy: a damaged list of them ends early.
func (p *Reader) option(b []byte, code uint16) []byte {
	for len(b) >= 4 {
		c, n := p.order.Uint16(b), int(p.order.Uint16(b[2:]))
		if c == optionEnd || len(b) < 4+n {
			return nil
		}
		if c == code {
			return b[4 : 4+n]
		}
		b = b[min(len(b), 4+padded(n)):]
	}
	return nil
}

func padded(n int) int { return (n + 3) &^ 3 }

// packetOf reads the packet in the body of a block.
func (p *Reader) packetOf(kind uint32, body []byte, start int64) (Packet, error) {
	r, data, options, err := p.recordOf(kind, body)
	if err != nil {
		return Packet{}, err
	}
	r.offset = start
	if err := r.check(); err != nil {
		return Packet{}, err
	}
	if !r.from.link.readable() {
		return Packet{}, unreadable(r.from.link)
	}
	packet := r.packet(p.number, data)
	if flags := p.option(options, optionFlags); len(flags) == 4 {
		packet.Direction = directionOf(p.order.Uint32(flags))
	}
	return packet, nil
}

// recordOf takes the body of a block apart.
func (p *Reader) recordOf(kind uint32, body []byte) (r record, data, options []byte, err error) {
	u16, u32 := p.order.Uint16, p.order.Uint32
	var from, head int
	switch {
	case kind == blockSimple && len(body) >= 4:
		head, r.original = 4, u32(body)
		r.kept = r.original
		if len(p.interfaces) > 0 && p.interfaces[0].most != 0 {
			r.kept = min(r.kept, p.interfaces[0].most)
		}
		r.kept = min(r.kept, uint32(len(body)-4))
	case kind == blockPacket && len(body) >= 20:
		head, from, r.kept, r.original = 20, int(u32(body)), u32(body[12:]), u32(body[16:])
	case kind == blockOldPacket && len(body) >= 20:
		head, from, r.kept, r.original = 20, int(u16(body)), u32(body[12:]), u32(body[16:])
	default:
		return r, nil, nil, errShort
	}
	if from >= len(p.interfaces) {
		return r, nil, nil, fmt.Errorf("of interface %d, and the file has described %d so far", from, len(p.interfaces))
	}
	r.from = p.interfaces[from]
	rest := body[head:]
	if uint64(r.kept) > uint64(len(rest)) {
		return r, nil, nil, errShort
	}
	return r, rest[:r.kept], rest[min(len(rest), padded(int(r.kept))):], nil
}

// directionOf reads the flags of a packet block: who sent it, and whether only
// a promiscuous interface saw it.
func directionOf(flags uint32) Direction {
	switch {
	case flags&3 == 2:
		return Outgoing
	case flags>>2&7 == 4:
		return Foreign
	case flags&3 == 1:
		return Incoming
	}
	return DirectionUnknown
}
