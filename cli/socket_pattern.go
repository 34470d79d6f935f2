package cli

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/kernel"
)

// socketUsage is the grammar of --socket, whose words ss(8) prints side by side.
const socketUsage = `[PROTOCOL,]LOCAL[,REMOTE], each ADDRESS[%INTERFACE]:PORT as "ss" shows it`

// SocketError is a word of --socket that cannot be understood.
type SocketError struct {
	Position int // of the word, from 1; 0 if a word is missing
	Word     string
	Reason   string
}

// Error quotes the word and says where it stands.
func (e *SocketError) Error() string {
	if e.Position == 0 {
		return "--socket: " + e.Reason
	}
	return fmt.Sprintf("--socket: word %d %q: %s", e.Position, e.Word, e.Reason)
}

// Hint shows the grammar.
func (e *SocketError) Hint() string { return "a socket is: " + socketUsage }

// socketPattern says which sockets are meant. The zero value means all.
type socketPattern struct {
	proto         rpdb.IPProto // 0: any
	local, remote endPattern
}

// endPattern is one end of a socket. The zero value means any.
type endPattern struct {
	addr     netip.Addr    // invalid: any
	wildcard bool          // no address: "*", of either family
	link     rpdb.LinkName // that the socket is bound to, "" for any
	port     uint16        // 0: any
}

// parseSocketPattern reads [socketUsage]. The words stand apart by commas, by
// blanks as ss prints them, or both.
func parseSocketPattern(text string) (p socketPattern, err error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	first := 0
	if len(words) > 0 && !strings.ContainsAny(words[0], ":.*[") {
		if err := parseIPProto(words[0], &p.proto); err != nil {
			return p, &SocketError{1, words[0], "neither ADDRESS:PORT nor an IP protocol such as tcp or udp"}
		}
		first = 1
	}
	ends := []*endPattern{&p.local, &p.remote}
	if len(words) == first {
		return p, &SocketError{Reason: "the local end of the socket is missing"}
	}
	for i, word := range words[first:] {
		if i == len(ends) {
			return p, &SocketError{first + i + 1, word, "a socket has two ends"}
		}
		if *ends[i], err = parseEnd(word, p.proto); err != nil {
			return p, &SocketError{first + i + 1, word, err.Error()}
		}
	}
	if p.remote.link != "" {
		return p, &SocketError{len(words), words[len(words)-1], "the interface that a socket is bound to stands at its local end"}
	}
	return p, nil
}

// parseEnd reads ADDRESS[%INTERFACE]:PORT. Before the colon may be nothing for
// any address, or * for none; behind it * for any port.
func parseEnd(word string, proto rpdb.IPProto) (e endPattern, err error) {
	i := strings.LastIndexByte(word, ':')
	if i < 0 {
		return e, fmt.Errorf("a port must follow, as in %s:22", word)
	}
	host, port := word[:i], word[i+1:]
	if e.port, err = parsePort(port, proto); err != nil {
		return e, err
	}
	host, link, bound := strings.Cut(host, "%")
	if bound {
		if strings.HasSuffix(link, "]") { // [fe80::1%eth0] as well as [fe80::1]%eth0
			host, link = host+"]", strings.TrimSuffix(link, "]")
		}
		if err := parseLink(link, &e.link); err != nil {
			return e, fmt.Errorf("%q is %w", link, err)
		}
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	switch {
	case host == "":
		return e, nil
	case host == "*":
		e.wildcard = true
		return e, nil
	case !bracketed && strings.Contains(host, ":"):
		return e, fmt.Errorf("an IPv6 address stands in brackets, as in [2001:db8::1]:443")
	case bracketed != closed || parseAddr(inner, &e.addr) != nil || bracketed && e.addr.Is4():
		return e, fmt.Errorf("%q is not an IP address", host)
	}
	e.addr = e.addr.Unmap()
	return e, nil
}

// parsePort reads a port, by its number or as /etc/services names it.
func parsePort(s string, proto rpdb.IPProto) (uint16, error) {
	if s == "*" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(s, 10, 16); err == nil && n > 0 {
		return uint16(n), nil
	}
	network := map[rpdb.IPProto]string{rpdb.TCP: "tcp", rpdb.UDP: "udp"}[proto]
	if network == "" {
		network = "ip"
	}
	n, err := net.DefaultResolver.LookupPort(context.Background(), network, s)
	if _, number := strconv.Atoi(s); err != nil || number == nil || s == "" {
		return 0, fmt.Errorf("%q is not a port: a number from 1 to 65535, the name of a service, or *", s)
	}
	return uint16(n), nil
}

// matches reports whether a socket is meant. The function names interfaces.
func (p socketPattern) matches(s kernel.InetSocket, linkName func(rpdb.LinkIndex) rpdb.LinkName) bool {
	return (p.proto == 0 || p.proto == s.Protocol) &&
		(p.local.link == "" || s.Bound != 0 && p.local.link == linkName(s.Bound)) &&
		p.local.matches(s.Local) && p.remote.matches(s.Remote)
}

// matches reports whether an end is meant, of which none at all, as a socket
// has for the remote one that is not connected, has no address and any port.
func (e endPattern) matches(end netip.AddrPort) bool {
	none := !end.IsValid() || end.Addr().IsUnspecified()
	switch {
	case e.wildcard || e.addr.IsValid() && e.addr.IsUnspecified() && !end.IsValid():
		if !none {
			return false
		}
	case e.addr.IsValid() && e.addr != end.Addr():
		return false
	}
	return e.port == 0 || e.port == end.Port()
}

// Names of protocols that ss has for sockets.
const (
	protoDCCP    rpdb.IPProto = 33
	protoSCTP    rpdb.IPProto = 132
	protoUDPLite rpdb.IPProto = 136
)

// protocolName is the name of a protocol in a list of sockets.
func protocolName(p rpdb.IPProto) string {
	switch p {
	case rpdb.TCP:
		return "tcp"
	case rpdb.UDP:
		return "udp"
	case rpdb.ICMP:
		return "icmp"
	case rpdb.ICMPv6:
		return "ipv6-icmp"
	case protoDCCP:
		return "dccp"
	case protoSCTP:
		return "sctp"
	case protoUDPLite:
		return "udplite"
	}
	return fmt.Sprintf("protocol %d", p)
}

// endNames spells the ends of a socket as ss does, with numbers for ports. The
// name is that of the interface that it is bound to.
func endNames(s kernel.InetSocket, link rpdb.LinkName) (local, remote string) {
	any4, any6 := "0.0.0.0", "[::]"
	none := any6
	switch {
	case s.Family == rpdb.IPv4 || s.Local.Addr().Is4():
		none = any4
	case !s.V6Only && s.Local.Addr().IsUnspecified():
		none = "*"
	}
	local = addrName(s.Local.Addr())
	if s.Local.Addr().IsUnspecified() {
		local = none
	}
	if link != "" {
		local += "%" + string(link)
	}
	remote = none
	if s.IsConnected() {
		remote = addrName(s.Remote.Addr())
	}
	return local + ":" + portName(s.Local.Port()), remote + ":" + portName(s.Remote.Port())
}

func addrName(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

func portName(p uint16) string {
	if p == 0 {
		return "*"
	}
	return strconv.Itoa(int(p))
}
