package kernel

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"rpdb"
)

// EachRoute gives the routes of a family, of all tables or of one if t is not
// 0, to each, one by one in the kernel's order: what it refers to is valid
// during the call only, and each must not use the connection. A table that does
// not exist, and a kernel without the family, have no routes. An error of each
// ends it and is returned.
//
// Unlike those of a [Conn.Snapshot], the routes may not be those of one moment:
// see [Socket.ListRoutes] for what consistent says. It needs no privilege.
func (c *Conn) EachRoute(ctx context.Context, f rpdb.Family, t rpdb.TableID, each func(rpdb.Route) error) (consistent bool, err error) {
	filter := routeFilter{family: f, table: t}
	var failed error
	s := &Socket{nl: c.nl}
	consistent, err = s.ListRoutes(ctx, filter.payload(c.nl.Strict()), func(m RouteMessage) error {
		if filter.admits(m.Route) {
			failed = each(m.Route)
		}
		return failed
	})
	switch {
	case failed != nil:
		return false, failed
	case t != 0 && errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return true, nil
	}
	return consistent, opError("read", "routes ("+f.String()+")", err)
}
