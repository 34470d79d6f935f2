package apply

import (
	"context"
	"errors"
	"time"

	"rpdb/apply/journal"
)

// guardTick is how often a guard looks at the record and at the clock.
const guardTick = time.Second

// guardRetry is how soon a guard that is late tries again.
const guardRetry = 100 * time.Millisecond

// guardPatience is how long after the deadline a guard goes on trying.
const guardPatience = time.Hour

// Guard sees to it that a generation does not outlive its trial. It returns when
// that is over, whoever ended it: confirmed, rolled back by somebody else, or by
// the guard, at the deadline or as soon as whoever was writing the generation
// is no more. If ctx ends before, the guard cannot promise anything any more: it
// leaves the generation to whoever has relieved it, or else rolls back at once.
// It looks once in a second, so it is not late by more than that.
//
// If it cannot roll back, or not even read the record, it tries again, for an
// hour.
func Guard(ctx context.Context, c Config, id uint64) error {
	c.Wait = 0
	left := guardTick // as long as nothing can be read
	for {
		var over bool
		var err error
		left, over, err = look(ctx, c, id, left)
		ending := ctx.Err() != nil
		if over || left < -guardPatience || ending && err != nil {
			return err
		}
		pause := min(guardTick, max(left, guardRetry))
		left -= pause
		tick := time.NewTimer(pause)
		if ending {
			<-tick.C
			continue
		}
		select {
		case <-ctx.Done():
			tick.Stop()
		case <-tick.C:
		}
	}
}

// look is one look of a guard: over says that there is nothing more to do, and
// left is the time until the deadline, as expected where it cannot be read.
func look(ctx context.Context, c Config, id uint64, expected time.Duration) (left time.Duration, over bool, err error) {
	state, err := c.Journal.Read()
	if err != nil {
		return expected, false, err
	}
	if state.Pending == nil || state.Pending.ID != id {
		return 0, true, nil
	}
	boot, since, err := c.Machine.Boot()
	if err != nil {
		return expected, false, err
	}
	left = state.Pending.Deadline - since
	ending := ctx.Err() != nil
	relieved := ending && c.Relieved != nil && c.Relieved(*state.Pending)
	if c.overdue(*state.Pending, boot, since) == "" && (!ending || relieved) {
		return left, relieved, nil
	}
	s, err := Begin(context.WithoutCancel(ctx), c)
	var locked *journal.LockedError
	switch {
	case errors.As(err, &locked):
		return left, false, nil // by who is writing, or ends the trial
	case err != nil:
		return left, false, err
	}
	defer s.Close()
	if p := s.state.Pending; ending && p != nil && p.ID == id {
		_, err = s.RollBack(ctx, "its guard was told to end")
	}
	return left, s.state.Pending == nil, err
}
