package iproute2

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// RouteBuilder puts an entry together from the fields of a listing: it undoes
// [RouteView.EntryFields], for output of "ip -j route" in particular, and of
// releases before 6.15, where the fields of a tunnel stand among those of the
// route. It is strict: a field that it does not know, one that comes twice, a
// value of the wrong kind or out of range is an error, and the first error
// sticks. Use [NewRouteBuilder]; it is not safe for concurrent use.
//
// What a listing leaves out is what ip leaves out: table main, protocol boot,
// scope global. A view with Exact leaves nothing out that is the route's.
type RouteBuilder struct {
	context RouteContext
	levels  []builderLevel
	err     error

	family rpdb.Family
	entry  RouteEntry
	single rpdb.Nexthop  // of a route without a list of nexthops
	hop    *rpdb.Nexthop // that fields are for: of the route or of a member
	member rpdb.Nexthop
	flags  uint32 // of the route, from its words
	dst    string
	src    string
	cache  rpdb.RouteCache
	seen   struct{ hop, cache, protocol, pref bool }
	locks  uint32
	via    viaParts
	tunnel tunnelParts
}

// viaParts are a gateway that says its family.
type viaParts struct {
	family rpdb.Family
	addr   netip.Addr
}

// tree is what opens behind the key of a field.
type tree struct {
	array  bool               // of words, or of objects
	fields func() []lineField // of the object, or of each object of the array; nil for none
	item   func(b *RouteBuilder, word string) bool
	other  func(b *RouteBuilder, key string, kind fieldKind, value string) bool // a field that is in no table
	begin  func(*RouteBuilder)                                                  // at each object
	end    func(*RouteBuilder)                                                  // behind each object
	skip   bool                                                                 // what is in it says nothing about the route
}

// list returns the fields.
func (t *tree) list() []lineField {
	if t.fields == nil {
		return nil
	}
	return t.fields()
}

// builderLevel is an object or array that is open.
type builderLevel struct {
	tree   *tree
	object bool
	seen   []string
	// tunnel are the fields of a tunnel among which we are, though nothing was
	// opened for it.
	tunnel []lineField
}

// NewRouteBuilder returns a builder of one entry. The listings do not say which
// family they are of: it is that of the context, or with 0 there what the
// addresses say, and IPv4 where nothing does.
func NewRouteBuilder(c RouteContext) *RouteBuilder {
	b := &RouteBuilder{context: c, family: c.Family}
	b.entry.Route = rpdb.Route{Table: rpdb.TableMain, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolBoot}
	b.hop = &b.single
	b.push(&tree{fields: func() []lineField { return routeFields }}, true)
	return b
}

// Entry returns the entry, or the first error.
func (b *RouteBuilder) Entry() (RouteEntry, error) {
	b.endTunnel()
	b.finish()
	if len(b.levels) != 1 {
		b.fail("an object has no end")
	}
	if b.err != nil {
		return RouteEntry{}, fmt.Errorf("read route: %w", b.err)
	}
	return b.entry, nil
}

// String takes a text: a field, or an element of an array.
func (b *RouteBuilder) String(key, _, value string) {
	if top := b.top(); !top.object && !top.tree.skip {
		if b.err != nil {
			return
		}
		if top.tree.item == nil || !top.tree.item(b, value) {
			b.fail("bad element %q", value)
		}
		return
	}
	b.field(key, stringField, value)
}

// Literal takes a field whose value is a number, true, false or null.
func (b *RouteBuilder) Literal(key, _, word string) {
	switch word {
	case "null":
		b.field(key, nullField, "")
	case "true":
		b.field(key, trueField, "")
	case "false":
		b.field(key, falseField, "")
	default:
		b.field(key, numberField, word)
	}
}

// Open begins the value of a field that has parts, or an element of an array.
func (b *RouteBuilder) Open(key string, bracket byte) {
	top := b.top()
	object := bracket == '{'
	if top.tree.skip || b.err != nil {
		b.push(&tree{skip: true}, object)
		return
	}
	if !top.object { // an element, which can only be an object with fields
		if !object || top.tree.item != nil {
			b.fail("a value of the wrong kind")
		}
		b.begin(top.tree)
		return
	}
	f, known := findField(top.tunnel, key, treeField)
	if !known {
		b.endTunnel()
		f, known = findField(top.tree.list(), key, treeField)
	}
	switch {
	case !known || f.tree == nil:
		b.fail("field %q: unknown", key)
		b.push(&tree{skip: true}, object)
	case f.tree.array == object:
		b.fail("field %q: a value of the wrong kind", key)
		b.push(&tree{skip: true}, object)
	default:
		b.once(key)
		if object {
			b.begin(f.tree)
		} else {
			b.push(f.tree, false)
		}
	}
}

func (b *RouteBuilder) push(t *tree, object bool) {
	b.levels = append(b.levels, builderLevel{tree: t, object: object})
}

func (b *RouteBuilder) begin(t *tree) {
	b.push(t, true)
	if t.begin != nil {
		t.begin(b)
	}
}

// End ends what was opened last.
func (b *RouteBuilder) End() {
	if len(b.levels) < 2 {
		b.fail("an end of nothing")
		return
	}
	b.endTunnel()
	top := b.top()
	if top.object && top.tree.end != nil {
		top.tree.end(b)
	}
	b.levels = b.levels[:len(b.levels)-1]
}

func (b *RouteBuilder) top() *builderLevel { return &b.levels[len(b.levels)-1] }

// field takes one field of the object that is open.
func (b *RouteBuilder) field(key string, kind fieldKind, value string) {
	top := b.top()
	switch {
	case top.tree.skip || b.err != nil:
		return
	case !top.object:
		b.fail("a value of the wrong kind")
		return
	}
	if top.tunnel != nil {
		if f, ok := findField(top.tunnel, key, kind); ok && b.set(f, value, ofTunnel+key) {
			return
		}
		b.endTunnel()
	}
	if f, ok := findField(top.tree.list(), key, kind); ok {
		b.set(f, value, key)
		return
	}
	if top.tree.other == nil || !top.tree.other(b, key, kind, value) {
		b.fail("field %q: unknown, or value %q is of the wrong kind", key, value)
	}
	b.once(key)
}

// ofTunnel tells keys of a tunnel from those of the object it stands in.
const ofTunnel = "encap "

// set hands a value to a field and reports whether the field could still be
// set. A field of a tunnel that comes twice is one of the object around it.
func (b *RouteBuilder) set(f *lineField, value, key string) bool {
	if strings.HasPrefix(key, ofTunnel) && slices.Contains(b.top().seen, key) {
		return false
	}
	b.once(key)
	if !f.set(b, value) {
		b.fail("field %q: bad value %q", f.key, value)
	}
	return true
}

func (b *RouteBuilder) once(key string) {
	top := b.top()
	if slices.Contains(top.seen, key) {
		b.fail("field %q: given twice", key)
	}
	top.seen = append(top.seen, key)
}

// findField returns the field with a key and a kind.
func findField(list []lineField, key string, kind fieldKind) (*lineField, bool) {
	for i := range list {
		if f := &list[i]; f.key == key && f.kind == kind {
			return f, true
		}
	}
	return nil, false
}

func (b *RouteBuilder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// agree takes over the family that something says.
func (b *RouteBuilder) agree(f rpdb.Family) bool {
	if b.family == 0 {
		b.family = f
	}
	if f != b.family {
		b.fail("%v in a route of %v", f, b.family)
	}
	return true
}

// finish joins what only together makes fields of the route.
func (b *RouteBuilder) finish() {
	r := &b.entry.Route
	if b.seen.pref {
		b.agree(rpdb.IPv6)
	}
	if b.family == 0 {
		b.agree(rpdb.IPv4)
	}
	r.Family = b.family
	if r.Dst = b.family.Default(); b.dst != "default" {
		r.Dst = b.prefix(b.dst)
	}
	if b.src != "" {
		r.Src = b.prefix(b.src)
	}
	if b.cloned() {
		b.flags |= routeCloned
		if !b.seen.protocol {
			r.Protocol = rpdb.ProtocolUnspec
		}
	}
	b.entry.RouteDetails.Flags = b.flags
	r.Flags = rpdb.RouteFlags(b.flags &^ nexthopFlagBits)
	if b.seen.hop {
		b.single.Flags = rpdb.NexthopFlags(b.flags & nexthopFlagBits)
		if len(r.Nexthops) > 0 {
			b.fail("a nexthop and a list of nexthops")
		}
		r.Nexthops = []rpdb.Nexthop{b.single}
	}
	if b.seen.cache {
		b.entry.Cache = rpdb.Some(b.cache)
	}
	b.finishMetrics()
}

// cloned reports whether the entry is the answer to an IPv4 question.
func (b *RouteBuilder) cloned() bool { return slices.Contains(b.levels[0].seen, "cache") }

const nexthopFlagBits = 0xff // of rtm_flags

func (b *RouteBuilder) prefix(s string) netip.Prefix {
	text, length, hasLength := strings.Cut(s, "/")
	a, ok := plainAddr(text)
	bits := a.BitLen()
	if hasLength {
		n, err := strconv.ParseUint(length, 10, 8)
		ok = ok && err == nil && length[0] != '+' && int(n) <= bits
		bits = int(n)
	}
	if !ok {
		b.fail("%q: not a prefix", s)
		return netip.Prefix{}
	}
	b.agree(rpdb.FamilyOf(a))
	return netip.PrefixFrom(a, bits)
}

// plainAddr reads an address as listings spell it.
func plainAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

// link returns the interface with a name, or of the index that stands in the
// place of a name that is not known.
func (b *RouteBuilder) link(s string) (rpdb.LinkIndex, bool) {
	if b.context.LinkIndex != nil && isLinkName(s) {
		if i, ok := b.context.LinkIndex(rpdb.LinkName(s)); ok {
			return i, true
		}
	}
	if s == "*" {
		return 0, true
	}
	text, ok := strings.CutPrefix(s, "if")
	n, isNumber := digits(text, 32)
	return rpdb.LinkIndex(n), ok && isNumber && n != 0
}
