package ipcmd

import (
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
func (s *session) savedRoutes(each func(kernel.RouteMessage) error) error {
	if isTerminal(s.Stdin) {
		return fail(1, "Can't restore route dump from a terminal\n")
	}
	start := placeIn(s.Stdin)
	r := ipsave.NewReader(s.Stdin, ipsave.Routes)
	for r.Next() {
		saved := r.Message()
		m := kernel.RouteMessage{Message: kernel.Message{Type: saved.Type, Flags: saved.Flags, Payload: saved.Payload}}
		var err error
		if m.Type != unix.RTM_NEWROUTE && m.Type != unix.RTM_DELROUTE {
			err = fmt.Errorf("message of type %d, want a route", m.Type)
		} else {
			m.Route, m.Details, err = kernel.DecodeRoute(saved.Payload)
		}
		if err == nil {
			err = each(m)
		}
		if err != nil {
			return fail(2, "ip: saved routes: offset %d: %v\n", saved.Offset, err)
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
	err = s.savedRoutes(func(m kernel.RouteMessage) error {
		if e := entryOf(m); all.Match(e) {
			p.print(e)
		}
		return nil
	})
	if err != nil {
		p.abandon()
		return err
	}
	p.close()
	return nil
}
