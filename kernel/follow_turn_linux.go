package kernel

import (
	"context"
	"sync"
)

// turns lets one caller at a time at something on which callers may wait long
// without doing anything: whoever has work to do sends a waiting one to the back
// of the queue.
type turns struct {
	held chan struct{} // full while somebody has the turn

	mu      sync.Mutex
	claims  int    // callers with work that wait for their turn
	disturb func() // ends the waiting of the one who has the turn; nil: does not wait
}

func newTurns() turns { return turns{held: make(chan struct{}, 1)} }

// await waits for the turn, or until ctx ends.
func (t *turns) await(ctx context.Context) error {
	select {
	case t.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// claim is await for callers who have work to do.
func (t *turns) claim(ctx context.Context) error {
	t.mu.Lock()
	t.claims++
	if t.disturb != nil {
		t.disturb()
	}
	t.mu.Unlock()
	err := t.await(ctx)
	t.mu.Lock()
	t.claims--
	t.mu.Unlock()
	return err
}

// idle has the one who has the turn wait, but for no longer than nobody claims
// it. That it was disturbed is no error.
func (t *turns) idle(ctx context.Context, wait func(context.Context) error) error {
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	t.mu.Lock()
	claimed := t.claims > 0
	if !claimed {
		t.disturb = cancel
	}
	t.mu.Unlock()
	if claimed {
		return nil
	}
	err := wait(until)
	t.mu.Lock()
	t.disturb = nil
	t.mu.Unlock()
	if err != nil && until.Err() != nil {
		return ctx.Err()
	}
	return err
}

// end gives the turn back.
func (t *turns) end() { <-t.held }
