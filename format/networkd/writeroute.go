package networkd

import (
	"fmt"

	"rpdb"
)

// routes writes the routes, each into the file of its first interface.
func (w *writer) routes() {
	for _, r := range w.snapshot.Routes {
		r = r.Canonical()
		reason := w.routeLoss(r)
		if reason == "" {
			reason = w.hopsLoss(r)
		}
		if reason != "" {
			w.lose(w.routeObject(r), reason)
			continue
		}
		name := loopback
		if len(r.Nexthops) > 0 {
			name = w.snapshot.LinkName(r.Nexthops[0].Link)
		}
		w.section(name, "Route", w.routeKeys(r))
	}
}

// routeLoss says why a route cannot be written as it is, "" if it can, of
// everything but its nexthops.
func (w *writer) routeLoss(r rpdb.Route) string {
	switch {
	case r.Unknown != "":
		return "it has attributes that are not known here"
	case r.TOS != 0:
		return "networkd has no TOS in routes"
	case r.Realms != 0:
		return "networkd has no realms in routes"
	case r.NexthopID != 0:
		return "nexthop objects are not written"
	case r.Type < rpdb.RouteUnicast || r.Type > rpdb.RouteXResolve:
		return "networkd has no such type of route"
	case r.Family == rpdb.IPv6 && r.Pref == 2, r.Pref > rpdb.PreferenceLow:
		return "networkd has no such preference"
	}
	seen := map[rpdb.MetricType]bool{}
	for _, m := range r.Metrics {
		if word, _ := w.metricWord(m); word == "" || seen[m.Type] {
			return fmt.Sprintf("systemd-networkd %d has no word for one of its metrics", w.version)
		}
		seen[m.Type] = true
	}
	return ""
}

// hopsLoss says the same of its nexthops.
func (w *writer) hopsLoss(r rpdb.Route) string {
	if len(r.Nexthops) == 0 && !leadsNowhere(r.Type) {
		return "it leads nowhere"
	}
	for _, h := range r.Nexthops {
		switch name := w.snapshot.LinkName(h.Link); {
		case name == "":
			return "it leads to no interface"
		case !isMatchName(string(name)):
			return noMatch
		case h.EncapType != 0 || h.Encap != "":
			return "networkd has no tunnels in routes"
		case h.Realms != 0:
			return "networkd has no realms in routes"
		case h.Flags&^rpdb.NexthopOnlink != 0:
			return "networkd has no word for the flags of its nexthop"
		case h.Flags != 0 && (!h.Via.IsValid() || len(r.Nexthops) > 1):
			return "networkd has GatewayOnLink= for a single gateway"
		case len(r.Nexthops) > 1 && !h.Via.IsValid():
			return "MultiPathRoute= of networkd needs a gateway"
		case len(r.Nexthops) > 1 && h.Weight > 256:
			return "networkd has weights up to 256"
		}
	}
	return ""
}

// metricWord returns the key of a metric and its value, "" if there is none.
func (w *writer) metricWord(m rpdb.Metric) (key, value string) {
	if m.Type == rpdb.MetricCongCtl {
		if isPlainName(m.Text) {
			return "TCPCongestionControlAlgorithm", m.Text
		}
		return "", ""
	}
	for key, known := range numberMetrics() {
		if known.typ != m.Type || known.since > w.version {
			continue
		}
		value = fmt.Sprint(m.Value)
		if n, err := known.read(value); err == nil && n == m.Value {
			return key, value
		}
	}
	return "", ""
}

// routeKeys returns the section of a route that nothing of is lost.
func (w *writer) routeKeys(r rpdb.Route) *keys {
	k := &keys{}
	k.add("Destination", "%v", r.Dst)
	if r.Src.IsValid() {
		k.add("Source", "%v", r.Src)
	}
	if r.Type != rpdb.RouteUnicast {
		k.add("Type", "%v", r.Type)
	}
	w.hopKeys(k, r)
	if r.Family == rpdb.IPv4 && r.Scope != defaultScope(r) {
		k.add("Scope", "%v", r.Scope)
	}
	if r.PrefSrc.IsValid() {
		k.add("PreferredSource", "%v", r.PrefSrc)
	}
	if r.Metric != 0 && (r.Family != rpdb.IPv6 || r.Metric != 1024) { // what a route without one has
		k.add("Metric", "%d", r.Metric)
	}
	if r.Pref != rpdb.PreferenceMedium {
		k.add("IPv6Preference", "%v", r.Pref)
	}
	if r.Table != rpdb.TableMain || defaultTable(r.Type) != rpdb.TableMain {
		k.add("Table", "%s", w.table(r.Table))
	}
	if r.Protocol != rpdb.ProtocolStatic {
		k.add("Protocol", "%s", protocolWord(r.Protocol))
	}
	for _, m := range r.Metrics {
		key, value := w.metricWord(m)
		k.add(key, "%s", value)
	}
	return k
}

func (w *writer) hopKeys(k *keys, r rpdb.Route) {
	if len(r.Nexthops) == 1 {
		if h := r.Nexthops[0]; h.Via.IsValid() {
			k.add("Gateway", "%v", h.Via)
			if h.Flags != 0 {
				k.add("GatewayOnLink", "yes")
			}
		}
		return
	}
	for _, h := range r.Nexthops {
		k.add("MultiPathRoute", "%v@%s %d", h.Via, w.snapshot.LinkName(h.Link), h.Weight)
	}
}

func protocolWord(p rpdb.Protocol) string {
	for _, known := range protocolsWithNames() {
		if known == p {
			return (rpdb.Names{}).Protocol(p)
		}
	}
	return fmt.Sprint(uint8(p))
}
