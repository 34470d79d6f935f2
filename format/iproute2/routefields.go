package iproute2

import (
	"encoding/base64"
	"net/netip"

	"rpdb"
)

// routeFields are the fields of a route in the order of the listing
// (print_route of ip).
var routeFields = []lineField{
	{key: "deleted", group: groupHead, text: "Deleted ", kind: trueField, get: (*line).deleted, set: (*RouteBuilder).setDeleted},
	{key: "family", group: groupHead, text: "% ", get: (*line).familyWord, set: (*RouteBuilder).setFamily},
	{key: "type", text: "% ", get: (*line).routeType, set: (*RouteBuilder).setType},
	{key: "dst", text: "% ", get: (*line).dst, set: (*RouteBuilder).setDst},
	{key: "from", group: groupRare, text: "from % ", get: (*line).src, whole: true, set: (*RouteBuilder).setSrc},
	{key: "nhid", group: groupRare, text: "nhid % ", kind: numberField, get: (*line).nhid, set: (*RouteBuilder).setNHID},
	{key: "to", group: groupUnknown, text: "as to % ", get: (*line).newDst, set: (*RouteBuilder).setNewDst},
	{key: "encap", group: groupRare, kind: treeField, get: (*line).encap, tree: &encapTree},
	{key: "encap", group: groupRare, get: (*line).never, set: (*RouteBuilder).setFlatEncap},
	{key: "tos", group: groupRare, text: "tos % ", get: (*line).tos, set: (*RouteBuilder).setTOS},
	{key: "gateway", text: "via % ", get: (*line).gateway, set: (*RouteBuilder).setGateway},
	{key: "via", group: groupRare, kind: treeField, get: (*line).via, tree: &viaTree},
	{key: "dev", text: "dev % ", get: (*line).dev, set: (*RouteBuilder).setDev},
	{key: "table", text: "table % ", get: (*line).table, set: (*RouteBuilder).setTable},
	{key: "protocol", text: "proto % ", get: (*line).protocol, set: (*RouteBuilder).setProtocol},
	{key: "scope", text: "scope % ", get: (*line).scope, set: (*RouteBuilder).setScope},
	{key: "prefsrc", text: "src % ", get: (*line).prefSrc, set: (*RouteBuilder).setPrefSrc},
	{key: "metric", text: "metric % ", kind: numberField, get: (*line).metricOfRoute, set: (*RouteBuilder).setMetric},
	{key: "flags", kind: treeField, get: (*line).routeFlags, tree: &flagsTree},
	{key: "mark", group: groupAnswer, text: "mark % ", kind: numberField, get: (*line).mark, set: (*RouteBuilder).setMark},
	{key: "flow", group: groupRare, kind: treeField, get: (*line).routeRealms, tree: &flowTree},
	{key: "uid", group: groupAnswer, text: "uid % ", kind: numberField, get: (*line).uid, set: (*RouteBuilder).setUID},
	{key: "cache", group: groupRare, kind: treeField, get: (*line).cacheFlags, tree: &cacheTree},
	{key: "expires", group: groupCache, text: "expires %sec ", kind: numberField, get: (*line).expires, set: (*RouteBuilder).setExpires},
	{key: "error", group: groupCache, text: "error % ", kind: numberField, get: (*line).cacheError, set: (*RouteBuilder).setError},
	{key: "users", group: groupCache, text: "users % ", kind: numberField, get: (*line).users, set: (*RouteBuilder).setUsers},
	{key: "used", group: groupCache, text: "used % ", kind: numberField, get: (*line).used, set: (*RouteBuilder).setUsed},
	{key: "age", group: groupCache, text: "age %sec ", kind: numberField, get: (*line).age, set: (*RouteBuilder).setAge},
	{key: "ipid", group: groupCache, text: "ipid 0x% ", get: (*line).ipID, set: (*RouteBuilder).setIPID},
	{key: "ts", group: groupCache, text: "ts 0x%", get: (*line).timestamp, set: (*RouteBuilder).setTimestamp},
	{key: "tsage", group: groupCache, text: "tsage %sec ", kind: numberField, get: (*line).timestampAge, set: (*RouteBuilder).setTimestampAge},
	{key: "metrics", group: groupRare, kind: treeField, get: (*line).metrics, tree: &metricsTree},
	{key: "iif", group: groupAnswer, text: "iif % ", get: (*line).iif, set: (*RouteBuilder).setIIF},
	{key: "pref", group: groupIPv6, text: "pref %", get: (*line).preference, set: (*RouteBuilder).setPreference},
	{key: "pref", group: groupIPv6, text: "%", kind: numberField, get: (*line).otherPreference, set: (*RouteBuilder).setPreference},
	{key: "ttl-propogate", group: groupUnknown, text: "ttl-propogate enabled", kind: trueField, get: (*line).ttlPropagated, set: (*RouteBuilder).setTTLPropagated},
	{key: "ttl-propogate", group: groupUnknown, text: "ttl-propogate disabled", kind: falseField, get: (*line).ttlNotPropagated, set: (*RouteBuilder).setTTLNotPropagated},
	{key: "nh_info", group: groupRare, kind: treeField, get: (*line).nexthopInfo, tree: &tree{skip: true}},
	{key: "nexthops", group: groupRare, kind: treeField, get: (*line).nexthops, tree: &nexthopsTree},
	{key: "unknown", group: groupUnknown, get: (*line).unknown, set: (*RouteBuilder).setUnknown},
}

var (
	viaTree     = tree{fields: func() []lineField { return viaFields }, end: (*RouteBuilder).endVia}
	flowTree    = tree{fields: func() []lineField { return flowFields }}
	flagsTree   = tree{array: true, item: (*RouteBuilder).setFlag}
	cacheTree   = tree{array: true, item: (*RouteBuilder).setCacheFlag}
	metricsTree = tree{array: true, other: (*RouteBuilder).setOneMetric}
)

// never is in the place of a field that only older releases write: before 6.15
// the fields of a tunnel stood behind its kind, without an object around them.
func (l *line) never() bool { return false }

func (l *line) deleted() bool { return l.entry.Deleted }

func (l *line) familyWord() bool {
	if !l.view.Family && !l.view.Exact {
		return false
	}
	l.word(familyWord(l.entry.Family))
	l.instead()
	if l.view.Family {
		l.word(l.entry.Family.String())
	}
	return true
}

func (l *line) routeType() bool {
	t := l.entry.Type
	if l.view.Numeric {
		l.number(uint64(t))
	} else {
		l.word(t.String())
	}
	return t != rpdb.RouteUnicast || l.view.Details
}

func (l *line) dst() bool {
	if l.entry.Dst.Bits() <= 0 {
		return l.word("default")
	}
	return l.prefix(l.entry.Dst)
}

func (l *line) src() bool { return l.entry.Src.Bits() > 0 && l.prefix(l.entry.Src) }

func (l *line) nhid() bool {
	return l.entry.NexthopID != 0 && l.number(uint64(l.entry.NexthopID))
}

func (l *line) newDst() bool {
	b, _ := findAttribute(l.entry.Unknown, rtaNewDst)
	a, ok := netip.AddrFromSlice([]byte(b))
	return ok && l.host(a)
}

func (l *line) tos() bool {
	return l.entry.TOS != 0 && !l.hide.hides(ColumnTOS) && l.name(l.names.dsfield(l.entry.TOS))
}

func (l *line) gateway() bool {
	return l.hop != nil && rpdb.FamilyOf(l.hop.Via) == l.family && l.family != 0 && !l.hide.hides(ColumnVia) && l.host(l.hop.Via)
}

// viaFields are those of a gateway of another family.
var viaFields = []lineField{
	{key: "family", text: "via % ", get: func(l *line) bool { return l.word(familyWord(rpdb.FamilyOf(l.hop.Via))) }, set: (*RouteBuilder).setViaFamily},
	{key: "host", text: "% ", get: func(l *line) bool { return l.host(l.hop.Via) }, set: (*RouteBuilder).setViaHost},
}

func (l *line) via() bool {
	if l.hop == nil || !l.hop.Via.IsValid() || rpdb.FamilyOf(l.hop.Via) == l.family {
		return false
	}
	l.open("via", objectPart)
	l.fields(viaFields)
	l.close()
	return true
}

func (l *line) dev() bool {
	l.tint = linkTint
	return l.hop != nil && l.hop.Link != 0 && !l.hide.hides(ColumnDev) && l.link(l.hop.Link)
}

func (l *line) table() bool {
	t := l.entry.Table
	if t == rpdb.TableUnspec || l.hide.hides(ColumnTable) || (t == rpdb.TableMain && !l.view.Details) {
		return false
	}
	return l.tableName(t)
}

func (l *line) tableName(t rpdb.TableID) bool {
	if name := l.names.tableName(t); name != "" {
		return l.name(name)
	}
	return l.number(uint64(t))
}

// cloned reports whether the route is the answer to a question and stands in
// no table (RTM_F_CLONED).
func (l *line) cloned() bool { return l.flags()&routeCloned != 0 }

func (l *line) protocol() bool {
	p := l.entry.Protocol
	if l.cloned() || l.hide.hides(ColumnProtocol) || (p == rpdb.ProtocolBoot && !l.view.Details) {
		return false
	}
	return l.name(l.names.protocol(p))
}

func (l *line) scope() bool {
	s := l.entry.Scope
	if l.cloned() || l.hide.hides(ColumnScope) || (s == rpdb.ScopeGlobal && !l.view.Details) {
		return false
	}
	return l.scopeWord(s)
}

func (l *line) scopeWord(s rpdb.Scope) bool {
	return l.name(l.names.scope(s))
}

func (l *line) prefSrc() bool {
	return l.entry.PrefSrc.IsValid() && !l.hide.hides(ColumnSrc) && l.address(l.entry.PrefSrc)
}

// metricOfRoute is always told by IPv6, by IPv4 unless it is 0.
func (l *line) metricOfRoute() bool {
	m := l.entry.Metric
	return (m != 0 || l.entry.Family == rpdb.IPv6) && !l.hide.hides(ColumnMetric) && l.number(uint64(m))
}

func (l *line) mark() bool {
	m := l.entry.Mark
	l.number(uint64(m))
	if m >= 16 {
		l.instead()
		l.word(hex(m))
	}
	return m != 0
}

func (l *line) routeRealms() bool {
	return !l.hide.hides(ColumnRealms) && l.realms(l.entry.Realms)
}

func (l *line) realms(r rpdb.Realms) bool {
	if r == 0 {
		return false
	}
	l.flow = r
	l.open("flow", objectPart)
	if r.From() == 0 {
		l.text("realm ")
	}
	l.fields(flowFields)
	l.close()
	return true
}

// flowFields are a pair of realms, of which the first may be missing.
var flowFields = []lineField{
	{key: "from", text: "realms %/", get: func(l *line) bool { return l.flow.From() != 0 && l.name(l.names.realm(l.flow.From())) }, set: (*RouteBuilder).setRealmFrom},
	{key: "to", text: "% ", get: func(l *line) bool { return l.name(l.names.realm(l.flow.To())) }, set: (*RouteBuilder).setRealmTo},
}

// named appends a field whose value is a name.
func (l *line) named(key, text, name string) {
	from := len(l.buf)
	l.shown, l.tint = -1, noTint
	l.name(name)
	l.add(part{key: key, text: text, kind: stringField, from: from})
}

func (l *line) uid() bool {
	uid, ok := l.entry.UID.Get()
	return ok && l.number(uint64(uid))
}

func (l *line) iif() bool {
	l.tint = linkTint
	return l.entry.IIF != 0 && !l.hide.hides(ColumnIIF) && l.link(l.entry.IIF)
}

func (l *line) preference() bool {
	p := l.entry.Pref
	known := p == rpdb.PreferenceMedium || p == rpdb.PreferenceHigh || p == rpdb.PreferenceLow
	return l.entry.Family == rpdb.IPv6 && known && l.word(p.String())
}

func (l *line) otherPreference() bool {
	return l.entry.Family == rpdb.IPv6 && !l.preference() && l.number(uint64(l.entry.Pref))
}

func (l *line) ttlPropagated() bool {
	b, ok := findAttribute(l.entry.Unknown, rtaTTLPropagate)
	return ok && len(b) == 1 && b[0] != 0
}

func (l *line) ttlNotPropagated() bool {
	b, ok := findAttribute(l.entry.Unknown, rtaTTLPropagate)
	return ok && len(b) == 1 && b[0] == 0
}

func (l *line) nexthopInfo() bool {
	id := l.entry.NexthopID
	if id == 0 || !l.view.Details || l.view.Nexthop == nil {
		return false
	}
	object, ok := l.view.Nexthop(id)
	if !ok {
		return false
	}
	l.text("\n\tnh_info ") // a real newline even on one line
	l.open("nh_info", objectPart)
	l.nexthopObject(object)
	l.close()
	return true
}

// unknown holds the attributes that nobody knows, for those who want the route
// whole.
func (l *line) unknown() bool {
	return l.view.Exact && l.raw(l.entry.Unknown)
}

func (l *line) raw(b rpdb.Raw) bool {
	l.buf = base64.StdEncoding.AppendEncode(l.buf, []byte(b))
	l.instead()
	return b != ""
}
