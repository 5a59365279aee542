package virtual

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/node/operate"
	"github.com/staffetta/staffetta/node/witness"
	"github.com/staffetta/staffetta/wire"
)

// bent is a state that applies every entry at another time than the log says, once told to: what
// a fault of the program or of memory would do.
type bent struct {
	consensus.StateMachine
	by *atomic.Int64 // milliseconds
}

func (b bent) Apply(entries []wire.LogEntry) ([]any, error) {
	by := wire.Time(b.by.Load())
	if by == 0 {
		return b.StateMachine.Apply(entries)
	}
	for i := range entries {
		if entries[i].Configuration {
			continue
		}
		e, err := wire.DecodeEntry(entries[i].Data)
		if err != nil {
			return nil, err
		}
		entries[i].Data = wire.EncodeEntry(e.Kind, e.Time+by, e.Body)
	}
	return b.StateMachine.Apply(entries)
}

// bending makes a world of one region whose nodes' states are bent, by so many
// milliseconds each, and may be bent later.
func bending(t *testing.T, from ...int64) (*World, map[wire.NodeID]*atomic.Int64) {
	by := map[wire.NodeID]*atomic.Int64{}
	return NewAt(t, wire.Version, func(c *node.Config) {
		id := c.ID
		if by[id] == nil {
			by[id] = new(atomic.Int64)
			by[id].Store(from[len(by)-1])
		}
		c.State = func(group string, s consensus.StateMachine) consensus.StateMachine {
			if group == "federation" {
				return s
			}
			return bent{s, by[id]}
		}
	}, len(from), "lazio"), by
}

// write makes the region log something, whoever leads.
func (w *World) write(g *Gateway) {
	w.t.Helper()
	invent := synthetic.NewCitizens(uint64(time.Now().UnixNano()))
	w.Await("the region takes a write", func() bool {
		return g.Activate(w.t.Context(), "lazio", invent.Next().FiscalCode) == nil
	})
}

// ended waits for a node to end by itself and returns why.
func (n *Node) ended(within time.Duration) error {
	n.w.t.Helper()
	select {
	case err := <-n.done:
		n.host.unplug()
		n.Node = nil
		return err
	case <-time.After(within):
		n.w.t.Fatalf("%s still runs after %s", n.ID, within)
		return nil
	}
}

// TestDivergedReplicaStops bends one replica of three: it ends, says so, and does not start again;
// the others go on.
func TestDivergedReplicaStops(t *testing.T) {
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w, by := bending(t, 0, 0, 0)
				g := w.Gateway("lazio")
				w.write(g)
				bad := w.Leader("lazio")
				for _, n := range w.Nodes("lazio") {
					if n != bad && who == "follower" {
						bad = n
						break
					}
				}
				by[bad.ID].Store(1)
				w.write(g)
				err := bad.ended(time.Minute)
				if !errors.Is(err, consensus.ErrDiverged) {
					t.Fatalf("the bent replica ended with %v, want that it differs", err)
				}
				w.AwaitReady()
				w.write(g)
				for _, n := range w.Nodes("lazio") {
					if n != bad && len(n.Node.Health().Degraded) > 0 {
						t.Errorf("%s: %q", n.ID, n.Node.Health().Degraded)
					}
				}
				by[bad.ID].Store(0)
				_, err = node.New(bad.config())
				if err == nil || !strings.Contains(err.Error(), "must not be used again") {
					t.Errorf("started again: %v, want a refusal", err)
				}
				bad.Wipe() // nor an empty directory under its name
				bad.Start()
				if err := bad.ended(time.Minute); !errors.Is(err, witness.ErrForgot) {
					t.Errorf("on an empty directory: %v, want %v", err, witness.ErrForgot)
				}
				w.AwaitReady()
				w.write(g)
			})
		})
	}
}

// TestDisputeStopsNobody: when no majority agrees, nobody can tell who is right.
func TestDisputeStopsNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, _ := bending(t, 0, 1, 2)
		w.write(w.Gateway("lazio"))
		w.Await("the leader raises the alarm", func() bool {
			return strings.Contains(strings.Join(w.Leader("lazio").Node.Health().Degraded, ";"),
				"no majority agrees")
		})
		time.Sleep(time.Minute)
		for _, n := range w.Nodes("lazio") {
			select {
			case err := <-n.done:
				t.Errorf("%s ended: %v", n.ID, err)
				n.done <- err
			default:
			}
		}
	})
}

// TestUpgrade takes a federation from version 1 to 2, node by node.
func TestUpgrade(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		old := map[wire.NodeID]bool{}
		w := NewAt(t, 1, func(c *node.Config) {
			if c.Version = wire.Version; old[c.ID] {
				c.Version = 1
			}
		}, 3, "lazio", "sicilia")
		for _, n := range w.Nodes("") {
			old[n.ID] = true
			n.Stop()
			n.Start()
		}
		w.AwaitReady()
		finalise := func() error {
			return w.Operate(wire.MethodFinalise, &wire.RaiseVersion{Version: 2})
		}
		refuse := func(what string) {
			t.Helper()
			err := finalise()
			if !errors.Is(err, wire.Conflict) || !strings.Contains(err.Error(), what) {
				t.Errorf("got %v, want a refusal that says %q", err, what)
			}
		}
		refuse("knows versions")
		deal := &wire.DealSlots{Slots: []wire.Slot{1}, To: "sicilia"}
		if err := w.Operate(wire.MethodDealSlots, deal); !errors.Is(err, wire.Conflict) {
			t.Errorf("a command of version 2 in version 1: got %v, want a refusal", err)
		}
		for _, n := range w.Nodes("") {
			refuse("knows versions")
			n.Stop()
			old[n.ID] = n.ID == "lazio-3"
			n.Start()
			w.AwaitReady()
		}
		old["lazio-3"] = false
		away := w.Nodes("lazio")[2]
		away.Stop()
		refuse("lazio-3 does not answer")
		away.Start()
		w.AwaitReady()
		w.Await("the upgrade is finalised", func() bool { return finalise() == nil })
		if err := finalise(); err != nil {
			t.Errorf("again: %v, want that it changes nothing", err)
		}
		w.Await("every region is at version 2", func() bool {
			for _, n := range w.Nodes("") {
				if n.Node.Region().ActiveVersion() != 2 {
					return false
				}
			}
			return true
		})
		if err := w.Operate(wire.MethodDealSlots, deal); err != nil {
			t.Error(err)
		}
		w.AwaitAgreement()
	})
}

// TestDiskFills lets the disk of a region's leader fill up: it refuses, hands over, and ends.
func TestDiskFills(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const mib = 1 << 20
		free := map[wire.NodeID]*atomic.Uint64{}
		w := NewAt(t, wire.Version, func(c *node.Config) {
			id := c.ID
			if free[id] == nil {
				free[id] = new(atomic.Uint64)
				free[id].Store(1000 * mib)
			}
			c.Disk = operate.DiskLimits{LowBytes: 500 * mib, CriticalBytes: 200 * mib}
			c.BallastBytes = 1 * mib
			room := free[id]
			c.Space = func() (uint64, uint64, error) { return room.Load(), 2000 * mib, nil }
		}, 3, "lazio")
		g := w.Gateway("lazio")
		w.write(g)
		full := w.Leader("lazio")
		ballast := filepath.Join(full.dir, "ballast")
		if info, err := os.Stat(ballast); err != nil || info.Size() != mib {
			t.Errorf("ballast: %v, %v", info, err)
		}
		free[full.ID].Store(400 * mib)
		w.Await("the leader says that its disk is low", func() bool {
			return strings.Contains(strings.Join(full.Node.Health().Reasons, ";"), "400 MiB")
		})
		if w.Leader("lazio") != full {
			t.Error("leadership went away from a disk that is only low")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := g.Activate(ctx, "lazio", synthetic.NewCitizens(7).Next().FiscalCode)
		if !wire.Retriable(err) {
			t.Errorf("a write on a low disk: got %v, want a refusal for now", err)
		}
		free[full.ID].Store(100 * mib)
		w.Await("another one leads", func() bool { return w.Leader("lazio") != full })
		w.write(g)
		free[full.ID].Store(49 * mib)
		err = full.ended(time.Minute)
		if err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("at the last watermark: ended with %v, want why", err)
		}
		if _, err := os.Stat(ballast); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the ballast is still there: %v", err)
		}
		w.write(g)
		free[full.ID].Store(1000 * mib)
		full.Start()
		w.AwaitReady()
		w.AwaitAgreement()
	})
}
