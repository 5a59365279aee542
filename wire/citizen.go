package wire

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// TokenHash is the SHA-256 of a session token; the token itself is stored nowhere.
type TokenHash [32]byte

// Session is a citizen's login. One that a Login opened is its citizen's only one of that kind and
// has no more than the first six fields; what OpenSession opens is one of a set.
type Session struct {
	Token      TokenHash
	FiscalCode fiscalcode.Code
	Name       string
	FamilyName string
	CreatedAt  Time // of a set: when the log had it
	ExpiresAt  Time // from here on the token is refused

	ID       SessionID // zero: opened by a Login
	Level    Level
	Device   string // the name that the citizen's client gives itself
	Provider string // who said who the citizen is
	// Ref is the contract's assertion ref of the device's key, Key its public half as a JWK; both
	// are empty for a client without one.
	Ref string
	Key string
	// EndsAt is the end of the session; until then a signature of its key renews the token. Zero: at
	// ExpiresAt.
	EndsAt    Time
	RenewedAt Time // when the token was made
	// Incarnation is the region's when it took the session. One of before a restore is void: it may
	// have been ended since the copy was made.
	Incarnation uint32
}

// Fields declares the message.
func (s *Session) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.Token[:])
	codec.String(c, 2, &s.FiscalCode)
	codec.String(c, 3, &s.Name)
	codec.String(c, 4, &s.FamilyName)
	codec.Int(c, 5, &s.CreatedAt)
	codec.Int(c, 6, &s.ExpiresAt)
	codec.Fixed(c, 7, s.ID[:])
	codec.Uint(c, 8, &s.Level)
	codec.String(c, 9, &s.Device)
	codec.String(c, 10, &s.Provider)
	codec.String(c, 11, &s.Ref)
	codec.String(c, 12, &s.Key)
	codec.Int(c, 13, &s.EndsAt)
	codec.Int(c, 14, &s.RenewedAt)
	codec.Uint(c, 15, &s.Incarnation)
}

// Login opens a session in the region that owns the code, replacing the one that a Login opened
// before, and makes the profile at the first login. Moved: another
// region owns the code; Conflict: this region does not own it yet, claim first.
type Login struct {
	Session     Session
	Email       string // from the identity provider
	DateOfBirth string // YYYY-MM-DD
}

// Fields declares the message.
func (l *Login) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &l.Session)
	codec.String(c, 2, &l.Email)
	codec.String(c, 3, &l.DateOfBirth)
}

// Logout ends a session. It succeeds when there is none.
type Logout struct{ Token TokenHash }

// Fields declares the message.
func (l *Logout) Fields(c *codec.Codec) { codec.Fixed(c, 1, l.Token[:]) }

// Mode is the contract's service_preferences_settings.mode.
type Mode uint8

// The modes.
const (
	Legacy Mode = iota
	Auto
	Manual
)

// String is the contract's word.
func (m Mode) String() string {
	return [...]string{"LEGACY", "AUTO", "MANUAL"}[min(m, Manual)]
}

// Channel is one of the contract's blocked_inbox_or_channels values, as a bit.
type Channel uint8

// The channels.
const (
	ChannelInbox Channel = 1 << iota
	ChannelEmail
	ChannelWebhook
)

// Blocked is what a LEGACY profile blocks of one service.
type Blocked struct {
	Service  ServiceID
	Channels Channel
}

// Fields declares the message.
func (b *Blocked) Fields(c *codec.Codec) {
	codec.String(c, 1, &b.Service)
	codec.Uint(c, 2, &b.Channels)
}

// Tri is a boolean that may be unset.
type Tri uint8

// The values of Tri.
const (
	Unset Tri = iota
	Yes
	No
)

// TriOf makes a set Tri.
func TriOf(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

// Profile is a citizen's entry in the activation registry. A profile whose inbox is enabled is
// active: messages reach it.
type Profile struct {
	FiscalCode      fiscalcode.Code
	Version         uint64 // of the optimistic lock; 0 at the first login
	Name            string
	FamilyName      string
	Email           string
	SpidEmail       string
	DateOfBirth     string
	InboxEnabled    bool
	WebhookEnabled  bool
	EmailEnabled    bool
	EmailValidated  bool
	AcceptedTos     float64 // 0: not accepted
	Languages       []string
	Mode            Mode
	SettingsVersion int64 // -1 in LEGACY; preferences of other versions do not count
	Blocked         []Blocked
	Reminder        Tri
	PushContent     string // FULL, ANONYMOUS or empty
	LastAppVersion  string
	UpdatedAt       Time
}

// Fields declares the message.
func (p *Profile) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.FiscalCode)
	codec.Uint(c, 2, &p.Version)
	codec.String(c, 3, &p.Name)
	codec.String(c, 4, &p.FamilyName)
	codec.String(c, 5, &p.Email)
	codec.String(c, 6, &p.SpidEmail)
	codec.String(c, 7, &p.DateOfBirth)
	codec.Bool(c, 8, &p.InboxEnabled)
	codec.Bool(c, 9, &p.WebhookEnabled)
	codec.Bool(c, 10, &p.EmailEnabled)
	codec.Bool(c, 11, &p.EmailValidated)
	codec.Float(c, 12, &p.AcceptedTos)
	codec.Strings(c, 13, &p.Languages)
	codec.Uint(c, 14, &p.Mode)
	codec.Int(c, 15, &p.SettingsVersion)
	codec.Repeated(c, 16, &p.Blocked)
	codec.Uint(c, 17, &p.Reminder)
	codec.String(c, 18, &p.PushContent)
	codec.String(c, 19, &p.LastAppVersion)
	codec.Int(c, 20, &p.UpdatedAt)
}

// SetProfile replaces what a citizen may change of the profile, when Update.Version is the
// stored version; Conflict otherwise, or when the mode would return to LEGACY. Unset fields keep
// their value, except LastAppVersion, PushContent and Reminder (the contract's rule). The first
// acceptance of the terms enables inbox and webhook: it is the activation.
type SetProfile struct {
	Token  TokenHash
	Update ProfileUpdate
}

// Fields declares the message.
func (s *SetProfile) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.Token[:])
	codec.Nested(c, 2, &s.Update)
}

// ProfileUpdate is the contract's Profile body.
type ProfileUpdate struct {
	Version        uint64
	Email          string // empty: keep
	Inbox          Tri
	Webhook        Tri
	EmailOn        Tri
	AcceptedTos    float64 // 0: keep
	SetLanguages   bool
	Languages      []string
	SetMode        bool
	Mode           Mode
	SetBlocked     bool
	Blocked        []Blocked
	Reminder       Tri
	PushContent    string
	LastAppVersion string
}

// Fields declares the message.
func (u *ProfileUpdate) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &u.Version)
	codec.String(c, 2, &u.Email)
	codec.Uint(c, 3, &u.Inbox)
	codec.Uint(c, 4, &u.Webhook)
	codec.Uint(c, 5, &u.EmailOn)
	codec.Float(c, 6, &u.AcceptedTos)
	codec.Bool(c, 7, &u.SetLanguages)
	codec.Strings(c, 8, &u.Languages)
	codec.Bool(c, 9, &u.SetMode)
	codec.Uint(c, 10, &u.Mode)
	codec.Bool(c, 11, &u.SetBlocked)
	codec.Repeated(c, 12, &u.Blocked)
	codec.Uint(c, 13, &u.Reminder)
	codec.String(c, 14, &u.PushContent)
	codec.String(c, 15, &u.LastAppVersion)
}

// Preference is what a citizen chose for one service under one settings version.
type Preference struct {
	Service         ServiceID
	SettingsVersion int64
	Inbox           bool
	Email           bool
	Webhook         bool
	ReadStatus      Tri // can_access_message_read_status; Unset is shown as true
}

// Fields declares the message.
func (p *Preference) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.Service)
	codec.Int(c, 2, &p.SettingsVersion)
	codec.Bool(c, 3, &p.Inbox)
	codec.Bool(c, 4, &p.Email)
	codec.Bool(c, 5, &p.Webhook)
	codec.Uint(c, 6, &p.ReadStatus)
}

// SetPreference stores a preference. Conflict when the mode is LEGACY or the settings version is
// not the profile's.
type SetPreference struct {
	Token      TokenHash
	Preference Preference
}

// Fields declares the message.
func (s *SetPreference) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.Token[:])
	codec.Nested(c, 2, &s.Preference)
}

// GetPreference reads the preference of the session's citizen for a service: the stored one of
// the current settings version, or the mode's default.
type GetPreference struct {
	Token   TokenHash
	Service ServiceID
}

// Fields declares the message.
func (g *GetPreference) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, g.Token[:])
	codec.String(c, 2, &g.Service)
}

// SessionRef names a session, to read it or its citizen's profile.
type SessionRef struct{ Token TokenHash }

// Fields declares the message.
func (s *SessionRef) Fields(c *codec.Codec) { codec.Fixed(c, 1, s.Token[:]) }

// ListInbox asks for a page, newest id first.
type ListInbox struct {
	Token    TokenHash
	Size     uint32    // 1-PageMax
	Before   MessageID // only ids strictly below, when not zero (maximum_id)
	After    MessageID // only ids strictly above, when not zero (minimum_id)
	Archived bool      // only archived messages, else only those that are not
	// Arrived asks for what arrived behind a position, when not zero: the first that did, and After
	// does not count. With Before, which is for those that were there, it does not.
	Arrived Arrival
	Unread  bool // only messages that are not read
}

// Shows reports whether a list has a message of this status.
func (l *ListInbox) Shows(s MessageStatus) bool {
	return s.Archived == l.Archived && !(l.Unread && s.Read)
}

// Fields declares the message.
func (l *ListInbox) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, l.Token[:])
	codec.Uint(c, 2, &l.Size)
	codec.Fixed(c, 3, l.Before[:])
	codec.Fixed(c, 4, l.After[:])
	codec.Bool(c, 5, &l.Archived)
	codec.Nested(c, 6, &l.Arrived)
	codec.Bool(c, 7, &l.Unread)
}

// InboxPage answers ListInbox.
type InboxPage struct {
	FiscalCode fiscalcode.Code
	Items      []InboxItem
	More       bool // older items remain, or may, beyond the last one
	// Before is where those begin, as in ListInbox, when it is not at the last item: a page passes a
	// bounded number of messages that it does not show.
	Before MessageID
	// Arrived is the position to look behind for what arrives after this page; zero in a region that
	// gives none, and on a page of older messages.
	Arrived Arrival
}

// Fields declares the message.
func (p *InboxPage) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.FiscalCode)
	codec.Repeated(c, 2, &p.Items)
	codec.Bool(c, 3, &p.More)
	codec.Fixed(c, 4, p.Before[:])
	codec.Nested(c, 5, &p.Arrived)
}

// Next is the bound below which the next page begins; zero when there is none.
func (p *InboxPage) Next() MessageID {
	if p.More && p.Before.IsZero() && len(p.Items) > 0 {
		return p.Items[len(p.Items)-1].ID
	}
	return p.Before
}

// InboxItem is what a list shows of a message, without decoding its block. Its creation time is
// the id's.
type InboxItem struct {
	ID           MessageID
	Service      ServiceID
	Subject      string
	TimeToLive   uint32
	FeatureLevel FeatureLevel
	Category     Category
	Notice       string        // payment notice number
	Payee        InstitutionID // payment payee
	Attachments  bool
	Precondition string
	Read         bool
	Archived     bool
}

// Fields declares the message.
func (i *InboxItem) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, i.ID[:])
	codec.String(c, 2, &i.Service)
	codec.String(c, 3, &i.Subject)
	codec.Uint(c, 4, &i.TimeToLive)
	codec.Uint(c, 5, &i.FeatureLevel)
	codec.Uint(c, 6, &i.Category)
	codec.String(c, 7, &i.Notice)
	codec.String(c, 8, &i.Payee)
	codec.Bool(c, 9, &i.Attachments)
	codec.String(c, 10, &i.Precondition)
	codec.Bool(c, 11, &i.Read)
	codec.Bool(c, 12, &i.Archived)
}

// Category is the contract's category tag, by its precedence.
type Category uint8

// The categories.
const (
	Generic Category = iota
	PaymentCategory
	EUCovidCertCategory
)

// GetInbox asks for one message of the session's citizen.
type GetInbox struct {
	Token TokenHash
	ID    MessageID
}

// Fields declares the message.
func (g *GetInbox) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, g.Token[:])
	codec.Fixed(c, 2, g.ID[:])
}

// SetMessageStatus marks a message of the session's citizen as read, which is for ever, takes it
// into the archive or out of it, or both. NotFound when it is not in the citizen's inbox.
type SetMessageStatus struct {
	Token    TokenHash
	ID       MessageID
	Read     bool // false: keep
	Archived Tri  // Unset: keep
}

// Fields declares the message.
func (s *SetMessageStatus) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.Token[:])
	codec.Fixed(c, 2, s.ID[:])
	codec.Bool(c, 3, &s.Read)
	codec.Uint(c, 4, &s.Archived)
}

// MessageStatus is what became of a message in its citizen's hands.
type MessageStatus struct {
	Read     bool
	Archived bool
}

// Fields declares the message.
func (s *MessageStatus) Fields(c *codec.Codec) {
	codec.Bool(c, 1, &s.Read)
	codec.Bool(c, 2, &s.Archived)
}

// InboxMessage answers GetInbox.
type InboxMessage struct {
	FiscalCode fiscalcode.Code
	Item       InboxItem
	Content    Content
}

// Fields declares the message.
func (m *InboxMessage) Fields(c *codec.Codec) {
	codec.String(c, 1, &m.FiscalCode)
	codec.Nested(c, 2, &m.Item)
	codec.Nested(c, 3, &m.Content)
}
