package consensus

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/time/rate"
)

// snapshots is the library's snapshot store over our state. There are no snapshot files: the
// state on disk is the one snapshot there is. A copy is made only while a follower needs one.
type snapshots struct {
	// Set at construction.
	state  StateMachine
	guards guards
	ended  chan struct{}
	fatal  func(error)
	stats  *stats
	// sending holds one token: a replica that installs a snapshot neither votes nor answers, so
	// of three replicas no two may be in it.
	sending chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	durable wire.Position
	staged  *raft.SnapshotMeta // complete, and not installed yet
	created *raft.SnapshotMeta // with guardSnapshotList off
	sent    uint64             // the state that is being sent reaches at least so far; 0: none is
}

const (
	idState  = "state"
	idStaged = "staged"
)

func (s *snapshots) setDurable(pos wire.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable = pos
}

func metaOf(id string, pos wire.Position, size int64) (*raft.SnapshotMeta, error) {
	c, err := decodeConfiguration(pos.Configuration)
	if err != nil || len(c.Servers) == 0 {
		return nil, corrupt("the state at entry %d has no membership", pos.Index)
	}
	return &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, ID: id, Index: pos.Index,
		Term: pos.Term, Configuration: c, ConfigurationIndex: pos.ConfigurationIndex,
		Size: size}, nil
}

// List answers what the state has durably applied, and nothing else. The library makes a received
// snapshot visible before the state has switched to it; after a crash between the two it would
// adopt an index that the state never saw.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.created != nil {
		return []*raft.SnapshotMeta{s.created}, nil
	}
	if s.durable.Index == 0 {
		return nil, nil
	}
	meta, err := metaOf(idState, s.durable, 0)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

// Open makes a checkpoint for a follower and streams it. One at a time.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if strings.HasPrefix(id, idStaged) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.staged == nil {
			return nil, nil, errors.New("no snapshot is staged")
		}
		return s.staged, io.NopCloser(strings.NewReader("")), nil
	}
	release, err := s.acquire()
	if err != nil {
		return nil, nil, err
	}
	stream, size, pos, err := s.state.Checkpoint()
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	meta, err := metaOf(idState, pos, size)
	if err != nil {
		release()
		return nil, nil, errors.Join(err, stream.Close())
	}
	s.stats.checkpoints.Inc()
	return meta, newSentStream(stream, release, s.ended), nil
}

// acquire waits for the others' turns to end. Until release what follows the state as it is now
// stays in the log.
func (s *snapshots) acquire() (release func(), err error) {
	free := func() {}
	if s.guards.on(guardOneInstall) {
		select {
		case s.sending <- struct{}{}:
			free = func() { <-s.sending }
		case <-s.ended:
			return nil, errors.New("the node is stopping")
		}
	}
	s.setSent(s.state.Position().Index)
	return sync.OnceFunc(func() { s.setSent(0); free() }), nil
}

func (s *snapshots) setSent(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = index
}

// sentIndex answers where the state stood that is being sent, 0 for none.
func (s *snapshots) sentIndex() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

const (
	// sendRate bounds the bytes of a state that are sent in a second. As fast as they go, sender
	// and receiver take most of a core each and all of a shared disk, and messages wait.
	sendRate  = 32 << 20
	sendBurst = 256 << 10
)

// sentStream is a state that is being sent, at no more than sendRate.
type sentStream struct {
	io.ReadCloser
	release func()
	ended   <-chan struct{}
	pace    *rate.Limiter
}

func newSentStream(from io.ReadCloser, release func(), ended <-chan struct{}) *sentStream {
	return &sentStream{ReadCloser: from, release: release, ended: ended,
		pace: rate.NewLimiter(sendRate, sendBurst)}
}

func (s *sentStream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p[:min(len(p), sendBurst)])
	timer := time.NewTimer(s.pace.ReserveN(time.Now(), n).Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return n, err
	case <-s.ended:
		return n, errors.New("the node is stopping")
	}
}

func (s *sentStream) Close() error {
	defer s.release()
	return s.ReadCloser.Close()
}

// Create begins a snapshot of our own, which only Persist writes, or one from a leader.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64,
	configuration raft.Configuration, configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	return &sink{to: s, meta: &raft.SnapshotMeta{Version: version, ID: idState, Index: index,
		Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex}}, nil
}

// takeStaged answers the position of the staged snapshot, once.
func (s *snapshots) takeStaged() (wire.Position, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.staged
	s.staged = nil
	if m == nil {
		return wire.Position{}, false
	}
	return wire.Position{Index: m.Index, Term: m.Term,
		Configuration:      raft.EncodeConfiguration(m.Configuration),
		ConfigurationIndex: m.ConfigurationIndex}, true
}

// sink receives one snapshot.
type sink struct {
	to    *snapshots
	meta  *raft.SnapshotMeta
	stage io.WriteCloser // opened by the first Write
	own   bool           // persisted here; nothing is written
}

func (k *sink) ID() string { return k.meta.ID }

// Write stages what a leader sends. A snapshot that says nothing new is refused: it is late, and
// installing it would wipe entries that were acknowledged since.
func (k *sink) Write(p []byte) (int, error) {
	if k.stage == nil {
		if have := k.to.state.Position().Index; k.meta.Index <= have &&
			k.to.guards.on(guardStaleSnapshot) {
			return 0, fmt.Errorf("snapshot %d is behind the state at %d", k.meta.Index, have)
		}
		stage, err := k.to.state.Stage()
		if err != nil {
			return 0, fmt.Errorf("stage snapshot: %w", err)
		}
		k.stage = stage
		k.meta.ID = fmt.Sprintf("%s-%d-%d", idStaged, k.meta.Term, k.meta.Index)
	}
	return k.stage.Write(p)
}

// Close completes the snapshot. A staged one is verified and on disk, but not visible.
func (k *sink) Close() error {
	if k.own {
		return nil
	}
	if k.stage == nil {
		return errors.New("snapshot is empty")
	}
	if err := k.stage.Close(); err != nil {
		return fmt.Errorf("stage snapshot: %w", err)
	}
	k.to.mu.Lock()
	defer k.to.mu.Unlock()
	k.to.staged = k.meta
	if !k.to.guards.on(guardSnapshotList) {
		k.to.created = k.meta
	}
	return nil
}

// Cancel drops the snapshot; the next Stage cleans up.
func (k *sink) Cancel() error {
	if k.stage != nil {
		k.stage.Close() // an incomplete stage is refused; that is the point
	}
	return nil
}

// ownSnapshot is the library's handle on "the state as it is".
type ownSnapshot struct{ of *snapshots }

func (s *snapshots) record() raft.FSMSnapshot { return ownSnapshot{s} }

// Persist makes the state durable. The library truncates the log after it, up to the snapshot's
// index, so what is durable must reach that far.
func (o ownSnapshot) Persist(to raft.SnapshotSink) error {
	k, ok := to.(*sink)
	if !ok {
		return fmt.Errorf("snapshot into a foreign sink %T", to)
	}
	k.own = true
	if !o.of.guards.on(guardFlush) {
		return nil
	}
	pos, err := o.of.state.Flush()
	if err != nil {
		err = fmt.Errorf("%w: flush: %w", ErrState, err)
		o.of.fatal(err)
		return err
	}
	if pos.Index < k.meta.Index {
		return fmt.Errorf("the state is durable up to entry %d, not %d", pos.Index, k.meta.Index)
	}
	o.of.setDurable(pos)
	o.of.stats.snapshots.Inc()
	return nil
}

func (o ownSnapshot) Release() {}
