package ipcmd

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// flushRoutes deletes the routes that the words choose: it goes over the list
// until nothing is left to delete. With -s it tells of every round, with -s -s
// of every route, in text whatever the options say, as ip does.
func (s *session) flushRoutes(words []string) error {
	filter, err := s.routeContext().ParseRouteFilter(iproute2.RouteFlush, words)
	if err != nil {
		return parseFailure(err)
	}
	if filter.Cached() && filter.Family() != unix.AF_INET6 {
		if err := s.flushCache(); err != nil || filter.Family() == unix.AF_INET {
			return err
		}
	}
	sock, err := s.socket()
	if err != nil {
		return fail(1, "%s", kernelText(err))
	}
	p := s.routePrinter(filter.Hidden())
	rounds, err := sock.FlushRoutes(context.Background(), filter.Dump(), func(m kernel.RouteMessage) bool {
		e := entryOf(m)
		doomed := filter.Match(e)
		if doomed && s.opts.Stats > 1 {
			p.printText(&e)
		}
		return doomed
	})
	for i, deleted := range rounds {
		s.stats("\n*** Round %d, deleting %d entries ***\n", i+1, deleted)
	}
	var refused *kernel.Refusal
	switch n := len(rounds); {
	case errors.As(err, &refused):
		return fail(2, "%sFlush terminated\n", kernelText(err))
	case err != nil:
		return fail(2, "ip: flush routes: %v\n", err)
	case n == 0 && (!filter.Cached() || filter.Family() == unix.AF_INET6):
		s.stats("Nothing to flush.\n")
	case n > 1:
		s.stats("*** Flush is complete after %d rounds ***\n", n)
	default:
		s.stats("*** Flush is complete after %d round ***\n", n)
	}
	return nil
}

// stats prints what only -s wants to know.
func (s *session) stats(format string, args ...any) {
	if s.opts.Stats > 0 {
		fmt.Fprintf(s.out, format, args...)
	}
}

// flushCache empties the cache of IPv4 routes.
func (s *session) flushCache() error {
	err := s.withConn(func(c *kernel.Conn) error { return c.NetNS().SetSysctl("net.ipv4.route.flush", "-1") })
	if err != nil {
		return fail(1, "Cannot flush routing cache: %s\n", errnoTextIn(err))
	}
	s.stats("*** IPv4 routing cache is flushed.\n")
	return nil
}
