package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// FlushInTurn carries out what was added as if each request was sent when the kernel
// had agreed to the one before: of the first that it refuses it returns the number
// and the [*Refusal], and nothing behind it stays in effect, or else an
// [*UnrevokedError] is joined to it. All requests must be such as can be deleted again
// and nothing else with them: routes that are [Revocable], and rules whose place
// [RulePlaces.Take] has taken. The number is -1 if the kernel refused none; then the
// error, if any, is the connection's, and what was carried out is not known. Afterwards
// the pipeline is empty.
//
// The kernel goes on behind a request that it refuses, so up to 63 behind it are in
// effect for a moment, and whoever listens hears of them. If the process is killed in
// that moment they stay.
func (p *Pipeline) FlushInTurn(ctx context.Context) (refused int, err error) {
	defer p.batch.Reset()
	for i := range p.batch.Len() {
		if p.batch.Type(i) == unix.RTM_NEWRULE { // what a deletion has to say is what the kernel made of it
			p.batch.AddFlags(i, netlink.Echo)
		}
	}
	for from := 0; from < p.batch.Len(); {
		var refusals []int
		var first error
		p.told.reset()
		end, err := p.socket.nl.AskPart(ctx, &p.batch, from, sentInTurn, func(i int, m netlink.Message, err error) {
			switch {
			case err == nil && m.Type == unix.RTM_NEWRULE:
				p.told.add(i, m.Data)
			case err == nil:
			case first == nil:
				first = err
				fallthrough
			default:
				refusals = append(refusals, i)
			}
		})
		switch {
		case err != nil:
			return -1, err
		case first != nil:
			if err := p.revoke(end, refusals); err != nil {
				first = errors.Join(first, err)
			}
			return refusals[0], first
		}
		from = end
	}
	return -1, nil
}

// sentInTurn is how many requests are sent before one is known to have been refused,
// which costs little more than sending more.
const sentInTurn = 64

// UnrevokedError says that requests behind one that the kernel refused stay in effect.
type UnrevokedError struct {
	Request int // one of them
	Err     error
}

// Error says which and why.
func (e *UnrevokedError) Error() string {
	return fmt.Sprintf("request %d stays in effect, though one before it was refused: %v", e.Request, e.Err)
}

// Unwrap returns why.
func (e *UnrevokedError) Unwrap() error { return e.Err }

// revoke deletes what the requests behind the first that was refused, up to the one at
// end, added, the last one first, and rules before the routes that they lead to.
func (p *Pipeline) revoke(end int, refused []int) error {
	var b netlink.Batch
	var requests, rules []int
	for i := end - 1; i > refused[0]; i-- {
		if last := len(refused) - 1; refused[last] == i {
			refused = refused[:last]
			continue
		}
		if p.batch.Type(i) == unix.RTM_NEWRULE {
			rules = append(rules, i)
			continue
		}
		p.e.Reset(unix.RTM_DELROUTE, 0, revocation(p.batch.Payload(i)))
		if err := b.Add(&p.e); err != nil {
			return &UnrevokedError{i, err}
		}
		requests = append(requests, i)
	}
	left := p.revokeRules(context.Background(), rules)
	_, err := p.socket.nl.ExecuteBatch(context.Background(), &b, func(i int, err error) error {
		if errors.Is(err, unix.ESRCH) { // somebody else was faster
			return nil
		}
		return &UnrevokedError{requests[i], err}
	})
	var unrevoked *UnrevokedError
	if err != nil && !errors.As(err, &unrevoked) {
		err = &UnrevokedError{end - 1, err}
	}
	if left != nil {
		return left
	}
	return err
}

// Revocable reports whether a request adds a route that can be told from all others
// once it is there, so that it can be deleted again and no other: with NLM_F_EXCL there
// was none of its key before, which is the destination, the table, the metric and, of
// IPv4, the TOS. Those that are more than one route to the kernel, and those with
// attributes that a deletion might read in another way, are not: a route of IPv6 that
// refuses packets leads to lo, whatever it was asked for with, and is not found by that.
func Revocable(r RouteRequest) bool {
	const exclusive = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	if r.Type != unix.RTM_NEWROUTE || r.Flags != exclusive || r.Echo || len(r.Payload) < unix.SizeofRtMsg {
		return false
	}
	family, sourceBits := r.Payload[0], r.Payload[2]
	flags := binary.NativeEndian.Uint32(r.Payload[8:])
	if family != unix.AF_INET && family != unix.AF_INET6 || sourceBits != 0 || flags&^unix.RTNH_F_ONLINK != 0 {
		return false
	}
	leads := family == unix.AF_INET || !rpdb.RouteType(r.Payload[7]).IsError() && r.Payload[7] != unix.RTN_THROW
	d := netlink.NewDecoder(r.Payload[unix.SizeofRtMsg:])
	for d.Next() {
		switch d.Type() {
		case unix.RTA_DST, unix.RTA_PRIORITY, unix.RTA_TABLE, unix.RTA_PREFSRC:
		case unix.RTA_GATEWAY, unix.RTA_OIF:
			if !leads {
				return false
			}
		default:
			return false
		}
	}
	return d.Err() == nil
}

// defaultMetric is what the kernel makes of the metric 0 of a route of IPv6
// (IP6_RT_PRIO_USER).
const defaultMetric = 1024

// revocation returns the payload that deletes the route which the payload of a
// revocable request added. A deletion without a metric takes the first route that
// agrees with the rest: in IPv4 that is the one with the metric 0, but in IPv6 a metric
// of 0 is none that a route has.
func revocation(payload []byte) []byte {
	if payload[0] != unix.AF_INET6 {
		return payload
	}
	metric := uint32(0)
	d := netlink.NewDecoder(payload[unix.SizeofRtMsg:])
	for d.Next() {
		if v := d.Data(); d.Type() == unix.RTA_PRIORITY && len(v) == 4 { // the last one counts
			metric = binary.NativeEndian.Uint32(v)
		}
	}
	if metric != 0 {
		return payload
	}
	var e netlink.Encoder
	e.Reset(unix.RTM_DELROUTE, 0, payload)
	e.Uint32(unix.RTA_PRIORITY, defaultMetric)
	return e.Payload()
}
