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
	patterns patterns
	cut      cutting    // around the destination of the last message
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
	return &RouteStream{filter: f, state: v.State, printer: p, patterns: newPatterns(), whole: v.HostName != nil || f.flush}
}

// Forget forgets how entries look, because the view changed.
func (s *RouteStream) Forget() { s.patterns.forget() }

// Add lists the route of a message, RTM_NEWROUTE, if the filter selects it. The
// first error of the printer is returned; what is wrong with a message that the
// filter does not select may not be noticed.
func (s *RouteStream) Add(payload []byte) error {
	c := &s.cut
	if s.whole || !c.route(payload) {
		_, _, err := s.print(payload)
		return err
	}
	if s.filter.byDestination() && !s.filter.matchDestination(c.destination()) && !c.hasAnother() {
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
	if p := s.patterns.find(c); p != nil {
		if !p.listed {
			return nil
		}
		return s.printer.Repeat(s.patterns.fill(p, c))
	}
	printed, listed, err := s.print(payload)
	if err == nil && !c.hasAnother() {
		s.patterns.keep(c, printed, listed)
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

// destination returns the destination of a route and its family.
func (c *cutting) destination() (rpdb.Family, netip.Prefix) {
	a, _ := netip.AddrFromSlice(c.values[0].data)
	return rpdb.Family(c.head & 0xff), netip.PrefixFrom(a, int(c.values[0].bits))
}
