package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb/format/iproute2"
	"rpdb/format/ipsave"
	"rpdb/kernel"
)

// save writes the routes that the words choose as the kernel told them.
func (r *routes) save(ctx context.Context, words []string) error {
	filters, err := r.filters(iproute2.RouteSave, words)
	if err != nil {
		return err
	}
	if isTerminal(r.plain().Out) {
		return r.wrong("save", "what it writes is not for terminals: send it to a file")
	}
	out := bufio.NewWriter(r.Out)
	w := ipsave.NewWriter(out, ipsave.Routes)
	for _, f := range filters {
		err := r.each(ctx, f, func(m kernel.RouteMessage) error {
			return w.Write(ipsave.Message{Type: m.Type, Flags: m.Flags, Seq: m.Seq, PID: m.PID, Payload: m.Payload})
		})
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// restore adds the saved routes that are not there, all of them or none, and
// says how many that were.
func (r *routes) restore(ctx context.Context, words []string) error {
	var stream kernel.SavedRoutes
	err := r.saved("restore", words, func(m ipsave.Message) error { return stream.Add(m.Type, m.Offset, m.Payload) })
	if err != nil {
		return err
	}
	done, err := r.conn.RestoreRoutes(ctx, &stream)
	if err != nil {
		return err
	}
	w := newPrinter(r.Out)
	w.printf("%d routes added; %d were there\n", done.Added, done.There)
	if done.Left > 0 {
		w.printf("%d left out: the kernel makes them itself, or their time is over\n", done.Left)
	}
	return w.err
}

// showDump prints the routes of a stream as a list does.
func (r *routes) showDump(words []string) error {
	p := r.printer(r.view())
	err := r.saved("showdump", words, func(m ipsave.Message) error {
		var e iproute2.RouteEntry
		err := p.Read(m.Payload, &e)
		switch {
		case m.Type != unix.RTM_NEWROUTE:
			return fmt.Errorf("message of type %d, want a route", m.Type)
		case err != nil:
			return err
		}
		return p.print(&e)
	})
	if closeErr := p.close(); err == nil {
		err = closeErr
	}
	return err
}

// saved gives the messages of a stream on standard input to use, one by one.
func (r *routes) saved(verb string, words []string, use func(ipsave.Message) error) error {
	if len(words) > 0 {
		return r.wrong(verb, "it takes no words: %q", words[0])
	}
	if isTerminal(r.plain().In) {
		return r.wrong(verb, "what it reads is not typed: give it a file on standard input")
	}
	stream := ipsave.NewReader(r.In, ipsave.Routes)
	number := 0
	for stream.Next() {
		m := stream.Message()
		number++
		if err := use(m); err != nil {
			return fmt.Errorf("route %s: message %d at byte %d: %w", verb, number, m.Offset, err)
		}
	}
	var bad *ipsave.Error
	switch err := stream.Err(); {
	case errors.As(err, &bad):
		return notSaved("route", fmt.Errorf("route %s: message %d at byte %d: %s", verb, number+1, bad.Offset, bad.Text))
	case err != nil:
		return fmt.Errorf("route %s: read message %d: %w", verb, number+1, err)
	}
	return nil
}

// flush deletes the routes that the words choose.
func (r *routes) flush(ctx context.Context, words []string) error {
	if r.opts.Family == 0 && len(words) == 0 {
		return &usageError{
			"route flush: without -4 or -6 it would take the routes of both families out of table main",
			"say which family, or which routes",
		}
	}
	if len(words) == 0 {
		words = []string{"table", "main"}
	}
	filters, err := r.filters(iproute2.RouteFlush, words)
	if err != nil {
		return err
	}
	deleted := 0
	for _, f := range filters {
		if f.Cached() {
			return &usageError{"route flush: only ip's own words empty the cache", `see "rpdb ip route flush cache"`}
		}
		rounds, err := r.socket.FlushRoutes(ctx, f.Dump(), func(m kernel.RouteMessage) bool { return f.Match(entry(m)) })
		for _, n := range rounds {
			deleted += n
		}
		if err != nil && !noTable(err) {
			return fmt.Errorf("flush routes: %d deleted: %w", deleted, err)
		}
	}
	if r.opts.Stats > 0 {
		_, err = fmt.Fprintf(r.Out, "%d routes deleted\n", deleted)
	}
	return err
}
