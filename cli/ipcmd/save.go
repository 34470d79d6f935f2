package ipcmd

import (
	"context"
	"errors"
	"fmt"

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
	sock, err := s.socket()
	if err != nil {
		return fail(255, "%s", kernelText(err))
	}
	families := []uint8{s.opts.Listed()}
	if s.Both {
		families = []uint8{unix.AF_INET, unix.AF_INET6}
	}
	w := ipsave.NewWriter(s.out, ipsave.Rules)
	for _, f := range families {
		list, _, err := sock.ListRules(context.Background(), f)
		if err != nil {
			return fail(255, "%sDump terminated\n", kernelText(err))
		}
		for _, m := range list {
			saved := ipsave.Message{Type: m.Type, Flags: m.Flags, Seq: m.Seq, PID: m.PID, Payload: m.Payload}
			if err := w.Write(saved); err != nil {
				return fail(255, "ip: rule save: %v\n", errnoIn(err))
			}
		}
	}
	return w.Close()
}

// restore adds the saved rules that are not there, all of them or none: the
// stream is read to its end before anything is done.
func (s *session) restore() error {
	if isTerminal(s.Stdin) {
		return exit(255, "Can't restore rule dump from a terminal\n")
	}
	rules, err := readSaved(ipsave.NewReader(s.Stdin, ipsave.Rules))
	if err != nil {
		return err
	}
	err = s.withConn(func(c *kernel.Conn) error {
		_, err := c.RestoreRules(context.Background(), rules)
		return err
	})
	if err != nil {
		return exit(255, "%s", kernelText(err))
	}
	return nil
}

// readSaved reads the rules of a stream. State that the kernel computes is
// left behind: sent back it would stick.
func readSaved(r *ipsave.Reader) ([]rpdb.Rule, error) {
	var rules []rpdb.Rule
	for r.Next() {
		m := r.Message()
		rule, err := kernel.DecodeRule(m.Payload)
		if err == nil && m.Type != unix.RTM_NEWRULE {
			err = fmt.Errorf("message of type %d, want a rule", m.Type)
		}
		if err != nil {
			return nil, exit(255, "ip: rule restore: offset %d: %v\n", m.Offset, err)
		}
		rule.Flags &^= rule.State()
		rules = append(rules, rule)
	}
	if err := r.Err(); err != nil {
		var bad *ipsave.Error
		if errors.As(err, &bad) {
			return nil, exit(255, "%s", bad.Stderr())
		}
		return nil, exit(255, "ip: rule restore: %v\n", err)
	}
	return rules, nil
}
