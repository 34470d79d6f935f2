package apply_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rpdb/apply"
	"rpdb/apply/journal"
)

// TestGuardIsRelieved: told to end, it leaves the generation on trial if something
// else watches it (E13), and does not if it is overdue.
func TestGuardIsRelieved(t *testing.T) {
	for name, test := range map[string]struct {
		relieved bool
		at       time.Duration
		want     string // "" for what is on trial
	}{
		"relieved": {true, 20 * time.Second, ""},
		"alone":    {false, 20 * time.Second, "A"},
	} {
		t.Run(name, func(t *testing.T) {
			s := onTrial(t)
			var asked journal.Pending
			synctest.Test(t, func(t *testing.T) {
				ended, err := guarded(t, s, func(_ context.Context, _ apply.Config, cancel func()) {
					time.Sleep(test.at)
					cancel()
				}, func(c *apply.Config) {
					c.Relieved = func(p journal.Pending) bool {
						asked = p
						return test.relieved
					}
				})
				if err != nil || ended != test.at {
					t.Errorf("ended after %v: %v", ended, err)
				}
			})
			if asked.ID != 2 {
				t.Errorf("asked about %+v", asked)
			}
			if test.want != "" {
				s.oneOf(t, name, test.want)
				return
			}
			_, err := s.session(t, func(session *apply.Session) error {
				if p := session.State().Pending; p == nil || p.ID != 2 {
					t.Errorf("on trial: %+v", p)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEnded is told once for each trial, when it is over and not before, however
// that comes about.
func TestEnded(t *testing.T) {
	for name, test := range map[string]struct {
		site func(t *testing.T) *site
		do   func(t *testing.T, s *site, session *apply.Session)
		id   uint64
	}{
		"confirmed": {onTrial, func(t *testing.T, _ *site, session *apply.Session) {
			if _, err := session.Confirm(t.Context(), 2); err != nil {
				t.Error(err)
			}
		}, 2},
		"rolled back": {onTrial, func(t *testing.T, _ *site, session *apply.Session) {
			if _, err := session.RollBack(t.Context(), "by eve"); err != nil {
				t.Error(err)
			}
		}, 2},
		"overdue": {func(t *testing.T) *site {
			s := onTrial(t)
			s.machine.since += time.Minute
			return s
		}, func(*testing.T, *site, *apply.Session) {}, 2},
		"no guard": {newTemplate(t, false, "A").site, func(t *testing.T, s *site, session *apply.Session) {
			prop := s.proposal(t, "B")
			prop.Confirm, prop.Guard = time.Minute, func(journal.Pending) error { return context.DeadlineExceeded }
			if _, err := session.Apply(t.Context(), prop); err == nil {
				t.Error("no error")
			}
		}, 2},
		"still on trial": {onTrial, func(*testing.T, *site, *apply.Session) {}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.site(t)
			c := s.config(t)
			defer c.Journal.Close()
			var ended []uint64
			c.Ended = func(p journal.Pending) {
				if onDisk, err := c.Journal.Read(); err != nil || onDisk.Pending != nil || p.Deadline == 0 {
					t.Errorf("%+v ended, and on disk %+v is on trial: %v", p, onDisk.Pending, err)
				}
				ended = append(ended, p.ID)
			}
			session, err := apply.Begin(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			test.do(t, s, session)
			session.Close()
			if want := test.id; want == 0 && len(ended) > 0 || want > 0 && (len(ended) != 1 || ended[0] != want) {
				t.Errorf("told of %v, want %d", ended, want)
			}
		})
	}
}

// TestGuardIsToldTheDeadline, as what it starts needs it.
func TestGuardIsToldTheDeadline(t *testing.T) {
	s := newTemplate(t, false, "A").site(t)
	var got journal.Pending
	_, err := s.session(t, func(session *apply.Session) error {
		prop := s.proposal(t, "B")
		prop.Confirm = time.Minute
		prop.Guard = func(p journal.Pending) error {
			got = p
			return nil
		}
		_, err := session.Apply(t.Context(), prop)
		return err
	})
	if err != nil || got.ID != 2 || got.Deadline != s.machine.since+time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
}
