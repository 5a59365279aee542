//go:build !linux

package seat

import "time"

// Uptime is the time since the process started. A machine that is suspended may not count it.
func Uptime() time.Duration { return Monotonic() }
