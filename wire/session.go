package wire

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/staffetta/staffetta/internal/codec"
)

// SessionsMax bounds the sessions of one citizen. Whoever opens one more loses the one that was
// opened or renewed longest ago.
const SessionsMax = 10

// DeviceBytesMax bounds what a session calls its device.
const DeviceBytesMax = 128

// SessionID names a session to its citizen and to operators. Nothing can be done with it alone,
// unlike with the token, whose place it takes wherever a session has to be named.
type SessionID [16]byte

// String is the hexadecimal form.
func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// ParseSessionID reads the form of String.
func ParseSessionID(s string) (id SessionID, ok bool) {
	if b, err := hex.DecodeString(s); err == nil && len(b) == len(id) {
		id = SessionID(b)
	}
	return id, id != SessionID{} && id.String() == s
}

// PublicID is the session's id; of one that a Login opened, one that the token's hash gives.
func (s *Session) PublicID() SessionID {
	if s.ID != (SessionID{}) {
		return s.ID
	}
	sum := sha256.Sum256(append([]byte("id of a session:"), s.Token[:]...))
	return SessionID(sum[:])
}

// End is when the session is over, and not only its token.
func (s *Session) End() Time { return max(s.EndsAt, s.ExpiresAt) }

// Used is when the session was opened, or renewed for the last time.
func (s *Session) Used() Time { return max(s.CreatedAt, s.RenewedAt) }

// Level is how sure an identity provider was of a citizen: 1 to 3, as SPID and CIE count. Zero is
// of a session that was opened before sessions had a level, and counts as 2.
type Level uint8

// The levels.
const (
	Level1 Level = 1 + iota
	Level2
	Level3
)

// Valid reports whether it is one of the three.
func (l Level) Valid() bool { return l >= Level1 && l <= Level3 }

// URL is the contract's form.
func (l Level) URL() string {
	if l == 0 {
		l = Level2
	}
	return "https://www.spid.gov.it/SpidL" + string(rune('0'+l))
}

// OpenSession opens a session beside the citizen's others in the region that owns the code, and
// makes the profile at the first login. Answers and refusals are those of Login.
type OpenSession struct {
	Session     Session
	Email       string // from the identity provider
	DateOfBirth string // YYYY-MM-DD
	One         bool   // it is to be the citizen's only session: all others end
}

// Fields declares the message.
func (o *OpenSession) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &o.Session)
	codec.String(c, 2, &o.Email)
	codec.String(c, 3, &o.DateOfBirth)
	codec.Bool(c, 4, &o.One)
}

// SessionList answers a SessionRef: the sessions of its citizen, oldest first.
type SessionList struct{ List []SessionView }

// Fields declares the message.
func (l *SessionList) Fields(c *codec.Codec) { codec.Repeated(c, 1, &l.List) }

// SessionView is what is shown of a session.
type SessionView struct {
	ID        SessionID
	Device    string
	Provider  string
	Level     Level
	CreatedAt Time
	RenewedAt Time // when the token was made; zero: with the session
	EndsAt    Time
	HasKey    bool
	Current   bool // it is the one that asks
}

// Fields declares the message.
func (v *SessionView) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, v.ID[:])
	codec.String(c, 2, &v.Device)
	codec.String(c, 3, &v.Provider)
	codec.Uint(c, 4, &v.Level)
	codec.Int(c, 5, &v.CreatedAt)
	codec.Int(c, 6, &v.RenewedAt)
	codec.Int(c, 7, &v.EndsAt)
	codec.Bool(c, 8, &v.HasKey)
	codec.Bool(c, 9, &v.Current)
}

// EndSessions ends sessions of a session's citizen: the one with an id, NotFound when there is
// none; without one all, or all but the one that asks.
type EndSessions struct {
	Token   TokenHash
	ID      SessionID
	KeepOwn bool
}

// Fields declares the message.
func (e *EndSessions) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, e.Token[:])
	codec.Fixed(c, 2, e.ID[:])
	codec.Bool(c, 3, &e.KeepOwn)
}

// EndedSessions says how many were ended.
type EndedSessions struct{ Count uint32 }

// Fields declares the message.
func (e *EndedSessions) Fields(c *codec.Codec) { codec.Uint(c, 1, &e.Count) }

// SessionsOf asks for a citizen's sessions as an operator.
type SessionsOf struct{ Recipient Recipient }

// Fields declares the message.
func (s *SessionsOf) Fields(c *codec.Codec) { codec.Fixed(c, 1, s.Recipient[:]) }

// EndSessionsOf ends a citizen's session, or with a zero id all of them, as an operator.
type EndSessionsOf struct {
	Recipient Recipient
	ID        SessionID
}

// Fields declares the message.
func (e *EndSessionsOf) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, e.Recipient[:])
	codec.Fixed(c, 2, e.ID[:])
}

// Proof shows that somebody knows an unlock code: a slow hash of it, which a gateway makes, salted
// by whose it is.
type Proof [32]byte

// LockAccess ends all sessions of a session's citizen, and has logins below level 3 refused with
// Locked. Conflict when access is locked already.
type LockAccess struct {
	Token TokenHash
	Proof Proof // of the code that unlocks
}

// Fields declares the message.
func (l *LockAccess) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, l.Token[:])
	codec.Fixed(c, 2, l.Proof[:])
}

// UnlockAccess ends a lock: of a session's citizen, if the session is of level 3; or of one whom an
// identity provider has just named to the gateway and who knows the code. A wrong code is no error:
// the answer says that access is still locked. After UnlockTriesMax wrong ones only level 3
// unlocks.
type UnlockAccess struct {
	Token     TokenHash
	Recipient Recipient // instead of a token
	Proof     Proof
}

// UnlockTriesMax bounds the tries of a code of nine digits.
const UnlockTriesMax = 5

// Fields declares the message.
func (u *UnlockAccess) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, u.Token[:])
	codec.Fixed(c, 2, u.Recipient[:])
	codec.Fixed(c, 3, u.Proof[:])
}

// AccessState says whether a citizen's access is locked.
type AccessState struct {
	Locked bool
	Since  Time
	Tries  uint32 // of the code that were wrong
}

// Fields declares the message.
func (a *AccessState) Fields(c *codec.Codec) {
	codec.Bool(c, 1, &a.Locked)
	codec.Int(c, 2, &a.Since)
	codec.Uint(c, 3, &a.Tries)
}
