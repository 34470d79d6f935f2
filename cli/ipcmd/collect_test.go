package ipcmd

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// After the first collection everything is as before.
func TestCollectLateOnce(t *testing.T) {
	t.Setenv("GOGC", "")
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	before := percent()
	CollectLate()
	if late := percent(); late <= before {
		t.Errorf("it is %d, and was %d", late, before)
	}
	for range 1000 {
		runtime.GC()
		if percent() == before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("it stays at %d", percent())
}
