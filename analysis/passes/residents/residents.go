package residents

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "residents", Doc: analysis.PackageDoc(doc), Run: run}
}

// span is a range of numbers, both ends included.
type span struct{ first, last uint32 }

func in(spans []span, n uint32) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.first <= n && n <= s.last })
}

// zebra is the protocol number of FRR (rt_protos).
const zebra rpdb.Protocol = 11

// resident is a program that writes rules, and what it takes for itself.
type resident struct {
	name       string
	priorities []span
	tables     []span
	mask       uint32 // of the marks that it sets
	// lives tells the program's own rule from others; nil if only an interface
	// gives it away.
	lives func(rpdb.Rule) bool
	// links are beginnings of the names of its interfaces.
	links []string
	// habit says what it does to rules and routes of others; "" if nothing.
	habit string
}

// known are the programs whose numbers are fixed, as their sources say.
func known() []resident {
	return []resident{
		{
			name: "Tailscale", priorities: []span{{5210, 5270}, {1310, 1370}}, tables: []span{{52, 52}}, mask: 0xff0000,
			lives: func(r rpdb.Rule) bool { return r.Action == rpdb.ToTable(52) && r.Selector.Mark.Mask == 0 }, links: []string{"tailscale"},
			habit: "it deletes rules among its priorities when it starts",
		},
		{
			name: "wg-quick", tables: []span{{51820, 51919}}, mask: ^uint32(0),
			lives: func(r rpdb.Rule) bool {
				t := uint32(r.Action.Table())
				return r.Selector.Not && r.Selector.Mark.Value == t && in([]span{{51820, 51919}}, t)
			},
		},
		{
			name: "the AWS VPC CNI", priorities: []span{{1, 1}, {10, 10}, {20, 20}, {512, 512}, {1024, 1024}, {1535, 1536}, {32765, 32765}}, mask: 0x80,
			lives: func(r rpdb.Rule) bool {
				return r.Priority == 1024 && r.Selector.Mark == rpdb.Mark{Value: 0x80, Mask: 0x80}
			},
		},
		{
			name: "Cilium", priorities: []span{{9, 20}, {100, 111}}, tables: []span{{2004, 2005}}, mask: 0xf00,
			lives: func(r rpdb.Rule) bool {
				return r.Selector.Mark.Mask == 0xf00 && in([]span{{2004, 2005}}, uint32(r.Action.Table()))
			},
			links: []string{"cilium_"},
		},
		{name: "Calico", priorities: []span{{99, 99}}, mask: 0xffff0000, links: []string{"cali"}},
		{
			name: "Antrea", tables: []span{{101, 120}, {141, 141}}, links: []string{"antrea-"},
			habit: "it deletes all routes of these tables, and all rules that lead there, when it starts",
		},
		{name: "ovn-kubernetes", priorities: []span{{5000, 5000}, {6000, 6001}}, links: []string{"ovn-k8s-"}},
		{
			name: "FRR", priorities: []span{{300, 1300}}, tables: []span{{10000, 11000}},
			lives: func(r rpdb.Rule) bool { return r.Protocol == zebra },
			habit: "it deletes rules of its protocol number when it starts",
		},
		{
			name: "mwan3", priorities: []span{{1001, 1250}, {2001, 2254}, {3001, 3250}}, mask: 0x3f00,
			lives: func(r rpdb.Rule) bool {
				return r.Selector.Mark.Mask == 0x3f00 && in([]span{{1001, 3250}}, uint32(r.Priority))
			},
			habit: "it deletes rules between 1000 and 4000 by the last three digits of their priority",
		},
		{
			name: "pbr of OpenWrt", priorities: []span{{29000, 30001}}, mask: 0xff0000,
			lives: func(r rpdb.Rule) bool {
				return r.Selector.Mark.Mask == 0xff0000 && in([]span{{29000, 30001}}, uint32(r.Priority))
			},
		},
	}
}

func run(p *analysis.Pass) error {
	for _, who := range known() {
		if !who.isHere(p.Snapshot) {
			continue
		}
		for _, r := range p.Snapshot.Rules {
			if r.Protocol == rpdb.ProtocolRPDB {
				who.meets(p, r)
			}
		}
	}
	return nil
}

func (who *resident) isHere(s *rpdb.Snapshot) bool {
	return slices.ContainsFunc(s.Links, func(l rpdb.Link) bool {
		return slices.ContainsFunc(who.links, func(start string) bool { return strings.HasPrefix(string(l.Name), start) })
	}) || who.lives != nil && slices.ContainsFunc(s.Rules, func(r rpdb.Rule) bool {
		return r.Protocol != rpdb.ProtocolRPDB && who.lives(r)
	})
}

// meets reports what a rule of ours has in common with a program.
func (who *resident) meets(p *analysis.Pass, r rpdb.Rule) {
	var shares []string
	if in(who.priorities, uint32(r.Priority)) {
		shares = append(shares, "stands among the priorities")
	}
	if r.Action.Type() == rpdb.ActionTable && in(who.tables, uint32(r.Action.Table())) {
		shares = append(shares, fmt.Sprintf("looks up %d, one of the tables", r.Action.Table()))
	}
	if bits := r.Selector.Mark.Mask & who.mask; bits != 0 {
		shares = append(shares, fmt.Sprintf("looks at 0x%x of the mark bits", bits))
	}
	for _, what := range shares {
		p.Report(analysis.Diagnostic{
			Severity: analysis.Warning,
			Family:   r.Family,
			Subject:  analysis.OfRule(r),
			Message:  fmt.Sprintf("rule %d %s of %s, which runs here", r.Priority, what, who.name),
			Reason:   who.habit,
		})
	}
}
