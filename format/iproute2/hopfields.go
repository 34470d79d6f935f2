package iproute2

import (
	"strconv"

	"rpdb"
)

// memberFields are the fields of one nexthop of a route that has several. The
// last one is of an interface that a multicast packet is sent to.
var memberFields = []lineField{
	{key: "encap", kind: treeField, get: (*line).encap, tree: &encapTree},
	{key: "encap", get: (*line).never, set: (*RouteBuilder).setFlatEncap},
	{key: "gateway", text: "via % ", get: (*line).gateway, set: (*RouteBuilder).setGateway},
	{key: "via", kind: treeField, get: (*line).via, tree: &viaTree},
	{key: "flow", kind: treeField, get: func(l *line) bool { return l.realms(l.hop.Realms) }, tree: &flowTree},
	{key: "dev", text: "dev % ", get: (*line).memberDev, set: (*RouteBuilder).setMemberDev},
	{key: "weight", text: "weight % ", kind: numberField, get: (*line).weight, set: (*RouteBuilder).setWeight},
	{key: "flags", kind: treeField, get: (*line).memberFlags, tree: &flagsTree},
	{key: "ttl", kind: numberField, get: (*line).never, set: (*RouteBuilder).setThreshold},
}

// nexthopsTree is the list of nexthops.
var nexthopsTree = tree{array: true, fields: func() []lineField { return memberFields }, begin: (*RouteBuilder).beginMember, end: (*RouteBuilder).endMember}

// replicaFields are those of one interface that a multicast packet is sent to,
// in the answer to a question. What else is a weight is the TTL it must exceed.
var replicaFields = []lineField{
	{key: "dev", text: "%", get: (*line).memberDev},
	{key: "ttl", text: "(ttl>%)", kind: numberField, get: (*line).threshold},
	{text: " ", kind: textPart},
	{kind: treeField, get: (*line).memberFlags},
}

// isMultipath reports whether the nexthops of a route stand in a list of their
// own. IPv6 tells a group of one member that way: it has a weight.
func isMultipath(r *rpdb.Route) bool {
	n := len(r.Nexthops)
	return n > 1 || (n == 1 && r.Family == rpdb.IPv6 && r.NexthopID != 0 && r.Nexthops[0].Weight != 0)
}

func (l *line) nexthops() bool {
	if !isMultipath(&l.entry.Route) {
		return false
	}
	replicas := l.cloned() && l.entry.Type == rpdb.RouteMulticast
	l.hide = 0
	l.open("nexthops", arrayPart)
	for i := range l.entry.Nexthops {
		l.hop = &l.entry.Nexthops[i]
		l.open("", objectPart)
		switch {
		case !replicas:
			l.newline()
			l.text("\tnexthop ")
			l.fields(memberFields)
		case i == 0:
			l.text("Oifs: ")
			l.fields(replicaFields)
		default:
			l.text(" ")
			l.fields(replicaFields)
		}
		l.close()
	}
	l.close()
	return true
}

func (l *line) memberDev() bool { return l.link(l.hop.Link) }

func (l *line) weight() bool { return l.number(uint64(max(l.hop.Weight, 1))) }

func (l *line) threshold() bool {
	ttl := max(l.hop.Weight, 1) - 1
	return ttl != 1 && l.number(uint64(ttl))
}

// Bits of rtm_flags that do not belong to a nexthop (RTM_F_*).
const (
	routeNotify        = 0x100
	routeOffload       = 0x4000
	routeTrap          = 0x8000
	routeOffloadFailed = 0x20000000
)

// flagWord is the word of one bit.
type flagWord struct {
	bit  uint32
	word string
}

// flagWords are the flags of routes and nexthops in ip's order.
var flagWords = []flagWord{
	{uint32(rpdb.NexthopDead), "dead"},
	{uint32(rpdb.NexthopOnlink), "onlink"},
	{uint32(rpdb.NexthopPervasive), "pervasive"},
	{uint32(rpdb.NexthopOffload), "offload"},
	{uint32(rpdb.NexthopTrap), "trap"},
	{routeNotify, "notify"},
	{uint32(rpdb.NexthopLinkdown), "linkdown"},
	{uint32(rpdb.NexthopUnresolved), "unresolved"},
	{routeOffload, "rt_offload"},
	{routeTrap, "rt_trap"},
	{routeOffloadFailed, "rt_offload_failed"},
}

// flags are all bits of rtm_flags, as far as the entry knows them.
func (l *line) flags() uint32 {
	f := l.entry.RouteDetails.Flags | uint32(l.entry.Route.Flags)
	if n := l.entry.Nexthops; len(n) == 1 && !isMultipath(&l.entry.Route) {
		f |= uint32(n[0].Flags)
	}
	return f
}

func (l *line) routeFlags() bool { return l.flagList(l.flags()) }

func (l *line) memberFlags() bool { return l.flagList(uint32(l.hop.Flags)) }

func (l *line) flagList(flags uint32) bool {
	l.open("flags", arrayPart)
	for _, f := range flagWords {
		if flags&f.bit != 0 {
			l.item("% ", f.word)
		}
	}
	l.close()
	return true
}

// cacheWords are the flags of the answer to an IPv4 question (RTCF_*). They
// share a number with flags of routes, some of which show through.
var cacheWords = []flagWord{
	{0x80000000, "local"},
	{0x40000000, "reject"},
	{0x20000000, "mc"},
	{0x10000000, "brd"},
	{0x08000000, "dst-nat"},
	{0x00800000, "src-nat"},
	{0x00400000, "masq"},
	{0x00020000, "dst-direct"},
	{0x04000000, "src-direct"},
	{0x00040000, "redirected"},
	{0x01000000, "redirect"},
	{0x00200000, "fastroute"},
	{0x00010000, "notify"},
	{0x00080000, "proxy"},
}

func (l *line) cacheFlags() bool {
	if l.entry.Family != rpdb.IPv4 || !l.cloned() {
		return false
	}
	flags := l.flags() &^ 0xffff
	l.newline()
	l.text("    cache ")
	l.open("cache", arrayPart)
	if flags != 0 {
		l.text("<")
	}
	for _, f := range cacheWords {
		if flags&f.bit == 0 {
			continue
		}
		if flags &^= f.bit; flags != 0 {
			l.item("%,", f.word)
		} else {
			l.item("%> ", f.word)
		}
	}
	if flags != 0 {
		l.item("%>", hex(flags)[2:])
	}
	l.close()
	return true
}

// ticks is how many of the clock of struct rta_cacheinfo make a second.
const ticks = 100

func (l *line) expires() bool {
	c, ok := l.entry.Cache.Get()
	if !ok {
		return l.entry.Expires != 0 && l.number(uint64(l.entry.Expires))
	}
	return c.Expires != 0 && l.word(decimal(int(c.Expires/ticks)))
}

func (l *line) cacheError() bool {
	c, _ := l.entry.Cache.Get()
	return c.Error != 0 && l.number(uint64(uint32(c.Error)))
}

func (l *line) users() bool {
	c, _ := l.entry.Cache.Get()
	return c.Users != 0 && l.view.Stats && l.number(uint64(c.Users))
}

func (l *line) used() bool {
	c, _ := l.entry.Cache.Get()
	return c.Used != 0 && l.view.Stats && l.number(uint64(c.Used))
}

func (l *line) age() bool {
	c, _ := l.entry.Cache.Get()
	return c.Age != 0 && l.view.Stats && l.number(uint64(c.Age/ticks))
}

func (l *line) ipID() bool {
	c, _ := l.entry.Cache.Get()
	if c.ID == 0 {
		return false
	}
	l.word(hex(c.ID))
	l.instead()
	for digit := uint32(0x1000); digit > c.ID; digit >>= 4 {
		l.word("0")
	}
	l.buf = strconv.AppendUint(l.buf, uint64(c.ID), 16)
	return true
}

func (l *line) timestamp() bool {
	c, _ := l.entry.Cache.Get()
	return (c.TS != 0 || c.TSAge != 0) && l.hex(uint64(c.TS))
}

func (l *line) timestampAge() bool {
	c, _ := l.entry.Cache.Get()
	return (c.TS != 0 || c.TSAge != 0) && l.number(uint64(c.TSAge))
}
