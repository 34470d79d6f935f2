// Package resident knows programs that write rules of their own on a host: the
// priorities, tables and mark bits that each has chosen, and how it is told from
// others. Their numbers are fixed, as their sources say.
package resident

import (
	"slices"
	"strings"

	"rpdb"
)

// span is a range of numbers, both ends included.
type span struct{ first, last uint32 }

func in(spans []span, n uint32) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.first <= n && n <= s.last })
}

// zebra is the protocol number of FRR (rt_protos).
const zebra rpdb.Protocol = 11

// Program is a program that writes rules, and what it takes for itself. The zero
// Program takes nothing and is never found. It may be used by several goroutines
// at once.
type Program struct {
	// Name is what a sentence calls it, with its article where it has one.
	Name string
	// Mask has the mark bits that it sets.
	Mask uint32
	// Habit says what it does to rules and routes of others; "" if nothing.
	Habit string

	priorities []span
	tables     []span
	// lives tells the program's own rule from others; nil if only an interface
	// gives it away.
	lives func(rpdb.Rule) bool
	// tags says that all of its rules carry its protocol number.
	tags bool
	// links are beginnings of the names of its interfaces.
	links []string
}

// known are the programs whose numbers are fixed, as their sources say.
func known() []Program {
	return []Program{
		{
			Name: "Tailscale", priorities: []span{{5210, 5270}, {1310, 1370}}, tables: []span{{52, 52}}, Mask: 0xff0000,
			lives: func(r rpdb.Rule) bool { return r.Action == rpdb.ToTable(52) && r.Selector.Mark.Mask == 0 }, links: []string{"tailscale"},
			Habit: "it deletes rules among its priorities when it starts",
		},
		{
			Name: "wg-quick", tables: []span{{51820, 51919}}, Mask: ^uint32(0),
			lives: func(r rpdb.Rule) bool {
				t := uint32(r.Action.Table())
				return r.Selector.Not && r.Selector.Mark.Value == t && in([]span{{51820, 51919}}, t)
			},
		},
		{
			Name: "the AWS VPC CNI", priorities: []span{{1, 1}, {10, 10}, {20, 20}, {512, 512}, {1024, 1024}, {1535, 1536}, {32765, 32765}}, Mask: 0x80,
			lives: func(r rpdb.Rule) bool {
				return r.Priority == 1024 && r.Selector.Mark == rpdb.Mark{Value: 0x80, Mask: 0x80}
			},
		},
		{
			Name: "Cilium", priorities: []span{{9, 20}, {100, 111}}, tables: []span{{2004, 2005}}, Mask: 0xf00,
			lives: func(r rpdb.Rule) bool {
				return r.Selector.Mark.Mask == 0xf00 && in([]span{{2004, 2005}}, uint32(r.Action.Table()))
			},
			links: []string{"cilium_"},
		},
		{Name: "Calico", priorities: []span{{99, 99}}, Mask: 0xffff0000, links: []string{"cali"}},
		{
			Name: "Antrea", tables: []span{{101, 120}, {141, 141}}, links: []string{"antrea-"},
			Habit: "it deletes all routes of these tables, and all rules that lead there, when it starts",
		},
		{Name: "ovn-kubernetes", priorities: []span{{5000, 5000}, {6000, 6001}}, links: []string{"ovn-k8s-"}},
		{
			Name: "FRR", priorities: []span{{300, 1300}}, tables: []span{{10000, 11000}},
			lives: func(r rpdb.Rule) bool { return r.Protocol == zebra }, tags: true,
			Habit: "it deletes rules of its protocol number when it starts",
		},
		{
			Name: "mwan3", priorities: []span{{1001, 1250}, {2001, 2254}, {3001, 3250}}, Mask: 0x3f00,
			lives: func(r rpdb.Rule) bool {
				return r.Selector.Mark.Mask == 0x3f00 && in([]span{{1001, 3250}}, uint32(r.Priority))
			},
			Habit: "it deletes rules between 1000 and 4000 by the last three digits of their priority",
		},
		{
			Name: "pbr of OpenWrt", priorities: []span{{29000, 30001}}, Mask: 0xff0000,
			lives: func(r rpdb.Rule) bool {
				return r.Selector.Mark.Mask == 0xff0000 && in([]span{{29000, 30001}}, uint32(r.Priority))
			},
		},
	}
}

// On returns the programs that are seen on a host, by their rules or by their
// interfaces, in an order that is always the same. The snapshot is not kept.
func On(s *rpdb.Snapshot) []Program {
	return slices.DeleteFunc(known(), func(p Program) bool {
		return !slices.ContainsFunc(s.Links, func(l rpdb.Link) bool { return p.HasLink(l.Name) }) &&
			!slices.ContainsFunc(s.Rules, p.Lives)
	})
}

// Lives reports whether a rule is one that only this program makes.
func (p Program) Lives(r rpdb.Rule) bool {
	return p.lives != nil && r.Protocol != rpdb.ProtocolRPDB && p.lives(r)
}

// MayHave reports whether a rule looks like one of the program's: by what only it
// makes, or by a priority of its, unless all of its rules are known by more.
func (p Program) MayHave(r rpdb.Rule) bool {
	return p.Lives(r) || p.HasPriority(r.Priority) && !p.tags
}

// HasPriority reports whether the program uses a priority.
func (p Program) HasPriority(n rpdb.Priority) bool { return in(p.priorities, uint32(n)) }

// HasTable reports whether the program fills a table.
func (p Program) HasTable(t rpdb.TableID) bool { return in(p.tables, uint32(t)) }

// HasLink reports whether an interface has a name as the program gives them.
func (p Program) HasLink(name rpdb.LinkName) bool {
	return slices.ContainsFunc(p.links, func(start string) bool { return strings.HasPrefix(string(name), start) })
}
