package iproute2

import (
	"slices"

	"rpdb"
)

// RouteHop is one way of a route as it is sent: the only one of a route
// without "nexthop", or the words behind one "nexthop". Opts are absent where
// ip sends no attribute. It is comparable; the zero value leads nowhere.
type RouteHop struct {
	Link    rpdb.LinkIndex         // 0: none
	Gateway rpdb.Opt[RouteAddress] // of the route's family
	Via     rpdb.Opt[RouteAddress] // of another one
	Realms  rpdb.Opt[rpdb.Realms]  // of the whole route where there is no "nexthop"
	NewDst  rpdb.Opt[RouteAddress] // of "as"
	Encap   rpdb.Opt[RouteEncap]   // a lightweight tunnel
	Flags   rpdb.NexthopFlags      // onlink
	Hops    uint8                  // the weight less one
}

// RouteEncap is a lightweight tunnel as it is sent: its kind
// (LWTUNNEL_ENCAP_*) and its attributes. It is comparable.
type RouteEncap struct {
	Type  uint16
	Attrs rpdb.Raw
}

// RouteRequest is what was typed after "ip route add", "del" and so on, as ip
// sends it: each field is an attribute of the message or a part of its header,
// and an Opt is absent where ip sends no attribute. It can hold what an
// [rpdb.Route] cannot, because ip sends much that the kernel then refuses,
// bends or ignores. The zero value asks for nothing; see
// [RouteContext.ParseRequest]. Its methods do not modify it.
type RouteRequest struct {
	Verb   RouteVerb
	Family rpdb.Family // of the header: IPv4 if nothing says another

	// The header. What a delete does not name stands for anything there: type
	// and protocol are 0, the scope of IPv4 is nowhere.
	TOS      uint8
	Table    uint8 // 0 also where LongTable is sent
	Protocol rpdb.Protocol
	Scope    rpdb.Scope
	Type     rpdb.RouteType

	// The attributes.
	To, From     rpdb.Opt[RouteAddress]
	PrefSrc      rpdb.Opt[RouteAddress]
	Metric       rpdb.Opt[uint32]
	LongTable    rpdb.Opt[rpdb.TableID] // 256 and more; wins over Table
	Expires      rpdb.Opt[uint32]
	NexthopID    rpdb.Opt[uint32]
	Pref         rpdb.Opt[rpdb.RouterPreference]
	TTLPropagate rpdb.Opt[uint8]
	Metrics      []rpdb.Metric // in order of their type, locks included
	Hop          RouteHop
	Hops         []RouteHop // of "nexthop"

	sent      wire     // the attributes, one after the other as they were typed
	metrics   wire     // those inside of the attribute of metrics
	multipath wire     // those behind "nexthop"
	typed     []string // the options that were typed, by name
	doubts    []string // what was typed and means something else, for Strict
}

// Flags of a request (NLM_F_*).
const (
	flagReplace = 0x100
	flagExcl    = 0x200
	flagCreate  = 0x400
	flagAppend  = 0x800
)

// Flags returns the flags of the message beside NLM_F_REQUEST and NLM_F_ACK.
func (q RouteRequest) Flags() uint16 {
	switch q.Verb {
	case RouteAdd:
		return flagCreate | flagExcl
	case RouteChange:
		return flagReplace
	case RouteReplace:
		return flagCreate | flagReplace
	case RoutePrepend:
		return flagCreate
	case RouteAppend:
		return flagCreate | flagAppend
	case RouteTest:
		return flagExcl
	}
	return 0
}

// Deletes reports whether the message is of type RTM_DELROUTE; otherwise it is
// of type RTM_NEWROUTE.
func (q RouteRequest) Deletes() bool { return q.Verb == RouteDelete }

// Typed reports whether an option was typed, by its name as [Keyword.Field]
// has it. What was not typed is filled in by ip, or stands for anything in a
// delete.
func (q RouteRequest) Typed(option string) bool { return q.has(option) }

// has is Typed, without a copy of the request.
func (q *RouteRequest) has(option string) bool { return slices.Contains(q.typed, option) }

// Warnings returns the lines that ip prints to its standard error before it
// sends the request, without newlines. There are none so far.
func (q RouteRequest) Warnings() []string { return nil }

// Route returns the route that comes nearest to the request: as it was typed,
// host bits included. What no route can hold is left out, and attributes that
// the model does not know are in its Unknown. A table of 0 is main.
func (q RouteRequest) Route() rpdb.Route {
	r := rpdb.Route{
		Family: q.Family, TOS: q.TOS, Table: rpdb.TableID(q.Table), Protocol: q.Protocol, Scope: q.Scope, Type: q.Type,
		Metrics: slices.Clone(q.Metrics), Dst: routePrefixOf(q.To), Unknown: q.unknown(),
	}
	if t, ok := q.LongTable.Get(); ok {
		r.Table = t
	}
	if r.Table == rpdb.TableUnspec {
		r.Table = rpdb.TableMain
	}
	if !r.Dst.IsValid() {
		r.Dst = q.Family.Default()
	}
	if from := routePrefixOf(q.From); from.Bits() > 0 {
		r.Src = from
	}
	src, _ := q.PrefSrc.Get()
	r.PrefSrc = src.Addr()
	r.Realms, _ = q.Hop.Realms.Get()
	r.Pref, _ = q.Pref.Get()
	r.Metric, _ = q.Metric.Get()
	r.Expires, _ = q.Expires.Get()
	r.NexthopID, _ = q.NexthopID.Get()
	r.Nexthops = q.nexthops()
	return r
}

// nexthops returns those behind "nexthop", or else the only one, if the
// request leads anywhere.
func (q RouteRequest) nexthops() []rpdb.Nexthop {
	hops := q.Hops
	if only := q.Hop; len(hops) == 0 {
		only.Realms, only.NewDst = rpdb.Opt[rpdb.Realms]{}, rpdb.Opt[RouteAddress]{} // are the route's
		if only == (RouteHop{}) {
			return nil
		}
		n := only.nexthop()
		n.Weight = 0
		return []rpdb.Nexthop{n}
	}
	list := make([]rpdb.Nexthop, 0, len(hops))
	for _, h := range hops {
		list = append(list, h.nexthop())
	}
	return list
}

func (h RouteHop) nexthop() rpdb.Nexthop {
	n := rpdb.Nexthop{Link: h.Link, Flags: h.Flags, Weight: uint32(h.Hops) + 1}
	gateway, ok := h.Gateway.Get()
	if !ok {
		gateway, _ = h.Via.Get()
	}
	n.Via = gateway.Addr()
	n.Realms, _ = h.Realms.Get()
	encap, _ := h.Encap.Get()
	n.EncapType, n.Encap = encap.Type, encap.Attrs
	return n
}

// unknown returns the attributes that the model has no fields for.
func (q RouteRequest) unknown() rpdb.Raw {
	var w wire
	if a, ok := q.Hop.NewDst.Get(); ok {
		w.attribute(rtaNewDst, []byte(a.Bytes))
	}
	if v, ok := q.TTLPropagate.Get(); ok {
		w.uint8(rtaTTLPropagate, v)
	}
	return rpdb.Raw(w)
}
