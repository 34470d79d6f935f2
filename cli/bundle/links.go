package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/iptext"
)

// linkState is an interface, with what its listings told.
type linkState struct {
	rpdb.Link
	master     rpdb.LinkName
	known      bool // more than its name
	detailed   bool
	port       string // kind of its master
	table      rpdb.TableID
	placed     bool // not listed
	conflicted bool
}

// readLinks takes interfaces and their addresses.
func (b *builder) readLinks(s iptext.Section) error {
	list, err := s.Links(b.names)
	if err != nil {
		return err
	}
	shown := s.Command.Object == "address"
	for _, l := range list {
		if err := b.addLink(l); err != nil {
			return err
		}
		shown = shown || len(l.Addresses) > 0
		b.addAddresses(l.Addresses)
	}
	if shown && !s.Command.Part {
		for _, f := range rpdb.Families() {
			if s.Command.Family == 0 || s.Command.Family == f {
				b.addresses[familyIndex(f)] = true
			}
		}
	}
	return nil
}

// addLink takes one interface. What is listed later counts, but its name stays.
func (b *builder) addLink(l iptext.Link) error {
	st := b.links[l.Link.Index]
	if st == nil {
		st = &linkState{Link: rpdb.Link{Index: l.Link.Index, Name: l.Link.Name}}
		b.links[l.Link.Index] = st
	}
	if index, seen := b.byName[l.Link.Name]; st.Name != l.Link.Name || seen && index != l.Link.Index {
		return l.Entry.FailWord(string(l.Link.Name), "the interface is listed before under another name or number")
	}
	b.byName[l.Link.Name] = l.Link.Index
	for _, name := range l.AltNames {
		b.byName[name] = l.Link.Index
	}
	if l.Named {
		return nil
	}
	if changed := st.Flags != l.Link.Flags || st.MTU != l.Link.MTU || st.Group != l.Link.Group; st.known && changed && !st.conflicted {
		st.conflicted = true
		b.assume("interface %s is listed twice, and not alike: the last listing counts", l.Link.Name)
	}
	st.known, st.Flags, st.MTU, st.Group, st.master = true, l.Link.Flags, l.Link.MTU, l.Link.Group, l.Master
	if l.Detailed {
		st.detailed, st.Kind, st.VRFTable, st.port, st.table = true, l.Link.Kind, l.Link.VRFTable, l.Port, l.PortTable
	}
	return nil
}

// addAddresses takes the addresses of an interface, each once.
func (b *builder) addAddresses(list []rpdb.Address) {
	for _, a := range list {
		put(&b.snap.Addresses, b.seen.addresses, rpdb.Address{Link: a.Link, Prefix: a.Prefix, Peer: a.Peer}, a)
	}
}

// link returns the number of an interface with a name, or with a second name.
// One that is not listed gets a number.
func (b *builder) link(name rpdb.LinkName) rpdb.LinkIndex {
	if i, ok := b.byName[name]; ok {
		return i
	}
	next := rpdb.LinkIndex(1)
	if name != "lo" || b.links[next] != nil {
		for b.links[b.next] != nil {
			b.next++
		}
		next = b.next
	}
	const up = rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
	l := rpdb.Link{Index: next, Name: name, Flags: up}
	if name == "lo" {
		l.Flags |= rpdb.LinkLoopback
	}
	b.links[next] = &linkState{Link: l, placed: true}
	b.byName[name] = next
	b.placeholders = append(b.placeholders, name)
	return next
}

// finishLinks puts the interfaces into the snapshot. Rules that do not say that
// an interface is gone name one that is there.
func (b *builder) finishLinks() {
	for _, r := range b.snap.Rules {
		if r.Selector.IIF != "" && r.Flags&rpdb.RuleIIFDetached == 0 {
			b.link(r.Selector.IIF)
		}
		if r.Selector.OIF != "" && r.Flags&rpdb.RuleOIFDetached == 0 {
			b.link(r.Selector.OIF)
		}
	}
	b.joinMasters()
	for _, st := range b.links {
		if !st.known && !st.placed { // listed with its addresses only
			const up = rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
			st.Flags = up
			if st.Name == "lo" {
				st.Flags |= rpdb.LinkLoopback
			}
			b.placeholders = append(b.placeholders, st.Name)
		}
		b.snap.Links = append(b.snap.Links, st.Link)
	}
	slices.SortFunc(b.snap.Links, func(x, y rpdb.Link) int { return cmp.Compare(x.Index, y.Index) })
	slices.SortStableFunc(b.snap.Addresses, func(x, y rpdb.Address) int {
		return cmp.Compare(familyIndex(rpdb.FamilyOf(x.Prefix.Addr())), familyIndex(rpdb.FamilyOf(y.Prefix.Addr())))
	})
	b.sayLinks()
}

// joinMasters finds what interfaces belong to, and what kind that is: it says so
// itself, or its ports do.
func (b *builder) joinMasters() {
	for _, i := range b.indices() {
		st := b.links[i]
		if st.master == "" {
			continue
		}
		st.Master = b.link(st.master)
		m := b.links[st.Master]
		if m.Kind == "" && st.port != "" {
			m.Kind = st.port
			if m.VRFTable == 0 {
				m.VRFTable = st.table
			}
		}
	}
	for _, i := range b.indices() {
		if m := b.links[b.links[i].Master]; m != nil && m.Kind == "" && !slices.Contains(b.masters, m.Name) {
			b.masters = append(b.masters, m.Name)
		}
	}
}

func (b *builder) indices() []rpdb.LinkIndex {
	var list []rpdb.LinkIndex
	for i := range b.links {
		list = append(list, i)
	}
	slices.Sort(list)
	return list
}

// sayLinks says what is not known of interfaces and addresses.
func (b *builder) sayLinks() {
	if len(b.placeholders) > 0 {
		b.snap.Missing |= rpdb.PartLinks
		slices.Sort(b.placeholders)
		b.assume("not listed (ip link): %s: taken to be up, with carrier, in group 0, and no part of a VRF", nameList(b.placeholders))
	}
	if len(b.masters) > 0 {
		b.snap.Missing |= rpdb.PartMasters
		b.assume("of no known kind (ip -d link): %s: what would differ for a VRF is unknown", nameList(b.masters))
	}
	for _, f := range rpdb.Families() {
		if !b.addresses[familyIndex(f)] && b.has(f) {
			b.snap.Missing |= rpdb.PartAddresses
			b.assume("no %v addresses (ip addr): sources that are to be chosen are unknown", f)
		}
	}
}

// nameList names the first of some interfaces, and counts the rest.
func nameList(names []rpdb.LinkName) string {
	const most = 8
	var words []string
	for i, name := range names {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		words = append(words, string(name))
	}
	return strings.Join(words, ", ")
}
