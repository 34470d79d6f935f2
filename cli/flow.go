package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// flowUsage is the grammar of a flow, close to that of "ip route get".
const flowUsage = `[to] ADDRESS [from ADDRESS] [iif NAME | oif NAME] [mark N] [uid N]
  [tos N | dscp N] [ipproto NAME|N] [sport N] [dport N] [flowlabel N]
  [tun_id N] [forwarded | connect | sendto]`

// FlowError is a word of a flow that cannot be understood.
type FlowError struct {
	Position int // of the word, from 1; 0 if a word is missing
	Word     string
	Reason   string
}

// Error quotes the word and says where it stands.
func (e *FlowError) Error() string {
	if e.Position == 0 {
		return "flow: " + e.Reason
	}
	return fmt.Sprintf("flow: word %d %q: %s", e.Position, e.Word, e.Reason)
}

// Hint shows the grammar.
func (e *FlowError) Hint() string {
	return "a flow is: " + strings.Join(strings.Fields(flowUsage), " ")
}

// ParseFlow reads a flow in the words of "ip route get". Every keyword may
// stand once.
func ParseFlow(words []string) (rpdb.Flow, error) {
	flow, _, err := parseFlow(words)
	return flow, err
}

// parseFlow is ParseFlow, and says which parts were given, by their names in
// [openFields]: a zero that somebody typed is no assumption.
func parseFlow(words []string) (flow rpdb.Flow, given func(field string) bool, err error) {
	p := newFlowParser(words)
	for p.at < len(words) {
		if err := p.next(); err != nil {
			return rpdb.Flow{}, nil, err
		}
	}
	flow, err = p.finish()
	return flow, p.given, err
}

func (p *flowParser) given(field string) bool {
	keywords := []string{field}
	switch field {
	case "fwmark":
		keywords = []string{"mark"}
	case "tos or dscp":
		keywords = []string{"tos", "dscp"}
	}
	return slices.ContainsFunc(keywords, func(k string) bool { _, ok := p.seen[k]; return ok })
}

func newFlowParser(words []string) flowParser {
	return flowParser{words: words, seen: map[string]int{}}
}

type flowParser struct {
	words []string
	at    int
	flow  rpdb.Flow
	seen  map[string]int // where each keyword stands; [socketCall] for connect and sendto
}

func (p *flowParser) fail(at int, format string, args ...any) error {
	return &FlowError{Position: at + 1, Word: p.words[at], Reason: fmt.Sprintf(format, args...)}
}

// flowFields reads the value of each keyword into the flow.
func flowFields(f *rpdb.Flow) map[string]func(string) error {
	return map[string]func(string) error{
		"to":        func(s string) error { return parseAddr(s, &f.Dst) },
		"from":      func(s string) error { return parseAddr(s, &f.Src) },
		"iif":       func(s string) error { return parseLink(s, &f.IIF) },
		"oif":       func(s string) error { return parseLink(s, &f.OIF) },
		"mark":      func(s string) error { return parseUint(s, 32, &f.Mark) },
		"uid":       func(s string) error { return parseUID(s, &f.UID) },
		"tos":       func(s string) error { return parseTOS(s, &f.TOS) },
		"dscp":      func(s string) error { return parseDSCP(s, &f.TOS) },
		"ipproto":   func(s string) error { return parseIPProto(s, &f.IPProto) },
		"sport":     func(s string) error { return parseUint(s, 16, &f.SPort) },
		"dport":     func(s string) error { return parseUint(s, 16, &f.DPort) },
		"flowlabel": func(s string) error { return parseUint(s, 20, &f.FlowLabel) },
		"tun_id":    func(s string) error { return parseUint(s, 64, &f.TunID) },
	}
}

// flowAliases are other words that ip uses for the same.
func flowAliases() map[string]string {
	return map[string]string{"src": "from", "dev": "oif", "fwmark": "mark", "dsfield": "tos"}
}

func (p *flowParser) next() error {
	word := p.words[p.at]
	switch word {
	case "connect":
		p.flow.Socket = rpdb.Connect
		return p.once(socketCall, 1)
	case "sendto":
		p.flow.Socket = rpdb.SendTo
		return p.once(socketCall, 1)
	case "forwarded":
		return p.once(word, 1)
	}
	if full, ok := flowAliases()[word]; ok {
		word = full
	}
	read, ok := flowFields(&p.flow)[word]
	if !ok {
		return p.bareAddress()
	}
	if p.at+1 >= len(p.words) {
		return p.fail(p.at, "a value must follow")
	}
	if err := read(p.words[p.at+1]); err != nil {
		return p.fail(p.at+1, "%v", err)
	}
	return p.once(word, 2)
}

// bareAddress reads a destination without its keyword.
func (p *flowParser) bareAddress() error {
	if err := parseAddr(p.words[p.at], &p.flow.Dst); err != nil {
		return p.fail(p.at, "neither a keyword of a flow nor an address")
	}
	return p.once("to", 1)
}

func (p *flowParser) once(keyword string, words int) error {
	if _, twice := p.seen[keyword]; twice {
		return p.fail(p.at, "%s is given twice", keyword)
	}
	p.seen[keyword] = p.at
	p.at += words
	return nil
}

// clash is an error at the second of two keywords that cannot stand together,
// nil if they do not.
func (p *flowParser) clash(a, b, reason string) error {
	i, hasA := p.seen[a]
	j, hasB := p.seen[b]
	if !hasA || !hasB {
		return nil
	}
	return p.fail(max(i, j), "%s", reason)
}

// value is where the value of a keyword stands.
func (p *flowParser) value(keyword string) int {
	at := p.seen[keyword]
	if _, isKeyword := flowFields(&rpdb.Flow{})[p.words[at]]; isKeyword || flowAliases()[p.words[at]] != "" {
		return at + 1
	}
	return at // a destination without its keyword
}

// finish checks that the words make a packet together.
func (p *flowParser) finish() (rpdb.Flow, error) {
	f := p.flow
	switch {
	case !f.Dst.IsValid():
		return f, &FlowError{Reason: "a destination address is missing"}
	case f.Src.IsValid() && f.Src.Is4() != f.Dst.Is4():
		at := p.value("from")
		if p.seen["to"] > p.seen["from"] {
			at = p.value("to")
		}
		return f, p.fail(at, "source %v and destination %v are of different families", f.Src, f.Dst)
	}
	if err := p.together(); err != nil {
		return f, err
	}
	_, hasLabel := p.seen["flowlabel"]
	_, isForwarded := p.seen["forwarded"]
	switch {
	case f.Dst.Is4() && hasLabel:
		return f, p.fail(p.seen["flowlabel"], "IPv4 packets have no flow label")
	case isForwarded && !f.IsInput():
		return f, p.fail(p.seen["forwarded"], "a packet that is forwarded comes in by an interface: add \"iif NAME\"")
	case f.IsInput() && !f.Src.IsValid():
		return f, p.fail(p.seen["iif"], "a packet that comes in by %s has a source: add \"from ADDRESS\"", safe(f.IIF))
	case f.IsInput() && f.UID != 0:
		return f, p.fail(p.value("uid"), "a packet that comes in has no user: rules see user 0")
	}
	return f, p.ports()
}

// together refuses keywords that exclude each other.
func (p *flowParser) together() error {
	ofHost := fmt.Sprintf("%v is for packets of this host, ", p.flow.Socket)
	clashes := [][3]string{
		{"tos", "dscp", "tos and dscp are the same field of the packet"},
		{"forwarded", "oif", "a packet that is forwarded is bound to no interface"},
		{"forwarded", socketCall, ofHost + "which are not forwarded"},
	}
	if p.flow.IsInput() {
		clashes = append(
			clashes,
			[3]string{"iif", "oif", "iif and oif exclude each other: a packet that comes in is bound to no interface"},
			[3]string{"iif", socketCall, ofHost + "and iif for those that come in"},
		)
	}
	for _, c := range clashes {
		if err := p.clash(c[0], c[1], c[2]); err != nil {
			return err
		}
	}
	return nil
}

// ports refuses ports of packets that have none. When a packet of ICMP is sent
// here, rules see its type and code in their place.
func (p *flowParser) ports() error {
	f := p.flow
	switch f.IPProto {
	case 0, rpdb.TCP, rpdb.UDP, protoDCCP, protoSCTP, protoUDPLite:
		return nil
	case rpdb.ICMP, rpdb.ICMPv6:
		if !f.IsInput() {
			return nil
		}
	}
	for _, keyword := range []string{"sport", "dport"} {
		if at, ok := p.seen[keyword]; ok {
			return p.fail(at, "packets of protocol %d have no ports", f.IPProto)
		}
	}
	return nil
}

func parseAddr(s string, a *netip.Addr) error {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return fmt.Errorf("not an IP address")
	}
	*a = addr
	return nil
}

func parseLink(s string, name *rpdb.LinkName) error {
	if s == "" || len(s) > 15 || strings.ContainsAny(s, "/ \t\n") {
		return fmt.Errorf("not the name of an interface")
	}
	*name = rpdb.LinkName(s)
	return nil
}

func parseUint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](s string, bits int, v *T) error {
	n, err := strconv.ParseUint(s, 0, bits)
	if err != nil {
		return fmt.Errorf("not a number of %d bits", bits)
	}
	*v = T(n)
	return nil
}

// parseUID reads a user id; the greatest number is none.
func parseUID(s string, v *uint32) error {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil || n == 1<<32-1 {
		return fmt.Errorf("not a user id from 0 to 4294967294")
	}
	*v = uint32(n)
	return nil
}

// parseTOS reads a DS field as ip does, in hexadecimal.
func parseTOS(s string, v *uint8) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 8)
	if err != nil {
		return fmt.Errorf("not a DS field from 00 to ff")
	}
	*v = uint8(n)
	return nil
}

// parseDSCP reads the upper six bits of the DS field: a number, or the name of a
// class of RFC 2474, 2597, 3246 or 8622.
func parseDSCP(s string, tos *uint8) error {
	name := strings.ToLower(s)
	n, err := strconv.ParseUint(s, 0, 6)
	switch {
	case err == nil:
	case name == "ef":
		n = 46
	case name == "le":
		n = 1
	case len(name) == 3 && name[:2] == "cs" && '0' <= name[2] && name[2] <= '7':
		n = uint64(name[2]-'0') << 3
	case len(name) == 4 && name[:2] == "af" && '1' <= name[2] && name[2] <= '4' && '1' <= name[3] && name[3] <= '3':
		n = uint64(name[2]-'0')<<3 | uint64(name[3]-'0')<<1
	default:
		return fmt.Errorf("not a DSCP: 0 to 63, CS0 to CS7, AF11 to AF43, EF or LE")
	}
	*tos = uint8(n << 2)
	return nil
}

func parseIPProto(s string, v *rpdb.IPProto) error {
	names := map[string]rpdb.IPProto{"icmp": rpdb.ICMP, "tcp": rpdb.TCP, "udp": rpdb.UDP, "ipv6-icmp": rpdb.ICMPv6, "icmpv6": rpdb.ICMPv6, "sctp": protoSCTP, "dccp": protoDCCP, "udplite": protoUDPLite}
	if p, ok := names[strings.ToLower(s)]; ok {
		*v = p
		return nil
	}
	if err := parseUint(s, 8, v); err != nil {
		return fmt.Errorf("not an IP protocol: tcp, udp, icmp, ipv6-icmp, sctp, dccp or a number")
	}
	return nil
}
