package iproute2

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

// RouteContext is what the words of a route are read with. The zero value has
// built-in names and no family, and knows no interface.
type RouteContext struct {
	// Family is what -4, -6, -M and so on say, 0 without any of them: then the
	// first address decides, and IPv4 if there is none.
	Family rpdb.Family
	Names  rpdb.Names
	// Numbers looks a name up in one of ip's files, as in [RuleContext]; those
	// of routes are "rt_tables", "rt_protos", "rt_realms", "rt_dsfield",
	// "rt_scopes" and "protocols".
	Numbers func(file, name string) (uint32, bool)
	// LinkIndex returns the interface with the name, and whether there is one.
	LinkIndex func(rpdb.LinkName) (rpdb.LinkIndex, bool)
	// VRF returns the table of the VRF with the name, and whether it is one.
	VRF func(name string) (rpdb.TableID, bool)
}

// RouteAddress is an address of a route as it is sent: of two families that
// netip knows, or the labels of MPLS, or an address of the link layer. Bytes is
// empty for "all", and for "default" where no family is known. Bits is the
// prefix length where there is one. It is comparable; the zero value is "all".
type RouteAddress struct {
	Family rpdb.Family
	Bytes  rpdb.Raw
	Bits   uint8
}

// Addr returns the address, which is invalid if it is none of IP.
func (a RouteAddress) Addr() netip.Addr {
	addr, ok := netip.AddrFromSlice([]byte(a.Bytes))
	if !ok || rpdb.FamilyOf(addr) != a.Family {
		return netip.Addr{}
	}
	return addr
}

// routeReader reads the values of keywords about routes. The family is that of
// the options or of the first address; 0 as long as there is none.
type routeReader struct {
	reader
	context RouteContext
	family  rpdb.Family
	keyword string // the word that is being read, as typed
	means   string // the option that it is
	doubts  []string
}

func (c RouteContext) reader(words []string) routeReader {
	return routeReader{reader: reader{words: words, names: c.Names, numbers: c.Numbers}, context: c, family: c.Family}
}

func (p *routeReader) doubt(format string, args ...any) {
	p.doubts = append(p.doubts, fmt.Sprintf(format, args...))
}

// garbage complains about a value that is given twice, or about a word behind
// a complete command that is none.
func (p *routeReader) garbage(keyword, word string) {
	p.fail(BadCommand, word, fmt.Sprintf("Error: either \"%s\" is duplicate, or \"%s\" is garbage.", keyword, word))
}

// usage complains about a word that asks for the usage, or "" for a command
// that is not complete enough for anything better.
func (p *routeReader) usage(word string) { p.fail(Usage, word, routeUsage) }

// refuse complains in words of its own; ip ends with code 1 then.
func (p *routeReader) refuse(word, text string) {
	if p.err == nil {
		p.fail(BadCommand, word, text)
		p.err.exit = exitFailed
	}
}

// prefixIn reads a prefix, which decides the family if nothing did so far.
func (p *routeReader) prefixIn(word string, f rpdb.Family) RouteAddress {
	if p.err != nil {
		return RouteAddress{}
	}
	a, ok := routePrefix(word, f)
	switch {
	case f == familyPacket:
		p.refuse(word, fmt.Sprintf("Error: \"%s\" may be inet prefix, but it is not allowed in this context.", word))
	case !ok:
		p.fail(BadPrefix, word, familyWord(f))
	}
	if a.Family == rpdb.IPv4 && !isDottedQuad(word) {
		p.doubt("%q is read as %v/%d: write four decimal numbers, and the length", word, a.Addr(), a.Bits)
	}
	p.infer(a.Family)
	return a
}

func (p *routeReader) infer(f rpdb.Family) {
	if p.family == 0 {
		p.family = f
	}
}

// routePrefix reads a prefix as it is sent: "all" and "any" are no address, and
// so is "default" where no family of IP is known.
func routePrefix(word string, f rpdb.Family) (RouteAddress, bool) {
	prefix, ok := parsePrefix(word, f)
	if !ok {
		return RouteAddress{}, false
	}
	if word == "default" {
		prefix = f.Default()
	}
	if !prefix.IsValid() {
		return RouteAddress{Family: f}, true
	}
	a := sentAddr(prefix.Addr())
	a.Bits = uint8(prefix.Bits())
	if f == familyMPLS {
		a.Family = f
	}
	return a, true
}

func sentAddr(a netip.Addr) RouteAddress {
	if a.Is4() {
		b := a.As4()
		return RouteAddress{Family: rpdb.IPv4, Bytes: rpdb.Raw(b[:])}
	}
	if !a.IsValid() {
		return RouteAddress{}
	}
	b := a.As16()
	return RouteAddress{Family: rpdb.FamilyOf(a), Bytes: rpdb.Raw(b[:])}
}

// address reads an address, which decides the family if nothing did so far.
func (p *routeReader) address() RouteAddress {
	a := p.addressIn(p.next(), p.family)
	p.infer(a.Family)
	return a
}

func (p *routeReader) addressIn(word string, f rpdb.Family) RouteAddress {
	if p.err != nil {
		return RouteAddress{}
	}
	a, ok := routeAddress(word, f)
	switch {
	case ok:
	case f == familyPacket: // ip complains twice, and has cut the word by then
		part, _, _ := strings.Cut(word, ":")
		p.fail(BadAddress, part, familyWord(f))
		p.err.warning += fmt.Sprintf("\"%s\" is invalid lladdr.\n", badLinkPart(word))
	default:
		p.fail(BadAddress, word, familyWord(f))
	}
	if a.Family == rpdb.IPv4 && !isDottedQuad(word) {
		p.doubt("%q is read as %v: write four decimal numbers", word, a.Addr())
	}
	return a
}

// routeAddress reads an address as it is sent: a stack of labels in MPLS, bytes
// with colons between on the link layer.
func routeAddress(word string, f rpdb.Family) (RouteAddress, bool) {
	switch {
	case f == familyMPLS:
		return labelStack(word)
	case isAll(word):
		a := RouteAddress{Family: f}
		if zero := f.Unspecified(); word == "default" && zero.IsValid() {
			a = sentAddr(zero)
		}
		return a, true
	case f == familyPacket:
		return linkAddress(word)
	}
	addr, ok := parseAddr(word, f)
	if !ok {
		return RouteAddress{}, false
	}
	return sentAddr(addr), true
}

// maxLabels is how many labels a stack may have.
const maxLabels = 32

// labelStack reads labels with slashes between, the last of which is the
// bottom of the stack.
func labelStack(word string) (RouteAddress, bool) {
	const bottom = 0x01 // in the third byte of an entry
	parts := strings.Split(word, "/")
	stack := make([]byte, 0, 4*len(parts))
	for _, part := range parts {
		n, err := parseUint(part, 0, labelBits)
		if err != nil || len(parts) > maxLabels {
			return RouteAddress{}, false
		}
		stack = append(stack, byte(n>>12), byte(n>>4), byte(n<<4), 0)
	}
	stack[len(stack)-2] |= bottom
	return RouteAddress{Family: familyMPLS, Bytes: rpdb.Raw(stack)}, true
}

// linkAddress reads hexadecimal bytes with colons between, or an IPv4 address.
func linkAddress(word string) (RouteAddress, bool) {
	a := RouteAddress{Family: familyPacket}
	if addr, ok := parseIPv4(word); ok && strings.Contains(word, ".") {
		a.Bytes = rpdb.Raw(addr.AsSlice())
		return a, true
	}
	for part := range strings.SplitSeq(word, ":") {
		n, ok := linkByte(part)
		if !ok || len(a.Bytes) == maxLinkAddress {
			return RouteAddress{}, false
		}
		a.Bytes += rpdb.Raw([]byte{n})
	}
	return a, true
}

// maxLinkAddress is how long an address of the link layer may be.
const maxLinkAddress = 256

// linkByte reads one byte as scanf(3) does: what follows the digits counts for
// nothing.
func linkByte(part string) (byte, bool) {
	n, rest, overflow := strtoul(part, 16)
	return byte(n), !overflow && len(rest) < len(part) && n <= 0xff
}

// badLinkPart returns the part of an address of the link layer that is none.
func badLinkPart(word string) string {
	for part := range strings.SplitSeq(word, ":") {
		if _, ok := linkByte(part); !ok {
			return part
		}
	}
	return word
}

// gateway reads [FAMILY] ADDRESS: with the word of a family, the gateway may
// be of another one than the route.
func (p *routeReader) gateway() RouteAddress {
	word, f := p.gatewayFamily()
	a := p.addressIn(word, f)
	p.infer(a.Family)
	return a
}

// gatewayFamily takes the word of a family, if there is one, and the word
// behind it.
func (p *routeReader) gatewayFamily() (word string, f rpdb.Family) {
	word = p.next()
	switch word {
	case "inet":
		f = rpdb.IPv4
	case "inet6":
		f = rpdb.IPv6
	case "mpls":
		f = familyMPLS
	case "bridge":
		f = familyBridge
	case "link":
		f = familyPacket
	default:
		return word, p.family
	}
	return p.next(), f
}

// link reads the name of an interface that there is, or "ifN" for number N.
func (p *routeReader) link() rpdb.LinkIndex { return p.find(p.lateLink()) }

// lateLink is the name of an interface that is looked up when all words are
// known to be good, as ip does. The zero value was not typed.
type lateLink struct {
	name  string
	typed bool
}

func (p *routeReader) lateLink() lateLink { return lateLink{p.next(), true} }

// find looks an interface up; 0 stands for one that was not typed.
func (p *routeReader) find(l lateLink) rpdb.LinkIndex {
	if !l.typed || p.err != nil {
		return 0
	}
	i, ok := p.index(l.name)
	if !ok {
		p.fail(UnknownDevice, l.name, "")
	}
	return i
}

func (p *routeReader) index(word string) (rpdb.LinkIndex, bool) {
	if p.context.LinkIndex != nil && word != "" {
		if i, ok := p.context.LinkIndex(rpdb.LinkName(word)); ok {
			return i, true
		}
	}
	digits, ok := strings.CutPrefix(word, "if")
	n, _, isNumber := scanUint32(digits)
	if !ok || !isNumber || n == 0 {
		return 0, false
	}
	p.doubt("no interface is called %q, it is taken for the one with index %d", word, n)
	return rpdb.LinkIndex(n), true
}

// vrf reads the name of a VRF; "default" is table main where none has that
// name.
func (p *routeReader) vrf() rpdb.TableID {
	word := p.next()
	if p.err != nil {
		return 0
	}
	if t, ok := p.vrfTable(word); ok {
		return t
	}
	if word == "default" {
		return rpdb.TableMain
	}
	p.fail(BadArgument, word, "Invalid VRF\n")
	return 0
}

func (p *routeReader) vrfTable(word string) (rpdb.TableID, bool) {
	if p.context.VRF == nil {
		return 0, false
	}
	return p.context.VRF(word)
}

// scope reads the name or number of a scope.
func (p *routeReader) scope(reason string) rpdb.Scope {
	word := p.next()
	if p.err != nil {
		return 0
	}
	if s, ok := p.scopeByName(word); ok {
		return s
	}
	return rpdb.Scope(p.numberIn(word, 8, reason))
}

func (p *routeReader) scopeByName(word string) (rpdb.Scope, bool) {
	builtin := func(s string) (rpdb.Scope, bool) {
		scope, ok := p.names.ScopeByName(s)
		return scope, ok && digit(firstByte(s)) > 9
	}
	return named(&p.reader, "rt_scopes", word, p.names.Scopes, builtin)
}

// timeValue is what a time was read as. A number without a unit is sent as it
// is, one with a unit in the kernel's own scale.
type timeValue struct {
	ms      uint32
	hasUnit bool
	exact   bool // the word says no more and no less
}

// routeTime reads a time as ip does: a number in any base or a decimal
// fraction, rounded up, with or without a unit.
func routeTime(word string) (timeValue, bool) {
	t, rest, ok := leadingNumber(word)
	if !ok || t < 0 {
		return timeValue{}, false
	}
	switch strings.ToLower(rest) {
	case "":
	case "s", "sec", "secs":
		t *= 1000
	case "ms", "msec", "msecs":
	default:
		return timeValue{}, false
	}
	v := timeValue{hasUnit: rest != ""}
	if t < 1<<63 {
		v.ms = uint32(uint64(t))
	}
	v.exact = float64(v.ms) == t
	if float64(v.ms) < t { // as ip does, also where the number was too large
		v.ms++
	}
	return v, true
}

// leadingNumber reads the number that a word begins with.
func leadingNumber(word string) (n float64, rest string, ok bool) {
	if !strings.Contains(word, ".") {
		v, rest, overflow := strtoul(word, 0)
		return float64(v), rest, !overflow && len(rest) < len(word)
	}
	number := strings.TrimLeft(word, space) // as strtod(3) does
	end := len(number) - len(strings.TrimLeft(number, "0123456789+-.eE"))
	for ; end > 0; end-- {
		if n, err := strconv.ParseFloat(number[:end], 64); err == nil {
			return n, number[end:], true
		}
	}
	return 0, word, false
}
