package cli

import (
	"context"
	"slices"

	"rpdb"
	"rpdb/policy"
	"rpdb/sandbox"
)

// withLinksDown takes down one interface after the other that a table of the
// policy leads to without being an uplink, and sees where unbound packets go
// then: this is when a kill switch has to hold. Each is put up again, and the
// policy repaired, before the next.
func (r *runner) withLinksDown(ctx context.Context, doc *policy.Document, p *progress, out *rehearsal) error {
	for _, extra := range out.spec.Extra {
		if !leadsBy(doc, extra.Link) {
			continue
		}
		p.say("sending packets while %s is down", safe(extra.Link))
		if err := r.world.LinkDown(extra.Link); err != nil {
			return err
		}
		results, err := r.send(ctx, unboundOnly(standardProbes(r.world)))
		if err != nil {
			return err
		}
		out.Down = append(out.Down, downResult{Link: extra.Link, Results: results})
		if err := r.world.LinkUp(ctx, extra.Link); err != nil {
			return err
		}
		if err := r.apply(ctx, doc, &rehearsal{}); err != nil {
			return err
		}
	}
	return nil
}

// leadsBy reports whether a route of the policy leads by an interface.
func leadsBy(doc *policy.Document, link rpdb.LinkName) bool {
	return slices.ContainsFunc(doc.Tables, func(t policy.Table) bool {
		return slices.ContainsFunc(t.Routes, func(r policy.Route) bool {
			return slices.ContainsFunc(r.Hops, func(h policy.Hop) bool { return h.Dev == link })
		})
	})
}

func unboundOnly(probes []namedProbe) []namedProbe {
	return slices.DeleteFunc(probes, func(n namedProbe) bool {
		return n.probe.Direction == sandbox.Inbound || n.probe.Local.IsValid() || n.probe.Device != ""
	})
}
