package session

import (
	"crypto/pbkdf2"
	"crypto/sha256"

	"github.com/staffetta/staffetta/wire"
)

// proofRounds makes a try of all codes of nine digits cost some years of a processor: 0.1 s each.
const proofRounds = 600_000

// Prove is what shows a region that a citizen knows the code that unlocks their access. It is slow:
// the region, and whoever gets hold of its disks, sees nothing else of the code. The salt is whose
// it is, by the keyed hash that only the federation can make.
func Prove(code string, r wire.Recipient) (p wire.Proof) {
	salt := append([]byte("staffetta unlock code:"), r[:]...)
	key, err := pbkdf2.Key(sha256.New, code, salt, proofRounds, len(p))
	if err != nil { // FIPS mode with a short salt or key; ours are not short
		panic("session: " + err.Error())
	}
	return wire.Proof(key)
}

// ValidUnlockCode reports whether a code has the contract's form, nine digits.
func ValidUnlockCode(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 9
}
