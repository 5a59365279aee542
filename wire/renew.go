package wire

import (
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

// The bounds of renewals.
const (
	// RenewalWait is how long the leader keeps a question that it cannot answer yet.
	RenewalWait = 25 * time.Second
	// RenewalBytesMax bounds each part of a request, and a certificate with its intermediates.
	RenewalBytesMax = 16 << 10
	// RenewalsMax bounds one answer; what is more comes after these are settled.
	RenewalsMax = 32
)

// AskRenewal asks for a certificate of a new key, on the strength of the one in use: whoever signs
// need not believe those who carried it.
type AskRenewal struct {
	// Request is signed with the new key: PKCS #10 in DER, for the holder's identity.
	Request []byte
	// Chain is the certificate in use with its intermediates, DER, one behind the other.
	Chain []byte
	// Proof is the signature under Request with the key of the certificate in use.
	Proof []byte
}

// Fields declares the message.
func (a *AskRenewal) Fields(c *codec.Codec) {
	codec.Bytes(c, 1, &a.Request)
	codec.Bytes(c, 2, &a.Chain)
	codec.Bytes(c, 3, &a.Proof)
}

// Validate refuses a request with a part that is missing or too large.
func (a *AskRenewal) Validate() error {
	for _, part := range [][]byte{a.Request, a.Chain, a.Proof} {
		if len(part) == 0 {
			return Malformedf("a renewal without a request, a certificate or a proof")
		}
		if len(part) > RenewalBytesMax {
			return Errorf(TooLarge, "a renewal of %d bytes, %d allowed", len(part), RenewalBytesMax)
		}
	}
	return nil
}

// Renewal answers AskRenewal: a certificate, why there will be none, or, of both none, that nobody
// has decided in RenewalWait.
type Renewal struct {
	Certificate []byte // DER, with its intermediates behind it
	Refusal     string // in the renewer's words
	// RenewerSeen is when the region's renewer last asked this leader; 0: never.
	RenewerSeen Time
}

// Fields declares the message.
func (r *Renewal) Fields(c *codec.Codec) {
	codec.Bytes(c, 1, &r.Certificate)
	codec.String(c, 2, &r.Refusal)
	codec.Int(c, 3, &r.RenewerSeen)
}

// PendingRenewal is what a holder asked, as it asked it.
type PendingRenewal struct {
	Identity string // its spiffe:// URI
	Ask      AskRenewal
}

// Fields declares the message.
func (p *PendingRenewal) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.Identity)
	codec.Nested(c, 2, &p.Ask)
}

// Renewals answers MethodListRenewals: what waits, once something does or RenewalWait is over.
type Renewals struct{ List []PendingRenewal }

// Fields declares the message.
func (r *Renewals) Fields(c *codec.Codec) { codec.Repeated(c, 1, &r.List) }

// SettleRenewal brings the certificate that an identity asked for, or why it gets none. NotFound
// when the leader does not know of that request (any more): the holder asks again.
type SettleRenewal struct {
	Identity    string
	Request     Fingerprint // of AskRenewal.Request
	Certificate []byte      // DER, with its intermediates behind it; none: refused
	Refusal     string
}

// Fields declares the message.
func (s *SettleRenewal) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Identity)
	codec.Fixed(c, 2, s.Request[:])
	codec.Bytes(c, 3, &s.Certificate)
	codec.String(c, 4, &s.Refusal)
}

// Validate refuses what is neither a certificate nor a refusal, or both.
func (s *SettleRenewal) Validate() error {
	if (len(s.Certificate) == 0) == (s.Refusal == "") {
		return Malformedf("a renewal is settled by a certificate or a refusal")
	}
	if len(s.Certificate) > RenewalBytesMax || len(s.Refusal) > DetailBytesMax {
		return Errorf(TooLarge, "a certificate of %d bytes, a refusal of %d; %d and %d allowed",
			len(s.Certificate), len(s.Refusal), RenewalBytesMax, DetailBytesMax)
	}
	return nil
}
