package kerneltest

import (
	"context"
	"net/netip"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// Target is a kernel that a test works on: [Memory], or the real one by
// [Real]. Errors of Execute and Do unwrap to the kernel's errno and, where the
// kernel has words for it, are of type [*kernel.OpError] with them.
type Target interface {
	Snapshot(ctx context.Context) (*rpdb.Snapshot, error)
	Do(ctx context.Context, c rpdb.Change) error
	Execute(ctx context.Context, c Command) error
	Watch(ctx context.Context) (*kernel.Watcher, error)
}

// Command is one line of a [Script], read: one of the types below.
type Command interface{ command() }

// RuleCommand is "ip rule add" or "del". Given says what was typed, since the
// kernel chooses a priority that is not, and a delete compares only what it is
// given.
type RuleCommand struct {
	Delete bool
	Rule   rpdb.Rule
	Given  iproute2.Given
}

// RouteVerb is the word after "ip route".
type RouteVerb string

// The verbs of ip-route(8) that change something.
const (
	RouteAdd     RouteVerb = "add"
	RouteReplace RouteVerb = "replace"
	RouteChange  RouteVerb = "change"
	RouteAppend  RouteVerb = "append"
	RoutePrepend RouteVerb = "prepend"
	RouteDelete  RouteVerb = "del"
)

// RouteCommand is "ip route VERB". In a delete, zero fields and the scope
// "nowhere" stand for anything.
type RouteCommand struct {
	Verb  RouteVerb
	Route rpdb.Route
}

// LinkAdd is "ip link add A type veth peer name B".
type LinkAdd struct{ A, B rpdb.LinkName }

// LinkSet is "ip link set NAME ...".
type LinkSet struct {
	Name   rpdb.LinkName
	Change kernel.LinkChange
}

// LinkDelete is "ip link del NAME".
type LinkDelete struct{ Name rpdb.LinkName }

// AddressAdd is "ip addr add PREFIX dev LINK".
type AddressAdd struct {
	Link    rpdb.LinkName
	Prefix  netip.Prefix
	Options kernel.AddressOptions
}

// AddressDelete is "ip addr del PREFIX dev LINK".
type AddressDelete struct {
	Link   rpdb.LinkName
	Prefix netip.Prefix
}

// NeighbourSet is "ip neigh replace ADDR ... dev LINK".
type NeighbourSet struct {
	Link   rpdb.LinkName
	Addr   netip.Addr
	LLAddr []byte
	State  rpdb.NeighbourState
}

// NeighbourDelete is "ip neigh del ADDR dev LINK".
type NeighbourDelete struct {
	Link rpdb.LinkName
	Addr netip.Addr
}

// NexthopAdd is "ip nexthop add id N ...".
type NexthopAdd struct{ Object rpdb.NexthopObject }

// NexthopDelete is "ip nexthop del id N".
type NexthopDelete struct{ ID uint32 }

// SysctlSet is "sysctl KEY=VALUE".
type SysctlSet struct{ Key, Value string }

func (RuleCommand) command()     {}
func (RouteCommand) command()    {}
func (LinkAdd) command()         {}
func (LinkSet) command()         {}
func (LinkDelete) command()      {}
func (AddressAdd) command()      {}
func (AddressDelete) command()   {}
func (NeighbourSet) command()    {}
func (NeighbourDelete) command() {}
func (NexthopAdd) command()      {}
func (NexthopDelete) command()   {}
func (SysctlSet) command()       {}
