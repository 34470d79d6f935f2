package iproute2

import (
	"strconv"

	"rpdb"
)

// nexthopFields are the fields of a nexthop object in the order of the listing
// of "ip nexthop".
var nexthopFields = []lineField{
	{key: "id", text: "id % ", kind: numberField, get: func(l *line) bool { return l.number(uint64(l.object.ID)) }},
	{kind: treeField, get: (*line).group},
	{key: "type", text: "type % ", get: (*line).groupType},
	{kind: treeField, get: (*line).resilient},
	{kind: treeField, get: (*line).encap},
	{key: "gateway", text: "via % ", get: (*line).gateway},
	{key: "dev", text: "dev % ", get: (*line).dev},
	{key: "scope", text: "scope % ", get: (*line).objectScope},
	{key: "blackhole", text: "blackhole ", kind: nullField, get: func(l *line) bool { return l.object.Blackhole }},
	{key: "protocol", text: "proto % ", get: (*line).objectProtocol},
	{kind: treeField, get: (*line).memberFlags},
	{key: "fdb", text: "fdb", kind: nullField, get: func(l *line) bool { return l.object.FDB }},
	{key: "unknown", get: func(l *line) bool { return l.view.Exact && l.raw(l.object.Unknown) }},
}

// nexthopObject appends the fields of an object.
func (l *line) nexthopObject(o rpdb.NexthopObject) {
	l.object, l.hide = o, 0
	l.hop = &l.object.Nexthop
	l.family = rpdb.FamilyOf(o.Nexthop.Via)
	l.fields(nexthopFields)
	l.hop, l.family = nil, l.entry.Family
}

func (l *line) group() bool {
	if len(l.object.Group) == 0 {
		return false
	}
	l.text("group ")
	l.open("group", arrayPart)
	for i, m := range l.object.Group {
		if i > 0 {
			l.text("/")
		}
		l.open("", objectPart)
		l.numbered("id", "%", uint64(m.ID))
		if m.Weight > 1 {
			l.numbered("weight", ",%", uint64(m.Weight))
		}
		l.close()
	}
	l.close()
	l.text(" ")
	return true
}

// groupType is not told of the type that groups have by default.
func (l *line) groupType() bool {
	switch l.object.GroupType {
	case 0:
		return false
	case 1:
		return l.word("resilient")
	}
	return l.word("<unknown type>")
}

// resilientFields are what a resilient group has besides its members.
var resilientFields = []lineField{
	{key: "buckets", text: "buckets % ", kind: numberField, get: func(l *line) bool { return l.number(uint64(l.object.Resilient.Buckets)) }},
	{key: "idle_timer", text: "idle_timer % ", kind: numberField, get: func(l *line) bool { return l.seconds(uint64(l.object.Resilient.IdleTimer)) }},
	{key: "unbalanced_timer", text: "unbalanced_timer % ", kind: numberField, get: func(l *line) bool { return l.seconds(uint64(l.object.Resilient.UnbalancedTimer)) }},
	{key: "unbalanced_time", text: "unbalanced_time % ", kind: numberField, get: func(l *line) bool { return l.seconds(l.object.Resilient.UnbalancedTime) }},
}

func (l *line) resilient() bool {
	if l.object.Resilient == (rpdb.ResilientGroup{}) {
		return false
	}
	l.open("resilient_args", objectPart)
	l.fields(resilientFields)
	l.close()
	return true
}

// seconds appends a number of ticks of the clock.
func (l *line) seconds(n uint64) bool {
	l.buf = strconv.AppendFloat(l.buf, float64(n)/ticks, 'g', 6, 64)
	return true
}

func (l *line) objectScope() bool {
	return (l.object.Scope != rpdb.ScopeGlobal || l.view.Details) && l.scopeWord(l.object.Scope)
}

func (l *line) objectProtocol() bool {
	p := l.object.Protocol
	return (p != rpdb.ProtocolUnspec || l.view.Details) && l.name(l.names.protocol(p))
}

// NexthopObject returns the listing of a nexthop object as "ip nexthop" prints
// it, without the final newline.
func (v RouteView) NexthopObject(o rpdb.NexthopObject) string {
	l := NewRouteLister(v)
	l.line.nexthopObject(o)
	return string(l.line.appendText(nil))
}

// NexthopFields gives every field of a nexthop object to a sink, in the order
// of the listing. The keys are those of "ip -j nexthop", and with Exact more.
func (v RouteView) NexthopFields(o rpdb.NexthopObject, to Sink) {
	l := NewRouteLister(v)
	l.line.nexthopObject(o)
	l.line.send(to)
}
