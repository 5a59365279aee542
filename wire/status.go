package wire

import "github.com/staffetta/staffetta/internal/codec"

// What nodes say of themselves, to operators over the link and at /status as JSON. Times are in
// milliseconds, those of a day since the Unix epoch.

// ProbePeersMax bounds the peers of one Probe.
const ProbePeersMax = 256

// StatusQuery asks a node for its status, or, from an operator who does not reach a node, another
// node for that one's.
type StatusQuery struct{ Of NodeID } // empty: of the node that is asked

// Fields declares the message.
func (q *StatusQuery) Fields(c *codec.Codec) { codec.String(c, 1, &q.Of) }

// NodeStatus is everything that one node knows of itself.
type NodeStatus struct {
	ID      NodeID   `json:"id"`
	Region  RegionID `json:"region"`
	Time    Time     `json:"time_ms"`    // by the node's clock
	Started Time     `json:"started_ms"` // the process
	Binary  string   `json:"binary"`     // what the program calls its version
	// Version is the newest version of the logs' content that the program knows, ActiveVersion
	// the one that the federation's map allows.
	Version       uint32 `json:"version"`
	ActiveVersion uint32 `json:"active_version"`
	MapVersion    uint64 `json:"map_version"` // as this node knows the map

	Groups      []GroupStatus     `json:"groups"`
	Disk        DiskStatus        `json:"disk"`
	Spool       []SpoolStatus     `json:"spool,omitempty"` // of the node's region, by owner
	Certificate CertificateStatus `json:"certificate"`
	// ContactMillis is how long ago the federation's leader was heard; 0 on the leader.
	ContactMillis uint64   `json:"federation_contact_ms"`
	Maintenance   string   `json:"maintenance,omitempty"` // why the node is not to lead
	Ready         bool     `json:"ready"`
	Reasons       []string `json:"reasons,omitempty"`
	Degraded      []string `json:"degraded,omitempty"`
}

// Fields declares the message.
func (s *NodeStatus) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.ID)
	codec.String(c, 2, &s.Region)
	codec.Int(c, 3, &s.Time)
	codec.Int(c, 4, &s.Started)
	codec.String(c, 5, &s.Binary)
	codec.Uint(c, 6, &s.Version)
	codec.Uint(c, 7, &s.ActiveVersion)
	codec.Uint(c, 8, &s.MapVersion)
	codec.Repeated(c, 9, &s.Groups)
	codec.Nested(c, 10, &s.Disk)
	codec.Repeated(c, 11, &s.Spool)
	codec.Nested(c, 12, &s.Certificate)
	codec.Uint(c, 13, &s.ContactMillis)
	codec.String(c, 14, &s.Maintenance)
	codec.Bool(c, 15, &s.Ready)
	codec.Strings(c, 16, &s.Reasons)
	codec.Strings(c, 17, &s.Degraded)
}

// GroupStatus is what a replica tells about itself and, when it leads, about its followers.
type GroupStatus struct {
	Group        string `json:"group"` // region/<region> or federation
	Role         string `json:"role"`  // leader, follower, nonvoter, candidate
	Leader       NodeID `json:"leader"`
	Term         uint64 `json:"term"`
	LastIndex    uint64 `json:"last_index"`
	CommitIndex  uint64 `json:"commit_index"`
	AppliedIndex uint64 `json:"applied_index"`
	LogBytes     uint64 `json:"log_bytes"`
	StateBytes   uint64 `json:"state_bytes"`
	// Digest is the state's at DigestIndex, in hexadecimal.
	Digest      string `json:"digest"`
	DigestIndex uint64 `json:"digest_index"`
	// LastContactMillis is how long ago the leader was heard; 0 on the leader, -1 for never.
	LastContactMillis int64            `json:"last_contact_ms"`
	Followers         []FollowerStatus `json:"followers,omitempty"` // none but on the leader
}

// Fields declares the message.
func (s *GroupStatus) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Group)
	codec.String(c, 2, &s.Role)
	codec.String(c, 3, &s.Leader)
	codec.Uint(c, 4, &s.Term)
	codec.Uint(c, 5, &s.LastIndex)
	codec.Uint(c, 6, &s.CommitIndex)
	codec.Uint(c, 7, &s.AppliedIndex)
	codec.Uint(c, 8, &s.LogBytes)
	codec.Uint(c, 9, &s.StateBytes)
	codec.String(c, 10, &s.Digest)
	codec.Uint(c, 11, &s.DigestIndex)
	codec.Int(c, 12, &s.LastContactMillis)
	codec.Repeated(c, 13, &s.Followers)
}

// FollowerStatus is what a leader knows of another member.
type FollowerStatus struct {
	Node  NodeID `json:"node"`
	Voter bool   `json:"voter"`
	Match uint64 `json:"match_index"` // the follower's log is the leader's up to here
	// ContactMillis is how long ago it answered; -1: not since this node leads.
	ContactMillis int64 `json:"contact_ms"`
	// SkewMillis is how far its clock is off this node's, at least; 0 when within the error.
	SkewMillis int64 `json:"clock_skew_ms"`
	Stalled    bool  `json:"stalled,omitempty"` // answers, and does not move
}

// Fields declares the message.
func (s *FollowerStatus) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Node)
	codec.Bool(c, 2, &s.Voter)
	codec.Uint(c, 3, &s.Match)
	codec.Int(c, 4, &s.ContactMillis)
	codec.Int(c, 5, &s.SkewMillis)
	codec.Bool(c, 6, &s.Stalled)
}

// DiskStatus is the file system of the data directory.
type DiskStatus struct {
	FreeBytes  uint64 `json:"free_bytes"` // for this process
	TotalBytes uint64 `json:"total_bytes"`
	// RefuseBytes is the free space below which submissions are refused.
	RefuseBytes uint64 `json:"refuse_below_bytes"`
	Full        bool   `json:"full"` // they are refused now
}

// Fields declares the message.
func (s *DiskStatus) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &s.FreeBytes)
	codec.Uint(c, 2, &s.TotalBytes)
	codec.Uint(c, 3, &s.RefuseBytes)
	codec.Bool(c, 4, &s.Full)
}

// CertificateStatus is a certificate as its holder, or a peer in a handshake, sees it.
type CertificateStatus struct {
	Identity  string `json:"identity"` // its spiffe:// URI
	Issuer    string `json:"issuer"`   // the authority's name
	NotBefore Time   `json:"not_before_ms"`
	NotAfter  Time   `json:"not_after_ms"`
}

// Fields declares the message.
func (s *CertificateStatus) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Identity)
	codec.String(c, 2, &s.Issuer)
	codec.Int(c, 3, &s.NotBefore)
	codec.Int(c, 4, &s.NotAfter)
}

// Probe asks a node to look at itself and to reach for its peers, each with a fresh handshake.
type Probe struct {
	Of    NodeID   // as of StatusQuery
	Peers []NodeID // none: only itself
}

// Fields declares the message.
func (p *Probe) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.Of)
	codec.Strings(c, 2, &p.Peers)
}

// ProbeReport answers Probe.
type ProbeReport struct {
	Node  NodeID      `json:"node"`
	Self  SelfProbe   `json:"self"`
	Peers []PeerProbe `json:"peers"`
}

// Fields declares the message.
func (r *ProbeReport) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.Node)
	codec.Nested(c, 2, &r.Self)
	codec.Repeated(c, 3, &r.Peers)
}

// SelfProbe is what a node measured of its machine.
type SelfProbe struct {
	// FsyncMicros is the slowest of some writes of a block's size, each with its fsync, in the
	// data directory; FsyncError why there were none.
	FsyncMicros uint64 `json:"fsync_us"`
	FsyncError  string `json:"fsync_error,omitempty"`
	// ReceiveBufferBytes is the UDP socket's, 0 when unknown; WantedBufferBytes what it should be.
	ReceiveBufferBytes uint64 `json:"receive_buffer_bytes"`
	WantedBufferBytes  uint64 `json:"wanted_buffer_bytes"`
	FilesMax           uint64 `json:"open_files_max"`
	FilesWanted        uint64 `json:"open_files_wanted"`
	// CertificateProblem says why the files of the certificate cannot be used as they are now.
	CertificateProblem string `json:"certificate_problem,omitempty"`
}

// Fields declares the message.
func (p *SelfProbe) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &p.FsyncMicros)
	codec.String(c, 2, &p.FsyncError)
	codec.Uint(c, 3, &p.ReceiveBufferBytes)
	codec.Uint(c, 4, &p.WantedBufferBytes)
	codec.Uint(c, 5, &p.FilesMax)
	codec.Uint(c, 6, &p.FilesWanted)
	codec.String(c, 7, &p.CertificateProblem)
}

// PeerProbe is what a node found when it reached for a peer.
type PeerProbe struct {
	Node NodeID `json:"node"`
	Addr string `json:"addr"` // where the map says that it listens
	// Problem says why the peer was not reached, or did not answer; empty: all went well.
	Problem string `json:"problem,omitempty"`
	// ProblemCode is the problem's kind: Unauthenticated for a certificate that was refused.
	ProblemCode Code `json:"-"`
	// HeardMillis is how long ago a packet of a new connection came from the peer's address,
	// whatever became of it; -1: never. It tells which way of a path is cut.
	HeardMillis int64 `json:"heard_ms"`

	HandshakeMicros uint64 `json:"handshake_us"`
	RoundTripMicros uint64 `json:"round_trip_us"` // the least of some calls
	// ClockMillis is how far the peer's clock is ahead of this node's, give or take half a round
	// trip.
	ClockMillis int64             `json:"clock_ahead_ms"`
	Protocol    string            `json:"protocol"`
	Binary      string            `json:"binary"`
	Version     uint32            `json:"version"`
	Certificate CertificateStatus `json:"certificate"`
	// PacketBytes is the largest UDP payload that came through to the peer, as far as it was
	// tried; 0: not known.
	PacketBytes uint64 `json:"packet_bytes"`
}

// Fields declares the message.
func (p *PeerProbe) Fields(c *codec.Codec) {
	codec.String(c, 1, &p.Node)
	codec.String(c, 2, &p.Addr)
	codec.String(c, 3, &p.Problem)
	codec.Uint(c, 4, &p.ProblemCode)
	codec.Int(c, 5, &p.HeardMillis)
	codec.Uint(c, 6, &p.HandshakeMicros)
	codec.Uint(c, 7, &p.RoundTripMicros)
	codec.Int(c, 8, &p.ClockMillis)
	codec.String(c, 9, &p.Protocol)
	codec.String(c, 10, &p.Binary)
	codec.Uint(c, 11, &p.Version)
	codec.Nested(c, 12, &p.Certificate)
	codec.Uint(c, 13, &p.PacketBytes)
}
