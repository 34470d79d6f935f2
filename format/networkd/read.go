package networkd

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
)

// Read returns what .network files say, and the names that networkd.conf has
// for tables. It takes both with their drop-ins, in any order. The error joins
// an [format.Error] for everything that cannot be read; the snapshot is then
// nil.
//
// The rules are those of the files alone: the kernel's own are not among them,
// nor are the routes that an address brings.
func Read(files []format.File) (*rpdb.Snapshot, rpdb.Names, error) {
	r := &reader{snapshot: &rpdb.Snapshot{}, tables: map[string]rpdb.TableID{}, matched: map[rpdb.LinkName]string{}}
	var units []unit
	for _, f := range sorted(files) {
		dir, base := path.Split(strings.ReplaceAll(f.Path, `\`, "/"))
		of, isDropIn := strings.CutSuffix(path.Base(dir), ".d")
		switch {
		case strings.HasSuffix(base, ".network"):
			units = r.newUnit(units, base, f)
		case isDropIn && strings.HasSuffix(of, ".network") && strings.HasSuffix(base, ".conf"):
			units = r.dropIn(units, of, f)
		case base == "networkd.conf", isDropIn && of == "networkd.conf" && strings.HasSuffix(base, ".conf"):
			r.manager(f)
		default:
			r.refuse(f.Path, 0, "file", "", "it is neither a .network file nor networkd.conf, nor a drop-in of one")
		}
	}
	for _, u := range units {
		r.unit(u)
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, rpdb.Names{}, err
	}
	slices.SortStableFunc(r.snapshot.Rules, rpdb.Rule.Compare)
	return r.snapshot, r.namesOfTables(), nil
}

// reader collects what the files say.
type reader struct {
	snapshot *rpdb.Snapshot
	tables   map[string]rpdb.TableID // by the names of RouteTable=
	matched  map[rpdb.LinkName]string
	errs     []error
}

func (r *reader) refuse(file string, line int, object, text, reason string) {
	r.errs = append(r.errs, &format.Error{File: file, Line: line, Object: object, Text: text, Reason: reason})
}

// refuseAt refuses an assignment.
func (r *reader) refuseAt(s section, a assignment, err error) {
	if err != nil {
		r.refuse(s.file, a.line, a.key+"=", a.value, err.Error())
	}
}

// unit is a .network file with its drop-ins.
type unit struct {
	name, path string
	sections   []section
}

// sorted returns the files as networkd orders them: by their names, whatever
// their directory, but networkd.conf first, and drop-ins behind what they add to.
func sorted(files []format.File) []format.File {
	rank := func(f format.File) int {
		switch {
		case strings.HasSuffix(f.Path, "networkd.conf"):
			return 0
		case strings.HasSuffix(f.Path, ".network"):
			return 1
		}
		return 2
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b format.File) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(path.Base(a.Path), path.Base(b.Path)))
	})
	return files
}

func (r *reader) newUnit(units []unit, name string, f format.File) []unit {
	for _, u := range units {
		if u.name == name {
			r.refuse(f.Path, 0, "file", "", fmt.Sprintf("networkd reads one file of this name, and there is %s too", u.path))
			return units
		}
	}
	return append(units, unit{name, f.Path, r.sections(f.Path, f.Text)})
}

func (r *reader) dropIn(units []unit, of string, f format.File) []unit {
	for i := range units {
		if units[i].name == of {
			units[i].sections = append(units[i].sections, r.sections(f.Path, f.Text)...)
			return units
		}
	}
	r.refuse(f.Path, 0, "file", "", fmt.Sprintf("it is a drop-in of %s, which was not given", of))
	return units
}

// manager reads the names of tables in networkd.conf.
func (r *reader) manager(f format.File) {
	for _, s := range r.sections(f.Path, f.Text) {
		if s.name != "Network" {
			if !slices.Contains(managerSections(), s.name) {
				r.refuse(s.file, s.line, "section", s.name, "networkd.conf has no such section")
			}
			continue
		}
		for _, a := range s.assignments {
			switch {
			case a.key == "RouteTable":
				r.refuseAt(s, a, r.nameTables(a.value))
			case !slices.Contains(managerKeys(), a.key):
				r.refuseAt(s, a, errors.New("networkd.conf has no such key"))
			}
		}
	}
}

// nameTables reads a RouteTable=.
func (r *reader) nameTables(value string) error {
	if value == "" {
		clear(r.tables)
	}
	for _, pair := range strings.Fields(value) {
		name, text, ok := strings.Cut(pair, ":")
		id, err := number[rpdb.TableID](text, 1, 1<<32-1)
		switch {
		case !ok || name == "" || err != nil:
			return fmt.Errorf("%q is not NAME:NUMBER", pair)
		case slices.Contains([]string{"default", "main", "local"}, name):
			return fmt.Errorf("the table %s has a number", name)
		}
		r.tables[name] = id
	}
	return nil
}

// namesOfTables returns the names by their numbers. Of several for one table it
// takes the first in the alphabet.
func (r *reader) namesOfTables() rpdb.Names {
	n := rpdb.Names{}
	for name, id := range r.tables {
		if n.Tables == nil {
			n.Tables = map[rpdb.TableID]string{}
		}
		if other := n.Tables[id]; other == "" || name < other {
			n.Tables[id] = name
		}
	}
	return n
}

// unit reads the sections of one file.
func (r *reader) unit(u unit) {
	links, err := r.match(u)
	var local []section // those that belong to the interface
	for _, s := range u.sections {
		switch {
		case slices.Contains(leaseSections(), s.name):
			r.lease(s)
		case s.name == "Match" || slices.Contains(otherSections(), s.name) || strings.HasPrefix(s.name, "X-"):
		case s.name == "RoutingPolicyRule":
			r.rule(s)
		case slices.Contains([]string{"Link", "Network", "Address", "Route"}, s.name):
			local = append(local, s)
		case s.name == "NextHop":
			r.refuse(s.file, s.line, "section", s.name, "nexthop objects are not read")
		default:
			r.refuse(s.file, s.line, "section", s.name, "a .network file has no such section")
		}
	}
	for _, s := range local {
		r.localSection(s, links, err)
	}
}

// lease reads a section on what a lease or an advertisement brings, which matters
// if its routes go to a table of their own.
func (r *reader) lease(s section) {
	for _, a := range s.assignments {
		if a.key != "RouteTable" || a.value == "" {
			continue
		}
		t, err := r.table(a.value)
		if err == nil && t != rpdb.TableMain {
			err = errors.New("the routes that networkd learns are not in the file, so that nothing would fill the table")
		}
		r.refuseAt(s, a, err)
	}
}

// localSection reads a section that says something of an interface. If none is
// known, with the reason, it must say nothing of importance.
func (r *reader) localSection(s section, links []rpdb.LinkIndex, unknown error) {
	about := &host{reader: r, section: s}
	switch s.name {
	case "Link":
		about.link()
	case "Network":
		about.network()
	case "Address":
		about.address()
	case "Route":
		about.route()
	}
	if unknown != nil && !about.empty() {
		r.refuse(s.file, s.line, "section", s.name, unknown.Error())
		return
	}
	for _, i := range links {
		about.addTo(i)
	}
}

// otherMatch says why a key of [Match] other than Name= cannot be left alone, nil
// if it can.
func otherMatch(a assignment) error {
	switch {
	case !slices.Contains(matchKeys(), a.key):
		return errors.New("[Match] has no such key")
	case slices.Contains(conditions(), a.key) && a.value != "":
		return errors.New("whether it holds where networkd runs, and with it the whole file, cannot be told from the file")
	}
	return nil
}

// match returns the interfaces of a file, which it adds; the error says why none
// is known.
func (r *reader) match(u unit) (links []rpdb.LinkIndex, unknown error) {
	unsaid := errors.New("which interface it is for is not said by [Match] Name=")
	unknown = unsaid
	seen := false
	for _, s := range u.sections {
		if s.name != "Match" {
			continue
		}
		seen = true
		for _, a := range s.assignments {
			if a.key != "Name" {
				r.refuseAt(s, a, otherMatch(a))
				continue
			}
			if a.value == "" { // which takes back those before it
				maps.DeleteFunc(r.matched, func(_ rpdb.LinkName, path string) bool { return path == u.path })
				links, unknown = nil, unsaid
			}
			for _, name := range strings.Fields(a.value) {
				if !isMatchName(name) {
					unknown = fmt.Errorf("which interfaces it is for is not known here: Name=%s is a pattern", name)
					continue
				}
				if other, ok := r.matched[rpdb.LinkName(name)]; ok && other != u.path {
					r.refuseAt(s, a, fmt.Errorf("networkd takes one file for an interface, and %s comes first", other))
				}
				r.matched[rpdb.LinkName(name)] = u.path
				links = append(links, format.Link(r.snapshot, rpdb.LinkName(name)))
			}
		}
	}
	if !seen {
		r.refuse(u.path, 0, "file", "", "it has no section [Match]")
	}
	switch {
	case unknown != unsaid:
		links = nil
	case len(links) > 0:
		unknown = nil
	}
	return links, unknown
}
