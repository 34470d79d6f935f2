package netlink

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
)

// Batch is a run of requests that are sent together, for the cost of one
// exchange a hundred. The zero value is empty. It is not safe for concurrent
// use.
type Batch struct {
	b    []byte
	ends []int // of the messages in b
}

// Add appends the request that e holds. Its memory may be used again.
func (b *Batch) Add(e *Encoder) error {
	m, err := e.Message()
	if err != nil {
		return err
	}
	b.b = append(b.b, m...)
	b.ends = append(b.ends, len(b.b))
	return nil
}

// Len returns the number of requests.
func (b *Batch) Len() int { return len(b.ends) }

// Size returns how many bytes the requests have together.
func (b *Batch) Size() int { return len(b.b) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.b, b.ends = b.b[:0], b.ends[:0] }

// Payload returns what follows the header of the i-th request.
func (b *Batch) Payload(i int) []byte { return b.request(i)[headerLen:] }

// Type returns the message type of the i-th request.
func (b *Batch) Type(i int) uint16 { return binary.NativeEndian.Uint16(b.request(i)[4:]) }

// request returns the i-th message.
func (b *Batch) request(i int) []byte {
	start := 0
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.b[start:b.ends[i]:b.ends[i]]
}

// Limits of what is sent at once. The kernel answers every request that it
// refuses, and if it refuses all the answers must fit the receive buffer: each
// takes some 1300 bytes of the 208 KiB that are usual.
const (
	pieceRequests = 100
	pieceBytes    = 32 << 10
)

// piece returns the end of the run of requests from first on that is sent at
// once, which are no more than most.
func (b *Batch) piece(first, most int) (end int) {
	size := 0
	for end = first; end < b.Len() && end-first < most; end++ {
		if size += len(b.request(end)); size > pieceBytes && end > first {
			return end
		}
	}
	return end
}

// ExecuteBatch sends the requests in their order and waits until the kernel has
// carried out the last. A request that it refuses does not hinder those behind
// it: the refusal, an [*Error], goes to refused with the number of the request.
// An error of refused ends the batch, at the latest a hundred requests later,
// and is returned; so is the error of ctx, which is looked at in between only,
// so that of what was sent the answers are always known. Done is the number of
// requests that were sent, refused ones included.
func (c *Conn) ExecuteBatch(ctx context.Context, b *Batch, refused func(i int, err error) error) (done int, err error) {
	return c.AskBatch(ctx, b, func(i int, _ Message, err error) error {
		if err == nil {
			return nil // what the kernel has to say besides
		}
		return refused(i, err)
	})
}

// AddFlags adds flags to the i-th request.
func (b *Batch) AddFlags(i int, f Flags) {
	m := b.request(i)
	binary.NativeEndian.PutUint16(m[6:], binary.NativeEndian.Uint16(m[6:])|uint16(f))
}

// AskPart is AskBatch of what goes at once of the requests from first on, but of no more
// than most, and returns where it ends.
func (c *Conn) AskPart(ctx context.Context, b *Batch, first, most int, answer func(i int, m Message, err error)) (end int, err error) {
	if err := c.begin(ctx); err != nil {
		return first, err
	}
	defer c.end()
	end = b.piece(first, min(most, pieceRequests))
	seq, err := c.sendPiece(ctx, b, first, end)
	if err != nil {
		return first, err
	}
	return end, c.collect(seq, uint32(end-first), func(i int, m Message, err error) error {
		answer(first+i, m, err)
		return nil
	})
}

// AskBatch is [Conn.ExecuteBatch] for questions: the kernel's answer to each, or
// its refusal, goes to answer with the number of the request. The message is
// valid only during the call.
func (c *Conn) AskBatch(ctx context.Context, b *Batch, answer func(i int, m Message, err error) error) (done int, err error) {
	if err := c.begin(ctx); err != nil {
		return 0, err
	}
	defer c.end()
	for done < b.Len() {
		end := b.piece(done, pieceRequests)
		first, err := c.sendPiece(ctx, b, done, end)
		if err != nil {
			return done, err
		}
		start := done
		done = end
		err = c.collect(first, uint32(end-start), func(i int, m Message, err error) error { return answer(start+i, m, err) })
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// sendPiece completes and sends a run of requests, of which the last asks for
// an acknowledgement, and returns the sequence number of the first.
func (c *Conn) sendPiece(ctx context.Context, b *Batch, from, end int) (first uint32, err error) {
	if c.seq > math.MaxUint32-uint32(end-from) {
		c.seq = 0
	}
	first = c.seq + 1
	start := 0
	for i := from; i < end; i++ {
		m := b.request(i)
		if i == from {
			start = b.ends[i] - len(m)
		}
		if err := Guard(binary.NativeEndian.Uint16(m[4:]), m[headerLen:]); err != nil {
			return 0, err
		}
		flags := binary.NativeEndian.Uint16(m[6:]) | uint16(Request)
		if i == end-1 {
			flags |= uint16(Ack)
		}
		binary.NativeEndian.PutUint16(m[6:], flags)
		binary.NativeEndian.PutUint32(m[8:], first+uint32(i-from))
		binary.NativeEndian.PutUint32(m[12:], c.port)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c.seq += uint32(end - from)
	return first, c.write(b.b[start:b.ends[end-1]])
}

// collect reads the answers to n requests, numbered from first on.
func (c *Conn) collect(first, n uint32, answer func(i int, m Message, err error) error) error {
	var failed error
	for {
		ms, err := c.datagram(context.Background()) // the kernel has answered before the sending ended
		if err != nil {
			c.drain(c.seq) // a socket that overflowed gets nothing until it is empty
			return errors.Join(err, failed)
		}
		for ms.Next() {
			m := ms.Message()
			i := m.Seq - first
			if m.PID != c.port || i >= n || m.Type == typeNoop {
				continue
			}
			if m.Type != typeError {
				if failed == nil {
					failed = answer(int(i), m, nil)
				}
				continue
			}
			if err := parseAck(m); err != nil && failed == nil {
				failed = answer(int(i), Message{}, err)
			}
			if i == n-1 {
				return failed
			}
		}
		if err := ms.Err(); err != nil {
			return errors.Join(err, failed)
		}
	}
}

// Transact sends the requests as one datagram, which is what a transaction of
// nf_tables is: the first and the last message of the batch are its frame, and
// the kernel makes all changes between or none. The result is nil if it made
// them. A request that it refuses is named by its number in refused, which is -1
// where the refusal is of the whole; the error then is an [*Error]. After any
// other error it is not known whether the changes were made.
func (c *Conn) Transact(ctx context.Context, b *Batch) (refused int, err error) {
	if b.Len() < 3 {
		return -1, errors.New("a transaction needs a frame and something in it")
	}
	if err := c.begin(ctx); err != nil {
		return -1, err
	}
	defer c.end()
	first, err := c.sendAll(ctx, b)
	if err != nil {
		return -1, err
	}
	return c.outcome(first, uint32(b.Len()))
}

// sendAll sends the whole batch and returns the sequence number of its first
// message. The last one before the end of the frame asks for an acknowledgement:
// older kernels acknowledge no frame.
func (c *Conn) sendAll(ctx context.Context, b *Batch) (first uint32, err error) {
	n := uint32(b.Len())
	if c.seq > math.MaxUint32-n {
		c.seq = 0
	}
	first = c.seq + 1
	for i := range b.Len() {
		m := b.request(i)
		if err := Guard(binary.NativeEndian.Uint16(m[4:]), m[headerLen:]); err != nil {
			return 0, err
		}
		flags := binary.NativeEndian.Uint16(m[6:]) | uint16(Request)
		if i == b.Len()-2 {
			flags |= uint16(Ack)
		}
		binary.NativeEndian.PutUint16(m[6:], flags)
		binary.NativeEndian.PutUint32(m[8:], first+uint32(i))
		binary.NativeEndian.PutUint32(m[12:], c.port)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c.seq += n
	return first, c.write(b.b)
}

// outcome reads the answers to the n messages from first on, all of which the
// kernel has sent by now. Of several refusals the first counts: the others may
// follow from it.
func (c *Conn) outcome(first, n uint32) (refused int, err error) {
	refused = -1
	for {
		ms, failed := c.datagram(context.Background())
		if failed != nil {
			c.drain(c.seq)
			return refused, errors.Join(failed, err)
		}
		for ms.Next() {
			m := ms.Message()
			i := m.Seq - first
			if m.PID != c.port || i >= n || m.Type != typeError {
				continue
			}
			if e := parseAck(m); e != nil && err == nil {
				if err = e; i > 0 {
					refused = int(i)
				}
			}
			if i == n-2 || i == 0 && err != nil {
				c.drain(c.seq)
				return refused, err
			}
		}
		if failed := ms.Err(); failed != nil {
			return refused, errors.Join(failed, err)
		}
	}
}
