package kernel

import (
	"context"
	"slices"
	"time"

	"rpdb"
)

// TimeRouteGet asks the kernel n times for its decision about a flow, as
// [Conn.RouteGets] does, and returns how long one answer took, with the last
// decision. Most of it is the exchange, which is the same in every namespace: what the
// rules of one cost is the difference to another that has none. It needs no privilege,
// sends no packet and changes nothing.
func (c *Conn) TimeRouteGet(ctx context.Context, f rpdb.Flow, n int) (time.Duration, rpdb.Decision, error) {
	var last rpdb.Decision
	flows := slices.Repeat([]rpdb.Flow{f}, n)
	start := time.Now()
	err := c.RouteGets(ctx, flows, false, func(_ int, d rpdb.Decision, err error) error {
		last = d
		return err
	})
	if err != nil || n == 0 {
		return 0, last, err
	}
	return time.Since(start) / time.Duration(n), last, nil
}
