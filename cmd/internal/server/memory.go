package server

import (
	"os"
	"runtime/debug"
)

const (
	// gcPercent lets garbage grow to four times what lives before it is collected: a busy process
	// spends a sixth less processor time on each message than with Go's 100. What lives is small
	// beside what a server has; an idle process makes little garbage, collected every two minutes.
	gcPercent = 400
	// NodeMemory and GatewayMemory are where collecting sets in earlier, so that a process with
	// full caches does not take five times their size.
	NodeMemory    = 240 << 20
	GatewayMemory = 512 << 20
)

// TuneMemory sets the collector for a long-running process. The operator's GOGC and GOMEMLIMIT
// win.
func TuneMemory(limit int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
