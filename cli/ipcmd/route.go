package ipcmd

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// route carries out the words behind "ip route". Other families than the two
// of IP are for the system's ip, and so are names of hosts, which it asks the
// C library for.
func (s *session) route(words []string) error {
	if !s.opts.hasRoutes() {
		return errHandOver
	}
	if len(words) == 0 {
		return s.listRoutes(nil)
	}
	verb, err := iproute2.ParseRouteVerb(words[0])
	if err != nil {
		return parseFailure(err)
	}
	words = words[1:]
	switch verb {
	case iproute2.RouteList:
		return s.listRoutes(words)
	case iproute2.RouteGet:
		return s.getRoute(words)
	case iproute2.RouteFlush:
		return s.flushRoutes(words)
	case iproute2.RouteSave:
		return s.saveRoutes(words)
	case iproute2.RouteRestore:
		return s.restoreRoutes()
	case iproute2.RouteShowDump:
		return s.showDump()
	case iproute2.RouteHelpVerb:
		return exit(255, "%s", iproute2.RouteHelp())
	}
	return s.changeRoute(verb, words)
}

// routeContext is what the words of a route are read in, the same for all of a batch.
func (s *session) routeContext() iproute2.RouteContext {
	if s.routes.Numbers == nil {
		s.routes = iproute2.RouteContext{
			Family: rpdb.Family(s.opts.Family), Numbers: s.names.number(inTurn{s}), LinkIndex: s.linkIndex, VRF: s.vrf,
		}
	}
	return s.routes
}

// linkIndex asks the kernel for the number of an interface, once for all lines that
// wait for each other.
func (s *session) linkIndex(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
	w := s.waiting
	if w == nil {
		return s.askLinkIndex(name)
	}
	i, ok := w.links[name]
	if !ok {
		if i, ok = s.askLinkIndex(name); ok {
			w.links[name] = i
		}
	}
	return i, ok
}

func (s *session) askLinkIndex(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
	sock, err := s.socket()
	if err != nil {
		return 0, false
	}
	return sock.LinkIndex(name)
}

// changeRoute adds, changes or deletes the route that was asked for.
func (s *session) changeRoute(verb iproute2.RouteVerb, words []string) error {
	req, err := s.parser.Parse(s.routeContext(), verb, words)
	if err != nil {
		return parseFailure(err)
	}
	s.warn(req.Warnings())
	sock, err := s.socket()
	if err != nil {
		return fail(1, "%s", kernelText(err))
	}
	typ := uint16(unix.RTM_NEWROUTE)
	if req.Deletes() {
		typ = unix.RTM_DELROUTE
	}
	s.payload = req.AppendPayload(s.payload[:0])
	r := kernel.RouteRequest{Type: typ, Flags: req.Flags(), Echo: s.opts.Echo, Payload: s.payload}
	revocable := func() bool { return kernel.Revocable(r) }
	if waits, err := s.put(sock, revocable, func(p *kernel.Pipeline) error { return p.AddRoute(r) }); waits || err != nil {
		return err
	}
	told, err := sock.SendRoute(context.Background(), r)
	if err != nil {
		return fail(2, "%s", kernelText(err))
	}
	if s.opts.Echo {
		s.printRoutes(told)
	}
	return nil
}

// warn prints what ip has to say before it does something.
func (s *session) warn(lines []string) {
	for _, line := range lines {
		fmt.Fprintln(inTurn{s}, line)
	}
}

// getRoute asks the kernel what it would do with a packet.
func (s *session) getRoute(words []string) error {
	get, err := s.routeContext().ParseGet(words)
	if err != nil {
		return parseFailure(err)
	}
	s.warn(get.Warnings())
	sock, err := s.socket()
	if err != nil {
		return fail(1, "%s", kernelText(err))
	}
	ctx := context.Background()
	answer, err := sock.GetRoute(ctx, get.Payload())
	if err != nil {
		return fail(2, "%s", kernelText(err))
	}
	answers := []kernel.RouteMessage{answer}
	again, hasSource := get.Again(answer.Route)
	if again && hasSource {
		if answer, err = sock.GetRoute(ctx, get.Payload()); err == nil {
			answers = append(answers, answer)
		}
	}
	s.printRoutes(answers)
	switch {
	case err != nil:
		return fail(2, "%s", kernelText(err))
	case again && !hasSource:
		return fail(1, "Failed to connect the route\n")
	}
	return nil
}

// listRoutes prints the routes that the words choose.
func (s *session) listRoutes(words []string) error {
	filter, err := s.routeContext().ParseRouteFilter(iproute2.RouteList, words)
	if err != nil {
		return parseFailure(err)
	}
	p := s.routePrinter(filter.Hidden())
	err = p.list(filter)
	p.close()
	if err != nil {
		return fail(2, "%sDump terminated\n", kernelText(err))
	}
	return nil
}

// eachRoute gives the routes that a filter selects to each, one by one.
func (s *session) eachRoute(filter iproute2.RouteFilter, each func(kernel.RouteMessage, iproute2.RouteEntry) error) error {
	sock, err := s.socket()
	if err != nil {
		return err
	}
	consistent, err := sock.ListRoutes(context.Background(), filter.Dump(), func(m kernel.RouteMessage) error {
		if e := entryOf(m); filter.Match(e) {
			return each(m, e)
		}
		return nil
	})
	return s.dumped(consistent, err)
}

// dumped says so of a dump that may lack routes, or have some twice.
func (s *session) dumped(consistent bool, err error) error {
	if err == nil && !consistent {
		fmt.Fprintln(s.Stderr, "Dump was interrupted and may be inconsistent.")
	}
	return err
}

func entryOf(m kernel.RouteMessage) iproute2.RouteEntry {
	return iproute2.RouteEntry{Route: m.Route, RouteDetails: m.Details, Deleted: m.Deleted()}
}

// vrf asks the kernel for the table of a VRF.
func (s *session) vrf(name string) (rpdb.TableID, bool) {
	sock, err := s.socket()
	if err != nil {
		return 0, false
	}
	return sock.VRF(context.Background(), rpdb.LinkName(name))
}
