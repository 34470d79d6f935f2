package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format/iptext"
)

// Result is what a text tells. It belongs to the caller.
type Result struct {
	Snapshot *rpdb.Snapshot
	// Assumed says in clauses what the text does not tell, and what is assumed or
	// left unknown for that; empty if it tells everything.
	Assumed []string
	// Names are those that the text was read with.
	Names rpdb.Names
}

// Read puts a snapshot together. Names are those of this host; the text may have
// more of them, in the files of iproute2. The error is an [*iptext.Error], and
// then there is no result. Memory grows with the text.
func Read(text string, names rpdb.Names) (*Result, error) {
	parts, err := iptext.Split(text)
	if err != nil {
		return nil, err
	}
	if len(parts.Sections) == 0 {
		return nil, &iptext.Error{Line: 1, Column: 1, Reason: "the text holds no listing of rules, routes, interfaces or addresses"}
	}
	b := builder{
		names: names, snap: &rpdb.Snapshot{}, links: map[rpdb.LinkIndex]*linkState{}, byName: map[rpdb.LinkName]rpdb.LinkIndex{},
		tables: map[rpdb.TableRef]*tableState{}, covered: map[rpdb.TableRef]bool{}, all: map[rpdb.Family]bool{}, settings: map[string]iptext.Setting{}, next: 2,
		seen: seen{map[rpdb.Address]int{}, map[rpdb.Neighbour]int{}, map[uint32]int{}},
	}
	for _, line := range parts.Interrupted {
		b.assume("line %d: ip says that what it listed changed meanwhile: something may be missing, or here twice", line)
	}
	if last := len(text) - 1; text[last] != '\n' && text[last] != ']' {
		b.assume("the text ends in the middle of a line: taken to be all of it")
	}
	for _, pass := range []struct {
		kind iptext.Kind
		read func(iptext.Section) error
	}{
		{iptext.Names, b.readNames},
		{iptext.Links, b.readLinks},
		{iptext.Rules, b.readRules},
		{iptext.Routes, b.readRoutes},
		{iptext.Neighbours, b.readNeighbours},
		{iptext.Nexthops, b.readNexthops},
		{iptext.Settings, b.readSettings},
	} {
		for _, s := range parts.Sections {
			if s.Kind != pass.kind || b.leaves(s) {
				continue
			}
			if err := pass.read(s); err != nil {
				return nil, err
			}
		}
	}
	if err := b.finishRules(); err != nil {
		return nil, err
	}
	b.finish()
	return &Result{Snapshot: b.snap, Assumed: b.assumed, Names: b.names}, nil
}

// builder puts a snapshot together.
type builder struct {
	names   rpdb.Names
	snap    *rpdb.Snapshot
	assumed []string

	links        map[rpdb.LinkIndex]*linkState
	byName       map[rpdb.LinkName]rpdb.LinkIndex
	next         rpdb.LinkIndex // that may be free
	placeholders []rpdb.LinkName
	masters      []rpdb.LinkName // of which it is not known whether they are VRFs
	addresses    [2]bool         // of which families the addresses were listed
	lists        []ruleList
	tables       map[rpdb.TableRef]*tableState
	order        []rpdb.TableRef
	covered      map[rpdb.TableRef]bool
	all          map[rpdb.Family]bool // all tables of the family were listed
	seen         seen
	neighbours   bool
	nexthops     bool
	settings     map[string]iptext.Setting
	whole        bool // all settings were listed, not a choice
}

// seen says where in the snapshot is what was listed.
type seen struct {
	addresses  map[rpdb.Address]int   // by interface, prefix and peer
	neighbours map[rpdb.Neighbour]int // by interface and address
	nexthops   map[uint32]int
}

func (b *builder) assume(format string, args ...any) {
	b.assumed = append(b.assumed, fmt.Sprintf(format, args...))
}

// leaves passes a listing over that shows some of its kind only, where the rest
// would pass for absent. Interfaces are what they are, whatever else there is.
func (b *builder) leaves(s iptext.Section) bool {
	if !s.Command.Part || s.Kind == iptext.Settings || s.Kind == iptext.Links {
		return false
	}
	b.assume("line %d: %q lists only a part, and is left out", s.Command.Line, s.Command.Text)
	return true
}

// readNames adds the names of a file of iproute2.
func (b *builder) readNames(s iptext.Section) error {
	for _, e := range s.Entries {
		words := strings.Fields(e.Text)
		n, err := strconv.ParseUint(words[0], 0, 32)
		if err != nil || len(words) < 2 {
			return e.FailWord(words[0], "not a line of "+s.Command.Object+", which has a number and a name")
		}
		switch s.Command.Object {
		case "rt_tables":
			add(&b.names.Tables, rpdb.TableID(n), words[1])
		case "rt_protos":
			add(&b.names.Protocols, rpdb.Protocol(n), words[1])
		case "rt_realms":
			add(&b.names.Realms, uint16(n), words[1])
		case "rt_dsfield":
			add(&b.names.DSFields, uint8(n), words[1])
		case "rt_scopes":
			add(&b.names.Scopes, rpdb.Scope(n), words[1])
		case "group":
			add(&b.names.Groups, uint32(n), words[1])
		}
	}
	return nil
}

// add puts a name into a copy of a map: those of the caller stay as they are. A
// name that the bundle gives to another number is that number's.
func add[T comparable](to *map[T]string, n T, name string) {
	m := maps.Clone(*to)
	if m == nil {
		m = map[T]string{}
	}
	maps.DeleteFunc(m, func(other T, of string) bool { return of == name && other != n })
	m[n] = name
	*to = m
}

func (b *builder) readNeighbours(s iptext.Section) error {
	b.neighbours = true
	list, err := s.Neighbours()
	if err != nil {
		return err
	}
	for _, n := range list {
		n.Neighbour.Link = b.link(n.Dev)
		key := n.Neighbour
		key.State = 0
		put(&b.snap.Neighbours, b.seen.neighbours, key, n.Neighbour)
	}
	return nil
}

// put appends to a list, or puts in the place of what was listed before.
func put[K comparable, V any](list *[]V, seen map[K]int, key K, v V) {
	if i, ok := seen[key]; ok {
		(*list)[i] = v
		return
	}
	seen[key] = len(*list)
	*list = append(*list, v)
}

// finish completes the snapshot and says what is missing.
func (b *builder) finish() {
	b.finishRoutes()
	b.finishLinks()
	b.finishSettings()
	if !b.neighbours {
		b.snap.Missing |= rpdb.PartNeighbours
		b.assume("no neighbours (ip neigh): every gateway is taken as reachable")
	}
	if !b.nexthops {
		b.snap.Missing |= rpdb.PartNexthops
		if slices.ContainsFunc(b.snap.Routes, func(r rpdb.Route) bool { return r.NexthopID != 0 }) {
			b.assume("no nexthop objects (ip nexthop): routes lead where they say, and by groups in no order that can be foreseen")
		}
	}
}

// familyWord is the word for messages.
func familyWord(f rpdb.Family) string { return f.String() }

// familyIndex is the place of a family in an array.
func familyIndex(f rpdb.Family) int {
	if f == rpdb.IPv6 {
		return 1
	}
	return 0
}
