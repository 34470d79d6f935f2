package sandbox

import (
	"context"
	"net/netip"
	"sync"

	"rpdb"
)

// ports allots ports, counting. It is safe for concurrent use.
type ports struct {
	mu   sync.Mutex
	next uint16
	busy map[portKey]chan struct{}
}

// The ports allotted: below those that the kernel chooses by itself.
const (
	firstLocalPort  = 10000
	firstRemotePort = 20000
	portCount       = 10000
)

// fill gives the probe the ports that it lacks; a ping has no remote one.
func (o *ports) fill(p *Probe) {
	if p.isEcho() {
		p.RemotePort = 0
	}
	if p.LocalPort != 0 && (p.RemotePort != 0 || p.isEcho()) {
		return
	}
	o.mu.Lock()
	n := o.next
	o.next = (o.next + 1) % portCount
	o.mu.Unlock()
	if p.LocalPort == 0 {
		p.LocalPort = firstLocalPort + n
	}
	if p.RemotePort == 0 && !p.isEcho() {
		p.RemotePort = firstRemotePort + n
	}
}

// portKey is a port that one probe at a time can have.
type portKey struct {
	protocol rpdb.IPProto
	addr     netip.Addr // the outside's; the unspecified address for all of the host
	port     uint16
}

// take waits until both ports of a probe are free, and takes them. They are
// always taken in this order, so nobody waits in a circle.
func (o *ports) take(ctx context.Context, p Probe) (release func(), err error) {
	local := portKey{p.Protocol, p.Family.Unspecified(), p.LocalPort}
	if err := o.takeOne(ctx, local); err != nil {
		return nil, err
	}
	if p.isEcho() {
		return func() { o.release(local) }, nil
	}
	remote := portKey{p.Protocol, p.Remote, p.RemotePort}
	if err := o.takeOne(ctx, remote); err != nil {
		o.release(local)
		return nil, err
	}
	return func() { o.release(remote); o.release(local) }, nil
}

func (o *ports) takeOne(ctx context.Context, k portKey) error {
	for {
		o.mu.Lock()
		free, taken := o.busy[k]
		if !taken {
			if o.busy == nil {
				o.busy = map[portKey]chan struct{}{}
			}
			o.busy[k] = make(chan struct{})
			o.mu.Unlock()
			return nil
		}
		o.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (o *ports) release(k portKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.busy[k])
	delete(o.busy, k)
}
