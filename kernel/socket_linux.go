package kernel

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Refusal is the kernel's negative answer to a request: its errno, its own
// text, and the attribute that it misses.
type Refusal = netlink.Error

// Message is what all messages of the kernel have, be they of a list, an echo
// or an answer. The zero value is none.
type Message struct {
	// Type and Flags are those of the message's header, Seq and PID name the
	// request that it answers.
	Type, Flags uint16
	Seq, PID    uint32
	// Payload is the message behind its header, as it was received.
	Payload []byte
}

// Deleted reports whether the message is about a deletion.
func (m Message) Deleted() bool { return m.Type == unix.RTM_DELRULE || m.Type == unix.RTM_DELROUTE }

func messageOf(m netlink.Message) Message {
	return Message{Type: m.Type, Flags: uint16(m.Flags), Seq: m.Seq, PID: m.PID, Payload: m.Data}
}

// Socket sends requests about rules and routes as they are and reads nothing
// back, which is what ip(8) does. Nothing is checked but by the kernel;
// [Conn.Do] is the careful way. It is safe for concurrent use, but while a list
// is read other requests wait: the function that a list is given to must not
// make one on the same socket. The names of interfaces may be asked at any time.
type Socket struct {
	nl   *netlink.Conn
	dial netlink.Options // opens another of its kind
}

// socketBuffer holds the echoes of one request, of which a multipath route of
// IPv6 makes one for each member, with all that are left in it.
const socketBuffer = 1 << 20

// OpenSocket opens a socket in the caller's namespace, or in that of the
// options. It needs no privilege for the caller's own.
func OpenSocket(o Options) (*Socket, error) {
	dial := netlink.Options{Strict: !o.Lenient, ReceiveBuffer: socketBuffer}
	if o.NetNS != nil {
		dial.NetNS = o.NetNS.FD()
	}
	nl, err := netlink.Dial(dial)
	if err != nil {
		return nil, opError("open", "connection to the kernel", err)
	}
	return &Socket{nl, dial}, nil
}

// Close closes the socket.
func (s *Socket) Close() error { return s.nl.Close() }

// request sends a change and gives what the kernel says was made of it, if Echo
// is among the flags, to each.
func (s *Socket) request(ctx context.Context, m Message, each func(netlink.Message) error) error {
	e := netlink.NewEncoder(make([]byte, 0, unix.SizeofNlMsghdr+len(m.Payload)+3), m.Type, netlink.Flags(m.Flags), m.Payload)
	return s.nl.Execute(ctx, e, func(told netlink.Message) error {
		if told.Type != m.Type {
			return nil
		}
		return each(told)
	})
}

// LinkName returns the name of an interface in the socket's namespace, "" if
// there is none with the number.
func (s *Socket) LinkName(index rpdb.LinkIndex) rpdb.LinkName {
	name, _ := linkName(s.nl, index)
	return name
}

// LinkIndex returns the number of an interface in the socket's namespace. As
// for ip(8), "ifN" is the interface N where none has that name, be it there or
// not.
func (s *Socket) LinkIndex(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
	if index, err := linkIndex(s.nl, name); err == nil {
		return index, true
	}
	var n uint32
	digits, ok := strings.CutPrefix(string(name), "if")
	if !ok {
		return 0, false
	}
	if _, err := fmt.Sscanf(digits, "%d", &n); err != nil {
		return 0, false
	}
	return rpdb.LinkIndex(n), n != 0
}

// LinkNames remembers the names of interfaces, so that a list of a million
// routes asks the kernel once for each interface. It knows them as they were
// when they were first asked for: make one for each list. It is not safe for
// concurrent use.
type LinkNames struct {
	socket *Socket
	names  map[rpdb.LinkIndex]rpdb.LinkName
	last   rpdb.LinkIndex // that was asked for, which most routes of a list share
	name   rpdb.LinkName
}

// LinkNames returns an empty memory of names.
func (s *Socket) LinkNames() *LinkNames {
	return &LinkNames{socket: s, names: map[rpdb.LinkIndex]rpdb.LinkName{}}
}

// Name returns what [Socket.LinkName] returned for the number.
func (l *LinkNames) Name(index rpdb.LinkIndex) rpdb.LinkName {
	if index == l.last {
		return l.name
	}
	name, ok := l.names[index]
	if !ok {
		name = l.socket.LinkName(index)
		l.names[index] = name
	}
	l.last, l.name = index, name
	return name
}
