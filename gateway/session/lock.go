package session

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"runtime"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// proofRounds makes a try of all codes of nine digits cost some years of a processor: 0.1 s each.
const proofRounds = 600_000

// proofWait bounds the wait for one of provers, the places of those who make a proof.
const proofWait = 2 * time.Second

var provers = make(chan struct{}, max(1, runtime.NumCPU()/2))

// Prove is what shows a region that a citizen knows the code that unlocks their access. It is slow:
// the region, and whoever gets hold of its disks, sees nothing else of the code. The salt is whose
// it is, by the keyed hash that only the federation can make. Half of the processors make proofs at
// once, so that codes that somebody tries do not keep others waiting; who finds no place in time
// is Overloaded.
func Prove(ctx context.Context, code string, r wire.Recipient) (p wire.Proof, err error) {
	ctx, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	select {
	case provers <- struct{}{}:
		defer func() { <-provers }()
	case <-ctx.Done():
		return p, wire.Errorf(wire.Overloaded, "too many unlock codes at once")
	}
	salt := append([]byte("staffetta unlock code:"), r[:]...)
	key, err := pbkdf2.Key(sha256.New, code, salt, proofRounds, len(p))
	if err != nil { // FIPS mode with a short salt or key; ours are not short
		panic("session: " + err.Error())
	}
	return wire.Proof(key), nil
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
