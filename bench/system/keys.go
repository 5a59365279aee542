package system

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// keys makes idempotency keys that never repeat, for concurrent use.
func keys(seed uint64) func() string {
	var run [8]byte
	rand.Read(run[:]) // never fails
	prefix := hex.EncodeToString(run[:]) + "-" + strconv.FormatUint(seed, 10) + "-"
	var made atomic.Uint64
	return func() string { return prefix + strconv.FormatUint(made.Add(1), 10) }
}
