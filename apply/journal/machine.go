package journal

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine tells deadlines and times. Tests have others than [Host].
type Machine interface {
	// Boot returns the identity of this boot, and the time since then, in which
	// suspended time counts and which nobody can set.
	Boot() (id string, since time.Duration, err error)
	// Now is the wall clock, for people.
	Now() time.Time
}

// Host is the machine that the program runs on.
type Host struct{}

// Boot reads the kernel's boot id and CLOCK_BOOTTIME.
func (Host) Boot() (id string, since time.Duration, err error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, fmt.Errorf("read the boot id: %w", cause(err))
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return "", 0, fmt.Errorf("read the time since boot: %w", err)
	}
	return strings.TrimSpace(string(data)), time.Duration(ts.Nano()), nil
}

// Now returns the wall clock.
func (Host) Now() time.Time { return time.Now() }
