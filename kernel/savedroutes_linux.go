package kernel

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// SavedRoutes holds the messages of a saved stream of routes, as they are and
// close together: a full internet table of a million routes takes some 60 MB.
// The zero value is empty. It is not safe for concurrent use.
type SavedRoutes struct {
	pieces []savedPiece
	n      int
	read   RouteDecoder
}

// savedPiece is a run of messages: their payloads one behind the other, where
// each ends, and where it stood in the stream.
type savedPiece struct {
	b       []byte
	ends    []uint32
	offsets []int64
}

// pieceMessages is how many messages a piece holds, so that growing copies
// little.
const pieceMessages = 1 << 12

// Add puts the payload of a message behind the others, as a copy. Offset is
// where the message stands in its stream, for messages of errors. What is no
// route is refused, and so are routes that kernels do not survive.
func (s *SavedRoutes) Add(typ uint16, offset int64, payload []byte) error {
	if typ != unix.RTM_NEWROUTE {
		return fmt.Errorf("message of type %d, want a route", typ)
	}
	if _, _, err := s.read.Decode(payload); err != nil {
		return err
	}
	if err := netlink.Guard(typ, payload); err != nil {
		return err
	}
	if s.n%pieceMessages == 0 {
		if n := len(s.pieces); n > 0 {
			s.pieces[n-1].b = bytes.Clone(s.pieces[n-1].b) // what is full grows no more
		}
		s.pieces = append(s.pieces, savedPiece{})
	}
	p := &s.pieces[len(s.pieces)-1]
	p.b = append(p.b, payload...)
	p.ends = append(p.ends, uint32(len(p.b)))
	p.offsets = append(p.offsets, offset)
	s.n++
	return nil
}

// Len returns the number of messages.
func (s *SavedRoutes) Len() int { return s.n }

// payload returns the i-th message.
func (s *SavedRoutes) payload(i int) []byte {
	p, i := &s.pieces[i/pieceMessages], i%pieceMessages
	start := uint32(0)
	if i > 0 {
		start = p.ends[i-1]
	}
	return p.b[start:p.ends[i]]
}

// route reads the i-th message; the result is valid until the next is read.
func (s *SavedRoutes) route(i int) (rpdb.Route, rpdb.RouteDetails) {
	r, details, _ := s.read.Decode(s.payload(i)) // Add has read it
	return r, details
}

// object names the i-th message for errors.
func (s *SavedRoutes) object(i int) string {
	r, _ := s.route(i)
	return fmt.Sprintf("message %d (offset %d), %v", i+1, s.pieces[i/pieceMessages].offsets[i%pieceMessages], r)
}
