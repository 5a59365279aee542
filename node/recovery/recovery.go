package recovery

import (
	"slices"
	"sync"

	"github.com/staffetta/staffetta/node/seat"
)

// Recovery holds copies of this node's states still while operators fetch them, one of each group
// at a time, and knows what became of groups that were restored from one. A copy lasts as long as
// the call that opened it, so that none is ever forgotten. Its methods may be called concurrently.
type Recovery struct {
	*seat.Seat

	mu sync.Mutex
	// Guarded by mu.
	busy   map[string]bool        // groups
	open   map[uint64]*openBackup // by lease
	hashes map[string]*hashes     // by group
}

// New makes the duty.
func New(at *seat.Seat) *Recovery {
	return &Recovery{Seat: at, busy: map[string]bool{}, open: map[uint64]*openBackup{},
		hashes: map[string]*hashes{}}
}

// Calls are the calls about copies of the states and about restored groups.
func (d *Recovery) Calls() []seat.Call { return slices.Concat(d.backupCalls(), d.restoreCalls()) }
