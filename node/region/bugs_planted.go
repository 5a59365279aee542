//go:build planted

package region

import (
	"math/rand/v2"

	"github.com/staffetta/staffetta/internal/planted"
)

// plantedAgain has a message applied again that was sent before under its key.
func plantedAgain() bool { return planted.Is(planted.DoubleApply) }

// plantedStale has the region decide for a code that it released.
func plantedStale() bool { return planted.Is(planted.StaleOwner) }

// plantedByte changes a byte of a row on this replica alone, one time in a hundred.
func plantedByte(row *inboxRow) {
	if planted.Is(planted.DivergentApply) && rand.IntN(100) == 0 {
		row.TimeToLive ^= 1
	}
}
