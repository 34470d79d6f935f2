package ipcmd

import (
	"context"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
	"rpdb/kernel"
)

// routePrinter prints routes one after the other, as text or as one JSON array,
// and holds none of them.
type routePrinter struct {
	*session
	view   iproute2.RouteView
	lister *iproute2.RouteLister
	json   *ipjson.Writer // nil for text, and as long as nothing was printed
	line   []byte

	// Of the routes of a dump alone.
	decoder kernel.RouteDecoder
	stream  *iproute2.RouteStream
}

// routePrinter returns a printer that leaves columns out.
func (s *session) routePrinter(hide iproute2.RouteColumns) *routePrinter {
	v := iproute2.RouteView{
		Numeric: s.opts.Numeric, Details: s.opts.Details, Stats: s.opts.Stats > 0, OneLine: s.opts.OneLine, Raw: true,
		Hide: hide, Color: s.palette(), State: &s.names.state,
	}
	if sock, err := s.socket(); err == nil {
		v.LinkName = sock.LinkNames().Name
	}
	if s.opts.Details {
		v.Nexthop = s.nexthop
	}
	p := &routePrinter{session: s, view: v}
	p.rename()
	return p
}

// rename takes the names over that are known by now.
func (p *routePrinter) rename() {
	p.view.Names = p.names.db.Names()
	p.lister = iproute2.NewRouteLister(p.view)
	if p.stream != nil {
		p.stream.Forget()
	}
}

// list prints those routes of a dump that a filter selects.
func (p *routePrinter) list(filter iproute2.RouteFilter) error {
	sock, err := p.socket()
	if err != nil {
		return err
	}
	if p.view.Nexthop != nil {
		// By the thread whose namespace it is of: what is printed is printed by another.
		_, _ = p.asideSocket() // without it no object is shown
	}
	p.stream = iproute2.NewRouteStream(p.view, filter, p)
	return p.dumped(sock.RouteMessages(context.Background(), filter.Dump(), func(m *kernel.Message) error {
		return p.stream.Add(m.Payload)
	}))
}

// Read, Print and Repeat are for the stream. What becomes of standard output is
// noticed at the end.
func (p *routePrinter) Read(payload []byte, e *iproute2.RouteEntry) error {
	return p.decoder.DecodeInto(payload, &e.Route, &e.RouteDetails)
}

func (p *routePrinter) Print(e *iproute2.RouteEntry) ([]byte, error) {
	p.print(e)
	if p.opts.JSON {
		return p.json.Last(), nil
	}
	return p.line, nil
}

func (p *routePrinter) Repeat(text []byte) error {
	if p.opts.JSON {
		p.begin()
		p.json.Again(text)
	} else {
		p.out.Write(text)
	}
	return nil
}

// print prints one entry.
func (p *routePrinter) print(e *iproute2.RouteEntry) {
	if !p.view.Numeric && p.readNames(e) {
		p.rename()
	}
	if p.opts.JSON {
		p.begin()
		p.json.Begin()
		p.lister.Fields(e, p.json)
		p.json.End()
		return
	}
	p.printText(e)
}

// printText prints one entry as text, whatever the options say.
func (p *routePrinter) printText(e *iproute2.RouteEntry) {
	p.line = append(p.lister.AppendText(p.line[:0], e), '\n')
	p.out.Write(p.line)
}

// begin opens the JSON array.
func (p *routePrinter) begin() {
	if p.json == nil {
		p.json = ipjson.NewWriter(p.out, p.opts.Pretty)
	}
}

// close ends the list, which may be empty.
func (p *routePrinter) close() {
	if p.opts.JSON {
		p.begin()
		_ = p.json.Close() // an error of standard output is noticed at the end
		p.json = nil
	}
}

// printRoutes prints a few messages.
func (s *session) printRoutes(told []kernel.RouteMessage) {
	p := s.routePrinter(0)
	for _, m := range told {
		e := entryOf(m)
		p.print(&e)
	}
	p.close()
}

// readNames reads the files that may have names of what is printed of an entry,
// and reports whether it read any.
func (p *routePrinter) readNames(e *iproute2.RouteEntry) (read bool) {
	need := func(kind rttables.Kind) { read = p.names.load(kind, p.Stderr) || read }
	hide := p.view.Hide
	if hide&iproute2.ColumnTable == 0 && e.Table != rpdb.TableMain || p.view.Details {
		need(rttables.Tables)
	}
	if hide&iproute2.ColumnProtocol == 0 && !builtinName(e.Protocol) {
		need(rttables.Protocols)
	}
	if hide&iproute2.ColumnScope == 0 && isNumber(e.Scope.String()) {
		need(rttables.Scopes)
	}
	if hide&iproute2.ColumnTOS == 0 && e.TOS != 0 {
		need(rttables.DSFields)
	}
	realms := e.Realms != 0
	for i := range e.Nexthops {
		realms = realms || e.Nexthops[i].Realms != 0
	}
	if realms {
		need(rttables.Realms)
	}
	return read
}

// nexthop asks the kernel for a nexthop object, once for each. The list that is
// being read has the other socket.
func (s *session) nexthop(id uint32) (rpdb.NexthopObject, bool) {
	if o, ok := s.nexthops[id]; ok {
		return o, o.ID != 0
	}
	var o rpdb.NexthopObject
	if sock, err := s.asideSocket(); err == nil {
		o, _ = sock.Nexthop(context.Background(), id) // one that cannot be read is not shown
	}
	if s.nexthops == nil {
		s.nexthops = map[uint32]rpdb.NexthopObject{}
	}
	s.nexthops[id] = o
	return o, o.ID != 0
}
