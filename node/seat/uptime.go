package seat

import "time"

// processBegan is what Monotonic counts from; only its distance from now means something.
var processBegan = time.Now()

// Monotonic stands still while the machine is suspended, and goes with virtual time.
func Monotonic() time.Duration { return time.Since(processBegan) }
