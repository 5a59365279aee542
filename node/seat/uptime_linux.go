package seat

import (
	"time"

	"golang.org/x/sys/unix"
)

// Uptime is the time since the machine started, also while it was suspended.
func Uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return Monotonic()
	}
	return time.Duration(t.Nano())
}
