package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"rpdb"
)

// parallel is how many probes are under way at once. Each has a thread that
// sleeps, and a descriptor for each gateway and a few more.
const parallel = 64

// identity is who this process is for the kernel's routing.
type identity struct {
	uid    uint32 // owner of its sockets
	kernel uint32 // "user" of the kernel's own packets: root, or noUID in a user namespace without root
}

func currentIdentity() identity {
	id := identity{uid: fsuid(), kernel: noUID}
	if canBe(0) {
		id.kernel = 0
	}
	return id
}

func canBe(uid uint32) bool {
	return asUser(rpdb.Some(uid), func() error { return nil }) == nil
}

// CanBe reports whether probes can be sent as this user: root can be anyone,
// an ordinary user only the one id that [EnterOptions] gave.
func (w *World) CanBe(uid uint32) bool { return canBe(uid) }

// Prepare returns the probe with everything filled in that it left open, so
// that its Flow is what the kernel will be asked. Nothing is sent. A prepared
// probe stays as it is. It fails for a probe that makes no sense in this world.
func (w *World) Prepare(p Probe) (Probe, error) {
	q, err := w.prepare(p)
	if err != nil {
		return p, fmt.Errorf("prepare probe %v: %w", p, err)
	}
	return q, nil
}

func (w *World) prepare(p Probe) (Probe, error) {
	for _, a := range []netip.Addr{p.Local, p.Remote} {
		if p.Family == 0 {
			p.Family = rpdb.FamilyOf(a)
		}
		if a.IsValid() && rpdb.FamilyOf(a) != p.Family {
			return p, fmt.Errorf("address %v: not of the family %v", a, p.Family)
		}
	}
	if p.Family.Bits() == 0 {
		return p, errors.New("no family")
	}
	if !p.Remote.IsValid() {
		p.Remote = w.Outside(p.Family)
	}
	if !slices.Contains(w.spec.Outside, p.Remote) {
		return p, fmt.Errorf("address %v: not one of the outside", p.Remote)
	}
	switch {
	case p.Protocol == rpdb.ICMP && p.Family == rpdb.IPv6:
		p.Protocol = rpdb.ICMPv6
	case p.Protocol != rpdb.TCP && p.Protocol != rpdb.UDP && !p.isEcho() || p.Protocol == rpdb.ICMPv6 && p.Family == rpdb.IPv4:
		return p, fmt.Errorf("protocol %d: not one to probe with", p.Protocol)
	}
	if err := w.prepareDirection(&p); err != nil {
		return p, err
	}
	w.ports.fill(&p)
	if p.Timeout <= 0 {
		p.Timeout = defaultTimeout
	}
	return p, nil
}

// prepareDirection fills in what depends on who asks.
func (w *World) prepareDirection(p *Probe) error {
	uid := w.process.uid
	if p.Direction == Outbound {
		if p.Uplink != "" {
			return fmt.Errorf("uplink %q: an outbound probe cannot choose it", p.Uplink)
		}
	} else {
		i := slices.IndexFunc(w.gateways, func(g *gateway) bool { return g.name == p.Uplink })
		switch {
		case i < 0:
			return fmt.Errorf("uplink %q: not in this world", p.Uplink)
		case !p.Local.IsValid():
			return errors.New("no address of the host to ask")
		}
		p.link = w.gateways[i].link
		if p.isEcho() {
			uid = w.process.kernel
			if u, ok := p.UID.Get(); p.Mark != 0 || p.TOS != 0 || p.Device != "" || ok && u != uid {
				return errors.New("the kernel answers pings: no mark, TOS, device or user")
			}
		}
	}
	if !p.UID.IsSet() {
		p.UID = rpdb.Some(uid)
	}
	return nil
}

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

// gatewayMark returns the mark that makes the outside send by the gateway of
// an uplink.
func (w *World) gatewayMark(uplink string) uint32 {
	for _, g := range w.gateways {
		if g.name == uplink {
			return g.mark
		}
	}
	return 0
}

// Send carries a probe out and says what became of it. A question or an answer
// that is lost, or that the host itself refuses to send, is an outcome; an
// error is a probe that makes no sense, trouble with the sandbox itself, or
// the end of the context, which stops it at once.
func (w *World) Send(ctx context.Context, p Probe) (Outcome, error) {
	p, err := w.Prepare(p)
	if err != nil {
		return Outcome{}, err
	}
	outcome, err := w.send(ctx, p)
	if err != nil {
		return Outcome{}, fmt.Errorf("send probe %v: %w", p, err)
	}
	return outcome, nil
}

func (w *World) send(ctx context.Context, p Probe) (Outcome, error) {
	if ctx.Err() != nil {
		return Outcome{}, context.Cause(ctx)
	}
	release, err := w.ports.take(ctx, p)
	if err != nil {
		return Outcome{}, err
	}
	defer release()
	if err := w.ledger.open(p.key()); err != nil {
		return Outcome{}, err
	}
	x := exchange{world: w, probe: p}
	defer x.close()
	err = x.run(ctx)
	departures, source, watchErr := w.ledger.closeEntry(p.key())
	if err := errors.Join(err, watchErr); err != nil {
		return Outcome{}, err
	}
	return Outcome{
		Probe: p, Answered: x.answered, Errno: x.errno, Departures: departures, Source: source, RTT: x.rtt,
	}, nil
}

// SendAll carries probes out, many at a time, and returns their outcomes in
// the order of the probes. The first error stops all.
func (w *World) SendAll(ctx context.Context, probes []Probe) ([]Outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	outcomes := make([]Outcome, len(probes))
	slots := make(chan struct{}, parallel)
	var running sync.WaitGroup
	for i, p := range probes {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			defer func() { <-slots }()
			var err error
			if outcomes[i], err = w.Send(ctx, p); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return outcomes, nil
}

// Probes returns the standard questions, prepared: from outside to each
// address of each uplink, by that uplink; from the host, bound to each of
// these addresses; bound to each interface in each family that it has an
// address of; and bound to nothing, in each family in use. Each with TCP, UDP
// and ping.
func (w *World) Probes() []Probe {
	var probes []Probe
	add := func(p Probe) {
		for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
			p.Protocol = protocol
			if q, err := w.Prepare(p); err == nil { // cannot fail: all comes from the spec
				probes = append(probes, q)
			}
		}
	}
	inUse := map[rpdb.Family]bool{}
	for _, u := range w.spec.Uplinks {
		for _, a := range globals(u.Addresses) {
			inUse[rpdb.FamilyOf(a)] = true
			add(Probe{Direction: Inbound, Uplink: u.Name, Local: a})
			add(Probe{Local: a})
		}
		for _, f := range rpdb.Families() {
			if hasFamily(u.Addresses, f) {
				add(Probe{Family: f, Device: u.Link})
			}
		}
	}
	for _, f := range rpdb.Families() {
		if inUse[f] {
			add(Probe{Family: f})
		}
	}
	return probes
}

// globals returns the addresses that packets to the outside can carry.
func globals(prefixes []netip.Prefix) []netip.Addr {
	var addrs []netip.Addr
	for _, p := range prefixes {
		if !isLinkLocal6(p.Addr()) {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}
