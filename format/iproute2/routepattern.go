package iproute2

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"

	"rpdb"
)

// routePatterns remember what stands around the destinations of entries, by all
// of their messages but the destination: a set-associative cache, so that neither a
// list in which no two routes are alike nor one of many kinds takes more memory.
// The zero value remembers nothing.
type routePatterns struct {
	sets [][patternWays]routePattern // nil as long as it is empty
	next uint8                       // place in a set that is given up next
	line []byte

	// Where no two routes are alike it does not pay to look for a pattern.
	score int // of the last messages: how many more had one than had none
	rest  int // how many of the next are not looked at
}

// routePattern is what entries that differ in their destination have in common.
// The zero value is that of no entry.
type routePattern struct {
	key           []byte // the message without the destination
	before, after []byte // what is printed around the destination
	listed        bool   // the filter selects them
}

// Sizes of the cache. What is longer than these is not remembered.
const (
	patternSetBits = 6
	patternWays    = 4
	patternMaxKey  = 256
	patternMaxText = 1 << 10

	patternMinScore = -256 // below it, so many messages are not looked at:
	patternRest     = 4096
)

// routeRest is a message about a route that is cut around its destination.
type routeRest struct {
	head          uint64 // of struct rtmsg, without the length of the destination
	flags         uint32
	dst           []byte // the destination's address
	bits          uint8  // its length, which is not 0
	before, after []byte // attributes around that of the destination
}

const sizeofRtMsg = 12 // struct rtmsg

// cutDestination cuts the payload of a message. It is false for default routes,
// and for messages that have no good destination.
func cutDestination(payload []byte) (r routeRest, ok bool) {
	if len(payload) < sizeofRtMsg {
		return r, false
	}
	size := 4
	if payload[0] == uint8(rpdb.IPv6) {
		size = 16
	} else if payload[0] != uint8(rpdb.IPv4) {
		return r, false
	}
	r.bits = payload[1]
	if r.bits == 0 || int(r.bits) > 8*size {
		return r, false
	}
	r.head = binary.LittleEndian.Uint64(payload) &^ 0xff00
	r.flags = binary.LittleEndian.Uint32(payload[8:])
	attrs := payload[sizeofRtMsg:]
	for i := 0; len(attrs)-i >= attributeHeader; {
		n := int(binary.NativeEndian.Uint16(attrs[i:]))
		next := i + (n+3)&^3
		if n < attributeHeader || next > len(attrs) {
			return r, false
		}
		if binary.NativeEndian.Uint16(attrs[i+2:]) == rtaDst {
			r.dst, r.before, r.after = attrs[i+attributeHeader:next], attrs[:i], attrs[next:]
			return r, n == attributeHeader+size
		}
		i = next
	}
	return r, false
}

// hasAnother reports whether the message has another destination, which counts.
func (r *routeRest) hasAnother() bool { return hasDestination(r.before) || hasDestination(r.after) }

func hasDestination(attrs []byte) bool {
	for len(attrs) >= attributeHeader {
		n := int(binary.NativeEndian.Uint16(attrs))
		if n < attributeHeader || binary.NativeEndian.Uint16(attrs[2:])&attributeType == rtaDst {
			return true
		}
		attrs = attrs[min((n+3)&^3, len(attrs)):]
	}
	return false
}

// set returns the number of the set that a message belongs to.
func (r *routeRest) set() uint64 {
	h := mix(r.head, uint64(r.flags))
	for _, b := range [...][]byte{r.before, r.after} {
		for len(b) >= 8 {
			h = mix(h, binary.LittleEndian.Uint64(b))
			b = b[8:]
		}
		if len(b) >= 4 {
			h = mix(h, uint64(binary.LittleEndian.Uint32(b)))
		}
	}
	return h >> (64 - patternSetBits)
}

func mix(h, v uint64) uint64 { return bits.RotateLeft64(h^v, 29) * 0x9e3779b97f4a7c15 }

// is reports whether the pattern is that of a message.
func (p *routePattern) is(r *routeRest) bool {
	n := sizeofRtMsg + len(r.before)
	return len(p.key) == n+len(r.after) && binary.LittleEndian.Uint64(p.key) == r.head &&
		binary.LittleEndian.Uint32(p.key[8:]) == r.flags &&
		string(p.key[sizeofRtMsg:n]) == string(r.before) && string(p.key[n:]) == string(r.after)
}

// isResting reports whether the next message is one that is not looked at.
func (c *routePatterns) isResting() bool {
	if c.rest == 0 {
		return false
	}
	c.rest--
	return true
}

// find returns the pattern of a message, nil if none like it was kept.
func (c *routePatterns) find(r *routeRest) *routePattern {
	if c.sets != nil {
		set := &c.sets[r.set()]
		for i := range set {
			if set[i].is(r) {
				c.score = min(c.score+1, -patternMinScore)
				return &set[i]
			}
		}
	}
	if c.score--; c.score < patternMinScore {
		c.score, c.rest = 0, patternRest
	}
	return nil
}

// keep remembers how the entry of a message was printed, or that the filter does not
// select it.
func (c *routePatterns) keep(r *routeRest, printed []byte, listed bool) {
	c.line = r.appendDestination(c.line[:0])
	// No text in front of the destination can be taken for it: there are words, and
	// keys in quotation marks, and neither dots nor two colons in one of them.
	before, after, found := bytes.Cut(printed, c.line)
	size := sizeofRtMsg + len(r.before) + len(r.after)
	if !found && listed || size > patternMaxKey || len(printed) > patternMaxText || r.hasAnother() {
		return
	}
	if c.sets == nil {
		c.sets = make([][patternWays]routePattern, 1<<patternSetBits)
	}
	p := &c.sets[r.set()][c.next%patternWays]
	c.next++
	p.key = binary.LittleEndian.AppendUint64(p.key[:0], r.head)
	p.key = binary.LittleEndian.AppendUint32(p.key, r.flags)
	p.key = append(append(p.key, r.before...), r.after...)
	p.before, p.after, p.listed = append(p.before[:0], before...), append(p.after[:0], after...), listed
}

// forget forgets all.
func (c *routePatterns) forget() { clear(c.sets) }

// fill returns a pattern with the destination of a message in it.
func (c *routePatterns) fill(p *routePattern, r *routeRest) []byte {
	c.line = append(r.appendDestination(append(c.line[:0], p.before...)), p.after...)
	return c.line
}

// appendDestination appends the destination as [line.prefix] does.
func (r *routeRest) appendDestination(b []byte) []byte {
	if len(r.dst) == 4 {
		b = appendQuad(b, r.dst)
	} else {
		a, _ := netip.AddrFromSlice(r.dst)
		b = appendAddress(b, a)
	}
	if int(r.bits) < 8*len(r.dst) {
		b = appendByte(append(b, '/'), r.bits)
	}
	return b
}

// appendQuad appends an IPv4 address, in a third of the time of [netip.Addr.AppendTo].
func appendQuad(b, addr []byte) []byte {
	b = append(appendByte(b, addr[0]), '.')
	b = append(appendByte(b, addr[1]), '.')
	b = append(appendByte(b, addr[2]), '.')
	return appendByte(b, addr[3])
}

func appendByte(b []byte, n uint8) []byte {
	switch {
	case n >= 100:
		return append(b, '0'+n/100, '0'+n/10%10, '0'+n%10)
	case n >= 10:
		return append(b, '0'+n/10, '0'+n%10)
	}
	return append(b, '0'+n)
}
