package ifupdown

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
)

// Read returns what the stanzas of interfaces(5) make of a host when all of their
// interfaces are brought up, one after the other in the order of the stanzas:
// interfaces, static addresses, gateways, and what the commands of up lines add. A
// rule without a priority gets the one that the kernel would give it. What a DHCP
// server or a router gives is not known.
//
// A file that another names by source is read there; it must be given, unless it is
// named by a pattern, which may match none. Names of tables are those of the files
// called rt_tables, or in a directory rt_tables.d, that are among the files.
//
// The error joins every line that is not understood, each of type *[format.Error].
func Read(files []format.File) (*rpdb.Snapshot, rpdb.Names, error) {
	names, files, err := rttables.Beside(files)
	in := sources{files: files}
	in.readAll()
	r := reader{setup: iproute2.Setup{Names: names}, made: map[rpdb.LinkName]*made{}, errs: append(in.errs, err)}
	for _, s := range r.stanzas(in.lines) {
		r.up(s)
		r.all = append(r.all, s)
	}
	r.down()
	if err := errors.Join(r.errs...); err != nil {
		return nil, rpdb.Names{}, err
	}
	return &r.setup.Snapshot, names, nil
}

// reader runs stanzas.
type reader struct {
	setup iproute2.Setup
	made  map[rpdb.LinkName]*made
	all   []stanza
	errs  []error
}

// made is what an interface has made.
type made struct {
	rules  map[rpdb.Rule]bool
	routes map[rpdb.RouteKey][]rpdb.Route
}

// note remembers what an interface has made.
func (r *reader) note(link rpdb.LinkName, changes []rpdb.Change) {
	if r.made[link] == nil {
		r.made[link] = &made{map[rpdb.Rule]bool{}, map[rpdb.RouteKey][]rpdb.Route{}}
	}
	m := r.made[link]
	for _, c := range changes {
		switch {
		case c.Op == rpdb.Delete:
		case c.Rule != nil:
			m.rules[*c.Rule] = true
		case c.Route != nil:
			m.routes[c.Route.Key()] = append(m.routes[c.Route.Key()], *c.Route)
		}
	}
}

// has reports whether what a change takes away is among it.
func (m *made) has(c rpdb.Change) bool {
	if m == nil {
		return false
	}
	return c.Rule != nil && m.rules[*c.Rule] || c.Route != nil && slices.ContainsFunc(m.routes[c.Route.Key()], c.Route.Equal)
}

// stanza is one "iface" with its options.
type stanza struct {
	line
	link    rpdb.LinkName
	family  rpdb.Family
	method  string
	options []option
}

// option is a line of a stanza.
type option struct {
	line
	key, value string
}

func (r *reader) fail(l line, object, text, reason string) {
	r.errs = append(r.errs, l.fail(object, text, reason))
}

// stanzas puts lines together. Everything but iface is about when interfaces are
// brought up, or is not understood.
func (r *reader) stanzas(lines []line) []stanza {
	var list []stanza
	open := false
	for _, l := range lines {
		words := strings.Fields(l.text)
		switch key := words[0]; {
		case key == "iface":
			s, ok := r.stanza(l, words)
			if open = ok; ok {
				list = append(list, s)
			}
		case key == "auto", strings.HasPrefix(key, "allow-"), key == "no-auto-down", key == "no-scripts":
			open = false
		case slices.Contains([]string{"mapping", "template", "rename"}, key):
			open = false
			r.fail(l, key, "", "which stanza an interface has depends on the host: it is not understood")
		case !open:
			r.fail(l, "option", key, "it is in no stanza that is understood")
		default:
			s := &list[len(list)-1]
			value := strings.TrimSpace(strings.TrimPrefix(l.text, key))
			s.options = append(s.options, option{l, key, value})
		}
	}
	return list
}

// stanza reads an iface line.
func (r *reader) stanza(l line, words []string) (stanza, bool) {
	s := stanza{line: l}
	if len(words) != 4 {
		r.fail(l, "iface", l.text[len("iface"):], "an interface, a family and a method are expected, and nothing else")
		return s, false
	}
	name, _, _ := strings.Cut(words[1], ":") // behind the colon stands what an address is called
	s.link, s.method = rpdb.LinkName(name), words[3]
	switch words[2] {
	case "inet":
		s.family = rpdb.IPv4
	case "inet6":
		s.family = rpdb.IPv6
	default:
		r.fail(l, "family", words[2], "only inet and inet6 are understood")
		return s, false
	}
	if len(name) == 0 || len(name) > 15 || strings.ContainsAny(name, "/*?[") {
		r.fail(l, "interface", name, "it is no name of an interface")
		return s, false
	}
	if !slices.Contains([]string{"static", "dhcp", "manual", "loopback", "auto"}, s.method) {
		r.fail(l, "method", s.method, "only static, dhcp, manual, loopback and auto are understood")
		return s, false
	}
	return s, true
}

// up brings an interface up by a stanza.
func (r *reader) up(s stanza) {
	format.Link(&r.setup.Snapshot, s.link)
	r.commands(s, "pre-up")
	r.method(s)
	r.commands(s, "up", "post-up")
	for _, o := range s.options {
		if !isKnown(s, o.key) {
			r.fail(o.line, "option", o.key, fmt.Sprintf("what it does to an interface of method %s is not understood", s.method))
		}
	}
}

// commands runs the lines of phases.
func (r *reader) commands(s stanza, phases ...string) {
	for _, o := range s.options {
		if !slices.Contains(phases, o.key) {
			continue
		}
		commands, err := shell(o.value, string(s.link))
		if err != nil {
			r.fail(o.line, o.key, o.value, err.Error())
			continue
		}
		for _, c := range commands {
			changes, err := run(&r.setup, c)
			if err != nil {
				r.fail(o.line, o.key, strings.Join(c.words, " "), err.Error())
			}
			r.note(s.link, changes)
		}
	}
}

// run runs one command. That something is there already, or is not there, is no
// error where the line goes on all the same.
func run(setup *iproute2.Setup, c command) ([]rpdb.Change, error) {
	switch program := strings.TrimPrefix(strings.TrimPrefix(c.words[0], "/usr"), "/sbin/"); program {
	case "ip", "/bin/ip":
	case "true", ":", "ethtool", "logger":
		return nil, nil // nothing that routing looks at
	default:
		return nil, fmt.Errorf("what the program %q does is not known: only ip is", c.words[0])
	}
	f, words := rpdb.Family(0), c.words[1:]
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		switch words[0] {
		case "-4":
			f = rpdb.IPv4
		case "-6":
			f = rpdb.IPv6
		default:
			return nil, fmt.Errorf("the option %q of ip is not understood here", words[0])
		}
		words = words[1:]
	}
	changes, err := setup.Run(f, words)
	if c.tolerant && (errors.Is(err, iproute2.ErrThere) || errors.Is(err, iproute2.ErrNotThere)) {
		return nil, nil
	}
	return changes, err
}

// down takes every interface down by itself, and finds lines that take away what
// another made, or nothing.
func (r *reader) down() {
	phases := []string{"down", "pre-down", "post-down"}
	worlds := map[rpdb.LinkName]*iproute2.Setup{}
	for _, s := range r.all {
		if worlds[s.link] == nil {
			worlds[s.link] = r.setup.Clone()
		}
		for _, o := range s.options {
			if !slices.Contains(phases, o.key) {
				continue
			}
			commands, err := shell(o.value, string(s.link))
			if err != nil {
				r.fail(o.line, o.key, o.value, err.Error())
			}
			for _, c := range commands {
				if err := r.undo(worlds[s.link], s.link, c); err != nil {
					r.fail(o.line, o.key, strings.Join(c.words, " "), err.Error())
				}
			}
		}
	}
}

// undo runs a command that takes an interface down.
func (r *reader) undo(world *iproute2.Setup, link rpdb.LinkName, c command) error {
	c.tolerant = false
	changes, err := run(world, c)
	switch {
	case errors.Is(err, iproute2.ErrNotThere):
		return errors.New("it takes away what the interface has not made")
	case err != nil:
		return err
	}
	for _, change := range changes {
		if change.Op != rpdb.Delete {
			return errors.New("a line for down that adds something is not understood")
		}
		if !r.made[link].has(change) {
			return fmt.Errorf("it takes away %s, which another interface has made", change.Object())
		}
	}
	return nil
}
