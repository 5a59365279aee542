package region

import "github.com/staffetta/staffetta/wire"

// The second byte of a move's key.
const (
	moveCopied  = 'c'
	moveIn      = 'i'
	moveOut     = 'o'
	moveRemains = 'r'
	moveToken   = 't'
)

func moveKey(kind byte, r wire.Recipient) []byte {
	return append(append(make([]byte, 0, 18), movePrefix, kind), r[:]...)
}

func moveInKey(r wire.Recipient) []byte   { return moveKey(moveIn, r) }
func moveOutKey(r wire.Recipient) []byte  { return moveKey(moveOut, r) }
func moveCopyKey(r wire.Recipient) []byte { return moveKey(moveCopied, r) }
func remainsKey(r wire.Recipient) []byte  { return moveKey(moveRemains, r) }

func dueRemainsKey(at wire.Time, r wire.Recipient) []byte { return dueKey(dueRemains, at, r[:]) }

func forwardKey(t wire.TokenHash) []byte {
	return append(append(make([]byte, 0, 34), movePrefix, moveToken), t[:]...)
}
