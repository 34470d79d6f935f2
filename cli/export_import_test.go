package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/internal/corpus"
	"rpdb/internal/formattest"
	"rpdb/policy"
)

// TestExportOfImport takes the files of every notation through import and export:
// what export writes means what import has read. The files are those that the
// notation's own writer makes of the policy by which notations are compared, of
// that with all that ip has words for, and of hosts that chance makes.
func TestExportOfImport(t *testing.T) {
	for _, to := range notations() {
		t.Run(to.name, func(t *testing.T) {
			rules, routes := 0, 0
			world := func(name string, origin *rpdb.Snapshot) {
				t.Run(name, func(t *testing.T) {
					s := through(t, to, origin)
					rules, routes = rules+len(s.Rules), routes+len(s.Routes)
				})
			}
			world("two uplinks", corpus.DualUplink())
			world("everything", formattest.Everything(t))
			for seed := range uint64(20) {
				world(fmt.Sprint("seed ", seed), exportedOf(corpus.New(seed).Snapshot(), false))
			}
			if rules < 15 || routes < 40 {
				t.Errorf("%d rules and %d routes say little", rules, routes)
			}
		})
	}
}

// through exports what import reads of the files of a snapshot, and compares. It
// returns what both mean.
func through(t *testing.T, to notation, origin *rpdb.Snapshot) *rpdb.Snapshot {
	t.Helper()
	read := importers()[slices.IndexFunc(importers(), func(i importer) bool { return i.name == to.name })].read
	for {
		x, _ := to.write(origin, rpdb.Names{}, 0, nil)
		s, names, err := read(nil, x)
		if err != nil {
			t.Fatalf("%v\n%s", err, filesText(x))
		}
		text, err := policy.Adopt(s, names, policy.FromFiles(s))
		if lost := new(policy.AdoptError); errors.As(err, &lost) {
			addresses := addressed(s, origin)
			if origin = withoutLost(addresses, lost); len(origin.Rules) == len(s.Rules) && len(origin.Routes) == len(s.Routes) {
				t.Fatalf("what is lost is not there: %v", lost)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		host := addressed(s, origin)
		doc, err := policy.Parse("policy.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		desired, err := doc.Resolve(host, names)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		out, err := exportable{host: host, desired: desired, names: names}.set(to)
		if err != nil {
			t.Fatal(err)
		}
		files, lost := to.write(out.snapshot, names, 0, out.leases)
		for _, l := range append(out.losses, lost...) {
			t.Errorf("lost: %v", l)
		}
		got, _, err := read(nil, files)
		if err != nil {
			t.Fatalf("%v\n%s", err, filesText(files))
		}
		want := exportedOf(s, to.whole)
		formattest.Compare(t, exportedOf(got, to.whole), want)
		if t.Failed() {
			t.Fatalf("files\n%s\npolicy\n%s\nfiles\n%s", filesText(x), text, filesText(files))
		}
		return want
	}
}

// addressed returns a snapshot with the addresses of another on the interfaces on
// which it has none: some notations leave them to others, and files that say nothing
// of an interface do.
func addressed(s, origin *rpdb.Snapshot) *rpdb.Snapshot {
	host := *s
	host.Links = slices.Clone(s.Links)
	host.Addresses = slices.Clone(s.Addresses)
	for _, a := range origin.Addresses {
		a.Link = format.Link(&host, origin.LinkName(a.Link))
		if !slices.ContainsFunc(s.Addresses, func(own rpdb.Address) bool { return own.Link == a.Link }) {
			host.Addresses = append(host.Addresses, a)
		}
	}
	return &host
}

// exportedOf returns what export has to say of a snapshot: rules and routes are
// static, those of the kernel and of its tables are no part of a policy, and main
// is left to others but where files say all of an interface.
func exportedOf(s *rpdb.Snapshot, main bool) *rpdb.Snapshot {
	want := rpdb.Snapshot{Links: s.Links, Addresses: s.Addresses}
	for _, r := range s.Rules {
		isKernels := slices.ContainsFunc(rpdb.DefaultRules(r.Family), func(o rpdb.Rule) bool { return o.Meaning() == r.Meaning() })
		if r = r.Meaning(); !isKernels {
			r.Protocol = rpdb.ProtocolStatic
			want.Rules = append(want.Rules, r)
		}
	}
	for _, r := range s.Routes {
		if r.Table == rpdb.TableLocal || r.Table == rpdb.TableDefault || r.Table == rpdb.TableMain && !main || r.Protocol == rpdb.ProtocolKernel {
			continue
		}
		r.Protocol = rpdb.ProtocolStatic
		want.Routes = append(want.Routes, r)
	}
	return &want
}

// withoutLost returns a snapshot without the rules and routes that a policy cannot
// say.
func withoutLost(s *rpdb.Snapshot, lost *policy.AdoptError) *rpdb.Snapshot {
	is := func(command string) bool {
		return slices.ContainsFunc(lost.Losses, func(l format.Loss) bool { return "ip "+l.Object == command })
	}
	left := *s
	left.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r rpdb.Rule) bool {
		return is(iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{}))
	})
	left.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool {
		return is(iproute2.RouteCommand(rpdb.Add, r, iproute2.RouteView{LinkName: s.LinkName}))
	})
	return &left
}

// filesText is files as one text.
func filesText(files []format.File) string {
	var b strings.Builder
	for _, f := range files {
		b.WriteString("-- " + f.Path + " --\n" + f.Text)
	}
	return b.String()
}
