package ipcmd

import (
	"errors"
	"strings"
	"testing"
)

type fullDisk struct{ left int }

func (f *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	if n < len(p) {
		return n, errors.New("full")
	}
	return n, nil
}

// What was written comes out, as it was and as often as it is asked for.
func TestHeld(t *testing.T) {
	var h Held
	var want strings.Builder
	for i := range 3000 {
		line := strings.Repeat("x", i%97) + "\n"
		if i%1000 == 999 {
			line = strings.Repeat("y", 3*heldBlock)
		}
		want.WriteString(line)
		if n, err := h.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	for range 2 {
		var got strings.Builder
		if n, err := h.WriteTo(&got); n != int64(want.Len()) || err != nil || got.String() != want.String() {
			t.Errorf("%d bytes of %d, %v", n, want.Len(), err)
		}
	}
	if n, err := h.WriteTo(&fullDisk{70000}); n != 70000 || err == nil {
		t.Errorf("full disk: %d, %v", n, err)
	}
}
