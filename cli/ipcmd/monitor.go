package ipcmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// monitorRequest is what a monitor of ours shows. The zero value is nothing.
type monitorRequest struct {
	rules, routes bool
	label         bool
}

// parseMonitor reads the words behind "ip monitor". Anything but rules and
// routes is for the system's ip, and so are words that are wrong.
func parseMonitor(words []string) (m monitorRequest, err error) {
	for _, w := range words {
		switch {
		case w == "all", w != "" && strings.HasPrefix("label", w):
			m.label = true
		case w != "" && strings.HasPrefix("route", w):
			m.routes = true
		case strings.HasPrefix(w, "ru") && strings.HasPrefix("rule", w):
			m.rules = true
		default:
			return m, errHandOver
		}
	}
	if !m.rules && !m.routes {
		return m, errHandOver
	}
	return m, nil
}

// monitor prints changes as they happen, until standard output or the process
// ends.
func (s *session) monitor(words []string) error {
	m, err := parseMonitor(words)
	if err != nil {
		return err
	}
	all := rpdb.Families()
	families := all[:]
	switch {
	case !s.opts.isIP(), m.routes && !s.opts.hasRoutes():
		return errHandOver
	case s.opts.Family != 0:
		families = []rpdb.Family{rpdb.Family(s.opts.Family)}
	}
	var what []kernel.EventType
	if m.rules {
		what = append(what, kernel.EventRule)
	}
	if m.routes {
		what = append(what, kernel.EventRoute)
	}
	var w *kernel.Watcher
	err = s.inNetNS(func(o kernel.Options) (err error) {
		w, err = kernel.Monitor(o, what, families)
		return err
	})
	if err != nil {
		return fail(1, "%s", kernelText(err))
	}
	defer w.Close()
	t := &tail{session: s, request: m, families: families}
	return t.follow(w)
}

// tail prints events. It knows the rules, so that it can tell what changed
// while events were lost.
type tail struct {
	*session
	request  monitorRequest
	families []rpdb.Family
	known    map[rpdb.Family][]rpdb.Rule
	routes   *routePrinter // nil before the first route
}

func (t *tail) follow(w *kernel.Watcher) error {
	if err := t.reread(nil); err != nil {
		return err
	}
	for {
		ev, err := w.Next(context.Background())
		if err != nil {
			return fail(1, "ip: %v\n", err)
		}
		switch ev.Type {
		case kernel.EventRule:
			t.know(ev.Rule, ev.Deleted)
			t.head("[RULE]")
			t.printOne(ev.Rule, ev.Deleted)
		case kernel.EventRoute:
			t.head("[ROUTE]")
			t.route(ev)
		case kernel.EventOverflow:
			io.WriteString(t.Stderr, "netlink receive error No buffer space available (105)\n")
			if err := t.reread(func(r rpdb.Rule, deleted bool) {
				t.head("[RULE]")
				t.printOne(r, deleted)
			}); err != nil {
				return err
			}
		}
		if err := t.out.Flush(); err != nil {
			return nil // said at the end
		}
	}
}

// head prints what stands before a line: the time, and what the line is about.
func (t *tail) head(label string) {
	if t.opts.JSON {
		return
	}
	if t.opts.Timestamp {
		now := t.now()
		if t.opts.Short {
			t.out.WriteString(now.Format("[2006-01-02T15:04:05.000000] "))
		} else {
			fmt.Fprintf(t.out, "Timestamp: %s %d usec\n", now.Format("Mon Jan _2 15:04:05 2006"), now.Nanosecond()/1000)
		}
	}
	if t.request.label {
		t.out.WriteString(label)
	}
}

// know keeps the list of rules as it is. What is told while the list is first
// read may be in it already.
func (t *tail) know(r rpdb.Rule, deleted bool) {
	r.Flags &^= r.State()
	list := t.known[r.Family]
	i := slices.Index(list, r)
	switch {
	case !deleted && i < 0:
		t.known[r.Family] = append(list, r)
	case deleted && i >= 0:
		t.known[r.Family] = slices.Delete(list, i, i+1)
	}
}

// reread reads the rules and tells what is different from what is known.
func (t *tail) reread(tell func(r rpdb.Rule, deleted bool)) error {
	if !t.request.rules {
		return nil
	}
	before := t.known
	t.known = map[rpdb.Family][]rpdb.Rule{}
	for _, f := range t.families {
		now, err := t.rules(uint8(f))
		if err != nil {
			return fail(1, "%s", kernelText(err))
		}
		left := map[rpdb.Rule]int{}
		for _, r := range before[f] {
			left[r]++
		}
		for _, r := range now {
			shown := r
			r.Flags &^= r.State()
			t.known[f] = append(t.known[f], r)
			if left[r] > 0 {
				left[r]--
			} else if tell != nil {
				tell(shown, false)
			}
		}
		for _, r := range before[f] {
			if left[r] > 0 && tell != nil {
				left[r]--
				tell(r, true)
			}
		}
	}
	return nil
}

// rules reads the rules of a family as they were at one moment.
func (t *tail) rules(family uint8) (rules []rpdb.Rule, err error) {
	list, err := t.messages(family)
	if err != nil {
		return nil, err
	}
	err = list.Each(func(m *kernel.RuleMessage) error {
		rules = append(rules, m.Rule)
		return nil
	})
	return rules, err
}

// route prints a route that came or went, with the names that interfaces and
// nexthop objects have by now.
func (t *tail) route(ev kernel.Event) {
	if t.routes == nil {
		t.routes = t.routePrinter(0)
		if sock, err := t.socket(); err == nil {
			t.routes.view.LinkName = sock.LinkName
			t.routes.rename()
		}
	}
	clear(t.nexthops)
	t.routes.print(&iproute2.RouteEntry{Route: ev.Route, RouteDetails: ev.Details, Deleted: ev.Deleted})
	t.routes.close()
}
