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
	p := s.routePrinter(filter.Hidden())
	rounds := 0
	for {
		deleted, err := s.flushRound(filter, p)
		if err != nil {
			return fail(2, "%sFlush terminated\n", kernelText(err))
		}
		if deleted == 0 {
			break
		}
		rounds++
		s.stats("\n*** Round %d, deleting %d entries ***\n", rounds, deleted)
	}
	switch {
	case rounds == 0 && (!filter.Cached() || filter.Family() == unix.AF_INET6):
		s.stats("Nothing to flush.\n")
	case rounds > 1:
		s.stats("*** Flush is complete after %d rounds ***\n", rounds)
	default:
		s.stats("*** Flush is complete after %d round ***\n", rounds)
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

// flushRound goes over the list once, deletes on the way, and returns how many
// routes were chosen.
func (s *session) flushRound(filter iproute2.RouteFilter, p *routePrinter) (deleted int, err error) {
	other, err := s.asideSocket()
	if err != nil {
		return 0, err
	}
	err = s.eachRoute(filter, func(m kernel.RouteMessage, e iproute2.RouteEntry) error {
		deleted++
		if s.opts.Stats > 1 {
			p.printText(e)
		}
		_, err := other.SendRoute(context.Background(), kernel.RouteRequest{Type: unix.RTM_DELROUTE, Payload: m.Payload})
		if errors.Is(err, unix.ESRCH) { // it went with another one
			return nil
		}
		return err
	})
	return deleted, err
}
