package iproute2

import "rpdb"

// RouteEntry is what one message about a route says, and so what one entry of
// a listing shows: the route, the state that came with it, and whether the
// message told that the route is gone. The zero value is of no family.
//
// Attributes that the model does not know stay in [rpdb.Route.Unknown]; a
// listing finds those there that ip shows (RTA_NEWDST, RTA_TTL_PROPAGATE).
// Both embedded structs have a field Flags, so that it has to be named with
// the one it is of: e.RouteDetails.Flags are all bits of rtm_flags, and
// e.Route.Flags those of them that belong to no nexthop.
type RouteEntry struct {
	rpdb.Route
	rpdb.RouteDetails
	Deleted bool // RTM_DELROUTE
}

// RouteColumns are the columns of a listing that are left out because a filter
// says already what would stand in them. The zero value leaves none out.
type RouteColumns uint16

// The columns. None of them hides anything of the members of a multipath
// route, and ColumnVia no gateway of another family than the route's.
const (
	ColumnTable RouteColumns = 1 << iota
	ColumnProtocol
	ColumnScope
	ColumnTOS
	ColumnVia
	ColumnDev
	ColumnSrc
	ColumnMetric
	ColumnRealms
	ColumnIIF
)

// hides reports whether a column is left out.
func (c RouteColumns) hides(column RouteColumns) bool { return c&column != 0 }
