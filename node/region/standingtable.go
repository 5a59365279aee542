package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sys/unix"
)

const (
	// standingShards grow one by one: what an entry waits for is a shard's growth, milliseconds.
	standingShards = 64
	// standingWays entries make a set, in which the one used least recently goes first.
	standingWays = 8
	// standingBytes is what an entry takes: twelve bytes of the recipient and a packed standing.
	standingBytes    = 16
	standingKeyBytes = 12
	standingSetBytes = standingWays * standingBytes
	// standingsFirst is how many entries a shard begins with, a page; it doubles when three
	// quarters are used.
	standingsFirst = 4096 / standingBytes
)

// standingTable holds standings by recipient in 16 bytes each: a region has millions of citizens,
// and a miss costs a read of the disk's cache on every replica. Its memory is none of the garbage
// collector's, which would let garbage grow to a multiple of it. It grows with use, up to a bound;
// then each new entry takes the place of one of its set. It must be cleared before it is dropped.
//
// Recipients are keyed hashes, so their bits spread evenly, and nobody outside can aim at a set.
// An entry has 102 bits of them, 96 and the shard's: that two of ten million citizens share these
// has a chance of one in 10^17.
type standingTable struct {
	max    int // entries of a shard
	shards [standingShards]standingShard
}

type standingShard struct {
	mem  []byte // sets of entries, each a key and a value; value zero: empty
	used int
}

func newStandingTable(bytes int64) standingTable {
	t := standingTable{max: standingsFirst}
	for int64(2*t.max)*standingBytes*standingShards <= bytes {
		t.max *= 2
	}
	return t
}

func (t *standingTable) clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.free()
		*s = standingShard{}
	}
}

// full reports that there is no room for everybody else.
func (t *standingTable) full() bool {
	used := 0
	for i := range t.shards {
		used += t.shards[i].used
	}
	return used*4 >= t.max*standingShards*3
}

func (t *standingTable) shard(r wire.Recipient) *standingShard {
	return &t.shards[r[standingKeyBytes]%standingShards]
}

// peek reads and leaves the order of use as it is.
func (t *standingTable) peek(r wire.Recipient) (standing, bool) {
	set := t.shard(r).set(r[:standingKeyBytes])
	if at := find(set, r[:standingKeyBytes]); at >= 0 {
		return unpackStanding(value(set[at:])), true
	}
	return standing{}, false
}

func (t *standingTable) get(r wire.Recipient) (standing, bool) {
	set := t.shard(r).set(r[:standingKeyBytes])
	at := find(set, r[:standingKeyBytes])
	if at < 0 {
		return standing{}, false
	}
	v := value(set[at:])
	toFront(set, at, r[:standingKeyBytes], v)
	return unpackStanding(v), true
}

func (t *standingTable) put(r wire.Recipient, st standing) {
	v, ok := packStanding(st)
	if !ok {
		t.drop(r)
		return
	}
	s := t.shard(r)
	if s.used*standingBytes*4 >= len(s.mem)*3 && len(s.mem) < t.max*standingBytes {
		s.grow()
	}
	s.insert(r[:standingKeyBytes], v)
}

func (t *standingTable) drop(r wire.Recipient) {
	s := t.shard(r)
	set := s.set(r[:standingKeyBytes])
	at := find(set, r[:standingKeyBytes])
	if at < 0 {
		return
	}
	copy(set[at:], set[at+standingBytes:])
	clear(set[standingSetBytes-standingBytes:])
	s.used--
}

// set is where the entries of a key's set are; empty when the shard has none. It goes by the key's
// end, so that keys that come in order spread too.
func (s *standingShard) set(key []byte) []byte {
	if len(s.mem) == 0 {
		return nil
	}
	sets := uint32(len(s.mem) / standingSetBytes)
	return s.mem[binary.LittleEndian.Uint32(key[8:])&(sets-1)*standingSetBytes:][:standingSetBytes]
}

// find answers where in a set a key's entry is, or -1.
func find(set, key []byte) int {
	head, tail := binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint32(key[8:])
	for at := 0; at < len(set); at += standingBytes {
		e := set[at : at+standingBytes]
		if binary.LittleEndian.Uint64(e) == head && binary.LittleEndian.Uint32(e[8:]) == tail &&
			value(e) != 0 {
			return at
		}
	}
	return -1
}

// value is an entry's.
func value(entry []byte) uint32 { return binary.LittleEndian.Uint32(entry[standingKeyBytes:]) }

// toFront makes an entry the first of its set; what was before the place at moves up.
func toFront(set []byte, at int, key []byte, v uint32) {
	copy(set[standingBytes:], set[:at])
	copy(set, key)
	binary.LittleEndian.PutUint32(set[standingKeyBytes:], v)
}

func (s *standingShard) insert(key []byte, v uint32) {
	set := s.set(key)
	if len(set) == 0 {
		return // no memory was to be had
	}
	at := find(set, key)
	for free := 0; at < 0 && free < len(set); free += standingBytes {
		if value(set[free:]) == 0 {
			at = free
			s.used++
		}
	}
	if at < 0 {
		at = standingSetBytes - standingBytes
	}
	toFront(set, at, key, v)
}

// grow takes twice the memory, or stays as it is when there is none.
func (s *standingShard) grow() {
	mem, err := unix.Mmap(-1, 0, max(2*len(s.mem), standingsFirst*standingBytes),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return
	}
	old := *s
	*s = standingShard{mem: mem}
	for at := len(old.mem) - standingBytes; at >= 0; at -= standingBytes {
		e := old.mem[at:] // what was used last comes last, and so to the front
		if v := value(e); v != 0 {
			s.insert(e[:standingKeyBytes], v)
		}
	}
	old.free()
}

func (s *standingShard) free() {
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
