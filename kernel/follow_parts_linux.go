package kernel

import (
	"fmt"
	"maps"
	"slices"

	"rpdb"
)

// Classes that only a [Follower] reads by events.
const (
	classSettings class = classes + iota
	classNeighbours
)

// readingOrder is the order in which a follower reads. Links come first, since
// reading them waits for the lock under which the kernel changes other things
// along; settings decide what routes look like.
func readingOrder() []class {
	return []class{
		classLinks, classSettings, classAddresses, classNexthops,
		classRules4, classRules6, classRoutes4, classRoutes6, classNeighbours,
	}
}

// part is what is read in one go: a class, or of routes a single table. Table 0
// is all tables.
type part struct {
	class class
	table rpdb.TableID
}

func (u part) family() rpdb.Family {
	if u.class == classRules6 || u.class == classRoutes6 {
		return rpdb.IPv6
	}
	return rpdb.IPv4
}

func (u part) String() string {
	switch {
	case u.class == classSettings:
		return "settings"
	case u.class == classNeighbours:
		return "neighbours"
	case u.table != 0:
		return fmt.Sprintf("%v of table %d", u.class, u.table)
	}
	return u.class.String()
}

// tablePart returns the part of a table.
func tablePart(f rpdb.Family, t rpdb.TableID) part {
	return part{ofFamily(f, classRoutes4, classRoutes6), t}
}

// partSet is a set of parts. A class stands for all its tables. The zero value is
// empty.
type partSet struct {
	classes classSet
	tables  map[part]bool
}

// maxTables is for how many tables it is less work to read one by one than all of
// the family.
const maxTables = 16

// with returns the set with a part; the old one is no longer valid.
func (s partSet) with(u part) partSet {
	switch {
	case s.classes.has(u.class):
	case u.table == 0:
		s.classes = s.classes.with(u.class)
		maps.DeleteFunc(s.tables, func(t part, _ bool) bool { return t.class == u.class })
	default:
		if s.tables == nil {
			s.tables = map[part]bool{}
		}
		s.tables[u] = true
		if len(s.tables) > maxTables {
			return s.with(part{class: u.class})
		}
	}
	return s
}

// and joins two sets; the old ones are no longer valid.
func (s partSet) and(o partSet) partSet {
	for _, c := range readingOrder() {
		if o.classes.has(c) {
			s = s.with(part{class: c})
		}
	}
	for u := range o.tables {
		s = s.with(u)
	}
	return s
}

func (s partSet) empty() bool { return s.classes == 0 && len(s.tables) == 0 }

// has reports whether the part is in the set, by itself or with its class.
func (s partSet) has(u part) bool { return s.classes.has(u.class) || s.tables[u] }

// first returns the first part in the order of reading.
func (s partSet) first() (u part, ok bool) {
	for _, c := range readingOrder() {
		if s.classes.has(c) {
			return part{class: c}, true
		}
		var tables []part
		for t := range s.tables {
			if t.class == c {
				tables = append(tables, t)
			}
		}
		if len(tables) > 0 {
			return slices.MinFunc(tables, func(a, b part) int { return int(int64(a.table) - int64(b.table)) }), true
		}
	}
	return part{}, false
}

// without returns the set without a part of it.
func (s partSet) without(u part) partSet {
	if u.table == 0 {
		s.classes &^= classSet(0).with(u.class)
	}
	delete(s.tables, u)
	return s
}

func (s partSet) String() string {
	u, ok := s.first()
	if !ok {
		return "nothing"
	}
	return u.String()
}
