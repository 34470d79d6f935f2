package fib_test

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// forgetful makes copies of a snapshot that tell less.
type forgetful struct{ *corpus.Generator }

func (g forgetful) coin() bool { return g.Number(2) == 0 }

// settings forgets some of the settings of some interfaces.
func (g forgetful) settings(s *rpdb.Snapshot) {
	y := &s.Sysctls
	y.HashSeed = 0
	links := map[rpdb.LinkName]rpdb.LinkSysctls{}
	for _, l := range s.Links {
		links[l.Name] = g.forget(y.Links[l.Name])
	}
	y.Links = links
	if y.All = g.forget(y.All); y.All.Unknown.Has(rpdb.SettingForwarding6) {
		y.IPv6Forward = false
	}
}

func (g forgetful) forget(c rpdb.LinkSysctls) rpdb.LinkSysctls {
	drop := func(bit rpdb.Settings, value *bool) {
		if g.coin() {
			*value, c.Unknown = false, c.Unknown|bit
		}
	}
	drop(rpdb.SettingForwarding4, &c.Forwarding4)
	drop(rpdb.SettingForwarding6, &c.Forwarding6)
	drop(rpdb.SettingSrcValidMark, &c.SrcValidMark)
	drop(rpdb.SettingAcceptLocal, &c.AcceptLocal)
	drop(rpdb.SettingRouteLocalnet, &c.RouteLocalnet)
	drop(rpdb.SettingIgnoreLinkdown4, &c.IgnoreLinkdown4)
	drop(rpdb.SettingIgnoreLinkdown6, &c.IgnoreLinkdown6)
	drop(rpdb.SettingSendRedirects, &c.NoSendRedirects)
	if g.coin() {
		c.RPFilter, c.Unknown = 0, c.Unknown|rpdb.SettingRPFilter
	}
	return c
}

// tables forgets what some tables hold.
func (g forgetful) tables(s *rpdb.Snapshot) {
	seen := map[rpdb.TableRef]bool{}
	for _, r := range s.Routes {
		seen[rpdb.TableRef{Family: r.Family, Table: r.Table}] = false
	}
	for _, f := range rpdb.Families() {
		for t := range rpdb.TableID(256) {
			ref := rpdb.TableRef{Family: f, Table: t}
			if _, ok := seen[ref]; ok && g.Number(4) == 0 {
				seen[ref] = true
				s.MissingTables = append(s.MissingTables, ref)
			}
		}
	}
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool {
		return seen[rpdb.TableRef{Family: r.Family, Table: r.Table}]
	})
}

func (g forgetful) family(s *rpdb.Snapshot) {
	gone, part := rpdb.IPv4, rpdb.PartRoutes4
	if g.coin() {
		gone, part = rpdb.IPv6, rpdb.PartRoutes6
	}
	s.Missing |= part
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool { return r.Family == gone })
}

func (g forgetful) addresses(s *rpdb.Snapshot) {
	s.Addresses, s.Missing = nil, s.Missing|rpdb.PartAddresses
}

// masters forgets which interfaces are VRFs.
func (g forgetful) masters(s *rpdb.Snapshot) {
	s.Missing |= rpdb.PartMasters
	s.Links = slices.Clone(s.Links)
	for i := range s.Links {
		s.Links[i].Kind, s.Links[i].VRFTable = "", 0
	}
}

// A snapshot that tells less is answered for as the whole one is, or not at all.
func TestGapsAreNotGuessed(t *testing.T) {
	t.Parallel()
	forget := map[string]func(forgetful, *rpdb.Snapshot){
		"settings": forgetful.settings, "tables": forgetful.tables, "family": forgetful.family, "addresses": forgetful.addresses,
		"masters": forgetful.masters,
		"all":     func(g forgetful, s *rpdb.Snapshot) { g.settings(s); g.tables(s); g.addresses(s) },
	}
	var worlds []*rpdb.Snapshot
	var engines []*fib.FIB
	for seed := range uint64(80) {
		worlds = append(worlds, corpus.New(seed).Snapshot())
		engines = append(engines, fib.Compile(worlds[seed]))
	}
	for name, f := range forget {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known, unknown := 0, 0
			for seed := range uint64(80) {
				g := forgetful{corpus.New(1000 + seed)}
				less := *worlds[seed]
				f(g, &less)
				whole, gappy := engines[seed], fib.Compile(&less)
				for range 40 {
					flow := g.Flow(rpdb.Families()[g.Number(2)])
					flow.Socket = rpdb.SocketCall(g.Number(3))
					want, got := whole.Lookup(flow), gappy.Lookup(flow)
					switch {
					case got.Disposition == rpdb.DispositionUnknown:
						unknown++
						if got.Note == "" {
							t.Fatalf("seed %d, %+v\nunknown without a reason", seed, flow)
						}
						continue
					case want.Disposition != rpdb.DispositionUnknown:
						known++
					}
					if !allows(got, want) {
						t.Fatalf("seed %d, %+v\nwith less %+v\nwith all  %+v", seed, flow, got, want)
					}
					if d := gappy.Trace(flow).Decision; !reflect.DeepEqual(d, got) {
						t.Fatalf("seed %d, %+v\ntrace  %+v\nlookup %+v", seed, flow, d, got)
					}
				}
			}
			t.Logf("%d decisions are known, %d are not", known, unknown)
			if known < 100 || unknown < 10 {
				t.Errorf("%d decisions are known, %d are not: too few to tell anything", known, unknown)
			}
		})
	}
}

// allows reports whether a decision of a gappy snapshot leaves room for the one
// of the whole.
func allows(got, want rpdb.Decision) bool {
	if len(got.Either) > 0 {
		hops := want.Either
		if len(hops) == 0 {
			hops = []rpdb.Hop{want.Hop}
		}
		for _, h := range hops {
			if !slices.Contains(got.Either, h) {
				return false
			}
		}
		got.Either, got.Hop, want.Either, want.Hop = nil, rpdb.Hop{}, nil, rpdb.Hop{}
		got.Realms, want.Realms = 0, 0 // of the hop
	}
	if !got.Src.IsValid() {
		want.Src = got.Src
	}
	got.Note, want.Note = "", ""
	return reflect.DeepEqual(got, want)
}

// What the snapshot would have to tell is in the note, and where the packet
// would go in the decision.
func TestGapsAreNamed(t *testing.T) {
	s := world(t)
	lan := s.Sysctls.Links["e0"]
	lan.Unknown = rpdb.SettingForwarding4
	s.Sysctls.Links["e0"] = lan
	s.MissingTables = []rpdb.TableRef{{Family: rpdb.IPv4, Table: 300}}
	run(t, s, "rule add pref 10 from 192.0.2.77 lookup 300")
	f := fib.Compile(s)
	d := f.Lookup(rpdb.Flow{Dst: netip.MustParseAddr("198.51.100.7"), Src: netip.MustParseAddr("192.0.2.7"), IIF: "e0"})
	if d.Disposition != rpdb.DispositionUnknown || !strings.Contains(d.Note, "forwards") || d.Link != "e1" {
		t.Errorf("forwarding: %+v", d)
	}
	d = f.Lookup(rpdb.Flow{Dst: netip.MustParseAddr("198.51.100.7"), Src: netip.MustParseAddr("192.0.2.77"), IIF: "e0"})
	if rule, _ := d.Rule.Get(); d.Disposition != rpdb.DispositionUnknown || !strings.Contains(d.Note, "table") || rule != 10 {
		t.Errorf("table: %+v", d)
	}
}

// That a snapshot does not tell everything costs no allocation either.
func TestGapsAllocateNothing(t *testing.T) {
	g := forgetful{corpus.New(5)}
	s := g.Snapshot()
	neverChanged(s)
	s.Sysctls.All.Unknown = rpdb.AllSettings
	s.Sysctls.Links = nil
	f := fib.Compile(s)
	flows := make([]rpdb.Flow, 200)
	for i := range flows {
		flows[i] = g.Flow(rpdb.IPv4)
	}
	if n := testing.AllocsPerRun(1, func() {
		for _, flow := range flows {
			f.Lookup(flow)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Rules that come and go where the snapshot does not tell everything lead to what
// compiling says of it.
func TestRulesComeAndGoWithGaps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(48) {
		g := forgetful{corpus.New(seed)}
		s := g.Snapshot()
		if strange(g.Generator, s); seed%4 == 0 {
			neverChanged(s)
		} else {
			s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
		}
		for _, forget := range [][]func(forgetful, *rpdb.Snapshot){
			{}, {forgetful.settings}, {forgetful.tables}, {forgetful.family}, {forgetful.addresses, forgetful.settings}, {forgetful.masters, forgetful.tables},
		}[seed%6] {
			forget(g, s)
		}
		f, spare := fib.Compile(s), g.Snapshot().Rules
		for range 6 {
			if of := s.RulesOf(rpdb.IPv4); g.coin() && len(of) > 0 {
				gone := of[g.Number(len(of))]
				f, _ = f.WithoutRule(gone)
				i := slices.IndexFunc(s.Rules, func(r rpdb.Rule) bool { return r.Canonical() == gone.Canonical() })
				s.Rules, s.Custom4 = slices.Delete(slices.Clone(s.Rules), i, i+1), rpdb.CustomisedYes
			} else {
				r := spare[g.Number(len(spare))]
				if f = f.WithRule(r); r.Family == rpdb.IPv4 {
					s.Custom4 = rpdb.CustomisedYes
				} else {
					s.Custom6 = rpdb.CustomisedYes
				}
				s.Rules = append(slices.Clone(s.Rules), r)
				slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
			}
			want := fib.Compile(s)
			for range 6 {
				for _, family := range rpdb.Families() {
					flow := strangeFlow(g.Generator, family)
					if got, want := f.Lookup(flow), want.Lookup(flow); !reflect.DeepEqual(got, want) {
						t.Fatalf("seed %d, %+v\ngot  %+v\nwant %+v", seed, flow, got, want)
					}
				}
			}
		}
	}
}
