package ipcmd

import (
	"slices"
	"strings"
	"testing"
)

// The rest of a batch is read from a descriptor, whatever else has its name.
func TestBatchAt(t *testing.T) {
	for _, tt := range []struct {
		args, name, want string
		at               int
	}{
		{"-batch -", "-", "-batch -", 0},
		{"-j -batch /dev/stdin", "/dev/stdin", "-j -batch /dev/stdin", 0},
		{"-batch /dev/fd/63 -force", "/dev/fd/63", "-batch /dev/fd/63 -force", 63},
		{"-b /proc/self/fd/5", "/proc/self/fd/5", "-b /proc/self/fd/5", 5},
		{"-force -batch fifo", "fifo", "-force -batch -", 0},
		{"--ba fifo", "fifo", "--ba -", 0},
		{"-n blue -b blue -j", "blue", "-n blue -b - -j", 0},
		{"-batch blue -n blue", "blue", "-batch - -n blue", 0},
		{"-batch other -batch fifo", "fifo", "-batch other -batch -", 0},
		{"-batch fifo -batch fifo", "fifo", "-batch - -batch -", 0},
	} {
		given := strings.Fields(tt.args)
		got, at := batchAt(given, tt.name)
		if !slices.Equal(got, strings.Fields(tt.want)) || at != tt.at || !slices.Equal(given, strings.Fields(tt.args)) {
			t.Errorf("ip %s: %q, read from %d", tt.args, got, at)
		}
	}
}
