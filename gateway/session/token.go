package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

// tokenBytes is the contract's: 48 bytes, 96 hexadecimal characters. The low ten bits of the
// first two bytes are the region's tag, so 374 random bits remain.
const tokenBytes = 48

// Mint makes a session token of the region with the tag.
func Mint(tag wire.RegionTag) string {
	var b [tokenBytes]byte
	rand.Read(b[:]) // crypto/rand.Read never fails
	high := binary.BigEndian.Uint16(b[:2]) &^ (wire.RegionTags - 1)
	binary.BigEndian.PutUint16(b[:2], high|uint16(tag)&(wire.RegionTags-1))
	return hex.EncodeToString(b[:])
}

// Hash is how the region knows a token: SHA-256 of its characters.
func Hash(token string) wire.TokenHash { return sha256.Sum256([]byte(token)) }

// Parse reports the region's tag of a token that has a token's form: lower-case hexadecimal,
// since another spelling would have another hash.
func Parse(token string) (wire.RegionTag, bool) {
	if len(token) != 2*tokenBytes || strings.ToLower(token) != token {
		return 0, false
	}
	b, err := hex.DecodeString(token)
	if err != nil {
		return 0, false
	}
	return wire.RegionTag(binary.BigEndian.Uint16(b[:2]) & (wire.RegionTags - 1)), true
}
