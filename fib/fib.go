package fib

import (
	"net/netip"

	"rpdb"
)

// FIB is a compiled snapshot. It never changes after [Compile], is safe for
// concurrent use, and shares no memory with the snapshot. Other versions of it,
// with a rule more or less, share memory with it. The zero FIB is not
// useful; compile an empty snapshot instead.
type FIB struct {
	links   []*link // in order of index
	byName  map[rpdb.LinkName]*link
	byIndex map[rpdb.LinkIndex]*link

	vrfs bool // some of them belong to VRFs

	v4, v6 ruleset

	local4 map[netip.Addr]bool // IPv4 addresses of this host, whatever their state
	addrs6 []address6          // IPv6 addresses that may become a source, in the kernel's order

	sysctls sysctls
	realms  bool // some IPv4 route carries realms
	// shared holds, by nexthop object, the prefix lengths of all IPv6 routes
	// that lead over the same nexthops.
	shared      map[uint32]span
	customLocal bool // somebody other than the kernel added an IPv4 route of type local
	gaps        gaps
}

// sysctls are the settings that are not of one interface.
type sysctls struct {
	hashPolicy4, hashPolicy6 uint8
	hashSeed                 uint32
	useNeigh                 bool
	forward6                 bool
	reflect4, reflect6       bool // fwmark_reflect
	acceptMark               bool // tcp_fwmark_accept
}

// link is an interface with its settings, those of conf.all already mixed in
// as the kernel mixes them.
type link struct {
	rpdb.Link
	vrf        *link // the VRF that it is or belongs to; nil: none
	forward4   bool
	rpFilter   uint8
	markSrc    bool // src_valid_mark
	acceptSelf bool // accept_local
	redirects  bool // send_redirects
	localnet   bool // route_localnet
	ignore4    bool // ignore_routes_with_linkdown
	ignore6    bool
	unknown    rpdb.Settings // of which the values above are not known
	maybeVRF   bool          // it is not known whether it is a VRF, or belongs to one
	addrs4     []rpdb.Address
}

func (l *link) isVRF() bool { return l.VRFTable != 0 || l.Kind == "vrf" }

// vrfIndex returns the index of the link's VRF, 0 for none
// (l3mdev_master_ifindex).
func (l *link) vrfIndex() rpdb.LinkIndex {
	if l == nil || l.vrf == nil {
		return 0
	}
	return l.vrf.Index
}

// name returns the name of the link with an index, "" if there is none.
func (f *FIB) name(i rpdb.LinkIndex) rpdb.LinkName {
	if l := f.byIndex[i]; l != nil {
		return l.Name
	}
	return ""
}

// loopback is the interface that locally generated packets come in by.
const loopback rpdb.LinkIndex = 1

// Lookup returns what the kernel decides for a flow. It allocates nothing; the
// Either list of the result is shared and must not be modified. A flow whose
// destination is invalid, or whose addresses are of two families, is unknown.
func (f *FIB) Lookup(flow rpdb.Flow) (d rpdb.Decision) {
	f.decide(&flow, &d, nil)
	return d
}

// Trace returns the decision that [FIB.Lookup] returns, and every step on the
// way to it. It costs a few allocations, and no more for more rules.
func (f *FIB) Trace(flow rpdb.Flow) Trace {
	rec := recorder{fib: f}
	t := Trace{Flow: flow}
	f.decide(&flow, &t.Decision, &rec)
	t.Lookups, t.ReverseChecks = rec.lookups, rec.checks
	return t
}

// decide puts its answer into d. Flows, answers and verdicts are large: where every
// lookup comes by they are not copied from hand to hand.
func (f *FIB) decide(flow *rpdb.Flow, d *rpdb.Decision, rec *recorder) {
	flow.Dst, flow.Src = flow.Dst.WithZone(""), flow.Src.WithZone("")
	if note := nonsense(flow); note != "" {
		*d = unknown(note)
		return
	}
	f.route(flow, d, rec)
	f.makeSure(flow, d)
}

// nonsense says what is wrong with a flow that nothing can be asked about, "" for
// others.
func nonsense(flow *rpdb.Flow) string {
	switch {
	case !flow.Dst.IsValid():
		return "the flow has no destination"
	case flow.Src.IsValid() && flow.Src.Is4() != flow.Dst.Is4():
		return "source and destination are of two families"
	}
	return ""
}

// route decides for a flow that makes sense.
func (f *FIB) route(flow *rpdb.Flow, d *rpdb.Decision, rec *recorder) {
	switch {
	case flow.IsInput() && flow.Dst.Is4():
		f.input4(flow, d, rec)
	case flow.IsInput():
		f.input6(flow, d, rec)
	case flow.Dst.Is4():
		*d = f.output4(*flow, rec)
	default:
		*d = f.output6(*flow, rec)
	}
}

func unknown(note string) rpdb.Decision { return rpdb.Decision{Note: note} }

func refused(e rpdb.Errno, note string) rpdb.Decision {
	return rpdb.Decision{Disposition: rpdb.Refused, Errno: e, Note: note}
}

func martian(e rpdb.Errno, note string) rpdb.Decision {
	return rpdb.Decision{Disposition: rpdb.Martian, Errno: e, Note: note}
}
