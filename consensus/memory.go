package consensus

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// memory is a log and stable store in memory with the contract of raft-wal: no gaps, deletion of
// a prefix or a suffix only.
type memory struct {
	mu     sync.Mutex
	first  uint64
	logs   []*raft.Log // logs[i] has index first+i
	values map[string][]byte
	ints   map[string]uint64
}

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, ints: map[string]uint64{}}
}

func (m *memory) last() uint64 {
	if len(m.logs) == 0 {
		return 0
	}
	return m.first + uint64(len(m.logs)) - 1
}

// FirstIndex is 0 when the log is empty.
func (m *memory) FirstIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.logs) == 0 {
		return 0, nil
	}
	return m.first, nil
}

// LastIndex is 0 when the log is empty.
func (m *memory) LastIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last(), nil
}

func (m *memory) GetLog(index uint64, log *raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.logs) == 0 || index < m.first || index > m.last() {
		return raft.ErrLogNotFound
	}
	*log = *m.logs[index-m.first]
	return nil
}

func (m *memory) StoreLog(log *raft.Log) error { return m.StoreLogs([]*raft.Log{log}) }

func (m *memory) StoreLogs(logs []*raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.last()
	for _, l := range logs {
		if last > 0 && l.Index != last+1 {
			return fmt.Errorf("entry %d after %d", l.Index, last)
		}
		last = l.Index
	}
	for _, l := range logs {
		if len(m.logs) == 0 {
			m.first = l.Index
		}
		stored := *l
		m.logs = append(m.logs, &stored)
	}
	return nil
}

func (m *memory) DeleteRange(from, to uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.last()
	switch {
	case len(m.logs) == 0 || from > to || to < m.first || from > last:
		return nil
	case from <= m.first && to >= last:
		m.logs = nil
	case from <= m.first:
		m.logs = append([]*raft.Log(nil), m.logs[to+1-m.first:]...)
		m.first = to + 1
	case to >= last:
		m.logs = m.logs[:from-m.first]
	default:
		return fmt.Errorf("entries %d to %d are inside the log", from, to)
	}
	return nil
}

func (m *memory) IsMonotonic() bool { return true }

func (m *memory) Set(key, val []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[string(key)] = append([]byte(nil), val...)
	return nil
}

func (m *memory) Get(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]byte(nil), m.values[string(key)]...), nil
}

func (m *memory) SetUint64(key []byte, val uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ints[string(key)] = val
	return nil
}

func (m *memory) GetUint64(key []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ints[string(key)], nil
}
