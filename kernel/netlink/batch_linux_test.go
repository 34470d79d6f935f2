package netlink

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// batchOf is a batch of n requests that the kernel carries out, questions for
// the number of our namespace, but for those of a type that it does not know.
func batchOf(t *testing.T, n int, unknown func(i int) bool) *Batch {
	t.Helper()
	var b Batch
	for i := range n {
		e := NewEncoder(nil, unix.RTM_GETNSID, 0, make([]byte, 4))
		e.Uint32(unix.NETNSA_PID, uint32(os.Getpid()))
		if unknown(i) {
			e = NewEncoder(nil, 200, 0, make([]byte, 12))
		}
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

// Each refusal names its request, whatever the others come to, also where the
// kernel refuses all of them.
func TestBatchTellsWhatWasRefused(t *testing.T) {
	c := open(t, Options{})
	for name, unknown := range map[string]func(int) bool{
		"none": func(int) bool { return false },
		"all":  func(int) bool { return true },
		"some": func(i int) bool { return i%7 == 3 },
		"last": func(i int) bool { return i == 999 },
	} {
		b := batchOf(t, 1000, unknown)
		var want, got []int
		for i := range b.Len() {
			if unknown(i) {
				want = append(want, i)
			}
		}
		for range 2 { // the same batch can be sent again
			got = got[:0]
			done, err := c.ExecuteBatch(t.Context(), b, func(i int, err error) error {
				if !errors.Is(err, unix.EOPNOTSUPP) {
					t.Errorf("%s: request %d: %v", name, i, err)
				}
				got = append(got, i)
				return nil
			})
			if err != nil || done != 1000 || !slices.Equal(got, want) {
				t.Errorf("%s: %d done, %v, refused %v, want %v", name, done, err, got, want)
			}
		}
		if b.Reset(); b.Len() != 0 {
			t.Errorf("%d requests in an empty batch", b.Len())
		}
	}
}

// An error ends the batch soon, and the socket is fit for the next exchange.
func TestBatchEnds(t *testing.T) {
	c := open(t, Options{})
	stop := errors.New("enough")
	b := batchOf(t, 1000, func(i int) bool { return i == 150 || i == 151 })
	done, err := c.ExecuteBatch(t.Context(), b, func(int, error) error { return stop })
	if err != stop || done != 2*pieceRequests {
		t.Errorf("%d done, %v", done, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, err = c.ExecuteBatch(ctx, b, func(int, error) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) || done != 2*pieceRequests {
		t.Errorf("%d done, %v", done, err)
	}
	c.seq = 1<<32 - 50 // the numbers of the requests begin anew
	if done, err = c.ExecuteBatch(t.Context(), b, func(int, error) error { return nil }); err != nil || done != 1000 {
		t.Errorf("%d done, %v", done, err)
	}
	if _, err := c.Dump(t.Context(), rulesRequest(), func(Message) error { return nil }); err != nil {
		t.Error(err)
	}
}

// Nothing of a piece is sent if one of its requests is not to be sent.
func TestBatchIsGuarded(t *testing.T) {
	c := open(t, Options{})
	b := batchOf(t, 10, func(int) bool { return true })
	e := NewEncoder(nil, unix.RTM_NEWROUTE, Create, make([]byte, 12))
	tunnel(e, 21, 22, 2, 8)
	if err := b.Add(e); err != nil {
		t.Fatal(err)
	}
	seq := c.seq
	done, err := c.ExecuteBatch(t.Context(), b, func(int, error) error { t.Error("sent"); return nil })
	if !errors.Is(err, unix.EOPNOTSUPP) || done != 0 || c.seq != seq {
		t.Errorf("%d done, %v", done, err)
	}
	if err := b.Add(NewEncoder(nil, 24, 0, nil)); err != nil {
		t.Fatal(err)
	}
	bad := NewEncoder(nil, 24, 0, nil)
	bad.Raw([]byte{1})
	if err := b.Add(bad); err == nil || b.Len() != 12 {
		t.Errorf("%v, %d requests", err, b.Len())
	}
}

// Long requests go out in pieces that the send buffer takes.
func TestBatchOfLongRequests(t *testing.T) {
	c := open(t, Options{})
	var b Batch
	for range 20 {
		e := NewEncoder(nil, 200, 0, make([]byte, 12))
		e.Bytes(1, make([]byte, 20<<10))
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if done, err := c.ExecuteBatch(t.Context(), &b, func(int, error) error { n++; return nil }); err != nil || done != 20 || n != 20 {
		t.Errorf("%d done, %d refused, %v", done, n, err)
	}
}
