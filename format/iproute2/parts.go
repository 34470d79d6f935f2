package iproute2

import (
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

// Sink takes the fields of an object in the order of the listing. Objects and
// arrays may stand in it: Open begins one, as the bracket says, and End ends it;
// elements of an array have no key. Values are valid during the call only. A
// writer of JSON is a Sink.
type Sink interface {
	// Text takes a field whose value is a text.
	Text(key string, value []byte)
	// Word takes a field whose value is a number in digits, true, false or null.
	Word(key string, value []byte)
	Open(key string, bracket byte)
	End()
}

// Kinds of fields that only objects with parts have.
const (
	trueField  fieldKind = iota + nullField + 1
	falseField           // false
	treeField            // its function appends parts, and no value
	objectPart           // an object begins
	arrayPart            // an array begins
	endPart              // either ends
	textPart             // nothing but text for people
)

// lineField is one field of an object: its key in JSON, what a listing prints,
// with % in the place of the value, and how the value is found. get appends it
// to the line and reports whether the field is there; nil: it always is.
type lineField struct {
	key, text string
	kind      fieldKind
	group     group
	get       func(*line) bool
	whole     bool // the colour of the value covers the words around it
	// set puts a value back, for programs as the field is for programs, and
	// reports whether it is a good one. A field with parts has a tree instead.
	set  func(b *RouteBuilder, value string) bool
	tree *tree
	// setRule is set for the fields of rules.
	setRule func(b *RuleBuilder, value string) bool
}

// group is a set of fields none of which is there in most entries. An entry that
// lacks them all is not asked for each: it is what most of the time of a listing
// would go into. The zero value is no group.
type group uint16

// The groups of the fields of rules, and of routes.
const (
	groupLinks group = 1 << iota
	groupPorts
	groupMarks // numbers with masks
	groupOthers
	groupSuppress
	groupRealms
	groupActions // but for a table

	groupCache // of struct rta_cacheinfo
	groupUnknown
	groupAnswer
	groupIPv6

	groupHead // what stands before the priority of a rule
	groupTo
	groupLengths // of the prefixes of a rule

	groupRare // of routes: what a full table has none of
)

// lack notes that the entry has nothing of a group.
func (l *line) lack(g group, lacks bool) {
	if lacks {
		l.lacks |= g
	}
}

// part is a piece of a line: a field that is there, a bracket, or text.
type part struct {
	key, text        string
	kind             fieldKind
	tint             tint
	whole            bool
	from, shown, end int // of the value, and of what people see if it differs
}

// line is an entry of a listing under construction. Its parts become text for
// people or fields for programs, so that neither can say what the other does
// not. It is used for one entry after the other and keeps its memory.
type line struct {
	view  RouteView
	names RuleView // spells numbers

	rule   *rpdb.Rule // of a listing of rules
	entry  *RouteEntry
	hide   RouteColumns
	lacks  group
	hop    *rpdb.Nexthop // whose fields are printed, of the entry or the object
	object rpdb.NexthopObject
	family rpdb.Family // gateways of another one are spelled out
	tunnel attributes
	option attributes // in an attribute of the tunnel
	header string     // of segments, in an attribute of the tunnel
	flow   rpdb.Realms
	ofKind map[uint16][]lineField // of the kinds of tunnels that were met

	parts []part
	buf   []byte
	shown int // of the value that is being appended; -1: people see it as it is
	tint  tint
}

// newLine returns a line with room for most entries.
func newLine(v RouteView, names RuleView) line {
	return line{view: v, names: names, entry: new(RouteEntry), parts: make([]part, 0, 16), buf: make([]byte, 0, 128)}
}

// fields appends those of the fields that are there.
func (l *line) fields(list []lineField) {
	for i := range list {
		if list[i].group&l.lacks == 0 {
			l.field(&list[i])
		}
	}
}

func (l *line) field(f *lineField) {
	from := len(l.buf)
	l.shown, l.tint = -1, noTint
	there := f.get == nil || f.get(l)
	switch {
	case f.kind == treeField:
	case !there:
		l.buf = l.buf[:from]
	default:
		l.word(f.kind.word())
		l.add(part{key: f.key, text: f.text, kind: f.kind, whole: f.whole, from: from})
	}
}

// word is the value of a field that is merely there.
func (k fieldKind) word() string {
	switch k {
	case nullField:
		return "null"
	case trueField:
		return "true"
	case falseField:
		return "false"
	}
	return ""
}

// add appends a part whose value ends at the end of the buffer.
func (l *line) add(p part) {
	p.tint, p.shown, p.end = l.tint, p.from, len(l.buf)
	if l.shown >= 0 {
		p.shown = l.shown
	}
	l.parts = append(l.parts, p)
}

// text appends text that programs do not see.
func (l *line) text(text string) { l.parts = append(l.parts, part{text: text, kind: textPart}) }

// newline appends the end of a line inside of an entry.
func (l *line) newline() {
	if l.view.OneLine {
		l.text(`\`)
	} else {
		l.text("\n")
	}
}

func (l *line) open(key string, kind fieldKind) {
	l.parts = append(l.parts, part{key: key, kind: kind})
}

func (l *line) close() { l.parts = append(l.parts, part{kind: endPart}) }

// item appends an element of an array.
func (l *line) item(text, value string) {
	from := len(l.buf)
	l.shown, l.tint = -1, noTint
	l.word(value)
	l.add(part{text: text, kind: stringField, from: from})
}

// The methods below append a value and return true, for a field that is there.

func (l *line) number(n uint64) bool {
	l.buf = strconv.AppendUint(l.buf, n, 10)
	return true
}

func (l *line) word(s string) bool {
	l.buf = append(l.buf, s...)
	return true
}

// sharp appends as %#x of C does, which leaves zero without its prefix.
func (l *line) sharp(n uint32) bool {
	if n != 0 {
		l.word("0x")
	}
	l.buf = strconv.AppendUint(l.buf, uint64(n), 16)
	return true
}

// hex appends digits for people, and as %#x of C does for programs.
func (l *line) hex(n uint64) bool {
	if n != 0 {
		l.word("0x")
	}
	l.buf = strconv.AppendUint(l.buf, n, 16)
	l.instead()
	l.buf = strconv.AppendUint(l.buf, n, 16)
	return true
}

// instead ends the value: what is appended from here on is what people see.
func (l *line) instead() { l.shown = len(l.buf) }

// name appends a text that may hold any byte. People see it made safe for a
// terminal, unless the view is raw.
func (l *line) name(s string) bool {
	l.word(s)
	if !l.view.Raw && !isPrintable(s) {
		l.instead()
		l.word(escape(s))
	}
	return true
}

func (l *line) link(i rpdb.LinkIndex) bool {
	if l.view.LinkName != nil {
		if name := l.view.LinkName(i); name != "" {
			return l.name(string(name))
		}
	}
	if i == 0 {
		return l.word("*")
	}
	return l.word("if") && l.number(uint64(i))
}

func (l *line) address(a netip.Addr) bool {
	l.tint = ipv4Tint
	if a.Is6() {
		l.tint = ipv6Tint
	}
	l.buf = appendAddress(l.buf, a)
	return true
}

// host appends an address, or the name of the host with that address.
func (l *line) host(a netip.Addr) bool {
	from := len(l.buf)
	l.address(a)
	if l.view.HostName != nil {
		if name := l.view.HostName(a); name != "" {
			l.buf = l.buf[:from]
			l.name(name)
		}
	}
	return true
}

func (l *line) prefix(p netip.Prefix) bool {
	if p.IsSingleIP() {
		return l.host(p.Addr())
	}
	return l.address(p.Addr()) && l.word("/") && l.number(uint64(p.Bits()))
}

// appendText renders the parts for people.
func (l *line) appendText(b []byte) []byte {
	for i := range l.parts {
		p := &l.parts[i]
		before, after := p.text, ""
		value := strings.IndexByte(p.text, '%')
		if value >= 0 {
			before, after = p.text[:value], p.text[value+1:]
		}
		color := l.view.Color.escape(p.tint)
		if color != "" && p.whole {
			b = append(b, color...)
		}
		b = append(b, before...)
		if color != "" && !p.whole {
			b = append(b, color...)
		}
		if value >= 0 {
			b = append(b, l.buf[p.shown:p.end]...)
		}
		b = append(b, after...)
		if color != "" {
			b = append(b, colorOff...)
		}
	}
	return b
}

// send gives the parts to a sink.
func (l *line) send(to Sink) {
	for i := range l.parts {
		p := &l.parts[i]
		value := l.buf[p.from:p.end]
		if p.shown > p.from {
			value = l.buf[p.from:p.shown]
		}
		switch p.kind {
		case textPart:
		case objectPart:
			to.Open(p.key, '{')
		case arrayPart:
			to.Open(p.key, '[')
		case endPart:
			to.End()
		case stringField:
			to.Text(p.key, value)
		default:
			to.Word(p.key, value)
		}
	}
}
