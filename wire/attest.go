package wire

import "github.com/staffetta/staffetta/internal/codec"

// DiskID names a data directory: random, made with it, and never given to another one.
type DiskID [16]byte

// Attestation is what a node says about its data directory, so that others notice when it is
// another one, or went back in time.
type Attestation struct {
	Disk DiskID
	// Boot is random, made when the process began; Seq counts its attestations.
	Boot, Seq uint64
	// Incarnation is that of the node's region: a restored one has other directories.
	Incarnation uint32
	Groups      []HeldBy
	// Refusal says why the sender refuses the receiver, as in Attested.
	Refusal string
}

// Fields declares the message.
func (a *Attestation) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, a.Disk[:])
	codec.Uint(c, 2, &a.Boot)
	codec.Uint(c, 3, &a.Seq)
	codec.Uint(c, 4, &a.Incarnation)
	codec.Repeated(c, 5, &a.Groups)
	codec.String(c, 6, &a.Refusal)
}

// HeldBy is what a node's disk holds of a group; see consensus.Held.
type HeldBy struct {
	Group                  string // with its incarnation
	Term, Vote, Cuts, Last uint64
}

// Fields declares the message.
func (h *HeldBy) Fields(c *codec.Codec) {
	codec.String(c, 1, &h.Group)
	codec.Uint(c, 2, &h.Term)
	codec.Uint(c, 3, &h.Vote)
	codec.Uint(c, 4, &h.Cuts)
	codec.Uint(c, 5, &h.Last)
}

// Attested answers an Attestation with the other node's. With a Refusal the two take part in no
// group together: it says what the asking node has forgotten.
type Attested struct {
	Own     Attestation
	Refusal string
}

// Fields declares the message.
func (a *Attested) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &a.Own)
	codec.String(c, 2, &a.Refusal)
}

// Sightings is what a node keeps of the attestations of others, and tells its region's.
type Sightings struct{ List []Sighting }

// Fields declares the message.
func (s *Sightings) Fields(c *codec.Codec) { codec.Repeated(c, 1, &s.List) }

// Sighting is the last that was attested by a node.
type Sighting struct {
	Node NodeID
	Last Attestation
}

// Fields declares the message.
func (s *Sighting) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Node)
	codec.Nested(c, 2, &s.Last)
}

// AttestGroupsMax bounds the groups of an attestation: a node has two.
const AttestGroupsMax = 8
