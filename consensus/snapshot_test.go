package consensus

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// A second snapshot soon after the first one ends the process.
func TestInstallLoopEndsTheReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUnit(t)
		if err := u.install(100); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := u.install(200); !errors.Is(err, ErrRestart) {
			t.Errorf("second install: %v, want %v", err, ErrRestart)
		}
		if !errors.Is(u.failure, ErrRestart) {
			t.Errorf("group failed with %v, want %v", u.failure, ErrRestart)
		}
		u = newUnit(t)
		if err := u.install(100); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		if err := u.install(200); err != nil {
			t.Errorf("install after eleven minutes: %v", err)
		}
	})
}

// unit is a state machine and a snapshot store without the library.
type unit struct {
	t       *testing.T
	state   *memState
	fsm     *fsm
	snaps   *snapshots
	failure error
}

func newUnit(t *testing.T) *unit {
	u := &unit{t: t, state: newMemState()}
	st := newStats(&Group{})
	fatal := func(err error) { u.failure = err }
	u.snaps = &snapshots{state: u.state, guards: offNow(), ended: make(chan struct{}),
		fatal: fatal, stats: st, sending: make(chan struct{}, 1)}
	u.fsm = &fsm{self: "n1", state: u.state, guards: offNow(), fatal: fatal, stats: st,
		snaps: u.snaps, peers: newPeers("n1", time.Now, nil, time.Now), log: newMemory(), now: time.Now,
		window: RegionTiming().Installs}
	return u
}

var unitMembers = raft.EncodeConfiguration(toConfiguration([]Member{{"n1", true}}))

// stream is a checkpoint at index.
func (u *unit) stream(index uint64) []byte {
	other := newMemState()
	other.now.Pos = wire.Position{Index: index, Term: 1, Configuration: unitMembers,
		ConfigurationIndex: 1}
	r, size, _, err := other.Checkpoint()
	if err != nil {
		u.t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := r.Read(b); err != nil {
		u.t.Fatal(err)
	}
	return b
}

// receive does what the library does up to the moment when it restores.
func (u *unit) receive(index uint64) error {
	k, err := u.snaps.Create(1, index, 1, raft.DecodeConfiguration(unitMembers), 1, nil)
	if err != nil {
		return err
	}
	if _, err := k.Write(u.stream(index)); err != nil {
		return errors.Join(err, k.Cancel())
	}
	return k.Close()
}

func (u *unit) install(index uint64) error {
	if err := u.receive(index); err != nil {
		return err
	}
	return u.fsm.Restore(nil)
}

// A snapshot that comes late must not take the state and the log back.
func TestLateSnapshotIsRefused(t *testing.T) {
	u := newUnit(t)
	if err := u.install(200); err != nil {
		t.Fatal(err)
	}
	for _, late := range []uint64{150, 200} {
		if err := u.receive(late); err == nil {
			t.Errorf("snapshot %d was received behind the state at 200", late)
		}
	}
	// It was received before the state went on.
	u = newUnit(t)
	if err := u.receive(200); err != nil {
		t.Fatal(err)
	}
	u.state.now.Pos.Index = 300
	u.fsm.index.Store(300)
	if err := u.fsm.Restore(nil); err == nil {
		t.Error("snapshot 200 was installed over the state at 300")
	}
}

// However large a state is, sending it takes no more than its part of the machine.
func TestStateIsSentAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seconds = 2
		u := newUnit(t)
		u.state.now = image{
			Pos:      wire.Position{Index: 5, Term: 1, Configuration: unitMembers, ConfigurationIndex: 1},
			Commands: []command{{Body: strings.Repeat("x", seconds*sendRate)}},
		}
		send := func() (n int64, took time.Duration, err error) {
			began := time.Now()
			_, stream, err := u.snaps.Open(idState)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			n, err = io.Copy(io.Discard, stream)
			return n, time.Since(began), err
		}
		if n, took, err := send(); err != nil || n < seconds*sendRate ||
			took.Round(100*time.Millisecond) != seconds*time.Second {
			t.Errorf("%d bytes in %v, %v; want %d s", n, took, err, seconds)
		}
		time.AfterFunc(time.Second, func() { close(u.snaps.ended) })
		if n, _, err := send(); err == nil || n >= seconds*sendRate {
			t.Errorf("a node that stops sent %d bytes, %v", n, err)
		}
	})
}

// Two replicas must not install at the same time.
func TestOneSnapshotAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUnit(t)
		if err := u.install(100); err != nil {
			t.Fatal(err)
		}
		_, first, err := u.snaps.Open(idState)
		if err != nil {
			t.Fatal(err)
		}
		var second atomic.Bool
		go func() {
			_, stream, err := u.snaps.Open(idState)
			if err != nil {
				t.Error(err)
				return
			}
			second.Store(true)
			stream.Close()
		}()
		synctest.Wait()
		if second.Load() {
			t.Error("a second snapshot was opened beside the first")
		}
		first.Close()
		synctest.Wait()
		if !second.Load() {
			t.Error("the second snapshot was not opened after the first")
		}
	})
}
