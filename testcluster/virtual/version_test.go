package virtual

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestJoinedLeaderAsksBeforeRaising: a region whose member is away waits with the new version,
// whoever leads it; one that joined when the federation had gone on knows no more than the others.
// It is as ready as they are.
func TestJoinedLeaderAsksBeforeRaising(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := NewAt(t, 1, nil, 3, "lazio", "sicilia")
		away := w.Nodes("lazio")[2]
		w.Await("the upgrade is finalised", func() bool {
			return w.Operate(wire.MethodFinalise, &wire.RaiseVersion{Version: 2}) == nil
		})
		away.Stop()
		if got := w.Leader("lazio").Node.Region().ActiveVersion(); got != 1 {
			t.Fatalf("the region is at version %d before its member went away", got)
		}
		n := w.Join("lazio", "lazio-4")
		w.AwaitVoters("region/lazio", "lazio-1", "lazio-2", "lazio-3", "lazio-4")
		w.Await("who joined leads", func() bool {
			old := w.Leader("lazio")
			return old == n || w.Operator().TransferLeadership(t.Context(), "region/lazio", n.ID) == nil &&
				w.Leader("lazio") == n
		})
		time.Sleep(10 * time.Second)
		if got := n.Node.Region().ActiveVersion(); got != 1 {
			t.Errorf("the region is at version %d while a member is away", got)
		}
		if h := n.Node.Health(); !h.Ready {
			t.Errorf("who joined is not ready: %q", h.Reasons)
		}
		away.Start()
		w.Await("the region has gone on", func() bool {
			return n.Node.Region().ActiveVersion() == 2
		})
		w.AwaitReady()
	})
}
