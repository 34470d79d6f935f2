package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// SocketState is the state of a socket as the kernel numbers those of TCP
// (include/net/tcp_states.h). Other protocols use SocketEstablished for
// sockets that are connected and SocketUnconnected for those that are not.
// The zero value is no state.
type SocketState uint8

// The states that an [InetSocket] can be in. SocketBound is a TCP socket that
// has an address and neither listens nor is connected (Linux 6.8).
const (
	SocketEstablished SocketState = 1
	SocketSynSent     SocketState = 2
	SocketFinWait1    SocketState = 4
	SocketFinWait2    SocketState = 5
	SocketUnconnected SocketState = 7
	SocketCloseWait   SocketState = 8
	SocketLastAck     SocketState = 9
	SocketListen      SocketState = 10
	SocketClosing     SocketState = 11
	SocketBound       SocketState = 13
)

// wantedStates leaves out what no program holds: connections of which a
// listening socket waits for the end of the handshake (SYN_RECV, 3 and 12), and
// those that are over (TIME_WAIT, 6).
const wantedStates = 1<<SocketEstablished | 1<<SocketSynSent | 1<<SocketFinWait1 | 1<<SocketFinWait2 |
	1<<SocketUnconnected | 1<<SocketCloseWait | 1<<SocketLastAck | 1<<SocketListen | 1<<SocketClosing | 1<<SocketBound

// String returns the word that ss(8) has for the state, or the number.
func (s SocketState) String() string {
	switch s {
	case SocketEstablished:
		return "ESTAB"
	case SocketSynSent:
		return "SYN-SENT"
	case SocketFinWait1:
		return "FIN-WAIT-1"
	case SocketFinWait2:
		return "FIN-WAIT-2"
	case SocketUnconnected:
		return "UNCONN"
	case SocketCloseWait:
		return "CLOSE-WAIT"
	case SocketLastAck:
		return "LAST-ACK"
	case SocketListen:
		return "LISTEN"
	case SocketClosing:
		return "CLOSING"
	case SocketBound:
		return "BOUND"
	}
	return fmt.Sprint(uint8(s))
}

// InetSocket is a socket of IPv4 or IPv6 with what the kernel looks a route up
// by, as sock_diag(7) tells it and ss(8) shows it. It is comparable; the zero
// value is no socket.
type InetSocket struct {
	// Family is the one that the socket was made with. One of IPv6 may speak
	// IPv4: its addresses, which the kernel maps into IPv6, are IPv4 ones here.
	Family rpdb.Family
	// Protocol is that of its packets, for a raw socket the one that it was
	// made with.
	Protocol rpdb.IPProto
	State    SocketState
	// Local has the unspecified address if the socket is bound to none.
	Local netip.AddrPort
	// Remote is the zero AddrPort if the socket is not connected.
	Remote netip.AddrPort
	// Bound is the interface that the socket is bound to (SO_BINDTODEVICE, or
	// the scope of a link-local address), 0 for none.
	Bound rpdb.LinkIndex
	// UID is the owner, in the numbers of the caller's user namespace.
	UID uint32
	// Inode is the number in the links of /proc/PID/fd, 0 for a socket that no
	// process holds any more.
	Inode uint32
	// Mark is SO_MARK. It is absent without CAP_NET_ADMIN: the kernel does not
	// tell it.
	Mark rpdb.Opt[uint32]
	// TOS is the DS field of its IPv4 packets, TClass that of its IPv6 ones.
	TOS, TClass uint8
	// V6Only says of a socket of IPv6 without a remote address that it cannot
	// speak IPv4.
	V6Only bool
	// AnySource says that the socket may send from addresses that are not the
	// host's (IP_TRANSPARENT, or a raw socket that writes its own headers).
	AnySource bool
}

// IsConnected reports whether the socket has a remote address.
func (s InetSocket) IsConnected() bool { return s.Remote.IsValid() }

// Protocols of sock_diag that the model has no names for.
const (
	protoDCCP    = 33
	protoSCTP    = 132
	protoUDPLite = 136
	protoRaw     = 255
)

// InetSockets reads the sockets of IPv4 and IPv6 in the namespace: those of TCP
// and UDP, and those of UDP-lite, SCTP, DCCP and raw ones as far as the kernel
// lists them. Sockets that have neither an address nor a port yet are not
// listed, and neither are connections that no program holds (SYN_RECV,
// TIME_WAIT). The subflows of MPTCP are connections of TCP with the inode of
// the socket that they belong to.
//
// The list is not of one moment: sockets come and go while it is read. It needs
// no privilege, but marks are told only with CAP_NET_ADMIN in the user namespace
// that owns the network namespace.
func (c *Conn) InetSockets(ctx context.Context) ([]InetSocket, error) {
	nl, err := netlink.Dial(netlink.Options{Protocol: unix.NETLINK_SOCK_DIAG, NetNS: c.ns.FD()})
	if err != nil {
		return nil, opError("open", "connection to the kernel for sockets (sock_diag)", err)
	}
	defer nl.Close()
	var all []InetSocket
	for _, proto := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, protoUDPLite, protoSCTP, protoDCCP, protoRaw} {
		for _, f := range rpdb.Families() {
			err := dumpSockets(ctx, nl, f, proto, func(s InetSocket) { all = append(all, s) })
			if isUnlisted(err) && proto != rpdb.TCP && proto != rpdb.UDP {
				continue
			}
			if err != nil {
				return nil, opError("list", fmt.Sprintf("sockets (%v, protocol %d)", f, proto), err)
			}
		}
	}
	return all, nil
}

// isUnlisted reports whether the kernel does not list the sockets of a
// protocol: there is no module for it, or the protocol itself is missing.
func isUnlisted(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)
}

// Attributes of a socket (include/uapi/linux/inet_diag.h).
const (
	diagTOS     = 5
	diagTClass  = 6
	diagV6Only  = 11
	diagMark    = 15
	diagSockOpt = 22

	sizeofSocketID = 48 // struct inet_diag_sockid
	sizeofDiagMsg  = 4 + sizeofSocketID + 20
)

// dumpSockets gives the sockets of one family and protocol to each.
func dumpSockets(ctx context.Context, nl *netlink.Conn, f rpdb.Family, proto rpdb.IPProto, each func(InetSocket)) error {
	extensions := byte(1<<(diagTOS-1) | 1<<(diagTClass-1)) // marks come without being asked for
	request := fixed([]byte{byte(f), byte(proto), extensions, 0}, wantedStates)
	request = append(request, make([]byte, sizeofSocketID)...)
	e := netlink.NewEncoder(nil, unix.SOCK_DIAG_BY_FAMILY, 0, request)
	_, err := nl.Dump(ctx, e, func(m netlink.Message) error {
		if m.Type != unix.SOCK_DIAG_BY_FAMILY {
			return nil
		}
		s, err := decodeSocket(m.Data, proto)
		if err == nil {
			each(s)
		}
		return err
	})
	if errors.Is(err, netlink.InterruptedError{}) {
		return nil // as it is without the flag: not of one moment
	}
	return err
}

// decodeSocket reads a struct inet_diag_msg with its attributes.
func decodeSocket(b []byte, proto rpdb.IPProto) (InetSocket, error) {
	if len(b) < sizeofDiagMsg {
		return InetSocket{}, fmt.Errorf("decode socket: %d bytes", len(b))
	}
	s := InetSocket{Family: rpdb.Family(b[0]), Protocol: proto, State: SocketState(b[1])}
	id := b[4 : 4+sizeofSocketID]
	s.Local = socketAddr(s.Family, id[4:20], binary.BigEndian.Uint16(id))
	if remote := socketAddr(s.Family, id[20:36], binary.BigEndian.Uint16(id[2:])); !remote.Addr().IsUnspecified() {
		s.Remote = remote
	}
	s.Bound = rpdb.LinkIndex(uint32At(id, 36))
	s.UID, s.Inode = uint32At(b, 64), uint32At(b, 68)
	if proto == protoRaw { // a raw socket has its protocol where others have the port
		s.Protocol = rpdb.IPProto(s.Local.Port())
		s.Local = netip.AddrPortFrom(s.Local.Addr(), 0)
	}
	d := netlink.NewDecoder(b[sizeofDiagMsg:])
	for d.Next() {
		switch d.Type() {
		case diagTOS:
			s.TOS = d.Uint8()
		case diagTClass:
			s.TClass = d.Uint8()
		case diagV6Only:
			s.V6Only = d.Uint8() != 0
		case diagMark:
			s.Mark = rpdb.Some(d.Uint32())
		case diagSockOpt:
			s.AnySource = hasAnySource(d.Data())
		}
	}
	return s, d.Err()
}

func socketAddr(f rpdb.Family, b []byte, port uint16) netip.AddrPort {
	a := netip.AddrFrom16([16]byte(b)).Unmap()
	if f == rpdb.IPv4 {
		a = netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrPortFrom(a, port)
}

// hasAnySource reads hdrincl and transparent, bits 3 and 5 of a struct
// inet_diag_sockopt. Bit fields begin at the low end of a byte on machines that
// begin numbers there, and else at the high end.
func hasAnySource(b []byte) bool {
	mask := byte(1<<3 | 1<<5)
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		mask = 1<<(7-3) | 1<<(7-5)
	}
	return len(b) > 0 && b[0]&mask != 0
}
