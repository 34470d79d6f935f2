package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// parallel is how many probes are under way at once. Each has a thread that
// sleeps, and a descriptor for each gateway and a few more.
const parallel = 64

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
