package kernel

import (
	"bytes"
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// RouteRequest is a request to change a route as ip(8) words it. Unlike a
// [rpdb.Change] it may delete by a part of a key, and append.
type RouteRequest struct {
	// Type is RTM_NEWROUTE or RTM_DELROUTE, Flags say how (NLM_F_CREATE and
	// the like).
	Type, Flags uint16
	// Echo asks for what the kernel made of it.
	Echo bool
	// Payload is a struct rtmsg with attributes (RTA_*).
	Payload []byte
}

// RouteMessage is what the kernel says about a route.
type RouteMessage struct {
	Message
	Route   rpdb.Route
	Details rpdb.RouteDetails
}

// SendRoute carries one request out. With Echo it returns what the kernel made
// of it. The kernel's refusal is a [*Refusal], and so is our own of the one
// kind of route that kernels do not survive.
func (s *Socket) SendRoute(ctx context.Context, r RouteRequest) ([]RouteMessage, error) {
	m := Message{Type: r.Type, Flags: r.Flags, Payload: r.Payload}
	if r.Echo {
		m.Flags |= uint16(netlink.Echo)
	}
	var told []RouteMessage
	err := s.request(ctx, m, func(m netlink.Message) error {
		rm, err := keptRoute(m)
		told = append(told, rm)
		return err
	})
	return told, err
}

// GetRoute asks the kernel for its decision, or with RTM_F_FIB_MATCH for the
// route behind it. The payload is a struct rtmsg with attributes; the kernel's
// refusal, which may be its decision, is a [*Refusal].
func (s *Socket) GetRoute(ctx context.Context, payload []byte) (RouteMessage, error) {
	var answer RouteMessage
	e := netlink.NewEncoder(nil, unix.RTM_GETROUTE, 0, payload)
	err := s.nl.Execute(ctx, e, func(m netlink.Message) (err error) {
		if m.Type == unix.RTM_NEWROUTE {
			answer, err = keptRoute(m)
		}
		return err
	})
	return answer, err
}

// keptRoute reads a message about a route, and keeps a copy of it.
func keptRoute(m netlink.Message) (RouteMessage, error) {
	r, details, err := DecodeRoute(m.Data)
	told := RouteMessage{Message: messageOf(m), Route: r, Details: details}
	told.Payload = bytes.Clone(m.Data)
	return told, err
}

// ListRoutes gives the routes that the payload of a dump request (a struct
// rtmsg with attributes) asks for to each, one by one in the kernel's order and
// without holding more than one: what a message refers to is valid during the
// call only. An error of each ends the list and is returned. A table that does
// not exist is a [*Refusal] with ENOENT, unless the socket is lenient. Routes
// of other families than IPv4 and IPv6 are passed over.
//
// Consistent is false if the kernel says that routes changed meanwhile, so that
// some may be told twice or not at all (NLM_F_DUMP_INTR). True says little:
// Linux 6.18 has no word for it. [Conn.Snapshot] listens for itself.
func (s *Socket) ListRoutes(ctx context.Context, payload []byte, each func(RouteMessage) error) (consistent bool, err error) {
	var d RouteDecoder
	e := netlink.NewEncoder(nil, unix.RTM_GETROUTE, 0, payload)
	_, err = s.nl.Dump(ctx, e, func(m netlink.Message) error {
		if !isRoute(m.Type, m.Data) {
			return nil
		}
		r, details, err := d.Decode(m.Data)
		if err != nil {
			return err
		}
		return each(RouteMessage{Message: messageOf(m), Route: r, Details: details})
	})
	if errors.Is(err, netlink.InterruptedError{}) {
		return false, nil
	}
	return err == nil, err
}

// RouteMessages is [Socket.ListRoutes] of messages that nobody has read yet: what
// is told of them is the type, RTM_NEWROUTE, the flags and the payload, which
// [RouteDecoder] reads. While the kernel makes the next part of a long list use has
// the last, on a goroutine of its own; it is called for one message at a time, not
// after RouteMessages has returned, and not again after an error.
func (s *Socket) RouteMessages(ctx context.Context, payload []byte, use func(*Message) error) (consistent bool, err error) {
	r := listReading{use: func(m *Message) error {
		if !isRoute(m.Type, m.Payload) {
			return nil
		}
		return use(m)
	}}
	_, err = s.nl.DumpParts(ctx, netlink.NewEncoder(nil, unix.RTM_GETROUTE, 0, payload), 0, r.add)
	if used := r.end(); used != nil {
		return false, used
	}
	if errors.Is(err, netlink.InterruptedError{}) {
		return false, nil
	}
	return err == nil, err
}

// isRoute reports whether a message is one of a list of routes of IPv4 or IPv6.
func isRoute(typ uint16, payload []byte) bool {
	return typ == unix.RTM_NEWROUTE && len(payload) > 0 && rpdb.Family(payload[0]).Bits() > 0
}
