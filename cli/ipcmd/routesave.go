package ipcmd

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb/format/iproute2"
	"rpdb/format/ipsave"
	"rpdb/kernel"
)

// saveRoutes writes the routes that the words choose as ip does: the kernel's
// own messages.
func (s *session) saveRoutes(words []string) error {
	if isTerminal(s.Stdout) {
		return fail(1, "Not sending a binary stream to stdout\n")
	}
	w := ipsave.NewWriter(s.out, ipsave.Routes)
	filter, err := s.routeContext().ParseRouteFilter(iproute2.RouteSave, words)
	if err != nil {
		_ = w.Close() // as ip, which begins before it reads the words
		return parseFailure(err)
	}
	var written error
	err = s.eachRoute(filter, func(m kernel.RouteMessage, _ iproute2.RouteEntry) error {
		written = w.Write(ipsave.Message{Type: m.Type, Flags: m.Flags, Seq: m.Seq, PID: m.PID, Payload: m.Payload})
		return written
	})
	if written == nil {
		written = w.Close()
	}
	switch {
	case written != nil:
		return fail(1, "ip: route save: %v\n", errnoIn(written))
	case err != nil:
		return fail(2, "%sDump terminated\n", kernelText(err))
	}
	return nil
}

// savedRoutes gives the messages of a stream of saved routes on standard input
// to each.
func (s *session) savedRoutes(each func(ipsave.Message) error) error {
	if isTerminal(s.Stdin) {
		return fail(1, "Can't restore route dump from a terminal\n")
	}
	start := placeIn(s.Stdin)
	r := ipsave.NewReader(s.Stdin, ipsave.Routes)
	for r.Next() {
		m := r.Message()
		if err := each(m); err != nil {
			return fail(2, "ip: saved routes: offset %d: %v\n", m.Offset, err)
		}
	}
	var bad *ipsave.Error
	switch err := r.Err(); {
	case err == nil:
		return nil
	case errors.As(err, &bad) && bad.Offset < 4:
		return fail(1, "%s", bad.StderrAt(start))
	case errors.As(err, &bad):
		return fail(2, "%s", bad.StderrAt(start))
	default:
		return fail(2, "ip: saved routes: %v\n", err)
	}
}

// showDump prints a stream of saved routes, those of the family of the options.
func (s *session) showDump() error {
	all, err := s.routeContext().ParseRouteFilter(iproute2.RouteList, []string{"table", "all"})
	if err != nil {
		return parseFailure(err)
	}
	p := s.routePrinter(all.Hidden())
	var d kernel.RouteDecoder
	err = s.savedRoutes(func(m ipsave.Message) error {
		if m.Type != unix.RTM_NEWROUTE && m.Type != unix.RTM_DELROUTE {
			return fmt.Errorf("message of type %d, want a route", m.Type)
		}
		r, details, err := d.Decode(m.Payload)
		if err != nil {
			return err
		}
		if e := (iproute2.RouteEntry{Route: r, RouteDetails: details, Deleted: m.Type == unix.RTM_DELROUTE}); all.Match(e) {
			p.print(&e)
		}
		return nil
	})
	p.close()
	return err
}

// restoreRoutes adds the saved routes that are not there, all of them or none:
// the stream is read to its end before anything is done. Where ip says of each
// route that is there that the file exists, and goes on, nothing is said.
func (s *session) restoreRoutes() error {
	var saved kernel.SavedRoutes
	err := s.savedRoutes(func(m ipsave.Message) error { return saved.Add(m.Type, m.Offset, m.Payload) })
	if err != nil {
		return err
	}
	err = s.withConn(func(c *kernel.Conn) error {
		_, err := c.RestoreRoutes(context.Background(), &saved)
		return err
	})
	if err != nil {
		return fail(2, "%s", kernelText(err))
	}
	return nil
}
