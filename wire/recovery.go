package wire

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"

	"github.com/staffetta/staffetta/internal/codec"
)

// Copies of a region's state are sealed to the region's recovery key before they leave a node: who
// takes copies, and who keeps them, does not read them. The key's private half is in a file that
// the region's custodian keeps away from every machine of the federation; the public half is on
// the map. Pieces are sealed with a copy key, a secret of the region's state, that goes into each
// copy's head sealed to the recovery key; see sealcopy.go.

// RecoveryID is a recovery key's fingerprint: the first bytes of the SHA-256 of its public half.
// The zero value is no key's.
type RecoveryID [8]byte

// String is the fingerprint as commands show it.
func (id RecoveryID) String() string { return hex.EncodeToString(id[:]) }

// RecoveryIDOf is the fingerprint of a public half; zero for none.
func RecoveryIDOf(public []byte) (id RecoveryID) {
	if len(public) > 0 {
		sum := sha256.Sum256(public)
		copy(id[:], sum[:])
	}
	return id
}

// RecoveryKeyBytes are the sizes of a recovery key's halves.
const (
	RecoveryPublicBytes  = regionKeyPublic
	RecoveryPrivateBytes = regionKeyPrivate
)

// RecoveryKey is the private half. It is safe for concurrent use.
type RecoveryKey struct {
	key hpke.PrivateKey
	id  RecoveryID
}

// NewRecoveryKey makes a key from the system's randomness.
func NewRecoveryKey() (*RecoveryKey, error) {
	key, err := sealKEM.GenerateKey()
	if err != nil {
		return nil, Errorf(Internal, "making a recovery key: %s", err)
	}
	return &RecoveryKey{key, RecoveryIDOf(key.PublicKey().Bytes())}, nil
}

// OpenRecoveryKey reads what Private wrote.
func OpenRecoveryKey(private []byte) (*RecoveryKey, error) {
	key, err := sealKEM.NewPrivateKey(private)
	if err != nil {
		return nil, Malformedf("the recovery key cannot be read")
	}
	return &RecoveryKey{key, RecoveryIDOf(key.PublicKey().Bytes())}, nil
}

// ID is the key's fingerprint.
func (k *RecoveryKey) ID() RecoveryID { return k.id }

// Public is the half that the map has.
func (k *RecoveryKey) Public() []byte { return k.key.PublicKey().Bytes() }

// Private is the half that the custodian keeps.
func (k *RecoveryKey) Private() ([]byte, error) { return k.key.Bytes() }

// SetRecoveryKey makes Public the recovery key of a region, in place of the one there was.
type SetRecoveryKey struct {
	Region RegionID
	Public []byte
}

// Fields declares the message.
func (s *SetRecoveryKey) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Region)
	codec.Bytes(c, 2, &s.Public)
}

// AuditSubject is what the operators' log shows.
func (s *SetRecoveryKey) AuditSubject() string {
	return "region " + string(s.Region) + ", key " + RecoveryIDOf(s.Public).String()
}

// Validate checks the form that the log relies on.
func (s *SetRecoveryKey) Validate() *Error {
	if len(s.Public) != RecoveryPublicBytes {
		return Malformedf("recovery key of %d bytes, %d are", len(s.Public), RecoveryPublicBytes)
	}
	return nil
}

// Usable checks that copies can be sealed to the key, which takes more than Validate does.
func (s *SetRecoveryKey) Usable() *Error {
	if err := s.Validate(); err != nil {
		return err
	}
	if _, err := sealKEM.NewPublicKey(s.Public); err != nil {
		return Malformedf("the recovery key is no public key")
	}
	return nil
}

// CopyKey is the secret under which copies of a region are sealed while Recovery is its recovery
// key. Whoever reads the region's state has it, and has the state.
type CopyKey struct {
	Recovery RecoveryID
	Key      [32]byte
}

// Fields declares the message.
func (k *CopyKey) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, k.Recovery[:])
	codec.Fixed(c, 2, k.Key[:])
}

// Validate refuses a key that says nothing.
func (k *CopyKey) Validate() *Error {
	if k.Recovery == (RecoveryID{}) || k.Key == [32]byte{} {
		return Malformedf("copy key without a recovery key, or without bytes")
	}
	return nil
}

// SealedKey is a copy key, sealed to a recovery key.
type SealedKey struct {
	Recovery RecoveryID
	Bytes    []byte
}

// Fields declares the message.
func (s *SealedKey) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.Recovery[:])
	codec.Bytes(c, 2, &s.Bytes)
}

// Validate checks the size, all that can be checked without the key.
func (s *SealedKey) Validate() *Error {
	if want := sealEncapsulated + 32 + 16; len(s.Bytes) != want {
		return Malformedf("sealed copy key of %d bytes, %d are", len(s.Bytes), want)
	}
	return nil
}

// SealTo seals the copy key to the public half of its recovery key, for copies of one group of one
// federation.
func (k *CopyKey) SealTo(public []byte, federation, group string) (*SealedKey, error) {
	to, err := sealKEM.NewPublicKey(public)
	if err != nil || RecoveryIDOf(public) != k.Recovery {
		return nil, Errorf(Internal, "the recovery key of %s is not what the map says", group)
	}
	encapsulated, sender, err := hpke.NewSender(to, sealKDF, sealAEAD,
		copyKeyInfo(federation, group))
	if err != nil {
		return nil, Errorf(Internal, "sealing to the recovery key of %s: %s", group, err)
	}
	sealed, err := sender.Seal(nil, k.Key[:])
	if err != nil {
		return nil, Errorf(Internal, "sealing to the recovery key of %s: %s", group, err)
	}
	return &SealedKey{Recovery: k.Recovery, Bytes: append(encapsulated, sealed...)}, nil
}

// Open returns the copy key of a copy of a group.
func (k *RecoveryKey) Open(s *SealedKey, federation, group string) (*CopyKey, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Recovery != k.id {
		return nil, Errorf(Forbidden, "the copy of %s is sealed to recovery key %s, this is %s",
			group, s.Recovery, k.id)
	}
	r, err := hpke.NewRecipient(s.Bytes[:sealEncapsulated], k.key, sealKDF, sealAEAD,
		copyKeyInfo(federation, group))
	if err != nil {
		return nil, Malformedf("the copy's key does not open under recovery key %s", k.id)
	}
	b, err := r.Open(nil, s.Bytes[sealEncapsulated:])
	if err != nil || len(b) != 32 {
		return nil, Malformedf("the copy's key does not open under recovery key %s", k.id)
	}
	return &CopyKey{Recovery: k.id, Key: [32]byte(b)}, nil
}

// copyKeyInfo is what a sealed copy key is bound to.
func copyKeyInfo(federation, group string) []byte {
	b := []byte("staffetta copy key 1")
	for _, part := range []string{federation, group} {
		b = append(append(b, byte(len(part))), part...)
	}
	return b
}
