package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"rpdb/kernel/netlink"
)

// RuleList is a list of rules as the kernel told it, message behind message: a
// tenth of the memory that the rules themselves would take. The zero value is
// empty. It may be copied, and read by several at once.
type RuleList struct {
	seq, pid uint32
	// blocks hold records, each the length, type and flags of a message and its
	// payload. A list that grows is not copied.
	blocks [][]byte
}

const (
	recordHead  = 8        // the length of what stands in front of a payload
	recordBlock = 64 << 10 // of a block, if the records are not longer
)

// add appends a message about a rule, and nothing for other messages.
func (l *RuleList) add(m netlink.Message) error {
	if m.Type != unix.RTM_NEWRULE {
		return nil
	}
	l.seq, l.pid = m.Seq, m.PID
	size := recordHead + len(m.Data)
	last := len(l.blocks) - 1
	if last < 0 || cap(l.blocks[last])-len(l.blocks[last]) < size {
		l.blocks = append(l.blocks, make([]byte, 0, max(size, recordBlock)))
		last++
	}
	l.blocks[last] = appendRecord(l.blocks[last], m)
	return nil
}

// appendRecord appends the record of a message.
func appendRecord(b []byte, m netlink.Message) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(len(m.Data)))
	b = binary.NativeEndian.AppendUint16(b, m.Type)
	b = binary.NativeEndian.AppendUint16(b, uint16(m.Flags))
	return append(b, m.Data...)
}

// messages gives every record to each, one after the other in the same memory.
func (l RuleList) messages(each func(*Message) error) error {
	m := Message{Seq: l.seq, PID: l.pid}
	for _, b := range l.blocks {
		if err := m.records(b, each); err != nil {
			return err
		}
	}
	return nil
}

// records makes the message that of one record after the other and gives it to
// each.
func (m *Message) records(b []byte, each func(*Message) error) error {
	for len(b) > 0 {
		end := recordHead + binary.NativeEndian.Uint32(b)
		m.Type, m.Flags = binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		m.Payload = b[recordHead:end:end]
		if err := each(m); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}

// Len returns the number of rules.
func (l RuleList) Len() (n int) {
	_ = l.messages(func(*Message) error { n++; return nil })
	return n
}

// Each reads one rule after the other into the same memory and gives it to
// each, which may keep the rule, and of the message nothing. An error of each
// ends it and is returned.
func (l RuleList) Each(each func(*RuleMessage) error) error {
	var d RuleDecoder
	var told RuleMessage
	return l.messages(func(m *Message) error {
		r, err := d.Decode(m.Payload)
		if err != nil {
			return err
		}
		told.Message, told.Rule = *m, *r
		return each(&told)
	})
}
