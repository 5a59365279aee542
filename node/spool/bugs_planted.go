//go:build planted

package spool

import (
	bugs "github.com/staffetta/staffetta/internal/planted"
	"github.com/staffetta/staffetta/wire"
)

// planted acknowledges a block and drops it.
func planted(b *wire.SpoolBlock) *wire.Spooled {
	if !bugs.Is(bugs.LostSpool) {
		return nil
	}
	answer := &wire.Spooled{Outcomes: make([]wire.Outcome, len(b.Stubs))}
	for i := range b.Stubs {
		answer.Outcomes[i] = wire.Outcome{Kind: wire.Decided, ID: b.Stubs[i].ID,
			Verdict: wire.Verdict{Status: wire.Throttled}}
	}
	return answer
}
