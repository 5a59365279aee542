package region

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// wanderer adds moves to a random history: citizens leave for sicilia, come back with what they
// took along, and whatever was sent before is sent again, at any time.
type wanderer struct {
	*history
	pages []*wire.MovePage // that sicilia may send back
	steps []wire.Command   // sent before
}

// step logs one command about moves, alone in its entry.
func (w *wanderer) step() {
	w.t.Helper()
	c := w.next()
	w.steps = append(w.steps, c)
	w.doAll(c)
}

func (w *wanderer) next() wire.Command {
	if len(w.steps) > 0 && w.rng.IntN(5) == 0 {
		return w.steps[w.rng.IntN(len(w.steps))]
	}
	r := w.recipient()
	if list, err := w.Moves(100); err == nil && len(list) > 0 && w.rng.IntN(4) > 0 {
		return w.goOn(list[w.rng.IntN(len(list))])
	}
	switch w.rng.IntN(9) {
	case 0, 1, 2:
		return command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: r, To: "sicilia"})
	case 3:
		return command(wire.CmdMoveIntent, &wire.MoveIntent{Token: w.token(), To: "sicilia"})
	case 4, 5, 6:
		if n := len(w.pages); n > 0 {
			p := w.pages[n-1-w.rng.IntN(min(n, 4))]
			if left, err := w.Remains(p.Recipient, p.Epoch); err == nil && left {
				return command(wire.CmdMoveErase, &wire.MoveErase{Recipient: p.Recipient})
			}
			return command(wire.CmdMovePage, p)
		}
	case 7:
		if n := len(w.pages); n > 0 && w.rng.IntN(3) == 0 {
			p := w.pages[w.rng.IntN(n)]
			return command(wire.CmdMoveRefuse, &wire.MoveStep{Recipient: p.Recipient,
				Epoch: p.Epoch, Region: p.From})
		}
	}
	return command(wire.CmdMoveErase, &wire.MoveErase{Recipient: r})
}

// goOn is a next step of a move away.
func (w *wanderer) goOn(m wire.Move) wire.Command {
	switch {
	case m.Aborting:
		return command(wire.CmdMoveUndo, leaving(m))
	case w.rng.IntN(6) == 0:
		return command(wire.CmdMoveAbort, &wire.MoveRef{Recipient: m.Recipient})
	case m.State == wire.MoveIntended:
		return command(wire.CmdMoveFence, leaving(m))
	}
	// All that goes along comes back at the next epoch, in as many pages.
	back := wire.Move{Recipient: m.Recipient, Region: "sicilia", Epoch: m.Epoch + 1}
	var at []byte
	for last := false; !last; {
		page := w.page(back, at)
		w.pages = append(w.pages, page)
		at, last = page.Next, page.Last
	}
	return command(wire.CmdMoveDone, leaving(m))
}

// TestReplayMoves is TestReplay with moves: nothing of it ever stops a replica, and the state does
// not depend on how the log was batched.
func TestReplayMoves(t *testing.T) {
	for seed := range uint64(3) {
		coder := newCoder(t)
		h := newHistory(openFixture(t, testConfig(vfs.NewMem(), "lazio", coder)), 300+seed)
		if seed != 1 {
			h.raise() // else pages with rows of version 3 are refused
		}
		w := &wanderer{history: h}
		for range 300 {
			h.step()
			w.step()
			w.step()
		}
		h.checkCaches()
		came := 0
		for _, c := range h.codes {
			if own, _, _ := h.Ownership(h.hasher.Recipient(c)); own.State == wire.Owned &&
				own.Epoch > 1 {
				came++
			}
		}
		if came == 0 {
			t.Errorf("seed %d: nobody came back, the test is wrong", seed)
		}
		rng := rand.New(rand.NewPCG(seed, 98))
		other := openFixture(t, testConfig(vfs.NewMem(), "lazio", coder))
		for _, b := range batches(rng, h.log) {
			other.apply(b...)
			if rng.IntN(8) == 0 {
				other.restart()
			}
		}
		checkEqual(t, "other batches and restarts", other, h.fixture)
		checkOwners(t, h)
	}
}

// checkOwners holds what every state promises of a code, wherever its citizen went.
func checkOwners(t *testing.T, h *history) {
	t.Helper()
	for _, c := range h.codes {
		r := h.hasher.Recipient(c)
		own, _, err := h.Ownership(r)
		if err != nil {
			t.Fatal(err)
		}
		placed, err := h.Messages(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range placed {
			if b := h.block(p.Block); own.State == wire.Owned && b.IsErased(p.Position) {
				t.Errorf("message %v of the owner is erased", p.ID)
			}
		}
		left, err := h.Remains(r, 0)
		if err != nil || left && own.State == wire.Owned {
			t.Errorf("remains %v, %v of a citizen who is here", left, err)
		}
	}
}
