package node

import "time"

// processBegan is what monotonic counts from; only its distance from now means something.
var processBegan = time.Now()

// monotonic stands still while the machine is suspended, and goes with virtual time.
func monotonic() time.Duration { return time.Since(processBegan) }
