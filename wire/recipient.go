package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// Recipient is the keyed hash of a fiscal code, the first 128 bits of HMAC-SHA-256 under the
// federation's directory key. The directory, the gateways' caches and every key of a region's
// state name a citizen by it, so that only records, profiles and sessions hold a code in clear.
type Recipient [16]byte

// IsZero reports whether the recipient is absent.
func (r Recipient) IsZero() bool { return r == Recipient{} }

// Next is the recipient that follows in order; false for the last one.
func (r Recipient) Next() (next Recipient, ok bool) {
	for i := len(r) - 1; i >= 0; i-- {
		if r[i]++; r[i] != 0 {
			return r, true
		}
	}
	return r, false
}

// Slot is one of the anchor slots that unclaimed fiscal codes fall into.
type Slot uint16

// Slots is the number of anchor slots.
const Slots = 1024

// Slot is the anchor slot of the recipient: the first ten bits of its hash.
func (r Recipient) Slot() Slot { return Slot(binary.BigEndian.Uint16(r[:2]) >> 6) }

// DirectoryKey is the federation's secret under which fiscal codes are hashed.
type DirectoryKey [32]byte

// Fingerprint identifies the key without giving it away, for state that was built under it.
func (k DirectoryKey) Fingerprint() [8]byte {
	sum := sha256.Sum256(append([]byte("staffetta directory key"), k[:]...))
	return [8]byte(sum[:8])
}

// Hasher computes recipients under one key. It is safe for concurrent use.
type Hasher struct {
	key  DirectoryKey
	macs sync.Pool // of *mac
}

// mac is an HMAC-SHA-256 with its input and output, which would be garbage otherwise.
type mac struct {
	hash.Hash
	in  [fiscalcode.Size]byte
	sum [sha256.Size]byte
}

// NewHasher returns a hasher for key.
func NewHasher(key DirectoryKey) *Hasher {
	h := &Hasher{key: key}
	h.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, key[:])} }
	return h
}

// Key is the key that the hasher was made with.
func (h *Hasher) Key() DirectoryKey { return h.key }

// Recipient hashes a fiscal code.
func (h *Hasher) Recipient(code fiscalcode.Code) Recipient {
	m := h.macs.Get().(*mac)
	m.Reset()
	m.in = [fiscalcode.Size]byte{}
	copy(m.in[:], code)
	m.Write(m.in[:])
	r := Recipient(m.Sum(m.sum[:0])[:16])
	h.macs.Put(m)
	return r
}
