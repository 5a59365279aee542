package wire

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// RegionID names a region group, for example "lazio": 1-32 bytes of [a-z0-9-], a letter first.
type RegionID string

// NodeID names a relay node in its federation, for example "lazio-1"; same form as RegionID.
type NodeID string

// GatewayID names a gateway in its federation; same form as RegionID.
type GatewayID string

// ServiceID names a sending service, a ULID in the contract: 1-64 visible ASCII characters.
type ServiceID string

// InstitutionID names an institution, the owner of services: its fiscal code, 11 digits.
type InstitutionID string

// Epoch counts the owners of a fiscal code; 0 is the anchor's.
type Epoch uint64

// RegionTag is the ten-bit number of a region, given for ever by the federation's map. It is in
// every message id and every session token that the region's gateways mint.
type RegionTag uint16

// RegionTags is the number of region tags there can be.
const RegionTags = 1 << 10

// Time is an instant in milliseconds since the Unix epoch, the resolution of the contract.
type Time int64

// TimeOf truncates t to milliseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Std converts to the standard library's type, in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add moves t by d, truncated to milliseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub is the span from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String is the contract's output form, YYYY-MM-DDTHH:mm:ss.sssZ.
func (t Time) String() string { return t.Std().Format("2006-01-02T15:04:05.000Z") }

// MessageID is a ULID (github.com/ulid/spec): 48 bits of time, 70 random bits, and in the last
// ten bits the tag of the home region of the gateway that minted it.
type MessageID [16]byte

// NewMessageID mints an id at now for a gateway whose home region has the tag.
func NewMessageID(now Time, tag RegionTag) MessageID {
	var id MessageID
	rand.Read(id[6:]) // crypto/rand.Read never fails
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now))
	copy(id[:6], ms[2:])
	low := binary.BigEndian.Uint16(id[14:])
	binary.BigEndian.PutUint16(id[14:], low&^(RegionTags-1)|uint16(tag)&(RegionTags-1))
	return id
}

// ParseMessageID reads the 26 characters of Crockford's base 32, either case.
func ParseMessageID(s string) (MessageID, error) {
	id, err := ulid.ParseStrict(strings.ToUpper(s))
	if err != nil || len(s) != ulid.EncodedSize {
		return MessageID{}, errors.New("not a message id")
	}
	return MessageID(id), nil
}

// Time is when the message was created.
func (id MessageID) Time() Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return Time(binary.BigEndian.Uint64(ms[:]))
}

// Tag is the home region of the gateway that minted the id.
func (id MessageID) Tag() RegionTag {
	return RegionTag(binary.BigEndian.Uint16(id[14:]) & (RegionTags - 1))
}

// IsZero reports whether the id is absent.
func (id MessageID) IsZero() bool { return id == MessageID{} }

// String is the contract's form, 26 upper-case characters.
func (id MessageID) String() string { return ulid.ULID(id).String() }

// validName reports the form of RegionID, NodeID and GatewayID.
func validName(s string) bool {
	if len(s) == 0 || len(s) > NameBytesMax || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// Valid reports whether r has the form of a region's name.
func (r RegionID) Valid() bool { return validName(string(r)) }

// Valid reports whether n has the form of a node's name.
func (n NodeID) Valid() bool { return validName(string(n)) }

// Valid reports whether g has the form of a gateway's name.
func (g GatewayID) Valid() bool { return validName(string(g)) }

// Valid reports whether s is 1-64 visible ASCII characters.
func (s ServiceID) Valid() bool {
	return len(s) <= ServiceIDBytesMax && Visible(string(s))
}

// Valid reports whether i is eleven digits.
func (i InstitutionID) Valid() bool {
	if len(i) != 11 {
		return false
	}
	for _, c := range []byte(i) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Visible reports whether s is non-empty and made of visible ASCII characters only.
func Visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
