package kernel

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func lockThread() { runtime.LockOSThread() }

// dropCapabilities takes all effective capabilities from the calling thread.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}

// pause waits for some milliseconds.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(8 * time.Millisecond):
	}
}
