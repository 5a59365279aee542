package wire

import (
	"crypto/hpke"
	"encoding/binary"
)

// A sealed block's suite: HPKE (RFC 9180) with X25519 and ML-KEM-768 together, so that what is
// copied today stays closed to a quantum computer of tomorrow. It is part of the format.
var (
	sealKEM  = hpke.MLKEM768X25519()
	sealKDF  = hpke.HKDFSHA256()
	sealAEAD = hpke.AES256GCM()
)

// sealEncapsulated is the size of the encapsulated key, with which a sealed block's bytes begin.
const sealEncapsulated = 1120

// regionKeyPublic and regionKeyPrivate are the sizes of a key's halves.
const (
	regionKeyPublic  = 1216
	regionKeyPrivate = 32
)

// RegionPrivateKey opens what was sealed to its public half. It is safe for concurrent use.
type RegionPrivateKey struct{ key hpke.PrivateKey }

// NewRegionKey makes a key pair from the system's randomness.
func NewRegionKey(id uint32) (*PrivateRegionKey, error) {
	key, err := sealKEM.GenerateKey()
	if err != nil {
		return nil, Errorf(Internal, "making a region key: %s", err)
	}
	private, err := key.Bytes()
	if err != nil {
		return nil, Errorf(Internal, "making a region key: %s", err)
	}
	return &PrivateRegionKey{ID: id, Private: private, Public: key.PublicKey().Bytes()}, nil
}

// Open parses the private half.
func (k *PrivateRegionKey) Open() (*RegionPrivateKey, error) {
	key, err := sealKEM.NewPrivateKey(k.Private)
	if err != nil {
		return nil, Errorf(Internal, "region key %d cannot be read", k.ID)
	}
	return &RegionPrivateKey{key}, nil
}

// Validate checks the form that the log relies on: numbers and sizes, so that every version of
// this program finds the same.
func (k *PrivateRegionKey) Validate() error {
	switch {
	case k.ID == 0:
		return Malformedf("region key without a number")
	case len(k.Private) != regionKeyPrivate:
		return Malformedf("private region key of %d bytes, %d are", len(k.Private),
			regionKeyPrivate)
	}
	return (&RegionKey{ID: k.ID, Public: k.Public}).Validate()
}

// Validate checks number and size.
func (k *RegionKey) Validate() error {
	if k.ID == 0 || len(k.Public) != regionKeyPublic {
		return Malformedf("region key %d of %d bytes, %d are", k.ID, len(k.Public),
			regionKeyPublic)
	}
	return nil
}

// Usable checks that blocks can be sealed to the key, which takes more than Validate does.
func (k *RegionKey) Usable() error {
	if err := k.Validate(); err != nil {
		return err
	}
	if _, err := sealKEM.NewPublicKey(k.Public); err != nil {
		return Malformedf("region key %d is no public key", k.ID)
	}
	return nil
}

// Seal seals a block's frame to a key of the region that owns its recipients, for the spool of
// home. Federation, both regions and the key's number are bound to it: moved elsewhere it does
// not open.
func Seal(federation string, home, owner RegionID, key RegionKey, frame []byte) (*SealedBlock,
	error) {
	public, err := sealKEM.NewPublicKey(key.Public)
	if err != nil {
		return nil, Errorf(Internal, "key %d of region %s is no public key", key.ID, owner)
	}
	s := &SealedBlock{Owner: owner, KeyID: key.ID, Home: home}
	encapsulated, sender, err := hpke.NewSender(public, sealKDF, sealAEAD, s.info(federation))
	if err != nil {
		return nil, Errorf(Internal, "sealing to key %d of region %s: %s", key.ID, owner, err)
	}
	sealed, err := sender.Seal(nil, frame)
	if err != nil {
		return nil, Errorf(Internal, "sealing to key %d of region %s: %s", key.ID, owner, err)
	}
	if s.Bytes = append(encapsulated, sealed...); len(s.Bytes) > SealedBytesMax {
		return nil, Errorf(TooLarge, "sealed block of %d bytes, %d allowed", len(s.Bytes),
			SealedBytesMax)
	}
	return s, nil
}

// Open returns the frame of a block that was sealed to k in this federation. Whoever made it
// knew the public key only: the frame is to be checked like any other from outside.
func (k *RegionPrivateKey) Open(federation string, s *SealedBlock) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	encapsulated, sealed := s.Bytes[:sealEncapsulated], s.Bytes[sealEncapsulated:]
	r, err := hpke.NewRecipient(encapsulated, k.key, sealKDF, sealAEAD, s.info(federation))
	if err != nil {
		return nil, Malformedf("sealed block of region %s does not open under key %d", s.Home,
			s.KeyID)
	}
	frame, err := r.Open(nil, sealed)
	if err != nil {
		return nil, Malformedf("sealed block of region %s does not open under key %d", s.Home,
			s.KeyID)
	}
	return frame, nil
}

// Validate checks names and sizes, all that can be checked without the key.
func (s *SealedBlock) Validate() error {
	switch {
	case !s.Owner.Valid() || !s.Home.Valid():
		return Malformedf("sealed block without valid regions")
	case s.KeyID == 0:
		return Malformedf("sealed block without a key's number")
	case len(s.Bytes) <= sealEncapsulated:
		return Malformedf("sealed block of %d bytes", len(s.Bytes))
	case len(s.Bytes) > SealedBytesMax:
		return Errorf(TooLarge, "sealed block of %d bytes, %d allowed", len(s.Bytes),
			SealedBytesMax)
	}
	return nil
}

// info is what a sealed block is bound to.
func (s *SealedBlock) info(federation string) []byte {
	b := []byte("staffetta spool block 1")
	for _, part := range []string{federation, string(s.Owner), string(s.Home)} {
		b = append(append(b, byte(len(part))), part...)
	}
	return binary.BigEndian.AppendUint32(b, s.KeyID)
}

// Validate checks a block and its stubs as far as the home region can: it cannot read the block.
func (s *SpoolBlock) Validate() error {
	if err := s.Sealed.Validate(); err != nil {
		return err
	}
	if n := len(s.Stubs); n == 0 || n > BlockRecordsMax {
		return Malformedf("%d stubs, 1-%d allowed", n, BlockRecordsMax)
	}
	for i := range s.Stubs {
		if !s.Stubs[i].IsRedacted() {
			return Malformedf("stub with content")
		}
		if err := s.Stubs[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}
