package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rpdb/apply"
	"rpdb/kernel"
	"rpdb/nft"
)

// How often a watch repairs. What belongs together comes in a burst: it waits
// until nothing has come for quietTime, or burstTime is over. Between two repairs
// it pauses, longer if they take long, and longer each time that there was
// something to do, as with a program that undoes what it does.
const (
	quietTime  = 100 * time.Millisecond
	burstTime  = time.Second
	shortPause = 500 * time.Millisecond
	longPause  = time.Minute
	pauseShare = 10 // at most one part in so many of the time is spent repairing
)

// repairForEver repairs with each change, until ctx ends.
func (a *app) repairForEver(ctx context.Context) error {
	s, err := a.openSite(false)
	if err != nil {
		return err
	}
	defer s.close()
	watching, err := s.journal.Watch()
	if err != nil {
		return err
	}
	defer watching.Close()
	events, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer events.Close()
	var p pace
	var t repairTurn
	for {
		begun := time.Now()
		t, err = a.repairOnce(ctx, t.notes)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.printError(err)
		}
		next := a.nextLook(t.Outcome, err)
		pause := p.after(time.Since(begun), err != nil || t.changed())
		if err := awaitEvents(ctx, events, pause, next); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// watch subscribes to what may have to be repaired: the events of the kernel, and what
// becomes of our table of nftables, which others take away with "nft flush ruleset".
// Where there is no nftables, or it tells nothing to this process, there is nothing to
// repair in it either.
func (s *site) watch(ctx context.Context) (*kernel.Watcher, error) {
	events, err := s.conn.Watch(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := nft.Watch(nft.Options{NetNS: s.conn.NetNS().FD()})
	switch {
	case errors.Is(err, nft.ErrUnsupported), errors.Is(err, unix.EPERM):
		return events, nil
	case err != nil:
		events.Close()
		return nil, err
	}
	return together(events, tables), nil
}

// together returns a watcher of both. An event of nftables is told as an overflow:
// everything is to be looked at.
func together(events *kernel.Watcher, tables *nft.Watcher) *kernel.Watcher {
	type told struct {
		event kernel.Event
		err   error
	}
	all, closed := make(chan told), make(chan struct{})
	listen := func(next func(context.Context) (kernel.Event, error)) {
		for err := error(nil); err == nil; {
			var ev kernel.Event
			ev, err = next(context.Background()) // until it is closed
			select {
			case all <- told{ev, err}:
			case <-closed:
				return
			}
		}
	}
	go listen(events.Next)
	go listen(func(ctx context.Context) (kernel.Event, error) {
		return kernel.Event{Type: kernel.EventOverflow}, tables.Next(ctx)
	})
	next := func(ctx context.Context) (kernel.Event, error) {
		select {
		case t := <-all:
			return t.event, t.err
		case <-ctx.Done():
			return kernel.Event{}, ctx.Err()
		}
	}
	end := sync.OnceValue(func() error {
		close(closed)
		return errors.Join(events.Close(), tables.Close())
	})
	return kernel.NewWatcher(next, end)
}

// nextLook is when to look again even if nothing happens: after an error, and
// when a trial is over, as whoever was to end it may be no more. It is 0 if there
// is no such time.
func (a *app) nextLook(out apply.Outcome, failed error) time.Duration {
	if failed != nil {
		return longPause
	}
	if out.Pending == nil {
		return 0
	}
	left, err := timeLeft(out.Pending)
	if err != nil {
		return longPause
	}
	return max(left, 0) + 2*time.Second // its guard comes first
}

// pace is how fast a watch goes. The zero value has not repaired anything.
type pace struct{ busy int }

// after returns how long to pause after a repair that took so long.
func (p *pace) after(took time.Duration, changed bool) time.Duration {
	if !changed {
		p.busy = 0
	} else {
		p.busy++
	}
	pause := shortPause
	for range p.busy - 1 {
		pause = min(2*pause, longPause)
	}
	return max(pause, pauseShare*took)
}

// awaitEvents returns when the pause is over and something has happened, and
// nothing more comes at once; or when it is time to look anyway, if that is not
// 0; or when ctx ends.
func awaitEvents(ctx context.Context, events *kernel.Watcher, pause, look time.Duration) error {
	rest := time.NewTimer(pause)
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-rest.C:
	}
	wait, cancel := ctx, context.CancelFunc(func() {})
	if look > 0 {
		wait, cancel = context.WithTimeout(ctx, look)
	}
	defer cancel()
	if _, err := events.Next(wait); err != nil {
		return unless(wait, err)
	}
	for end := time.Now().Add(burstTime); time.Now().Before(end); {
		quiet, cancel := context.WithTimeout(ctx, quietTime)
		_, err := events.Next(quiet)
		ended := unless(quiet, err)
		over := quiet.Err() != nil
		cancel()
		if ended != nil || over {
			return ended
		}
	}
	return nil
}

// unless returns an error unless it is that ctx has ended.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
