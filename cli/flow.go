package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

// flowUsage is the grammar of a flow, close to that of "ip route get".
const flowUsage = `[to] ADDRESS [from ADDRESS] [iif NAME | oif NAME] [mark N] [uid N]
  [tos N] [ipproto NAME|N] [sport N] [dport N] [flowlabel N] [tun_id N]
  [connect | sendto]`

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
	p := flowParser{words: words, seen: map[string]bool{}}
	for p.at < len(words) {
		if err := p.next(); err != nil {
			return rpdb.Flow{}, err
		}
	}
	return p.finish()
}

type flowParser struct {
	words []string
	at    int
	flow  rpdb.Flow
	seen  map[string]bool
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
		"uid":       func(s string) error { return parseUint(s, 32, &f.UID) },
		"tos":       func(s string) error { return parseTOS(s, &f.TOS) },
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
		return p.once("connect or sendto", 1)
	case "sendto":
		p.flow.Socket = rpdb.SendTo
		return p.once("connect or sendto", 1)
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
	if p.seen[keyword] {
		return p.fail(p.at, "%s is given twice", keyword)
	}
	p.seen[keyword] = true
	p.at += words
	return nil
}

func (p *flowParser) finish() (rpdb.Flow, error) {
	f := p.flow
	switch {
	case !f.Dst.IsValid():
		return f, &FlowError{Reason: "a destination address is missing"}
	case f.Src.IsValid() && f.Src.Is4() != f.Dst.Is4():
		return f, fmt.Errorf("flow: source %v and destination %v are of different families", f.Src, f.Dst)
	case f.IsInput() && f.OIF != "":
		return f, fmt.Errorf("flow: iif and oif exclude each other: a forwarded packet is bound to no interface")
	case f.IsInput() && !f.Src.IsValid():
		return f, fmt.Errorf("flow: a packet that comes in by %s has a source: add \"from ADDRESS\"", safe(f.IIF))
	case f.IsInput() && f.Socket != rpdb.RouteGet:
		return f, fmt.Errorf("flow: %v is for packets of this host, and iif for those that come in", f.Socket)
	case f.Dst.Is4() && f.FlowLabel != 0:
		return f, fmt.Errorf("flow: IPv4 packets have no flow label")
	}
	return f, nil
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

// parseTOS reads a DS field as ip does, in hexadecimal.
func parseTOS(s string, v *uint8) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 8)
	if err != nil {
		return fmt.Errorf("not a DS field from 00 to ff")
	}
	*v = uint8(n)
	return nil
}

func parseIPProto(s string, v *rpdb.IPProto) error {
	names := map[string]rpdb.IPProto{"icmp": rpdb.ICMP, "tcp": rpdb.TCP, "udp": rpdb.UDP, "ipv6-icmp": rpdb.ICMPv6, "icmpv6": rpdb.ICMPv6, "sctp": 132, "dccp": 33}
	if p, ok := names[strings.ToLower(s)]; ok {
		*v = p
		return nil
	}
	if err := parseUint(s, 8, v); err != nil {
		return fmt.Errorf("not an IP protocol: tcp, udp, icmp, ipv6-icmp, sctp, dccp or a number")
	}
	return nil
}
