package wire

import "github.com/staffetta/staffetta/internal/codec"

// DigestsMax bounds the digests of one answer: they reach some minutes back on a busy group.
const DigestsMax = 64

// StateDigest is a replica's state at an index of its log: two that differ at one index mean that a
// replica is broken.
type StateDigest struct {
	Index uint64
	Sum   [32]byte
}

// Fields declares the message.
func (d *StateDigest) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &d.Index)
	codec.Fixed(c, 2, d.Sum[:])
}

// ReplicaQuery is a group's leader asking a member how it is, and telling what a majority of the
// group's voters agree on.
type ReplicaQuery struct {
	Group   string
	Version uint32 // the newest that the asking program knows
	Agreed  []StateDigest
}

// Fields declares the message.
func (q *ReplicaQuery) Fields(c *codec.Codec) {
	codec.String(c, 1, &q.Group)
	codec.Uint(c, 2, &q.Version)
	codec.Repeated(c, 3, &q.Agreed)
}

// DiskLevel says how much room a node's disk has, best first.
type DiskLevel uint8

// The levels; see docs/design/014-upgrade.md for what a node does at each.
const (
	DiskUnknown DiskLevel = iota
	DiskAmple
	DiskLow      // submissions are refused
	DiskCritical // the node does not want to lead
	DiskFull     // the node ends
)

var diskLevels = [...]string{"unknown", "ample", "low", "critical", "full"}

func (l DiskLevel) String() string {
	if int(l) < len(diskLevels) {
		return diskLevels[l]
	}
	return "unknown"
}

// Replica is how a member of a group is.
type Replica struct {
	Version uint32 // the newest that its program knows
	Active  uint32 // of the group, as this replica knows
	// Digests are of recent indexes, oldest first, at most DigestsMax.
	Digests []StateDigest
	Disk    DiskLevel
}

// Fields declares the message.
func (r *Replica) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Version)
	codec.Uint(c, 2, &r.Active)
	codec.Repeated(c, 3, &r.Digests)
	codec.Uint(c, 4, &r.Disk)
}

// Upgrade is where the federation stands between two versions.
type Upgrade struct {
	Active uint32 // of the federation's group: what operators allow
	Newest uint32 // of the program of the node that answers
	Nodes  []NodeVersion
}

// Fields declares the message.
func (u *Upgrade) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &u.Active)
	codec.Uint(c, 2, &u.Newest)
	codec.Repeated(c, 3, &u.Nodes)
}

// NodeVersion is a node's part of an Upgrade.
type NodeVersion struct {
	Node    NodeID
	Region  RegionID
	Version uint32 // the newest that its program knows; 0: it did not answer
	Active  uint32 // of its region's group, as its replica knows; 0: it did not answer
}

// Fields declares the message.
func (n *NodeVersion) Fields(c *codec.Codec) {
	codec.String(c, 1, &n.Node)
	codec.String(c, 2, &n.Region)
	codec.Uint(c, 3, &n.Version)
	codec.Uint(c, 4, &n.Active)
}

// Ballast is what was freed.
type Ballast struct{ Bytes uint64 }

// Fields declares the message.
func (b *Ballast) Fields(c *codec.Codec) { codec.Uint(c, 1, &b.Bytes) }
