package cli

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/kernel"
)

// socketWords are the words of a flow that fill what a socket leaves open.
type socketWords struct {
	flow  rpdb.Flow
	given map[string]bool // by keyword; [socketCall] for connect and sendto
}

// openWords are the words that a socket can leave open, in the order of
// [flowWords].
func openWords() []string {
	return []string{"to", "from", "oif", "mark", "dport", "flowlabel", "connect", "sendto"}
}

// parseSocketWords reads words of a flow beside a socket. All may be missing,
// and those that every socket has of its own are refused.
func parseSocketWords(args []string) (socketWords, error) {
	p := newFlowParser(args)
	for p.at < len(args) {
		word, at := args[p.at], p.at
		if full, ok := flowAliases()[word]; ok {
			word = full
		}
		_, isField := flowFields(&p.flow)[word]
		if (isField || word == "forwarded") && !slices.Contains(openWords(), word) {
			reason := "a socket has that of its own"
			if word == "iif" || word == "tun_id" || word == "forwarded" {
				reason = "that is for packets that come in, and a socket sends"
			}
			return socketWords{}, p.fail(at, "%s", reason)
		}
		if err := p.next(); err != nil {
			return socketWords{}, err
		}
	}
	w := socketWords{p.flow, map[string]bool{}}
	for keyword := range p.seen {
		w.given[keyword] = true
	}
	switch f := p.flow; {
	case f.Src.IsValid() && !f.Dst.IsValid():
		return w, &FlowError{Reason: `"from" says where answers come from, and "to" is missing that says where they go`}
	case f.Src.IsValid() && f.Src.Is4() != f.Dst.Is4():
		return w, fmt.Errorf("flow: source %v and destination %v are of different families", f.Src, f.Dst)
	case f.Dst.Is4() && f.FlowLabel != 0:
		return w, fmt.Errorf("flow: IPv4 packets have no flow label")
	}
	return w, nil
}

// socketCall is the key of socketWords.given for connect and sendto.
const socketCall = "connect or sendto"

// socketFlow is what the kernel looks a route up by for a socket.
type socketFlow struct {
	socket kernel.InetSocket
	flow   rpdb.Flow
	// unknown says why a part of the flow is not known and taken to be zero, by
	// the name that it has in [openFields].
	unknown map[string]string
	used    []string // the keywords that filled a gap
}

// flowMaker makes the flows of sockets in one state.
type flowMaker struct {
	snap  *rpdb.Snapshot
	words socketWords
}

// flowsOf returns the flows of a socket: one, or where it answers from whatever
// address it was asked at, one for each address. Without flows it says why.
func (m flowMaker) flowsOf(s kernel.InetSocket) (flows []socketFlow, reason string) {
	f := socketFlow{socket: s, unknown: map[string]string{}}
	f.flow = rpdb.Flow{IPProto: s.Protocol, UID: s.UID, SPort: s.Local.Port(), Socket: rpdb.SendTo}
	if s.Bound != 0 {
		if f.flow.OIF = m.snap.LinkName(s.Bound); f.flow.OIF == "" {
			return nil, fmt.Sprintf("it is bound to interface %d, which is gone", s.Bound)
		}
	}
	if !s.Local.Addr().IsUnspecified() {
		f.flow.Src = s.Local.Addr()
	}
	if s.IsConnected() {
		f.flow.Dst, f.flow.DPort = s.Remote.Addr(), s.Remote.Port()
	} else if reason := m.aim(&f); reason != "" {
		return nil, reason
	}
	m.fill(&f)
	if s.AnySource && f.flow.Dst.Is4() && f.flow.Src.IsValid() && !m.isLocal(f.flow.Src) {
		return nil, fmt.Sprintf("it sends from %v, which is not an address of this host and which it may (IP_TRANSPARENT): no lookup here can do that", f.flow.Src)
	}
	if s.State == kernel.SocketListen && !f.flow.Src.IsValid() {
		return m.answers(f)
	}
	return []socketFlow{f}, ""
}

// aim sets the destination of a socket that has none of its own.
func (m flowMaker) aim(f *socketFlow) (reason string) {
	s, to := f.socket, m.words.flow.Dst
	own := s.Local.Addr()
	switch {
	case !to.IsValid():
		return `it has no destination of its own: add "to ADDRESS"`
	case to.Is6() && (s.Family == rpdb.IPv4 || own.Is4()):
		return fmt.Sprintf("it speaks IPv4 alone, and %v is an address of IPv6", to)
	case to.Is4() && s.Family == rpdb.IPv6 && (s.V6Only || own.Is6() && !own.IsUnspecified()):
		return fmt.Sprintf("it speaks IPv6 alone, and %v is an address of IPv4", to)
	}
	if f.flow.OIF == "" && m.words.given["oif"] {
		f.flow.OIF = m.words.flow.OIF
		f.use("oif")
	}
	if to.Is6() && to.IsLinkLocalUnicast() && f.flow.OIF == "" {
		return `a link-local address means nothing without an interface: add "oif NAME"`
	}
	f.flow.Dst = to
	f.use("to")
	if m.words.given["dport"] {
		f.flow.DPort = m.words.flow.DPort
		f.use("dport")
	}
	if !f.flow.Src.IsValid() && m.words.given["from"] {
		f.flow.Src = m.words.flow.Src
		f.use("from")
	}
	if s.State == kernel.SocketListen {
		return ""
	}
	if s.Protocol == rpdb.TCP {
		f.flow.Socket = rpdb.Connect
	} else if m.words.given[socketCall] {
		f.flow.Socket = m.words.flow.Socket
		f.use(socketCall)
	}
	return ""
}

// fill sets the rest, which depends on the family of the flow.
func (m flowMaker) fill(f *socketFlow) {
	s := f.socket
	f.flow.TOS = s.TOS
	if f.flow.Dst.Is6() {
		f.flow.TOS = s.TClass
		// TCP puts the traffic class into its packets, but looks it up only in
		// connect(2) (Linux 6.18: the tracepoint fib6_table_lookup shows tos 0).
		if s.Protocol == rpdb.TCP && f.flow.Socket != rpdb.Connect {
			f.flow.TOS = 0
		}
		f.unknown["flowlabel"] = "the kernel does not tell flow labels"
		if m.words.given["flowlabel"] {
			f.flow.FlowLabel = m.words.flow.FlowLabel
			f.use("flowlabel")
		}
	}
	mark, known := s.Mark.Get()
	f.flow.Mark = mark
	switch {
	case !known:
		f.unknown["fwmark"] = "the kernel tells marks only with CAP_NET_ADMIN"
	case mark == 0 && s.State == kernel.SocketListen && m.snap.Sysctls.TCPMarkAccept:
		f.unknown["fwmark"] = "answers carry the mark of what they answer (tcp_fwmark_accept)"
	default:
		return
	}
	if m.words.given["mark"] {
		f.flow.Mark = m.words.flow.Mark
		delete(f.unknown, "fwmark")
		f.use("mark")
	}
}

func (f *socketFlow) use(word string) { f.used = append(f.used, word) }

// answers returns a flow for each address that a listening socket may be asked
// at.
func (m flowMaker) answers(f socketFlow) (flows []socketFlow, reason string) {
	for _, src := range m.sources(f.flow) {
		answer := f
		answer.flow.Src = src
		flows = append(flows, answer)
	}
	if len(flows) == 0 {
		return nil, fmt.Sprintf("this host has no address that it could answer %v from", f.flow.Dst)
	}
	return flows, ""
}

// sources returns the addresses of the host at which the flow's destination can
// ask, each once: of the same family, and link-local ones of the interface at
// link-local ones.
func (m flowMaker) sources(f rpdb.Flow) []netip.Addr {
	asker, onLink := f.Dst, f.Dst.Is6() && f.Dst.IsLinkLocalUnicast()
	var list []netip.Addr
	for _, a := range m.snap.Addresses {
		addr := a.Prefix.Addr()
		switch {
		case addr.Is4() != asker.Is4(), !a.Usable(), addr.IsLoopback() != asker.IsLoopback(), slices.Contains(list, addr):
			continue
		case addr.Is6() && addr.IsLinkLocalUnicast() != onLink, onLink && m.snap.LinkName(a.Link) != f.OIF:
			continue
		}
		list = append(list, addr)
	}
	return list
}

// isLocal reports whether an address is the host's.
func (m flowMaker) isLocal(a netip.Addr) bool {
	return slices.ContainsFunc(m.snap.Routes, func(r rpdb.Route) bool {
		return r.Type == rpdb.RouteLocal && r.Table == rpdb.TableLocal && r.Dst.Contains(a)
	})
}

// knows reports whether a part of the flow is known though it may be zero.
func (f socketFlow) knows(field string) bool {
	if f.unknown[field] != "" {
		return false
	}
	switch field {
	case "dport":
		return f.socket.IsConnected() || !hasPorts(f.socket.Protocol)
	case "sport":
		return f.socket.Local.Port() != 0 || !hasPorts(f.socket.Protocol)
	}
	return true
}

// hasPorts reports whether sockets of a protocol have ports.
func hasPorts(p rpdb.IPProto) bool {
	switch p {
	case rpdb.TCP, rpdb.UDP, protoUDPLite, protoSCTP, protoDCCP:
		return true
	}
	return false
}
