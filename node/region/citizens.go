package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

const (
	// citizenWays entries make a set, in which the one used least recently goes first.
	citizenWays = 8
	// citizenBytes is what an entry takes.
	citizenBytes = 24
	// citizensFirst is how many entries a table begins with; it doubles when it is full.
	citizensFirst = 8 << 10
)

// citizenTable holds standings by recipient in 24 bytes each, and nothing that a garbage collector
// would have to look at: a region has millions of citizens, and a miss costs a read of the disk's
// cache on every replica. It grows with use, up to a bound; then each new entry takes the place of
// one of its set.
//
// Recipients are keyed hashes, so their bits spread evenly, and nobody outside can aim at a set.
type citizenTable struct {
	max  int // entries
	used int
	keys []wire.Recipient // zero: empty
	vals []uint64
}

func newCitizenTable(bytes int64) citizenTable {
	t := citizenTable{max: citizensFirst}
	for int64(2*t.max)*citizenBytes <= bytes {
		t.max *= 2
	}
	return t
}

func (t *citizenTable) clear() { t.used, t.keys, t.vals = 0, nil, nil }

// set is where the entries of r's set are.
func (t *citizenTable) set(r wire.Recipient) (keys []wire.Recipient, vals []uint64) {
	if len(t.keys) == 0 {
		return nil, nil
	}
	sets := uint64(len(t.keys) / citizenWays)
	at := int(binary.LittleEndian.Uint64(r[8:])&(sets-1)) * citizenWays
	return t.keys[at : at+citizenWays], t.vals[at : at+citizenWays]
}

// peek reads and leaves the order of use as it is.
func (t *citizenTable) peek(r wire.Recipient) (standing, bool) {
	keys, vals := t.set(r)
	for i := range keys {
		if keys[i] == r {
			return unpackStanding(vals[i]), true
		}
	}
	return standing{}, false
}

func (t *citizenTable) get(r wire.Recipient) (standing, bool) {
	keys, vals := t.set(r)
	for i := range keys {
		if keys[i] == r {
			v := vals[i]
			toFront(keys, vals, i, r, v)
			return unpackStanding(v), true
		}
	}
	return standing{}, false
}

// toFront makes an entry the first of its set; what was before place i moves up.
func toFront(keys []wire.Recipient, vals []uint64, i int, r wire.Recipient, v uint64) {
	copy(keys[1:i+1], keys[:i])
	copy(vals[1:i+1], vals[:i])
	keys[0], vals[0] = r, v
}

func (t *citizenTable) put(r wire.Recipient, st standing) {
	v, ok := packStanding(st)
	if !ok || r.IsZero() {
		t.drop(r)
		return
	}
	if t.used*4 >= len(t.keys)*3 && len(t.keys) < t.max {
		t.grow()
	}
	t.insert(r, v)
}

func (t *citizenTable) insert(r wire.Recipient, v uint64) {
	keys, vals := t.set(r)
	last := len(keys) - 1
	for i := range keys {
		if keys[i] == r || keys[i].IsZero() {
			last = i
			break
		}
	}
	if keys[last].IsZero() {
		t.used++
	}
	toFront(keys, vals, last, r, v)
}

func (t *citizenTable) grow() {
	keys, vals := t.keys, t.vals
	size := max(2*len(keys), citizensFirst)
	t.used, t.keys, t.vals = 0, make([]wire.Recipient, size), make([]uint64, size)
	for i := len(keys) - 1; i >= 0; i-- { // what was used last comes last, and so to the front
		if !keys[i].IsZero() {
			t.insert(keys[i], vals[i])
		}
	}
}

func (t *citizenTable) drop(r wire.Recipient) {
	keys, vals := t.set(r)
	for i := range keys {
		if keys[i] == r && !r.IsZero() {
			last := len(keys) - 1
			copy(keys[i:], keys[i+1:])
			copy(vals[i:], vals[i+1:])
			keys[last], vals[last] = wire.Recipient{}, 0
			t.used--
			return
		}
	}
}

// A standing in 64 bits: the state in four, the mode in four, four flags, and the settings version
// in the other 52; one that does not fit is not cached.
const versionBits = 52

func packStanding(s standing) (uint64, bool) {
	if s.State > 15 || s.Mode > 15 || s.Version < 0 || s.Version >= 1<<versionBits {
		return 0, false
	}
	v := uint64(s.State) | uint64(s.Mode)<<4
	for i, flag := range []bool{s.HasProfile, s.Active, s.Preferences, s.Blocks} {
		if flag {
			v |= 1 << (8 + i)
		}
	}
	return v | uint64(s.Version)<<12, true
}

func unpackStanding(v uint64) standing {
	return standing{State: wire.OwnershipState(v & 15), Mode: wire.Mode(v >> 4 & 15),
		HasProfile: v&(1<<8) != 0, Active: v&(1<<9) != 0, Preferences: v&(1<<10) != 0,
		Blocks: v&(1<<11) != 0, Version: int64(v >> 12)}
}
