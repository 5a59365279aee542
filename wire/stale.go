package wire

import "github.com/staffetta/staffetta/internal/codec"

// Stale reports whether a node may answer the call of the region's state as it has it, while nobody
// confirms what the region's log says: what citizens read of their own. Nothing is decided by such
// an answer, which says as of when it is.
func (m Method) Stale() bool {
	switch m {
	case MethodGetSession, MethodListSessions, MethodGetProfile, MethodGetPreference,
		MethodListInbox, MethodGetInbox, MethodCountMessages, MethodSearchInbox, MethodAccessState:
		return true
	}
	return false
}

// StaleRead asks any node of a region for what its leader would be asked, of whom nobody hears.
type StaleRead struct {
	Method  Method
	Request []byte // of that method
	// Incarnation is the region's as far as the caller knows: of an earlier one nothing is read.
	Incarnation uint32
}

// Fields declares the message.
func (s *StaleRead) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &s.Method)
	codec.Bytes(c, 2, &s.Request)
	codec.Uint(c, 3, &s.Incarnation)
}

// StaleAnswer is what the leader would have answered, from what the node had.
type StaleAnswer struct {
	// AsOf: what was acknowledged before is in the answer. What came later may be missing.
	AsOf   Time
	Result Result
}

// Fields declares the message.
func (s *StaleAnswer) Fields(c *codec.Codec) {
	codec.Int(c, 1, &s.AsOf)
	codec.Nested(c, 2, &s.Result)
}
