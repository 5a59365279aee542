package federation

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// Sealed recipients: version 1 | nonce 12 | AES-256-GCM of the codes, sixteen bytes each. The
// service's id is authenticated, so that a list cannot be moved to another service.
const (
	sealVersion = 1
	nonceBytes  = 12
	tagBytes    = 16

	sealedBytesMax = 1 + nonceBytes + wire.ListMax*fiscalcode.Size + tagBytes
)

// NewService makes the service that is logged from the one that an operator gives: it validates
// it, completes address ranges to networks, and hashes and seals the authorized recipients. It
// is done at the edge, once, so that no fiscal code reaches the log.
func NewService(spec wire.ServiceSpec, h *wire.Hasher) (*wire.Service, error) {
	s := spec.Service
	if len(s.AuthorizedRecipients) > 0 || len(s.SealedRecipients) > 0 {
		return nil, wire.Malformedf("authorized recipients are given in clear, to be hashed here")
	}
	if len(spec.Recipients) > wire.ListMax {
		return nil, wire.Errorf(wire.TooLarge, "%d authorized recipients, %d allowed",
			len(spec.Recipients), wire.ListMax)
	}
	var codes []fiscalcode.Code
	seen := map[fiscalcode.Code]bool{}
	for i, r := range spec.Recipients {
		code, err := fiscalcode.Parse(r)
		if err != nil {
			return nil, wire.Malformedf("authorized recipient %d is no fiscal code", i)
		}
		if !seen[code] {
			seen[code] = true
			codes = append(codes, code)
			s.AuthorizedRecipients = append(s.AuthorizedRecipients, h.Recipient(code))
		}
	}
	s.AuthorizedCIDRs = nil
	for i, c := range spec.Service.AuthorizedCIDRs {
		normal, err := parseCIDR(c)
		if err != nil {
			return nil, wire.Malformedf("authorized address range %d is no IPv4 network", i)
		}
		s.AuthorizedCIDRs = append(s.AuthorizedCIDRs, normal)
	}
	if len(codes) > 0 {
		s.SealedRecipients = Seal(h.Key(), s.ID, codes)
	}
	if err := validateService(&s); err != nil {
		return nil, err
	}
	return &s, nil
}

// sealer is the cipher for one service's recipients under the federation's directory key.
func sealer(key wire.DirectoryKey) cipher.AEAD {
	derived, err := hkdf.Key(sha256.New, key[:], nil, "staffetta authorized recipients", 32)
	if err != nil {
		panic("federation: " + err.Error()) // only for lengths that are out of range
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		panic("federation: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("federation: " + err.Error())
	}
	return aead
}

// Seal encrypts the codes that a service may write to, for Unseal by who has the key.
func Seal(key wire.DirectoryKey, service wire.ServiceID, codes []fiscalcode.Code) []byte {
	plain := make([]byte, 0, len(codes)*fiscalcode.Size)
	for _, c := range codes {
		plain = append(plain, c...)
	}
	sealed := make([]byte, 1+nonceBytes, sealedBytesMax)
	sealed[0] = sealVersion
	rand.Read(sealed[1:]) // never fails
	return sealer(key).Seal(sealed, sealed[1:], plain, []byte(service))
}

// Unseal returns the codes of a service's authorized recipients, in the order of their hashes.
// Malformed when they were sealed under another key, for another service, or damaged.
func Unseal(key wire.DirectoryKey, s *wire.Service) ([]fiscalcode.Code, error) {
	sealed := s.SealedRecipients
	if len(sealed) == 0 {
		return nil, nil
	}
	if sealed[0] != sealVersion {
		return nil, wire.Errorf(wire.UnknownKind, "recipients sealed in version %d", sealed[0])
	}
	if len(sealed) < 1+nonceBytes+tagBytes || len(sealed) > sealedBytesMax {
		return nil, wire.Malformedf("%d bytes of sealed recipients", len(sealed))
	}
	nonce, body := sealed[1:1+nonceBytes], sealed[1+nonceBytes:]
	plain, err := sealer(key).Open(nil, nonce, body, []byte(s.ID))
	if err != nil || len(plain)%fiscalcode.Size != 0 {
		return nil, wire.Malformedf("sealed recipients cannot be opened")
	}
	var codes []fiscalcode.Code
	for ; len(plain) > 0; plain = plain[fiscalcode.Size:] {
		code, err := fiscalcode.Parse(plain[:fiscalcode.Size])
		if err != nil {
			return nil, wire.Malformedf("sealed recipients cannot be opened")
		}
		codes = append(codes, code)
	}
	return codes, nil
}
