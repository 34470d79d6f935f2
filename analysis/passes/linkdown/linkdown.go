package linkdown

import (
	_ "embed"
	"fmt"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "linkdown", Doc: analysis.PackageDoc(doc), Run: run}
}

type tableKey struct {
	family rpdb.Family
	table  rpdb.TableID
}

func run(p *analysis.Pass) error {
	asked := map[tableKey]bool{}
	for _, r := range p.Snapshot.Rules {
		if r.Action.Type() == rpdb.ActionTable {
			asked[tableKey{r.Family, r.Action.Table()}] = true
		}
	}
	for _, r := range p.Snapshot.Routes {
		if r.IsDefault() && asked[tableKey{r.Family, r.Table}] {
			checkRoute(p, r)
		}
	}
	return nil
}

// checkRoute reports the nexthops of a default route that are dead. A route
// with other nexthops that live is a note: it still carries packets.
func checkRoute(p *analysis.Pass, r rpdb.Route) {
	var found []analysis.Diagnostic
	for _, n := range r.Nexthops {
		st := analysis.HopState(p.Snapshot, r.Family, n)
		if !st.Dead && !st.Linkdown {
			continue
		}
		found = append(found, diagnose(p.Snapshot, r, n, st))
	}
	for _, d := range found {
		if len(found) < len(r.Nexthops) {
			d.Severity = analysis.Note
		}
		p.Report(d)
	}
}

func diagnose(s *rpdb.Snapshot, r rpdb.Route, n rpdb.Nexthop, st analysis.NexthopState) analysis.Diagnostic {
	d := analysis.Diagnostic{Severity: analysis.Warning, Family: r.Family, Subject: analysis.OfRoute(r)}
	trouble := "has no carrier"
	if st.Dead {
		trouble = "is down"
	}
	name := "an interface"
	if link := s.LinkName(n.Link); link != "" {
		name = analysis.Name(link)
	}
	d.Message = fmt.Sprintf("the default route of %s leads to %s, which %s", analysis.Table(r.Table), name, trouble)
	d.Reason = "lookups pass it over"
	if st.Used {
		d.Reason = "lookups still choose it, and the packets are lost"
	}
	return d
}
