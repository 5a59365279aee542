package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"unicode/utf8"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// FeatureLevel is the contract's feature_level_type.
type FeatureLevel uint8

// The feature levels.
const (
	Standard FeatureLevel = iota
	Advanced
)

// String is the contract's word.
func (f FeatureLevel) String() string {
	if f == Advanced {
		return "ADVANCED"
	}
	return "STANDARD"
}

// Record is one submission. With content it is whole; without, it is redacted: what an owner
// needs to refuse it, to recognise a retry and to answer a read, and nothing of what it says. A
// redacted record names its recipient by hash only, so an anchor never learns the code.
type Record struct {
	ID      MessageID
	Service ServiceID
	// FiscalCode is set in a whole record, Recipient in a redacted one; never both.
	FiscalCode fiscalcode.Code
	Recipient  Recipient
	// Idempotency is IdempotencyOf the key that the institution gave; zero: none.
	Idempotency Idempotency
	// Digest covers the canonical submission (recipient, service, content and options, not the
	// id), so that "the same body" has a meaning. Set whenever Idempotency is.
	Digest       Digest
	TimeToLive   uint32 // seconds, 3600-604800
	FeatureLevel FeatureLevel
	// Content is an encoded Content; empty in a redacted record. It aliases the block it came from.
	Content []byte
}

// Digest is a SHA-256.
type Digest [32]byte

// Idempotency is what the state keeps of an idempotency key.
type Idempotency [16]byte

// IsZero reports whether no key was given.
func (i Idempotency) IsZero() bool { return i == Idempotency{} }

// IdempotencyOf scopes an Idempotency-Key to the service; the recipient scopes it further.
func IdempotencyOf(service ServiceID, key string) Idempotency {
	h := sha256.New()
	h.Write([]byte("staffetta idempotency\x00" + string(service) + "\x00"))
	h.Write([]byte(key))
	return Idempotency(h.Sum(nil)[:16])
}

// Fields declares the message.
func (r *Record) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, r.ID[:])
	codec.String(c, 2, &r.Service)
	codec.String(c, 3, &r.FiscalCode)
	codec.Fixed(c, 4, r.Recipient[:])
	codec.Fixed(c, 5, r.Idempotency[:])
	codec.Fixed(c, 6, r.Digest[:])
	codec.Uint(c, 7, &r.TimeToLive)
	codec.Uint(c, 8, &r.FeatureLevel)
	codec.Bytes(c, 9, &r.Content)
}

// IsRedacted reports whether the record comes without content.
func (r *Record) IsRedacted() bool { return r.FiscalCode == "" }

// RecipientUnder is the recipient's hash, computed under h for a whole record.
func (r *Record) RecipientUnder(h *Hasher) Recipient {
	if r.IsRedacted() {
		return r.Recipient
	}
	return h.Recipient(r.FiscalCode)
}

// Redact returns the record without its content, its recipient hashed under h.
func (r *Record) Redact(h *Hasher) Record {
	d := *r
	d.Recipient = r.RecipientUnder(h)
	d.FiscalCode, d.Content = "", nil
	return d
}

// Canonical is the Digest of the submission that r carries: an HMAC-SHA-256 under the raw
// idempotency key. Whoever holds the digest, as an anchor does, and not the key, cannot confirm
// by guessing what a message says.
func (r *Record) Canonical(recipient Recipient, key string) Digest {
	c := Record{Service: r.Service, Recipient: recipient, TimeToLive: r.TimeToLive,
		FeatureLevel: r.FeatureLevel, Content: r.Content}
	mac := hmac.New(sha256.New, []byte("staffetta digest\x00"+key))
	mac.Write(codec.Marshal(make([]byte, 0, len(r.Content)+128), &c))
	return Digest(mac.Sum(nil))
}

// Validate checks the record's own rules, those that a leader holds a gateway to before it
// proposes. The contract's rules on content are the gateway's; here only what the state relies
// on is checked.
func (r *Record) Validate() error {
	switch {
	case r.ID.IsZero():
		return Malformedf("record without id")
	case !r.Service.Valid():
		return Malformedf("record without a valid service")
	case r.FiscalCode != "" && !r.Recipient.IsZero():
		return Malformedf("record with both fiscal code and hash")
	case r.FiscalCode == "" && r.Recipient.IsZero():
		return Malformedf("record without recipient")
	case r.FiscalCode != "" && !r.FiscalCode.Valid():
		return Malformedf("record with an invalid fiscal code")
	case r.IsRedacted() != (len(r.Content) == 0):
		return Malformedf("record neither whole nor redacted")
	case !r.Idempotency.IsZero() && r.Digest == Digest{}:
		return Malformedf("record with an idempotency key and no digest")
	case r.FeatureLevel > Advanced:
		return Malformedf("record with an unknown feature level")
	}
	if r.IsRedacted() {
		return nil
	}
	var s summaryForm
	if err := codec.UnmarshalForm(r.Content, &s); err != nil {
		return Malformedf("%s", err)
	}
	if len(s.subject) == 0 || !utf8.Valid(s.subject) {
		return Malformedf("record without a valid subject")
	}
	return nil
}

// Content is what the citizen reads, field for field the contract's MessageContent.
type Content struct {
	Subject               string
	Markdown              string
	RequireSecureChannels *Flag // nil: the service's value holds
	DueDate               *Date
	Payment               *Payment
	ThirdParty            *ThirdParty
	EUCovidCert           *EUCovidCert
}

// Fields declares the message. Summary declares a part of it.
func (m *Content) Fields(c *codec.Codec) {
	codec.String(c, 1, &m.Subject)
	codec.Optional(c, 2, &m.RequireSecureChannels)
	codec.Optional(c, 3, &m.DueDate)
	codec.Optional(c, 4, &m.Payment)
	codec.Optional(c, 5, &m.ThirdParty)
	codec.Optional(c, 6, &m.EUCovidCert)
	codec.String(c, 7, &m.Markdown)
}

// Flag is a boolean that may be absent.
type Flag struct{ Set bool }

// Fields declares the message.
func (f *Flag) Fields(c *codec.Codec) { codec.Bool(c, 1, &f.Set) }

// Date is an instant that may be absent.
type Date struct{ At Time }

// Fields declares the message.
func (d *Date) Fields(c *codec.Codec) { codec.Int(c, 1, &d.At) }

// Payment is the contract's payment_data; Payee is always filled.
type Payment struct {
	Amount              uint64 // eurocent, 1-9999999999
	NoticeNumber        string // 18 digits
	InvalidAfterDueDate bool
	Payee               InstitutionID
}

// Fields declares the message.
func (p *Payment) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &p.Amount)
	codec.String(c, 2, &p.NoticeNumber)
	codec.Bool(c, 3, &p.InvalidAfterDueDate)
	codec.String(c, 4, &p.Payee)
}

// ThirdParty is the contract's third_party_data.
type ThirdParty struct {
	ID                  string
	ConfigurationID     string
	HasRemoteContent    bool
	HasAttachments      bool
	HasPrecondition     string // ALWAYS, ONCE, NEVER; empty: the configuration's
	OriginalSender      string
	OriginalReceiptDate *Date
	Summary             string
}

// Fields declares the message.
func (t *ThirdParty) Fields(c *codec.Codec) {
	codec.String(c, 1, &t.ID)
	codec.String(c, 2, &t.ConfigurationID)
	codec.Bool(c, 3, &t.HasRemoteContent)
	codec.Bool(c, 4, &t.HasAttachments)
	codec.String(c, 5, &t.HasPrecondition)
	codec.String(c, 6, &t.OriginalSender)
	codec.Optional(c, 7, &t.OriginalReceiptDate)
	codec.String(c, 8, &t.Summary)
}

// EUCovidCert is the contract's eu_covid_cert.
type EUCovidCert struct{ AuthCode string }

// Fields declares the message.
func (e *EUCovidCert) Fields(c *codec.Codec) { codec.String(c, 1, &e.AuthCode) }

// Summary is the part of an encoded Content that an inbox list shows. Decoding it skips the
// markdown, and everything else, without copying.
type Summary struct {
	Subject     string
	Payment     *Payment
	ThirdParty  *ThirdParty
	EUCovidCert *EUCovidCert
}

// Fields declares the message, with the numbers of Content.
func (s *Summary) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Subject)
	s.parts(c)
}

// parts declares all but the subject.
func (s *Summary) parts(c *codec.Codec) {
	codec.Optional(c, 4, &s.Payment)
	codec.Optional(c, 5, &s.ThirdParty)
	codec.Optional(c, 6, &s.EUCovidCert)
}

// summaryForm is a Summary of which only the form is looked at: its subject aliases the content.
type summaryForm struct {
	subject []byte
	rest    Summary
}

// Fields declares the message, with the numbers of Summary.
func (s *summaryForm) Fields(c *codec.Codec) {
	codec.Bytes(c, 1, &s.subject)
	s.rest.parts(c)
}
