package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// askedRoute is a route that was typed, and all that is known of it.
type askedRoute struct {
	iproute2.RouteRequest
	route rpdb.Route
}

// readRoute reads the words of a route strictly.
func (r *routes) readRoute(name string, verb iproute2.RouteVerb, words []string) (askedRoute, error) {
	req, err := r.context(rpdb.Family(r.opts.Family)).ParseRequest(verb, words)
	if err != nil {
		return askedRoute{}, r.badWords(name, err)
	}
	route, err := req.Strict()
	if err != nil {
		return askedRoute{}, r.refused(name, err)
	}
	if verb != iproute2.RouteTest && verb != iproute2.RouteDelete && route.Type == rpdb.RouteUnicast && len(route.Nexthops) == 0 && route.NexthopID == 0 {
		return askedRoute{}, &usageError{
			fmt.Sprintf("route %s: it leads nowhere", name),
			"add via ADDRESS, dev NAME or nhid ID; or begin with blackhole, unreachable, prohibit or throw",
		}
	}
	return askedRoute{req, route}, nil
}

// is reports whether a route of the kernel is the one that was asked for. Its
// protocol counts only if it was typed.
func (q askedRoute) is(stored rpdb.Route) bool {
	want := q.route
	if !q.Typed("protocol") {
		want.Protocol = stored.Protocol
	}
	return kernel.SameRoute(want, stored)
}

// same returns those of the routes that are the one asked for.
func (q askedRoute) same(routes []rpdb.Route) []rpdb.Route {
	return slices.DeleteFunc(slices.Clone(routes), func(s rpdb.Route) bool { return !q.is(s) })
}

// inPlace returns the routes that stand where the route stands or would: those
// of its key, of which there can be several only by append.
func (r *routes) inPlace(ctx context.Context, q askedRoute) ([]rpdb.Route, error) {
	near, err := r.toPrefix(ctx, q, q.route.Table)
	key := q.route.Key()
	return slices.DeleteFunc(near, func(s rpdb.Route) bool { return s.Key() != key }), err
}

// toPrefix returns the routes to the route's prefix in one table, or with 0 in
// all.
func (r *routes) toPrefix(ctx context.Context, q askedRoute, table rpdb.TableID) ([]rpdb.Route, error) {
	f, dst := q.route.Family, q.route.Dst.Masked()
	words := []string{"exact", dst.String(), "table", "all"}
	if table != 0 {
		words[3] = fmt.Sprint(table)
	}
	filter, err := iproute2.RouteContext{Family: f}.ParseRouteFilter(iproute2.RouteList, words)
	if err != nil {
		return nil, err
	}
	var found []rpdb.Route
	err = r.each(ctx, filter, func(m kernel.RouteMessage) error {
		route := m.Route
		route.Nexthops, route.Metrics = slices.Clone(route.Nexthops), slices.Clone(route.Metrics)
		found = append(found, route)
		return nil
	})
	return found, err
}

// line is the line of a route in a message.
func (r *routes) line(route rpdb.Route) string {
	v := r.view()
	v.OneLine, v.Family = true, false
	return strings.TrimRight(v.Entry(iproute2.RouteEntry{Route: route}), " ")
}

// change carries out a verb about one route.
func (r *routes) change(ctx context.Context, verb iproute2.RouteVerb, words []string) error {
	q, err := r.readRoute(verb.String(), verb, words)
	if err != nil {
		return err
	}
	if verb == iproute2.RouteAdd {
		return r.add(ctx, q)
	}
	there, err := r.inPlace(ctx, q)
	if err != nil {
		return err
	}
	switch verb {
	case iproute2.RouteTest:
		if len(q.same(there)) == 0 {
			return &codeError{code: exitFailed}
		}
		return nil
	case iproute2.RouteDelete:
		return r.delete(ctx, q, there)
	case iproute2.RouteAppend, iproute2.RoutePrepend:
		return r.beside(ctx, verb, q, there)
	}
	return r.replace(ctx, verb, q, there)
}

// add adds a route.
func (r *routes) add(ctx context.Context, q askedRoute) error {
	err := r.conn.Do(ctx, rpdb.RouteChange(rpdb.Add, q.route))
	if errors.Is(err, syscall.EEXIST) {
		there, lookErr := r.inPlace(ctx, q)
		if lookErr != nil || len(there) == 0 {
			return err
		}
		return &routeThereError{r.line(there[0]), len(q.same(there)) > 0}
	}
	if err != nil {
		return err
	}
	return r.echo(ctx, q)
}

// routeThereError is an add where there is a route.
type routeThereError struct {
	line string
	same bool
}

func (e *routeThereError) Error() string {
	if e.same {
		return fmt.Sprintf("add route: it is there: %s", e.line)
	}
	return fmt.Sprintf("add route: another one has its prefix and metric: %s", e.line)
}

func (e *routeThereError) Unwrap() error { return syscall.EEXIST }

// Hint names the verb that is content with what is there, or puts it away.
func (e *routeThereError) Hint() string {
	if e.same {
		return `"rpdb route ensure" adds a route only if it is not there`
	}
	return `"rpdb route replace" puts a route in the place of another`
}

// echo prints what the kernel made of a route, if that was asked for.
func (r *routes) echo(ctx context.Context, q askedRoute) error {
	if !r.opts.Echo {
		return nil
	}
	there, err := r.inPlace(ctx, q)
	if err != nil {
		return err
	}
	return r.printAll(there)
}

// printAll prints routes as a list does.
func (r *routes) printAll(routes []rpdb.Route) error {
	p := r.printer(r.view())
	for _, route := range routes {
		if err := p.print(&iproute2.RouteEntry{Route: route}); err != nil {
			return err
		}
	}
	return p.close()
}

// ensure adds a route that is not there.
func (r *routes) ensure(ctx context.Context, words []string) error {
	q, err := r.readRoute("ensure", iproute2.RouteAdd, words)
	if err != nil {
		return err
	}
	there, err := r.inPlace(ctx, q)
	if err != nil || len(q.same(there)) > 0 {
		return err
	}
	return r.add(ctx, q)
}

// beside adds a route behind or before those of its key.
func (r *routes) beside(ctx context.Context, verb iproute2.RouteVerb, q askedRoute, there []rpdb.Route) error {
	if same := q.same(there); len(same) > 0 {
		return &routeThereError{r.line(same[0]), true}
	}
	how := kernel.AppendRoute
	if verb == iproute2.RoutePrepend {
		how = kernel.PrependRoute
	}
	if how == kernel.PrependRoute && q.route.Family == rpdb.IPv6 && len(there) > 0 {
		return &refusedError{object: r.object, verb: verb.String(), reasons: []string{"IPv6 has no order among routes of one prefix and metric: append joins them"}}
	}
	if err := r.conn.PutRoute(ctx, how, q.route); err != nil {
		return err
	}
	return r.echo(ctx, q)
}

// replace puts a route in the place of the one with its key, and says which one
// that was. It sends nothing if that is the route already.
func (r *routes) replace(ctx context.Context, verb iproute2.RouteVerb, q askedRoute, there []rpdb.Route) error {
	switch {
	case len(there) > 1:
		reason := fmt.Sprintf("%d routes have this prefix and metric: delete those that are to go", len(there))
		return &refusedError{object: r.object, verb: verb.String(), reasons: []string{reason}}
	case len(there) == 1 && q.is(there[0]):
		return r.replaced(nil)
	case len(there) == 0 && verb == iproute2.RouteChange:
		return &absentRouteError{verb: "change", family: q.route.Family, near: r.near(ctx, q)}
	}
	var err error
	if verb == iproute2.RouteChange {
		err = r.conn.PutRoute(ctx, kernel.ChangeRoute, q.route)
	} else {
		err = r.conn.Do(ctx, rpdb.RouteChange(rpdb.Replace, q.route))
	}
	if err != nil {
		return err
	}
	return r.replaced(there)
}

// replaced prints the route that went, if one did.
func (r *routes) replaced(old []rpdb.Route) error {
	if r.opts.JSON {
		return r.printAll(old)
	}
	w := newPrinter(r.Out)
	for _, route := range old {
		w.printf("replaced: %s\n", r.line(route))
	}
	return w.err
}

// delete deletes the one route that is exactly the one asked for.
func (r *routes) delete(ctx context.Context, q askedRoute, there []rpdb.Route) error {
	switch same := q.same(there); {
	case len(same) == 0:
		return &absentRouteError{verb: "delete", family: q.route.Family, near: r.near(ctx, q)}
	case len(same) > 1:
		return &refusedError{object: r.object, verb: "delete", reasons: []string{fmt.Sprintf("%d routes differ in their protocol only: say which (proto)", len(same))}}
	default:
		return r.conn.Do(ctx, rpdb.RouteChange(rpdb.Delete, same[0]))
	}
}

// nearRoute is a route that was perhaps meant, and how it is deleted.
type nearRoute struct{ line, command string }

// near returns the routes to the prefix: those of the table, or if it has none
// those of others.
func (r *routes) near(ctx context.Context, q askedRoute) []nearRoute {
	found, err := r.toPrefix(ctx, q, q.route.Table)
	if err == nil && len(found) == 0 {
		found, err = r.toPrefix(ctx, q, 0)
	}
	if err != nil {
		return nil // the error that this goes with is the one that matters
	}
	var list []nearRoute
	for _, route := range found {
		command := strings.TrimPrefix(iproute2.RouteCommand(rpdb.Delete, route, r.view()), "ip ")
		list = append(list, nearRoute{r.line(route), "rpdb " + command})
	}
	return list
}

// absentRouteError is a change of what is not there in full.
type absentRouteError struct {
	verb   string
	family rpdb.Family
	near   []nearRoute
}

// maxNear is how many routes are listed that were perhaps meant.
const maxNear = 5

func (e *absentRouteError) Error() string {
	what := "is exactly this one"
	if e.verb == "change" {
		what = "has this prefix and metric"
	}
	lines := []string{fmt.Sprintf("%s route: no %v route %s", e.verb, e.family, what)}
	for _, n := range e.near[:min(len(e.near), maxNear)] {
		lines = append(lines, "near is: "+n.line)
	}
	if more := len(e.near) - maxNear; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (e *absentRouteError) Unwrap() error { return syscall.ESRCH }

// Hint shows how the route that was perhaps meant is deleted.
func (e *absentRouteError) Hint() string {
	switch {
	case e.verb == "change":
		return `"rpdb route replace" adds the route if there is none to change`
	case len(e.near) == 1:
		return "it goes with: " + e.near[0].command
	}
	return `"rpdb route list" shows what is there; a delete names all of a route`
}
