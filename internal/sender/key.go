package sender

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// keyLabel separates these hashes from all others and names the rule's version.
const keyLabel = "staffetta send 1\x00"

// lineHash names a line's text.
type lineHash [sha256.Size]byte

// hashLine is the hash of a line without the blanks around it.
func hashLine(line []byte) lineHash { return sha256.Sum256(bytes.TrimSpace(line)) }

// keyOf is the idempotency key of the occurrence-th line, from zero, of those whose text is the
// same: the hexadecimal SHA-256 of label, occurrence and text hash. It does not depend on the
// line's number, so lines may be added, removed and changed without touching the keys of others.
func keyOf(hash lineHash, occurrence uint64) string {
	b := append(make([]byte, 0, 64), keyLabel...)
	b = binary.BigEndian.AppendUint64(b, occurrence)
	b = append(b, hash[:]...)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// occurrences counts how often each text was seen. Nearly all texts are seen once, so that
// costs one slot of eight bytes: an open-addressed set of hash prefixes. Two texts that share
// a prefix (one in a million files of five million lines has such a pair) still get keys of
// their own, since the key covers the whole text.
type occurrences struct {
	slots []uint64 // a power of two; zero is free
	used  int
	again map[uint64]uint64 // of prefixes seen more than once, how often
}

// linesMax bounds the different lines of one input: the set then takes 256 MiB. Whoever has
// more splits the file.
const linesMax = 24 << 20

// next returns how often hash was seen before, and counts it; false when the set is full.
func (o *occurrences) next(hash lineHash) (uint64, bool) {
	if o.slots == nil {
		o.slots, o.again = make([]uint64, 1024), make(map[uint64]uint64)
	}
	prefix := max(binary.LittleEndian.Uint64(hash[:]), 1)
	if !o.insert(prefix) {
		o.again[prefix]++
		return o.again[prefix], true
	}
	if o.used++; o.used > linesMax {
		return 0, false
	}
	if o.used*4 > len(o.slots)*3 {
		old := o.slots
		o.slots = make([]uint64, 2*len(old))
		for _, prefix := range old {
			if prefix != 0 {
				o.insert(prefix)
			}
		}
	}
	return 0, true
}

// insert reports whether prefix was new.
func (o *occurrences) insert(prefix uint64) bool {
	mask := uint64(len(o.slots) - 1)
	for i := prefix & mask; ; i = (i + 1) & mask {
		switch o.slots[i] {
		case prefix:
			return false
		case 0:
			o.slots[i] = prefix
			return true
		}
	}
}
