package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// routeCommand is for the help; [ipWords] sees the command first.
func (a *app) routeCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "route [OPTIONS] COMMAND",
		Short:              "routes of both families: list, add, ensure, replace, test, delete, get, flush, save, restore",
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return a.runRoute(cmd.Context(), args) },
	}
}

// routes is one call of "rpdb route". The socket and the connection are to the
// same namespace.
type routes struct {
	objectCall
	socket *kernel.Socket
	conn   *kernel.Conn
	file   *rpdb.Snapshot // where the state is from a file, and there is no kernel
}

func (a *app) newRoutes() *routes {
	return &routes{objectCall: objectCall{app: a, object: "route", usage: routeUsage + iproute2.RouteHelp()}}
}

// runRoute reads the options and the verb of "rpdb route".
func (a *app) runRoute(ctx context.Context, args []string) error {
	r := a.newRoutes()
	if asksForHelp(args) {
		return r.help()
	}
	args, err := r.takeSource(args)
	if err != nil {
		return err
	}
	words, err := r.options(args)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		words = []string{"list"}
	}
	return r.command(ctx, words[0], words[1:])
}

// command finds out what a verb means: ours by its full word, then ip's with
// their abbreviations. All but the help need the kernel, which knows the
// interfaces that the words name.
func (r *routes) command(ctx context.Context, word string, words []string) error {
	verb, err := iproute2.ParseRouteVerb(word)
	if word == "ensure" {
		verb, err = iproute2.RouteAdd, nil
	}
	switch {
	case err != nil:
		return r.unknownVerb(word, append(iproute2.RouteVerbs(), "ensure"))
	case verb == iproute2.RouteHelpVerb:
		return r.help()
	}
	if word != "ensure" {
		word = verb.String()
	}
	if err := r.readsOnly(word, "list", "get"); err != nil {
		return r.troubleOf(verb, err)
	}
	if err := r.open(ctx); err != nil {
		return r.troubleOf(verb, err)
	}
	defer r.close()
	r.typed = words
	if word == "ensure" {
		return r.ensure(ctx, words)
	}
	return r.troubleOf(verb, r.verb(ctx, verb, words))
}

// troubleOf gives an error of test the exit code that tells it from "no".
func (r *routes) troubleOf(verb iproute2.RouteVerb, err error) error {
	if verb == iproute2.RouteTest {
		return trouble(err)
	}
	return err
}

func (r *routes) verb(ctx context.Context, verb iproute2.RouteVerb, words []string) error {
	switch verb {
	case iproute2.RouteList:
		return r.list(ctx, words)
	case iproute2.RouteGet:
		return r.get(ctx, words)
	case iproute2.RouteFlush:
		return r.flush(ctx, words)
	case iproute2.RouteSave:
		return r.save(ctx, words)
	case iproute2.RouteRestore:
		return r.restore(ctx, words)
	case iproute2.RouteShowDump:
		return r.showDump(words)
	}
	return r.change(ctx, verb, words)
}

// open opens both doors to the kernel, or reads the file that stands for it.
func (r *routes) open(ctx context.Context) (err error) {
	if r.fromFile() {
		r.file, _, err = r.state(ctx)
		r.forgetNames() // for those of the text
		return err
	}
	return r.inNetNS(func(o kernel.Options) error {
		if r.conn, err = kernel.Open(o); err != nil {
			return err
		}
		if r.socket, err = kernel.OpenSocket(o); err != nil {
			r.conn.Close()
		}
		return err
	})
}

func (r *routes) close() {
	if r.file != nil {
		return
	}
	r.socket.Close()
	r.conn.Close()
}

func (r *routes) context(f rpdb.Family) iproute2.RouteContext {
	c := iproute2.RouteContext{Family: f, Names: r.names(), VRF: r.vrf}
	if c.LinkIndex = r.linkIndex; r.file == nil {
		c.LinkIndex = r.socket.LinkIndex
	}
	return c
}

// linkIndex returns the index of an interface of the file.
func (r *routes) linkIndex(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
	l, ok := r.file.LinkByName(name)
	return l.Index, ok
}

// vrf returns the table of a VRF.
func (r *routes) vrf(name string) (rpdb.TableID, bool) {
	if r.file != nil {
		l, _ := r.file.LinkByName(rpdb.LinkName(name))
		return l.VRFTable, l.VRFTable != 0
	}
	return r.socket.VRF(context.Background(), rpdb.LinkName(name))
}

// view is how routes look, with the interfaces of the namespace.
func (r *routes) view() iproute2.RouteView {
	linkName := r.linkNames()
	return iproute2.RouteView{
		Names: r.names(), LinkName: linkName,
		Numeric: r.opts.Numeric, Details: r.opts.Details, OneLine: r.opts.OneLine, Stats: r.opts.Stats > 0,
		Family: r.opts.Family == 0, Exact: r.opts.JSON,
	}
}

// linkNames returns what names the interfaces.
func (r *routes) linkNames() func(rpdb.LinkIndex) rpdb.LinkName {
	if r.file == nil {
		return r.socket.LinkNames().Name
	}
	names := map[rpdb.LinkIndex]rpdb.LinkName{}
	for _, l := range r.file.Links {
		names[l.Index] = l.Name
	}
	return func(i rpdb.LinkIndex) rpdb.LinkName { return names[i] }
}

// filters reads the words that choose routes, for the families that they can be
// about. Of a multipath route every member counts, but not for a flush, which
// would take the other members with it.
func (r *routes) filters(verb iproute2.RouteVerb, words []string) ([]iproute2.RouteFilter, error) {
	_, filters, err := perFamily(&r.objectCall, verb.String(), func(f rpdb.Family) (iproute2.RouteFilter, error) {
		filter, err := r.context(f).ParseRouteFilter(verb, words)
		if verb != iproute2.RouteFlush {
			filter = filter.WithMembers()
		}
		return filter, err
	})
	return filters, err
}

// list prints the routes that the words choose, one by one as the kernel tells
// them: a table may hold a million.
func (r *routes) list(ctx context.Context, words []string) error {
	filters, err := r.filters(iproute2.RouteList, words)
	if err != nil {
		return err
	}
	p := r.printer(r.view())
	for _, f := range filters {
		p.view.Hide = f.Hidden()
		p.lister = iproute2.NewRouteLister(p.view)
		if err := r.listBy(ctx, f, p); err != nil {
			return errors.Join(err, p.close())
		}
	}
	return p.close()
}

// listBy prints the routes of a filter.
func (r *routes) listBy(ctx context.Context, f iproute2.RouteFilter, p *routePrinter) error {
	if r.file == nil {
		stream := iproute2.NewRouteStream(p.view, f, p)
		return r.dumped(r.socket.RouteMessages(ctx, f.Dump(), func(m *kernel.Message) error { return stream.Add(m.Payload) }))
	}
	for _, route := range r.file.Routes {
		if e := fileEntry(route); f.Match(e) {
			if err := p.print(&e); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileEntry is what the kernel told of a route of a file: the flags are all in
// the route, its use is not.
func fileEntry(route rpdb.Route) iproute2.RouteEntry {
	e := iproute2.RouteEntry{Route: route, RouteDetails: rpdb.RouteDetails{Flags: uint32(route.Flags)}}
	if len(route.Nexthops) == 1 {
		e.RouteDetails.Flags |= uint32(route.Nexthops[0].Flags)
	}
	return e
}

// each gives the routes of a filter to use, which may keep nothing of them. A
// table that does not exist has none. Routes that change meanwhile are said to.
func (r *routes) each(ctx context.Context, f iproute2.RouteFilter, use func(kernel.RouteMessage) error) error {
	return r.dumped(r.socket.ListRoutes(ctx, f.Dump(), func(m kernel.RouteMessage) error {
		if !f.Match(entry(m)) {
			return nil
		}
		return use(m)
	}))
}

// dumped is what becomes of the end of a list.
func (r *routes) dumped(consistent bool, err error) error {
	if noTable(err) {
		return nil
	}
	if err == nil && !consistent {
		fmt.Fprintln(r.Err, "rpdb: the routes changed while they were read: some may be missing, or here twice")
	}
	return err
}

// noTable reports whether an error says that a table does not exist, which is
// to say that it is empty.
func noTable(err error) bool { return errors.Is(err, syscall.ENOENT) }

func entry(m kernel.RouteMessage) iproute2.RouteEntry {
	return iproute2.RouteEntry{Route: m.Route, RouteDetails: m.Details, Deleted: m.Deleted()}
}

// routePrinter writes routes as they come, through a buffer, as text or as one
// JSON array.
type routePrinter struct {
	view   iproute2.RouteView
	lister *iproute2.RouteLister
	line   []byte
	text   *bufio.Writer
	json   *ipjson.Writer

	decoder kernel.RouteDecoder
}

func (r *routes) printer(v iproute2.RouteView) *routePrinter {
	p := &routePrinter{view: v, lister: iproute2.NewRouteLister(v)}
	if r.opts.JSON {
		p.json = ipjson.NewWriter(r.Out, r.opts.Pretty)
	} else {
		p.text = bufio.NewWriter(r.Out)
	}
	return p
}

// print writes one route.
func (p *routePrinter) print(e *iproute2.RouteEntry) error {
	if p.json != nil {
		p.json.Begin()
		p.lister.Fields(e, p.json)
		p.json.End()
		return nil
	}
	p.line = append(p.lister.AppendText(p.line[:0], e), '\n')
	_, err := p.text.Write(p.line)
	return err
}

// Read, Print and Repeat are for a stream of messages.
func (p *routePrinter) Read(payload []byte, e *iproute2.RouteEntry) error {
	return p.decoder.DecodeInto(payload, &e.Route, &e.RouteDetails)
}

func (p *routePrinter) Print(e *iproute2.RouteEntry) ([]byte, error) {
	err := p.print(e)
	if p.json != nil {
		return p.json.Last(), err
	}
	return p.line, err
}

func (p *routePrinter) Repeat(text []byte) error {
	if p.json != nil {
		p.json.Again(text)
		return nil
	}
	_, err := p.text.Write(text)
	return err
}

// close writes out what is left and returns the first error of writing.
func (p *routePrinter) close() error {
	if p.json != nil {
		return p.json.Close()
	}
	return p.text.Flush()
}

const routeUsage = `Usage: rpdb route [ -4 | -6 ] [ -j ] [ -n NETNS | SOURCE ] [ list [ FILTER ] ]
       rpdb route { add | ensure | replace | change | append | prepend } ROUTE
       rpdb route { test | delete } ROUTE
       rpdb route [ SOURCE ] get [ to ] ADDRESS [ FLOW ]
       rpdb route flush FILTER
       rpdb route save [ FILTER ] > FILE
       rpdb route { restore | showdump } < FILE

Without -4 and -6, list shows both families and says which one each route is of;
the other commands take the family of the addresses, and IPv4 without any.

  add      add the route; refuse what the kernel would turn into something else
  ensure   add the route unless it is there
  replace  put the route in the place of the one with its prefix and metric, and
           say which one that was
  change   the same, if there is one
  append   add the route behind those of its prefix and metric
  prepend  add it before them
  test     exit with 0 if the route is there, with 1 if not
  delete   delete the route that is exactly this one, and no other
  get      which way a packet goes, and which rule decided that
  flush    delete the routes that a FILTER chooses
  save     write the routes that it chooses to standard output, for restore
  restore  add the saved routes that are not there
  showdump list the saved routes, and change nothing

SOURCE is --snapshot FILE, which "rpdb snapshot save" wrote, or --from-text
FILE, which holds the output of ip commands of another host. There, get asks
the engine.

The words of routes are those of ip-route(8):

`
