package consensus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// memState is a StateMachine in memory that keeps every command. Only what was flushed survives
// a crash.
type memState struct {
	mu      sync.Mutex
	now     image
	durable image
	staged  *image
	closed  bool
	flushes int

	// before is called with every batch, unlocked.
	before func([]wire.LogEntry) error
	// slow is how long the first read of a checkpoint takes.
	slow time.Duration
}

// slowStream is a checkpoint that takes its time.
type slowStream struct {
	io.Reader
	wait time.Duration
}

func (s *slowStream) Read(p []byte) (int, error) {
	time.Sleep(s.wait)
	s.wait = 0
	return s.Reader.Read(p)
}

func (s *slowStream) Close() error { return nil }

// image is a state's whole content.
type image struct {
	Pos      wire.Position
	Sum      [32]byte
	Commands []command
}

type command struct {
	Index, Term uint64
	Body        string
	Time        wire.Time
}

func (m image) clone() image {
	m.Commands = m.Commands[:len(m.Commands):len(m.Commands)]
	return m
}

func newMemState() *memState { return &memState{} }

// crashed answers the state as a restart would find it.
func (s *memState) crashed() *memState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &memState{now: s.durable.clone(), durable: s.durable.clone()}
}

func (s *memState) Apply(entries []wire.LogEntry) ([]any, error) {
	if s.before != nil {
		if err := s.before(entries); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]any, len(entries))
	for i, e := range entries {
		if e.Index <= s.now.Pos.Index {
			return nil, fmt.Errorf("entry %d after %d", e.Index, s.now.Pos.Index)
		}
		h := sha256.New()
		h.Write(s.now.Sum[:])
		h.Write(binary.BigEndian.AppendUint64(nil, e.Index))
		h.Write(e.Data)
		h.Sum(s.now.Sum[:0])
		s.now.Pos.Index, s.now.Pos.Term, s.now.Pos.Installed = e.Index, e.Term, false
		if e.Configuration {
			s.now.Pos.Configuration = bytes.Clone(e.Data)
			s.now.Pos.ConfigurationIndex = e.Index
			continue
		}
		entry, err := wire.DecodeEntry(e.Data)
		if err != nil {
			return nil, err
		}
		s.now.Commands = append(s.now.Commands, command{e.Index, e.Term,
			string(entry.Body), entry.Time})
		results[i] = e.Index
	}
	return results, nil
}

func (s *memState) Position() wire.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Pos
}

func (s *memState) Flush() (wire.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushes++
	s.durable = s.now.clone()
	return s.durable.Pos, nil
}

func (s *memState) Checkpoint() (io.ReadCloser, int64, wire.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s.now); err != nil {
		return nil, 0, wire.Position{}, err
	}
	sum := crc32.ChecksumIEEE(b.Bytes())
	binary.Write(&b, binary.BigEndian, sum)
	return &slowStream{&b, s.slow}, int64(b.Len()), s.now.Pos, nil
}

type memStage struct {
	bytes.Buffer
	of *memState
}

func (s *memState) Stage() (io.WriteCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staged = nil
	return &memStage{of: s}, nil
}

func (w *memStage) Close() error {
	b := w.Bytes()
	if len(b) < 4 || binary.BigEndian.Uint32(b[len(b)-4:]) != crc32.ChecksumIEEE(b[:len(b)-4]) {
		return errors.New("stage is incomplete")
	}
	var m image
	if err := gob.NewDecoder(bytes.NewReader(b[:len(b)-4])).Decode(&m); err != nil {
		return err
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	w.of.staged = &m
	return nil
}

func (s *memState) Install(at wire.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.staged == nil || s.staged.Pos.Index != at.Index || s.staged.Pos.Term != at.Term {
		return errors.New("stage does not match")
	}
	s.now = *s.staged
	s.now.Pos.Installed = true
	s.staged = nil
	s.durable = s.now.clone()
	return nil
}

func (s *memState) Digest() (uint64, [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Pos.Index, s.now.Sum
}

func (s *memState) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("state closed twice")
	}
	s.closed = true
	return nil
}

func (s *memState) commands() []command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.clone().Commands
}

// entryOf encodes a command.
func entryOf(body string) []byte {
	return wire.EncodeEntry(wire.CommandsEntry, 1, []byte(body))
}
