package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// A register: its value is the body of the last command applied.
type registerOp struct {
	write string // empty for a read
	lost  bool   // the outcome of a write is unknown
}

var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		op := input.(registerOp)
		if op.write != "" {
			return true, op.write
		}
		return output.(string) == state.(string), state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v %v", input, output) },
}

func (s *memState) value() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.now.Commands); n > 0 {
		return s.now.Commands[n-1].Body
	}
	return ""
}

// history collects what clients saw, in virtual time.
type history struct {
	mu  sync.Mutex
	ops []porcupine.Operation
}

func (h *history) add(client int, in registerOp, call time.Time, out string, back time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end := back.UnixNano()
	if in.lost { // it may take effect at any later time
		end = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	}
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Output: out,
		Call: call.UnixNano(), Return: end})
}

// Reads on leaders and on followers are linearizable, while leaders are cut off and killed.
func TestReadsAreLinearizable(t *testing.T) {
	var h history
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		c.leader()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var wg sync.WaitGroup
		client := 0
		for _, id := range c.order {
			for range 3 {
				client++
				me := client
				wg.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond)
						r := c.get(id)
						if r.Group == nil {
							continue
						}
						if me%3 == 0 {
							h.write(ctx, me, &r, strconv.Itoa(me)+"-"+strconv.Itoa(i))
						} else {
							h.read(ctx, me, &r, c)
						}
					}
				})
			}
		}
		for range 4 {
			time.Sleep(2 * time.Second)
			l := c.leader()
			c.net.cut(l.id, c.others(l.id)...)
			time.Sleep(time.Duration(rand.IntN(6000)) * time.Millisecond)
			c.net.heal()
			time.Sleep(time.Second)
			l = c.leader()
			c.kill(l.id)
			c.start(l.id)
		}
		stop()
		wg.Wait()
	})
	if len(h.ops) < 100 {
		t.Fatalf("only %d operations", len(h.ops))
	}
	if got := porcupine.CheckOperationsTimeout(register, h.ops, time.Minute); got != porcupine.Ok {
		t.Errorf("history of %d operations: %v", len(h.ops), got)
	}
}

func (h *history) write(ctx context.Context, me int, r *replica, value string) {
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	call := time.Now()
	_, err := r.Propose(short, entryOf(value))
	switch {
	case err == nil:
		h.add(me, registerOp{write: value}, call, "", time.Now())
	case errors.Is(err, wire.OutcomeUnknown):
		h.add(me, registerOp{write: value, lost: true}, call, "", time.Now())
	}
}

// read asks r, or, as a follower does, its leader for the index.
func (h *history) read(ctx context.Context, me int, r *replica, c *cluster) {
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	call := time.Now()
	var err error
	if leader, ok := r.Leader(); ok && leader != r.id {
		var index uint64
		if l := c.get(leader).Group; l != nil {
			if index, err = l.ReadIndex(short); err == nil {
				err = r.WaitApplied(short, index)
			}
		} else {
			err = wire.Unavailable
		}
	} else {
		err = r.Read(short)
	}
	value := r.state.value()
	if err == nil {
		h.add(me, registerOp{}, call, value, time.Now())
	}
}

// The first read of a term must not wait for an entry that the state never sees.
func TestReadRightAfterAnElection(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		for range 5 {
			l := c.leader()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := l.Read(ctx); err != nil {
				t.Errorf("read on an idle leader: %v", err)
			}
			index, err := l.ReadIndex(ctx)
			if err != nil {
				t.Errorf("read index: %v", err)
			}
			for _, id := range c.others(l.id) {
				wait, cancel := context.WithTimeout(t.Context(), time.Second)
				if err := c.nodes[id].WaitApplied(wait, index); err != nil {
					t.Errorf("follower does not apply %d: %v", index, err)
				}
				cancel()
			}
			cancel()
			if err := l.TransferLeadership(t.Context()); err != nil {
				t.Errorf("transfer: %v", err)
			}
		}
		c.check()
	})
}

// Reads that wait together share rounds.
func TestReadsShareRounds(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.fill(l, "e", 10)
		before := counterValue(t, l.stats.readRounds)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if err := l.Read(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := counterValue(t, l.stats.readRounds) - before; got > 10 {
			t.Errorf("%v rounds for 1,000 reads at once", got)
		}
	})
}

// lateAnswers keeps answers of followers back while it is armed.
type lateAnswers struct {
	*transport
	armed *atomic.Bool
	held  *atomic.Int32
	free  chan struct{}
}

func (l lateAnswers) AppendEntries(id raft.ServerID, to raft.ServerAddress,
	req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := l.transport.AppendEntries(id, to, req, resp)
	if err == nil && l.armed.Load() {
		l.held.Add(1)
		<-l.free
	}
	return err
}

// Answers from before a newer leader's time do not make an old leader the leader of now.
func TestOldAnswersConfirmNobody(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		var armed atomic.Bool
		var held atomic.Int32
		free := make(chan struct{})
		c.tweak = func(cfg *Config) {
			if cfg.Self != "n1" {
				return
			}
			// It does not notice for a while that it is alone, like a process that was stopped.
			cfg.Timing.Heartbeat, cfg.Timing.Election = time.Minute, time.Minute
			cfg.Timing.LeaderLease = time.Minute
			cfg.hooks.wrapTransport = func(to raft.Transport) raft.Transport {
				return lateAnswers{to.(*transport), &armed, &held, free}
			}
		}
		c.start()
		old := c.lead("n1")
		c.fill(old, "before", 1)
		armed.Store(true)
		c.eventually("answers of both followers to be under way", func() bool {
			return held.Load() >= 2
		})
		c.net.hole("n1", "n2", "n3")
		c.net.hole("n2", "n1")
		c.net.hole("n3", "n1")
		c.fill(c.leader("n2", "n3"), "after", 1)
		armed.Store(false)
		close(free)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := old.Read(ctx); err == nil && old.state.value() != "after-0" {
			t.Errorf("the old leader served a read that misses what was acknowledged")
		}
		c.check()
	})
}

// A leader that is cut off answers no read, and says so within its lease.
func TestNoReadOnACutOffLeader(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.fill(l, "e", 10)
		c.net.hole(l.id, c.others(l.id)...)
		began := time.Now()
		if err := l.Read(t.Context()); err == nil || !wire.Retriable(err) {
			t.Errorf("read: %v, want a retriable error", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
		c.check()
	})
}

func TestReadEndsWithItsContext(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.net.hole(l.id, c.others(l.id)...)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := l.Read(ctx); !errors.Is(err, wire.Unavailable) {
			t.Errorf("read: %v, want unavailable", err)
		}
		c.check()
	})
}

// Whoever waits is woken exactly when the entry is applied.
func TestWaitersAreWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fsm{}
		ended := make(chan struct{})
		var mu sync.Mutex
		woken := map[uint64]error{}
		for i := range uint64(100) {
			go func() {
				err := f.wait(context.Background(), i, ended)
				mu.Lock()
				defer mu.Unlock()
				woken[i] = err
			}()
		}
		synctest.Wait()
		f.advance(49)
		synctest.Wait()
		if len(woken) != 50 || len(f.waiters) != 50 {
			t.Errorf("%d woken and %d waiting at 49, want 50 and 50", len(woken), len(f.waiters))
		}
		close(ended)
		synctest.Wait()
		if err := woken[99]; !errors.Is(err, wire.NotReady) {
			t.Errorf("waiter of a stopped group: %v, want not-ready", err)
		}
		if len(f.waiters) != 0 {
			t.Errorf("%d waiters are left", len(f.waiters))
		}
	})
}
