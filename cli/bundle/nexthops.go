package bundle

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/format/iptext"
)

// asError is errors.As for the errors of a reader inside of another one.
func asError(err error, to **iptext.Error) bool { return errors.As(err, to) }

// readNexthops takes a section of nexthop objects.
func (b *builder) readNexthops(s iptext.Section) error {
	b.nexthops = true
	for _, e := range s.Entries {
		read := b.nexthopLine
		if s.JSON {
			read = b.nexthopArray
		}
		if err := read(e); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) addNexthop(o rpdb.NexthopObject, e iptext.Entry) error {
	leads := o.Nexthop.Link != 0 || o.Blackhole || o.FDB || len(o.Group) > 0
	if o.ID == 0 || !leads {
		return e.FailWord("", "the nexthop object stops short")
	}
	if o.Family == 0 && o.Nexthop.Via.IsValid() {
		o.Family = rpdb.FamilyOf(o.Nexthop.Via)
	}
	put(&b.snap.Nexthops, b.seen.nexthops, o.ID, o)
	return nil
}

// nexthopParts collects what a listing says of an object itself; the rest is a
// nexthop as routes have them.
type nexthopParts struct {
	names  rpdb.Names
	object rpdb.NexthopObject
}

// set takes a field, by its key in JSON or its word in text. It is not done if
// the field is the nexthop's, and not ok if the value is none.
func (p *nexthopParts) set(key, value string) (done, ok bool) {
	o := &p.object
	switch key {
	case "id":
		n, err := strconv.ParseUint(value, 10, 32)
		o.ID = uint32(n)
		return true, err == nil
	case "scope":
		o.Scope, ok = p.names.ScopeByName(value)
		return true, ok
	case "proto", "protocol":
		o.Protocol, ok = p.names.ProtocolByName(value)
		return true, ok
	case "type":
		if value == "resilient" {
			o.GroupType = 1
		}
		return true, value == "resilient" || value == "mpath"
	case "buckets":
		n, err := strconv.ParseUint(value, 10, 16)
		o.Resilient.Buckets = uint16(n)
		return true, err == nil
	case "idle_timer":
		return true, ticks(value, &o.Resilient.IdleTimer)
	case "unbalanced_timer":
		return true, ticks(value, &o.Resilient.UnbalancedTimer)
	case "unbalanced_time":
		var n uint32
		ok = ticks(value, &n)
		o.Resilient.UnbalancedTime = uint64(n)
		return true, ok
	}
	return false, false
}

// ticks reads a time in seconds.
func ticks(s string, to *uint32) bool {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n*100 <= math.MaxUint32) {
		return false
	}
	*to = uint32(math.Round(n * 100))
	return true
}

// nexthopLine reads a line.
func (b *builder) nexthopLine(e iptext.Entry) error {
	p := nexthopParts{names: b.names}
	var rest []string
	for words := strings.Fields(e.Text); len(words) > 0; {
		word := words[0]
		words = words[1:]
		switch word {
		case "blackhole":
			p.object.Blackhole = true
			continue
		case "fdb":
			p.object.FDB = true
			continue
		}
		value := ""
		if len(words) > 0 {
			value = words[0]
		}
		done, ok := p.set(word, value)
		if word == "group" {
			done, ok = true, p.group(value)
		}
		switch {
		case done && !ok:
			return e.FailWord(value, "not a value of "+word+" of a nexthop object")
		case done:
			words = words[1:]
		default:
			rest = append(rest, word)
		}
	}
	if len(rest) > 0 {
		entry, err := b.routeContext(viaFamily(rest)).ParseListing("default " + strings.Join(rest, " "))
		if err != nil {
			return failed(e, err)
		}
		if len(entry.Nexthops) == 1 {
			p.object.Nexthop = entry.Nexthops[0]
		}
	}
	return b.addNexthop(p.object, e)
}

// viaFamily returns the family of the gateway among the words, IPv4 without.
func viaFamily(words []string) rpdb.Family {
	if i := slices.Index(words, "via"); i >= 0 && i+1 < len(words) && strings.Contains(words[i+1], ":") {
		return rpdb.IPv6
	}
	return rpdb.IPv4
}

// group reads "7,3/8".
func (p *nexthopParts) group(s string) bool {
	var members []rpdb.GroupMember
	for m := range strings.SplitSeq(s, "/") {
		id, weight, weighted := strings.Cut(m, ",")
		n, err := strconv.ParseUint(id, 10, 32)
		w := uint64(1)
		if weighted && err == nil {
			w, err = strconv.ParseUint(weight, 10, 32)
		}
		if err != nil || n == 0 || w == 0 {
			return false
		}
		members = append(members, rpdb.GroupMember{ID: uint32(n), Weight: uint32(w)})
	}
	p.object.Group = members
	return true
}

// nexthopTree takes an object of "ip -j nexthop": what is the object's, and for
// a builder of routes what is the nexthop's.
type nexthopTree struct {
	*iproute2.RouteBuilder
	parts nexthopParts
	open  []string // keys of what is open and the object's
	depth int      // of what is open and the nexthop's
	bad   string
}

// String takes a text.
func (t *nexthopTree) String(key, text, value string) {
	if t.depth > 0 || len(t.open) == 0 && !t.own(key, value) {
		t.RouteBuilder.String(key, text, value)
	} else if len(t.open) > 0 {
		t.own(key, value)
	}
}

// Literal takes a number, true, false or null.
func (t *nexthopTree) Literal(key, text, word string) {
	switch {
	case t.depth == 0 && len(t.open) == 0 && key == "blackhole":
		t.parts.object.Blackhole = true
	case t.depth == 0 && len(t.open) == 0 && key == "fdb":
		t.parts.object.FDB = true
	case len(t.open) > 0 && t.open[0] == "group":
		t.member(key, word)
	case t.depth > 0 || len(t.open) == 0 && !t.own(key, word):
		t.RouteBuilder.Literal(key, text, word)
	case len(t.open) > 0:
		t.own(key, word)
	}
}

// own takes a field if it is the object's.
func (t *nexthopTree) own(key, value string) bool {
	done, ok := t.parts.set(key, value)
	if done && !ok {
		t.bad = value
	}
	return done
}

// member takes a field of the last member of the group.
func (t *nexthopTree) member(key, word string) {
	group := t.parts.object.Group
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil || len(group) == 0 {
		t.bad = word
		return
	}
	switch m := &group[len(group)-1]; key {
	case "id":
		m.ID = uint32(n)
	case "weight":
		m.Weight = uint32(n)
	}
}

// Open begins a value with parts.
func (t *nexthopTree) Open(key string, bracket byte) {
	switch {
	case t.depth == 0 && (len(t.open) > 0 || key == "group" || key == "resilient_args"):
		if len(t.open) == 1 && t.open[0] == "group" && bracket == '{' {
			t.parts.object.Group = append(t.parts.object.Group, rpdb.GroupMember{Weight: 1})
		}
		t.open = append(t.open, key)
	default:
		t.depth++
		t.RouteBuilder.Open(key, bracket)
	}
}

// End ends it.
func (t *nexthopTree) End() {
	if t.depth == 0 && len(t.open) > 0 {
		t.open = t.open[:len(t.open)-1]
		return
	}
	t.depth--
	t.RouteBuilder.End()
}

// nexthopArray reads an array of JSON.
func (b *builder) nexthopArray(e iptext.Entry) error {
	err := ipjson.ReadTrees([]byte(e.Text), func() ipjson.Tree {
		t := &nexthopTree{RouteBuilder: iproute2.NewRouteBuilder(b.routeContext(0)), parts: nexthopParts{names: b.names}}
		t.RouteBuilder.String("dst", "", "default")
		return t
	}, func(tree ipjson.Tree) error {
		t := tree.(*nexthopTree)
		entry, err := t.Entry()
		switch {
		case t.bad != "":
			return e.FailWord(t.bad, "not a value of a nexthop object")
		case err != nil:
			return err
		case len(entry.Nexthops) == 1:
			t.parts.object.Nexthop = entry.Nexthops[0]
		}
		return b.addNexthop(t.parts.object, e)
	})
	if at := (*iptext.Error)(nil); asError(err, &at) {
		return at
	}
	if err != nil {
		return failed(e, err)
	}
	return nil
}
