package iproute2

import (
	"net/netip"

	"rpdb"
)

// RouteStream lists the routes of a dump, message after message, as many as a
// filter selects. Most routes of a long list differ from one in front of them in
// nothing but the destination: those are neither read nor laid out again, but
// repeated with their own, at a tenth of the cost. It holds a few hundred such
// patterns, however long the list is. It is not safe for concurrent use.
type RouteStream struct {
	filter   RouteFilter
	state    *NameState
	read     namesRead // by the time of the patterns
	printer  RoutePrinter
	patterns routePatterns
	whole    bool       // nothing is repeated
	entry    RouteEntry // that was read last
}

// RoutePrinter is what a [RouteStream] works with. What is given and returned is
// valid until the next call.
type RoutePrinter interface {
	// Read reads the payload of a message, a struct rtmsg with attributes, into an
	// entry that held another.
	Read(payload []byte, e *RouteEntry) error
	// Print prints an entry and returns what it printed, which in the view of the
	// stream depends on nothing but the entry, or nil if it does not know that.
	Print(e *RouteEntry) (printed []byte, err error)
	// Repeat prints what Print would have printed.
	Repeat(text []byte) error
}

// NewRouteStream returns a stream of the routes that a filter selects, which the
// printer prints as text or as objects of JSON. Of the view, the state counts, and
// whether hosts have names.
func NewRouteStream(v RouteView, f RouteFilter, p RoutePrinter) *RouteStream {
	// A name of a host is one of the destination. What a flush spares depends on it.
	return &RouteStream{filter: f, state: v.State, printer: p, whole: v.HostName != nil || f.flush}
}

// Forget forgets how entries look, because the view changed.
func (s *RouteStream) Forget() { s.patterns.forget() }

// Add lists the route of a message, RTM_NEWROUTE, if the filter selects it. The
// first error of the printer is returned; what is wrong with a message that the
// filter does not select may not be noticed.
func (s *RouteStream) Add(payload []byte) error {
	r, ok := cutDestination(payload)
	if !ok || s.whole {
		_, _, err := s.print(payload)
		return err
	}
	if s.filter.byDestination() && !s.filter.matchDestination(r.family(), r.prefix()) && !r.hasAnother() {
		return nil
	}
	if s.patterns.isResting() {
		_, _, err := s.print(payload)
		return err
	}
	if s.state != nil && s.state.namesRead != s.read {
		s.read = s.state.namesRead
		s.Forget()
	}
	if p := s.patterns.find(&r); p != nil {
		if !p.listed {
			return nil
		}
		return s.printer.Repeat(s.patterns.fill(p, &r))
	}
	printed, listed, err := s.print(payload)
	if err == nil {
		s.patterns.keep(&r, printed, listed)
	}
	return err
}

// print reads a message, and prints it if the filter selects it.
func (s *RouteStream) print(payload []byte) (printed []byte, listed bool, err error) {
	e := &s.entry
	if err := s.printer.Read(payload, e); err != nil || !s.filter.match(e) {
		return nil, false, err
	}
	printed, err = s.printer.Print(e)
	return printed, true, err
}

// prefix returns the destination.
func (r *routeRest) prefix() netip.Prefix {
	a, _ := netip.AddrFromSlice(r.dst)
	return netip.PrefixFrom(a, int(r.bits))
}

func (r *routeRest) family() rpdb.Family { return rpdb.Family(r.head & 0xff) }
