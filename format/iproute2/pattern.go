package iproute2

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"

	"rpdb"
)

// patterns remember what stands around the values in which entries differ, by all
// of their messages but those values: a set-associative cache, so that neither a
// list in which no two entries are alike nor one of many kinds takes more memory.
// The zero value remembers nothing; see [newPatterns].
type patterns struct {
	sets [][patternWays]pattern // nil as long as it is empty
	next uint8                  // place in a set that is given up next
	line []byte                 // scratch, as is text
	text []byte

	// Where no two entries are alike it does not pay to look for a pattern.
	score int // of the last messages: how many more had one than had none
	rest  int // how many of the next are not looked at
}

// pattern is what entries that differ in their values alone have in common.
// The zero value is that of no entry.
type pattern struct {
	key    []byte // the message without the values
	kinds  [maxValues]valueKind
	text   []byte            // what is printed around the values
	at     [maxValues]uint16 // where in it each value stands
	listed bool              // the filter selects them
}

// Sizes of the cache. What is longer than these is not remembered.
const (
	patternSetBits = 6
	patternWays    = 4
	patternMaxKey  = 256
	patternMaxText = 1 << 10

	patternMinScore = -256 // below it, so many messages are not looked at:
	patternRest     = 4096

	patternShort = 8 // so many messages at the beginning are not looked at either
)

// cutting is a message that is cut around the values in which those of its kind
// differ.
type cutting struct {
	head   uint64 // of the fixed part, without what belongs to a value
	flags  uint32
	kinds  [maxValues]valueKind // of the values in the order in which they are printed
	values [maxValues]cutValue
	around [maxValues + 1][]byte // attributes around the values, in the order of the message
	n      int                   // how many of around count
}

const (
	maxValues   = 3
	sizeofFixed = 12 // struct rtmsg, struct fib_rule_hdr
)

// cutValue is a value as the message has it.
type cutValue struct {
	data []byte
	bits uint8 // the length of a destination
}

// valueKind says how a value is printed.
type valueKind uint8

const (
	noValue          valueKind = iota
	destinationValue           // of a route: an address and, unless it is a whole one, its length
	priorityValue              // of a rule, as are the next, whose lengths are no part of them
	fromValue
	toValue
)

// place is what stands around a value.
type place struct{ lead, trail string }

// places are those of each kind of value, in text and in both kinds of JSON. No text
// in front of the destination of a route can be taken for it: there are words, and
// keys in quotation marks, and neither dots nor two colons in one of them. In front of
// a value of a rule are words and the other values.
var places = [...][]place{
	destinationValue: {{}},
	priorityValue:    {{trail: ":\t"}, {lead: `"priority":`}, {lead: `"priority": `}},
	fromValue:        {{lead: "from "}, {lead: `"src":"`}, {lead: `"src": "`}},
	toValue:          {{lead: " to "}, {lead: `"dst":"`}, {lead: `"dst": "`}},
}

// addressSize returns the bytes of an address of a message's family, 0 for a message
// that is about neither, or too short.
func addressSize(payload []byte) int {
	if len(payload) < sizeofFixed {
		return 0
	}
	return rpdb.Family(payload[0]).Bits() / 8
}

// size is that of the message without the values.
func (c *cutting) size() int {
	n := sizeofFixed
	for _, b := range c.around[:c.n] {
		n += len(b)
	}
	return n
}

// set returns the number of the set that a message belongs to.
func (c *cutting) set() uint64 {
	h := mix(c.head, uint64(c.flags))
	for _, b := range c.around[:c.n] {
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

// is reports whether the pattern is that of a message. Where the values stood between
// the attributes does not matter to what is printed.
func (p *pattern) is(c *cutting) bool {
	if len(p.key) < sizeofFixed || binary.LittleEndian.Uint64(p.key) != c.head ||
		binary.LittleEndian.Uint32(p.key[8:]) != c.flags || p.kinds != c.kinds {
		return false
	}
	key := p.key[sizeofFixed:]
	for _, b := range c.around[:c.n] {
		if len(key) < len(b) || string(key[:len(b)]) != string(b) {
			return false
		}
		key = key[len(b):]
	}
	return len(key) == 0
}

// newPatterns returns one that does not look at the messages of a list which is over
// before it pays.
func newPatterns() patterns { return patterns{rest: patternShort} }

// isResting reports whether the next message is one that is not looked at.
func (t *patterns) isResting() bool {
	if t.rest == 0 {
		return false
	}
	t.rest--
	return true
}

// find returns the pattern of a message, nil if none like it was kept.
func (t *patterns) find(c *cutting) *pattern {
	if t.sets != nil {
		set := &t.sets[c.set()]
		for i := range set {
			if set[i].is(c) {
				t.score = min(t.score+1, -patternMinScore)
				return &set[i]
			}
		}
	}
	if t.score--; t.score < patternMinScore {
		t.score, t.rest = 0, patternRest
	}
	return nil
}

// keep remembers how the entry of a message was printed, or that the filter does not
// select it.
func (t *patterns) keep(c *cutting, printed []byte, listed bool) {
	if c.size() > patternMaxKey || len(printed) > patternMaxText {
		return
	}
	var places [maxValues]uint16
	text := t.text[:0]
	for i, kind := range c.kinds {
		if kind == noValue || !listed {
			continue
		}
		t.line = appendValue(t.line[:0], kind, &c.values[i])
		at, ok := find(printed, kind, t.line)
		if !ok {
			return
		}
		text, printed = append(text, printed[:at]...), printed[at+len(t.line):]
		places[i] = uint16(len(text))
	}
	text = append(text, printed...)
	t.text = text
	if t.sets == nil {
		t.sets = make([][patternWays]pattern, 1<<patternSetBits)
	}
	p := &t.sets[c.set()][t.next%patternWays]
	t.next++
	p.key = binary.LittleEndian.AppendUint64(p.key[:0], c.head)
	p.key = binary.LittleEndian.AppendUint32(p.key, c.flags)
	for _, b := range c.around[:c.n] {
		p.key = append(p.key, b...)
	}
	p.text = append(p.text[:0], text...)
	p.kinds, p.at, p.listed = c.kinds, places, listed
}

// find returns where a value stands in what was printed, if it is clear.
func find(printed []byte, kind valueKind, value []byte) (at int, ok bool) {
	for _, p := range places[kind] {
		if at := bytes.Index(printed, []byte(p.lead+string(value)+p.trail)); at >= 0 {
			return at + len(p.lead), true
		}
	}
	return 0, false
}

// forget forgets all.
func (t *patterns) forget() { clear(t.sets) }

// fill returns a pattern with the values of a message in it.
func (t *patterns) fill(p *pattern, c *cutting) []byte {
	b, from := t.line[:0], uint16(0)
	for i, kind := range c.kinds {
		if kind != noValue {
			b = appendValue(append(b, p.text[from:p.at[i]]...), kind, &c.values[i])
			from = p.at[i]
		}
	}
	t.line = append(b, p.text[from:]...)
	return t.line
}

// appendValue appends a value as it is printed.
func appendValue(b []byte, kind valueKind, v *cutValue) []byte {
	switch {
	case kind == priorityValue:
		return strconv.AppendUint(b, uint64(binary.NativeEndian.Uint32(v.data)), 10)
	case len(v.data) == 4:
		b = appendQuad(b, v.data)
	default:
		a, _ := netip.AddrFromSlice(v.data)
		b = appendAddress(b, a)
	}
	if kind == destinationValue && int(v.bits) < 8*len(v.data) { // as [line.prefix] does
		b = appendByte(append(b, '/'), v.bits)
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
