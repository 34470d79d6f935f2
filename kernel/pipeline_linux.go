package kernel

import (
	"context"

	"golang.org/x/sys/unix"

	"rpdb/kernel/netlink"
)

// Pipeline collects requests that are carried out whatever becomes of those before
// them, and sends them together, for the cost of one exchange a hundred: what
// "ip -force -batch" does line by line. It is not safe for concurrent use.
type Pipeline struct {
	socket *Socket
	batch  netlink.Batch
	e      netlink.Encoder
	told   toldRules // of the requests that were sent last
}

// Pipeline returns an empty one.
func (s *Socket) Pipeline() *Pipeline { return &Pipeline{socket: s} }

// Len returns how many requests were added since the last [Pipeline.Flush].
func (p *Pipeline) Len() int { return p.batch.Len() }

// AddRule adds a request, as [Socket.SendRule] sends it; Echo is not heeded.
func (p *Pipeline) AddRule(r RuleRequest) error {
	if r.Delete {
		return p.add(unix.RTM_DELRULE, 0, r.Payload)
	}
	return p.add(unix.RTM_NEWRULE, netlink.Create|netlink.Excl, r.Payload)
}

// AddRoute adds a request, as [Socket.SendRoute] sends it; Echo is not heeded. Our
// own refusal of the one kind of route that kernels do not survive is the error, and
// then nothing is added.
func (p *Pipeline) AddRoute(r RouteRequest) error {
	return p.add(r.Type, netlink.Flags(r.Flags), r.Payload)
}

func (p *Pipeline) add(typ uint16, flags netlink.Flags, payload []byte) error {
	if err := netlink.Guard(typ, payload); err != nil {
		return err
	}
	p.e.Reset(typ, flags, payload)
	return p.batch.Add(&p.e)
}

// Flush carries out what was added, and tells of the requests that the kernel
// refused, by their number, from 0; such an error is a [*Refusal]. Afterwards the
// pipeline is empty.
func (p *Pipeline) Flush(ctx context.Context, refused func(i int, err error)) error {
	defer p.batch.Reset()
	_, err := p.socket.nl.ExecuteBatch(ctx, &p.batch, func(i int, err error) error {
		refused(i, err)
		return nil
	})
	return err
}
