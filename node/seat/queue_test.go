package seat

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// slowGroup applies a batch in one second of virtual time; a command's result is its body.
type slowGroup struct {
	mu      sync.Mutex
	batches []int
	err     error
}

func (g *slowGroup) Propose(ctx context.Context, data []byte) (any, error) {
	e, err := wire.DecodeEntry(data)
	if err != nil {
		return nil, err
	}
	var commands wire.Commands
	if err := wire.Decode(e.Body, &commands); err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches = append(g.batches, len(commands.List))
	if g.err != nil {
		return nil, g.err
	}
	results := new(wire.Results)
	for _, c := range commands.List {
		results.List = append(results.List, wire.Result{Body: c.Body})
	}
	return results, nil
}

func stampAt(now func() wire.Time) stamper {
	return func(_ context.Context, kind wire.EntryKind, body []byte) ([]byte, error) {
		return wire.EncodeEntry(kind, now(), body), nil
	}
}

func startQueue(t *testing.T, g *slowGroup) *Queue {
	q := NewQueue(g, stampAt(func() wire.Time { return wire.TimeOf(time.Now()) }))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return q
}

func TestQueueBatchesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &slowGroup{}
		q := startQueue(t, g)
		var all sync.WaitGroup
		submit := func(slot wire.Slot) {
			want := wire.GrantSlots{Slots: []wire.Slot{slot}}
			var got wire.GrantSlots
			if err := q.Do(t.Context(), wire.CmdGrantSlots, &want, &got); err != nil ||
				got.Slots[0] != slot {
				t.Errorf("got %v, %v, want slot %d", got.Slots, err, slot)
			}
		}
		for i := range 2 { // two batches in flight
			all.Go(func() { submit(wire.Slot(i)) })
			synctest.Wait()
		}
		for i := range 600 { // wait together
			all.Go(func() { submit(wire.Slot(i)) })
		}
		all.Wait()
		want := []int{1, 1, 512, 88}
		if len(g.batches) != len(want) {
			t.Fatalf("batches %v, want %v", g.batches, want)
		}
		for i := range want[:2] {
			if g.batches[i] != want[i] {
				t.Errorf("batches %v, want %v", g.batches, want)
			}
		}
		if sum := g.batches[2] + g.batches[3]; sum != 600 {
			t.Errorf("batches %v, want 600 in the last two", g.batches)
		}
	})
}

func TestQueueErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &slowGroup{err: wire.Errorf(wire.NotLeader, "")}
		q := startQueue(t, g)
		err := q.Do(t.Context(), wire.CmdExpire, &wire.Expire{}, nil)
		if !errors.Is(err, wire.NotLeader) {
			t.Errorf("got %v, want the group's error", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err = q.Do(ctx, wire.CmdExpire, &wire.Expire{}, nil)
		if !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("got %v, want outcome-unknown", err)
		}
		big := wire.EraseBlock{Frame: make([]byte, wire.CommandBytesMax)}
		err = q.Do(t.Context(), wire.CmdErase, &big, nil)
		if !errors.Is(err, wire.TooLarge) {
			t.Errorf("got %v, want too-large", err)
		}
		_, err = q.Submit(t.Context(), make([]wire.Command, queueMax+1))
		if !errors.Is(err, wire.Overloaded) {
			t.Errorf("got %v, want overloaded", err)
		}
	})
}

func TestQueueStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(&slowGroup{}, stampAt(func() wire.Time { return 1 }))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- q.Run(ctx) }()
		for range queueInFlight {
			go q.Do(t.Context(), wire.CmdExpire, &wire.Expire{}, nil)
			synctest.Wait()
		}
		answer := make(chan error, 1)
		go func() { answer <- q.Do(t.Context(), wire.CmdExpire, &wire.Expire{}, nil) }()
		synctest.Wait()
		cancel()
		if err := <-answer; !errors.Is(err, wire.Unavailable) {
			t.Errorf("a waiting command got %v, want unavailable", err)
		}
		<-done
	})
}
