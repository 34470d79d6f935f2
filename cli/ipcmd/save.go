package ipcmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/format/ipsave"
	"rpdb/kernel"
)

// save writes the rules of a family as ip does: the kernel's own messages.
func (s *session) save(words []string) error {
	if len(words) > 0 {
		return fail(1, "\"ip rule save\" does not take any arguments.\n")
	}
	if isTerminal(s.Stdout) {
		return fail(1, "Not sending a binary stream to stdout\n")
	}
	list, err := s.messages(s.opts.Listed())
	if err != nil {
		return fail(255, "%sDump terminated\n", kernelText(err))
	}
	if err := WriteSavedRules(s.out, list); err != nil {
		return fail(255, "ip: rule save: %v\n", errnoIn(err))
	}
	return nil
}

// messages reads the rules of a family as they were at one moment.
func (s *session) messages(family uint8) (kernel.RuleList, error) {
	sock, err := s.socket()
	if err != nil {
		return kernel.RuleList{}, err
	}
	list, consistent, err := sock.ListRules(context.Background(), family)
	if err != nil || consistent {
		return list, err
	}
	err = s.withConn(func(c *kernel.Conn) (err error) {
		list, err = c.RuleMessages(context.Background(), rpdb.Family(family))
		return err
	})
	return list, err
}

// WriteSavedRules writes lists of rules one behind the other as "ip rule save"
// does.
func WriteSavedRules(to io.Writer, lists ...kernel.RuleList) error {
	w := ipsave.NewWriter(to, ipsave.Rules)
	for _, list := range lists {
		err := list.Each(func(m *kernel.RuleMessage) error {
			return w.Write(ipsave.Message{Type: m.Type, Flags: m.Flags, Seq: m.Seq, PID: m.PID, Payload: m.Payload})
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// restore adds the saved rules that are not there, all of them or none: the
// stream is read to its end before anything is done. ip ends with it, whatever
// came before.
func (s *session) restore() error {
	if isTerminal(s.Stdin) {
		return exit(255, "Can't restore rule dump from a terminal\n")
	}
	CollectLate()
	start := placeIn(s.Stdin)
	saved, err := ReadSavedRules(s.Stdin)
	if err != nil {
		return exit(255, "%s", savedText(err, start))
	}
	err = s.withConn(func(c *kernel.Conn) error {
		_, err := c.RestoreRules(context.Background(), saved.Rules)
		return err
	})
	if err != nil {
		return exit(255, "%s", kernelText(err))
	}
	return exit(0, "")
}

// savedText is what ip says about a stream that is not what it should be. Of a
// rule of another family it is what the kernel says.
func savedText(err error, start int64) string {
	var frame *ipsave.Error
	var rule *SavedRuleError
	switch {
	case errors.As(err, &frame):
		return frame.StderrAt(start)
	case errors.As(err, &rule) && rule.wrongFamily:
		return "Error: Rule family not supported.\n"
	}
	return fmt.Sprintf("ip: rule restore: %v\n", err)
}

// SavedRules are the rules of a stream in their order.
type SavedRules struct {
	Rules   []rpdb.Rule
	Offsets []int64 // where in the stream each begins
}

// SavedRuleError says where a stream of saved rules is not one.
type SavedRuleError struct {
	Number int   // of the rule, from 1; 0 for the beginning of the stream
	Offset int64 // in bytes; of a stream that stops short, its end
	Reason string

	wrongFamily bool
	cause       error
}

// Error names the rule, the place and the reason.
func (e *SavedRuleError) Error() string {
	if e.Number == 0 {
		return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("rule %d of the stream, byte %d: %s", e.Number, e.Offset, e.Reason)
}

// Unwrap returns the error of the frame, an [*ipsave.Error], or nil.
func (e *SavedRuleError) Unwrap() error { return e.cause }

// ReadSavedRules reads a stream of "ip rule save" to its end. State that the
// kernel computes is left out: sent back it would stick. The error is a
// [*SavedRuleError] unless reading failed.
func ReadSavedRules(from io.Reader) (SavedRules, error) {
	saved := roomFor(from)
	var d kernel.RuleDecoder
	r := ipsave.NewReader(bufio.NewReaderSize(from, 1<<15), ipsave.Rules)
	for r.Next() {
		m := r.Message()
		rule, err := d.Decode(m.Payload)
		if err != nil || m.Type != unix.RTM_NEWRULE {
			return SavedRules{}, wrongRule(m, len(saved.Rules)+1, err)
		}
		rule.Flags &^= rule.State()
		if n := len(saved.Rules); n == cap(saved.Rules) { // append would grow a long list by a quarter
			saved.Rules = slices.Grow(saved.Rules, max(16, n))
		}
		saved.Rules, saved.Offsets = append(saved.Rules, *rule), append(saved.Offsets, m.Offset)
	}
	var frame *ipsave.Error
	switch err := r.Err(); {
	case errors.As(err, &frame) && frame.Offset < 4:
		return SavedRules{}, &SavedRuleError{Offset: frame.Offset, Reason: frame.Text, cause: frame}
	case errors.As(err, &frame):
		return SavedRules{}, &SavedRuleError{Number: len(saved.Rules) + 1, Offset: frame.Offset, Reason: frame.Text, cause: frame}
	case err != nil:
		return SavedRules{}, err
	}
	return saved, nil
}

// roomFor makes room for the rules of a file, of which only what is used counts:
// a list that grows is touched twice. A rule with a priority takes 60 bytes at least,
// if a kernel wrote it.
func roomFor(from io.Reader) (room SavedRules) {
	const most = 1 << 17 // a file may be long and hold no rules
	if f, ok := from.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			n := min(info.Size()/60+1, most)
			room.Rules, room.Offsets = make([]rpdb.Rule, 0, n), make([]int64, 0, n)
		}
	}
	return room
}

// wrongRule says why a message is not a rule that can be restored.
func wrongRule(m ipsave.Message, number int, err error) error {
	wrong := &SavedRuleError{Number: number, Offset: m.Offset}
	switch {
	case m.Type != unix.RTM_NEWRULE:
		wrong.Reason = fmt.Sprintf("a message of type %d is no rule", m.Type)
	case len(m.Payload) > 0 && rpdb.Family(m.Payload[0]).Bits() == 0:
		wrong.Reason, wrong.wrongFamily = fmt.Sprintf("family %d has no rules", m.Payload[0]), true
	default:
		wrong.Reason = err.Error()
	}
	return wrong
}
