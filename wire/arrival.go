package wire

import (
	"errors"
	"strings"

	"github.com/staffetta/staffetta/internal/codec"
)

// Arrival is a place in the order in which messages arrived in a region's log. That is not the
// order of their ids: an id is minted before its message is accepted, and one that waited in a
// spool arrives with an old id. Arrivals are those of one region, as long as it was not
// restored: Stand says of which.
type Arrival struct {
	Stand  uint32
	Index  uint64 // of the entry
	Record uint8  // in its block, ArrivalEntry for the end of the entry
	// Since is the state's time when everything up to here was shown, in whole seconds. Whoever is
	// given the position of another stand finds by it what may have arrived since.
	Since Time
}

// ArrivalEntry is behind every record of an entry.
const ArrivalEntry = 255

// The bounds of what an arrival's text can say: log indexes until the entries of a region come to
// 2.8e14, times until the year 4147.
const (
	arrivalIndexBits  = 48
	arrivalSecondBits = 36
)

// Fields declares the message.
func (a *Arrival) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &a.Stand)
	codec.Uint(c, 2, &a.Index)
	codec.Uint(c, 3, &a.Record)
	codec.Int(c, 4, &a.Since)
}

// IsZero reports whether it is absent.
func (a Arrival) IsZero() bool { return a == Arrival{} }

// Passed reports whether a record arrived there, or before.
func (a Arrival) Passed(index uint64, record uint8) bool {
	return index < a.Index || index == a.Index && record <= a.Record
}

// idAlphabet is that of message ids.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// arrivalMark is the first character of an arrival's text. That of an id is 0 to 7, since it has
// 128 bits and 26 characters carry 130; other forms of it can have the characters up to Z.
const arrivalMark = 'G'

// String is a text of the form that the contract gives to message ids, and that no message id has.
func (a Arrival) String() string {
	seconds := uint64(a.Since/1000) & (1<<arrivalSecondBits - 1)
	hi := a.Index&(1<<arrivalIndexBits-1)<<12 | uint64(a.Record)<<4 | seconds>>32
	lo := seconds<<32 | uint64(a.Stand)
	var b [26]byte
	b[0] = arrivalMark
	for i := len(b) - 1; i > 0; i-- {
		b[i] = idAlphabet[lo&31]
		lo, hi = lo>>5|hi<<59, hi>>5
	}
	return string(b[:])
}

// ParseArrival reads what String writes, in either case.
func ParseArrival(s string) (a Arrival, err error) {
	var hi, lo uint64
	if len(s) != 26 || s[0]&^0x20 != arrivalMark {
		return a, errors.New("not a place in the order of arrivals")
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		digit := strings.IndexByte(idAlphabet, c)
		if digit < 0 {
			return a, errors.New("not a place in the order of arrivals")
		}
		hi, lo = hi<<5|lo>>59, lo<<5|uint64(digit)
	}
	if hi>>60 != 0 {
		return a, errors.New("not a place in the order of arrivals")
	}
	return Arrival{Stand: uint32(lo), Index: hi >> 12, Record: uint8(hi >> 4),
		Since: Time((hi&15<<32 | lo>>32) * 1000)}, nil
}
