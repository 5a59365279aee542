package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Held is what a replica's disk is known to hold of a group. Vote is the last term it voted in,
// Last the end of its log, of LastTerm (0: unknown), and Cuts how often entries were taken off
// that end, as a leader may demand. Each number only grows while those before it stand still, so
// that of two statements about one directory the lesser is the earlier one.
type Held struct {
	Term, Vote, Cuts, Last, LastTerm uint64
}

// Before reports whether h was true of a directory at an earlier time than o: a directory that
// says h after it said o has gone back.
func (h Held) Before(o Held) bool {
	switch {
	case h.Term < o.Term || h.Vote < o.Vote || h.Cuts < o.Cuts:
		return true
	case h.Cuts > o.Cuts:
		return false
	}
	return h.Last < o.Last
}

const (
	// markEvery is how long the file of a mark may lag behind the log on the disk itself. It is
	// written with every append and survives the process; one fsync in this time, beside the
	// log's and never before an answer, makes it survive a power cut.
	markEvery = 50 * time.Millisecond
	// A mark's file has three records, of which one is durable, one is being synced and one
	// written: none of the first two is touched. Each has a page of its own.
	markSlots     = 3
	markSlotBytes = 4096
	markBytes     = 8 + 6*8 + 4
	markMagic     = "heldmrk1"
)

// keyMark says in the stable store that the directory has a mark, so that one that is missing is
// missed.
var keyMark = []byte("staffetta/mark")

// mark is the second place for the end of a log: where neither log store can tell an end from
// damage, it can. It lies beside the log's directory. All methods may be called concurrently.
type mark struct {
	path  string        // empty in memory
	file  *os.File      // nil in memory, and before the mark is made; set before others use it
	found bool          // the file was there; owned by who opens the group
	dirty chan struct{} // holds a token when something is to be synced

	syncing sync.Mutex // held while the file is synced

	mu sync.Mutex
	// Guarded by mu.
	held Held
	seq  uint64
	slot int
	buf  [markBytes]byte // the record that is being written
}

// newMark is a mark in memory.
func newMark() *mark { return &mark{found: true, dirty: make(chan struct{}, 1)} }

// openMark opens the mark at path. Where there is none it holds nothing, and is made by make, once
// it is known that there was none.
func openMark(path string) (*mark, error) {
	m := newMark()
	m.found, m.path = false, path
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, refused(path, err)
	}
	m.file = f
	if err := m.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

// make makes the file with its full size, so that later syncs change no metadata. It does nothing
// when the file is there, or in memory.
func (m *mark) make() error {
	if m.file != nil || m.path == "" {
		return nil
	}
	f, err := os.OpenFile(m.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	m.file = f
	_, err = f.WriteAt(make([]byte, markSlots*markSlotBytes), 0)
	if err = errors.Join(err, m.update(func(*Held) {}), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(m.path+".tmp", m.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(m.path))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// load reads the newest record. That the others do not read well is normal after a crash.
func (m *mark) load() error {
	for slot := range markSlots {
		b := make([]byte, markBytes)
		if _, err := m.file.ReadAt(b, int64(slot*markSlotBytes)); err != nil {
			continue // cut short
		}
		if held, seq, ok := decodeMark(b); ok && seq > m.seq {
			m.held, m.seq, m.slot, m.found = held, seq, (slot+1)%markSlots, true
		}
	}
	if !m.found {
		return corrupt("%s, which knows where the log ends, cannot be read", m.path)
	}
	return nil
}

// appendMark appends the record of h to b.
func appendMark(b []byte, h Held, seq uint64) []byte {
	start := len(b)
	b = append(b, markMagic...)
	for _, v := range [...]uint64{seq, h.Term, h.Vote, h.Cuts, h.Last, h.LastTerm} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func decodeMark(b []byte) (h Held, seq uint64, ok bool) {
	body, sum := b[:markBytes-4], binary.BigEndian.Uint32(b[markBytes-4:])
	if string(b[:8]) != markMagic || crc32.Checksum(body, castagnoli) != sum {
		return Held{}, 0, false
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8+8*i:]) }
	return Held{Term: at(1), Vote: at(2), Cuts: at(3), Last: at(4), LastTerm: at(5)}, at(0), true
}

// now is what the disk holds.
func (m *mark) now() Held {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

// update writes what change makes of the mark. On return it survives the process, not yet a power
// cut.
func (m *mark) update(change func(*Held)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.held)
	if m.file == nil {
		return nil
	}
	m.seq++
	record := appendMark(m.buf[:0], m.held, m.seq)
	if _, err := m.file.WriteAt(record, int64(m.slot*markSlotBytes)); err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	select {
	case m.dirty <- struct{}{}:
	default:
	}
	return nil
}

// appended notes the new end of the log, which is on disk.
func (m *mark) appended(last, term uint64) error {
	return m.update(func(h *Held) { h.Last, h.LastTerm = last, term })
}

// cut notes that the log is about to end at last. On return that is durable: a crash between the
// cut and its note would leave a log that seems to have lost its end.
func (m *mark) cut(last uint64) error {
	err := m.update(func(h *Held) { h.Cuts, h.Last, h.LastTerm = h.Cuts+1, last, 0 })
	return errors.Join(err, m.sync())
}

// voted notes terms that the stable store has. On return it is durable.
func (m *mark) voted(change func(*Held)) error {
	return errors.Join(m.update(change), m.sync())
}

// sync makes durable what was written before the call.
func (m *mark) sync() error {
	if m.file == nil {
		return nil
	}
	m.syncing.Lock()
	defer m.syncing.Unlock()
	select {
	case <-m.dirty:
	default:
	}
	m.mu.Lock()
	m.slot = (m.slot + 1) % markSlots
	m.mu.Unlock()
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("sync mark: %w", err)
	}
	return nil
}

func (m *mark) close() error {
	if m.file == nil {
		return nil
	}
	return errors.Join(m.sync(), m.file.Close())
}

// markedStable notes terms and votes in the mark, once the stable store has them.
type markedStable struct {
	raft.StableStore
	mark *mark
}

// SetUint64 is durable on return, in both places.
func (s markedStable) SetUint64(key []byte, val uint64) error {
	if err := s.StableStore.SetUint64(key, val); err != nil {
		return err
	}
	switch string(key) {
	case string(keyTerm):
		return s.mark.voted(func(h *Held) { h.Term = val })
	case string(keyVoteTerm):
		return s.mark.voted(func(h *Held) { h.Vote = val })
	}
	return nil
}

// keepMark makes the mark durable, a while after it was written.
func (g *Group) keepMark() {
	m := g.stores.mark
	for {
		select {
		case <-g.ended:
			return
		case <-m.dirty:
		}
		select {
		case <-g.ended:
			return
		case <-time.After(markEvery):
		}
		if g.disk.do("sync mark", m.sync) != nil {
			return
		}
	}
}

// Held is what this replica's disk holds of the group: entries and votes that others may rely on.
func (g *Group) Held() Held { return g.stores.mark.now() }
