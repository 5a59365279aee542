package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sys/unix"
)

const (
	// citizenShards grow one by one: what an entry waits for is a shard's growth, milliseconds.
	citizenShards = 64
	// citizenWays entries make a set, in which the one used least recently goes first.
	citizenWays = 8
	// citizenBytes is what an entry takes: twelve bytes of the recipient and a packed standing.
	citizenBytes    = 16
	citizenKeyBytes = 12
	citizenSetBytes = citizenWays * citizenBytes
	// citizensFirst is how many entries a shard begins with, a page; it doubles when three
	// quarters are used.
	citizensFirst = 4096 / citizenBytes
)

// citizenTable holds standings by recipient in 16 bytes each: a region has millions of citizens,
// and a miss costs a read of the disk's cache on every replica. Its memory is none of the garbage
// collector's, which would let garbage grow to a multiple of it. It grows with use, up to a bound;
// then each new entry takes the place of one of its set. It must be cleared before it is dropped.
//
// Recipients are keyed hashes, so their bits spread evenly, and nobody outside can aim at a set.
// An entry has 102 bits of them, 96 and the shard's: that two of ten million citizens share these
// has a chance of one in 10^17.
type citizenTable struct {
	max    int // entries of a shard
	shards [citizenShards]citizenShard
}

type citizenShard struct {
	mem  []byte // sets of entries, each a key and a value; value zero: empty
	used int
}

func newCitizenTable(bytes int64) citizenTable {
	t := citizenTable{max: citizensFirst}
	for int64(2*t.max)*citizenBytes*citizenShards <= bytes {
		t.max *= 2
	}
	return t
}

func (t *citizenTable) clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.free()
		*s = citizenShard{}
	}
}

// full reports that there is no room for everybody else.
func (t *citizenTable) full() bool {
	used := 0
	for i := range t.shards {
		used += t.shards[i].used
	}
	return used*4 >= t.max*citizenShards*3
}

func (t *citizenTable) shard(r wire.Recipient) *citizenShard {
	return &t.shards[r[citizenKeyBytes]%citizenShards]
}

// peek reads and leaves the order of use as it is.
func (t *citizenTable) peek(r wire.Recipient) (standing, bool) {
	set := t.shard(r).set(r[:citizenKeyBytes])
	if at := find(set, r[:citizenKeyBytes]); at >= 0 {
		return unpackStanding(value(set[at:])), true
	}
	return standing{}, false
}

func (t *citizenTable) get(r wire.Recipient) (standing, bool) {
	set := t.shard(r).set(r[:citizenKeyBytes])
	at := find(set, r[:citizenKeyBytes])
	if at < 0 {
		return standing{}, false
	}
	v := value(set[at:])
	toFront(set, at, r[:citizenKeyBytes], v)
	return unpackStanding(v), true
}

func (t *citizenTable) put(r wire.Recipient, st standing) {
	v, ok := packStanding(st)
	if !ok {
		t.drop(r)
		return
	}
	s := t.shard(r)
	if s.used*citizenBytes*4 >= len(s.mem)*3 && len(s.mem) < t.max*citizenBytes {
		s.grow()
	}
	s.insert(r[:citizenKeyBytes], v)
}

func (t *citizenTable) drop(r wire.Recipient) {
	s := t.shard(r)
	set := s.set(r[:citizenKeyBytes])
	at := find(set, r[:citizenKeyBytes])
	if at < 0 {
		return
	}
	copy(set[at:], set[at+citizenBytes:])
	clear(set[citizenSetBytes-citizenBytes:])
	s.used--
}

// set is where the entries of a key's set are; empty when the shard has none. It goes by the key's
// end, so that keys that come in order spread too.
func (s *citizenShard) set(key []byte) []byte {
	if len(s.mem) == 0 {
		return nil
	}
	sets := uint32(len(s.mem) / citizenSetBytes)
	return s.mem[binary.LittleEndian.Uint32(key[8:])&(sets-1)*citizenSetBytes:][:citizenSetBytes]
}

// find answers where in a set a key's entry is, or -1.
func find(set, key []byte) int {
	head, tail := binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint32(key[8:])
	for at := 0; at < len(set); at += citizenBytes {
		e := set[at : at+citizenBytes]
		if binary.LittleEndian.Uint64(e) == head && binary.LittleEndian.Uint32(e[8:]) == tail &&
			value(e) != 0 {
			return at
		}
	}
	return -1
}

// value is an entry's.
func value(entry []byte) uint32 { return binary.LittleEndian.Uint32(entry[citizenKeyBytes:]) }

// toFront makes an entry the first of its set; what was before the place at moves up.
func toFront(set []byte, at int, key []byte, v uint32) {
	copy(set[citizenBytes:], set[:at])
	copy(set, key)
	binary.LittleEndian.PutUint32(set[citizenKeyBytes:], v)
}

func (s *citizenShard) insert(key []byte, v uint32) {
	set := s.set(key)
	if len(set) == 0 {
		return // no memory was to be had
	}
	at := find(set, key)
	for free := 0; at < 0 && free < len(set); free += citizenBytes {
		if value(set[free:]) == 0 {
			at = free
			s.used++
		}
	}
	if at < 0 {
		at = citizenSetBytes - citizenBytes
	}
	toFront(set, at, key, v)
}

// grow takes twice the memory, or stays as it is when there is none.
func (s *citizenShard) grow() {
	mem, err := unix.Mmap(-1, 0, max(2*len(s.mem), citizensFirst*citizenBytes),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return
	}
	old := *s
	*s = citizenShard{mem: mem}
	for at := len(old.mem) - citizenBytes; at >= 0; at -= citizenBytes {
		e := old.mem[at:] // what was used last comes last, and so to the front
		if v := value(e); v != 0 {
			s.insert(e[:citizenKeyBytes], v)
		}
	}
	old.free()
}

func (s *citizenShard) free() {
	if len(s.mem) > 0 {
		unix.Munmap(s.mem)
	}
}

// A standing in 32 bits: the state in three, the mode in two, four flags, one that says that there
// is a standing, and the settings version, from LEGACY's on, in the other 22; one that does not fit
// is not cached.
const (
	versionBits = 22
	versionMin  = -1
)

func packStanding(s standing) (uint32, bool) {
	version := s.Version - versionMin
	if s.State > 7 || s.Mode > 3 || version < 0 || version >= 1<<versionBits {
		return 0, false
	}
	v := uint32(s.State) | uint32(s.Mode)<<3
	for i, flag := range []bool{s.HasProfile, s.Active, s.Preferences, s.Blocks, true} {
		if flag {
			v |= 1 << (5 + i)
		}
	}
	return v | uint32(version)<<10, true
}

func unpackStanding(v uint32) standing {
	return standing{State: wire.OwnershipState(v & 7), Mode: wire.Mode(v >> 3 & 3),
		HasProfile: v&(1<<5) != 0, Active: v&(1<<6) != 0, Preferences: v&(1<<7) != 0,
		Blocks: v&(1<<8) != 0, Version: int64(v>>10) + versionMin}
}
