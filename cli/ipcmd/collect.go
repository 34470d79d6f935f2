package ipcmd

import (
	"os"
	"runtime"
	"runtime/debug"
)

// CollectLate lets the garbage of this process wait until there are 32 MB of memory
// to look through, once, in place of 4. It is for commands that end soon and need
// much of what they read until their end: a hundred thousand rules are looked
// through for nothing. What runs longer is as it always was from then on. Who sets
// GOGC decides for themselves.
func CollectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	before := debug.SetGCPercent(800)
	runtime.AddCleanup(new([64]byte), func(percent int) { debug.SetGCPercent(percent) }, before)
}
