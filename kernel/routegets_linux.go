package kernel

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// routeFIBMatch is RTM_F_FIB_MATCH: answer with the route, not with the path
// that a packet takes.
const routeFIBMatch = 0x2000

// RouteGets is [Conn.RouteGet] for many flows, which go to the kernel by the
// hundred: each is called with the number of the flow, in no order, and with the
// decision or what kept the kernel from one. With match the kernel answers with
// the route that it found, so that Decision.Prefix is known, and does not choose
// between its nexthops. An error of each ends the asking and is returned.
func (c *Conn) RouteGets(ctx context.Context, flows []rpdb.Flow, match bool, each func(i int, d rpdb.Decision, err error) error) error {
	r := routeGets{conn: c, flows: flows, each: each, byName: map[rpdb.LinkName]rpdb.LinkIndex{}, byIndex: map[rpdb.LinkIndex]rpdb.LinkName{}}
	if match {
		r.flags = routeFIBMatch
	}
	if err := r.encode(); err != nil {
		return err
	}
	_, err := c.nl.AskBatch(ctx, &r.batch, func(i int, m netlink.Message, err error) error { return r.answer(r.asked[i], m, err) })
	return err
}

// routeGets is one call of RouteGets. Interfaces are looked up once.
type routeGets struct {
	conn    *Conn
	flows   []rpdb.Flow
	flags   uint32
	each    func(int, rpdb.Decision, error) error
	batch   netlink.Batch
	asked   []int // the flows in the batch
	decoder RouteDecoder
	byName  map[rpdb.LinkName]rpdb.LinkIndex
	byIndex map[rpdb.LinkIndex]rpdb.LinkName
}

// encode writes the questions. A flow that cannot be asked about is answered at
// once.
func (r *routeGets) encode() error {
	buf := make([]byte, 0, 256)
	for i, f := range r.flows {
		err := error(unix.EINVAL)
		if f.Family() != 0 && (!f.Src.IsValid() || rpdb.FamilyOf(f.Src) == f.Family()) {
			var e *netlink.Encoder
			if e, err = encodeFlow(buf, f, r.flags, r.linkIndex); err == nil {
				err = r.batch.Add(e)
			}
		}
		if err == nil {
			r.asked = append(r.asked, i)
			continue
		}
		if err := r.each(i, rpdb.Decision{}, opError("look up", "route to "+f.Dst.String(), err)); err != nil {
			return err
		}
	}
	return nil
}

func (r *routeGets) linkIndex(name rpdb.LinkName) (rpdb.LinkIndex, error) {
	if i, ok := r.byName[name]; ok {
		return i, nil
	}
	i, err := r.conn.linkIndex(name)
	if err == nil {
		r.byName[name], r.byIndex[i] = i, name
	}
	return i, err
}

func (r *routeGets) answer(i int, m netlink.Message, err error) error {
	f := r.flows[i]
	if err != nil {
		if d, ok := RefusalOf(f, err); ok {
			return r.each(i, d, nil)
		}
		return r.each(i, rpdb.Decision{}, opError("look up", "route to "+f.Dst.String(), err))
	}
	if m.Type != unix.RTM_NEWROUTE {
		return fmt.Errorf("look up routes: answer of type %d", m.Type)
	}
	route, _, err := r.decoder.Decode(m.Data)
	if err != nil {
		return err
	}
	d := DecisionOf(f, route, func(index rpdb.LinkIndex) (name rpdb.LinkName) {
		if name, ok := r.byIndex[index]; ok {
			return name
		}
		if name, err = r.conn.linkName(index); err == nil {
			r.byName[name], r.byIndex[index] = index, name
		}
		return name
	})
	d.Note = unasked(f)
	if r.flags&routeFIBMatch != 0 {
		d.Prefix = route.Dst
	}
	return r.each(i, d, err)
}
