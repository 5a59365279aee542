package wire

import (
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

// Who takes part in the federation changes in the map first: an operator's change is one command
// of the federation's log. The leaders of the groups then bring the membership of their Raft groups
// into line with it, one step at a time.
//
// A node joins with a token: the operator puts one (PutToken), the node proves that it has it and
// asks for a certificate (Enrol), the operator signs (Sign), which puts the node on the map.

// The bounds of members.
const (
	// MaintenanceBytesMax bounds the reason of a node's maintenance.
	MaintenanceBytesMax = 256
	// VotersMin and VotersMax bound the voters of the federation group, an odd number; with fewer
	// than VotersMin nodes there is one voter.
	VotersMin, VotersMax = 3, 7
	// TokensMax bounds the join tokens that are kept.
	TokensMax = 256
	// TokenDefault and TokenAgeMax are how long a join token is good for.
	TokenDefault, TokenAgeMax = time.Hour, 7 * 24 * time.Hour
	// TokenKept is how long a token is kept after its time, so that a node that was interrupted
	// still finds its certificate.
	TokenKept = 7 * 24 * time.Hour
	// CertificateBytesMax bounds a certificate, and a request for one.
	CertificateBytesMax = 16 << 10
	// SeedFrameBytes is the content of one frame of a seed.
	SeedFrameBytes = 256 << 10
)

// MemberChange is one change of the map's members. Exactly one of its parts is set.
type MemberChange struct {
	PutRegion     *RegionChange
	RemoveRegion  RegionID
	Node          *NodeChange
	RemoveNode    *NodeRemoval
	Voters        []NodeID // of the federation group, all of them
	PutGateway    *Gateway
	RemoveGateway GatewayID
	// DryRun asks for the map as it would become. It is never logged.
	DryRun bool
	// Successor is the node that takes the place of RemoveNode; empty: nobody does. With DryRun it
	// may have to join yet, and the map that is answered is the present one. It is never logged.
	Successor NodeID
}

// Fields declares the message.
func (m *MemberChange) Fields(c *codec.Codec) {
	codec.Optional(c, 1, &m.PutRegion)
	codec.String(c, 2, &m.RemoveRegion)
	codec.Optional(c, 3, &m.Node)
	codec.Optional(c, 4, &m.RemoveNode)
	codec.Strings(c, 5, &m.Voters)
	codec.Optional(c, 6, &m.PutGateway)
	codec.String(c, 7, &m.RemoveGateway)
	codec.Bool(c, 8, &m.DryRun)
	codec.String(c, 9, &m.Successor)
}

// parts are the verbs and subjects of the parts that are set.
func (m *MemberChange) parts() (list [][2]string) {
	add := func(set bool, action, subject string) {
		if set {
			list = append(list, [2]string{action, subject})
		}
	}
	if r := m.PutRegion; r != nil {
		action := "region add"
		if r.Closing {
			action = "region close"
		}
		add(true, action, string(r.ID))
	}
	add(m.RemoveRegion != "", "region remove", string(m.RemoveRegion))
	if n := m.Node; n != nil {
		add(true, n.action(), string(n.ID))
	}
	if n := m.RemoveNode; n != nil {
		add(true, "node remove", string(n.ID))
	}
	voters := make([]string, len(m.Voters))
	for i, v := range m.Voters {
		voters[i] = string(v)
	}
	add(len(voters) > 0, "voters", strings.Join(voters, " "))
	if g := m.PutGateway; g != nil {
		add(true, "gateway add", string(g.ID))
	}
	add(m.RemoveGateway != "", "gateway remove", string(m.RemoveGateway))
	return list
}

// Validate refuses a change that is not exactly one, and a node in its own place.
func (m *MemberChange) Validate() *Error {
	if n := len(m.parts()); n != 1 {
		return Malformedf("%d changes of members in one, exactly one allowed", n)
	}
	switch {
	case m.Successor == "":
	case m.RemoveNode == nil:
		return Malformedf("node %.40q takes nobody's place", m.Successor)
	case m.Successor == m.RemoveNode.ID:
		return Malformedf("node %.40q does not replace itself", m.Successor)
	case !m.Successor.Valid():
		return Malformedf("%.40q is no name of a node: 1-%d of [a-z0-9-] are needed", m.Successor,
			NameBytesMax)
	}
	return nil
}

// Action is the change in the words of the command line; empty when it is not valid.
func (m *MemberChange) Action() string {
	if parts := m.parts(); len(parts) == 1 {
		return parts[0][0]
	}
	return ""
}

// AuditSubject is what the change is done to.
func (m *MemberChange) AuditSubject() string {
	if parts := m.parts(); len(parts) == 1 {
		return parts[0][1]
	}
	return ""
}

// RegionChange adds a region, or opens or closes the one that is there under the same tag. A
// closing region claims nothing any more; only such a one loses its last node.
type RegionChange struct {
	ID      RegionID
	Tag     RegionTag
	Closing bool
}

// Fields declares the message.
func (r *RegionChange) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.ID)
	codec.Uint(c, 2, &r.Tag)
	codec.Bool(c, 3, &r.Closing)
}

// NodeChange changes what is set.
type NodeChange struct {
	ID   NodeID
	Addr string // host:port, UDP; empty: as it is

	SetNonvoter, Nonvoter bool // of its region's group
	SetMaintenance        bool
	Maintenance           string // the reason; empty ends the maintenance
	// Transfer changes nothing: it notes in the audit that the node is asked to hand over the
	// leadership of its region's group ("region"), or of the federation's ("federation").
	Transfer string
}

// Fields declares the message.
func (n *NodeChange) Fields(c *codec.Codec) {
	codec.String(c, 1, &n.ID)
	codec.String(c, 2, &n.Addr)
	codec.Bool(c, 3, &n.SetNonvoter)
	codec.Bool(c, 4, &n.Nonvoter)
	codec.Bool(c, 5, &n.SetMaintenance)
	codec.String(c, 6, &n.Maintenance)
	codec.String(c, 7, &n.Transfer)
}

func (n *NodeChange) action() string {
	switch {
	case n.SetNonvoter && n.Nonvoter:
		return "node demote"
	case n.SetNonvoter:
		return "node promote"
	case n.SetMaintenance:
		return "node maintenance"
	case n.Transfer != "":
		return "node handover"
	}
	return "node address"
}

// NodeRemoval takes a node off the map, for good: its name is not given again. Voters are those of
// the federation group from then on; none: as they are.
type NodeRemoval struct {
	ID     NodeID
	Voters []NodeID
}

// Fields declares the message.
func (n *NodeRemoval) Fields(c *codec.Codec) {
	codec.String(c, 1, &n.ID)
	codec.Strings(c, 2, &n.Voters)
}

// JoinToken is the federation's half of a join token: whom it admits, and how far that has come.
type JoinToken struct {
	Hash    [32]byte // SHA-256 of the secret
	Node    NodeID
	Region  RegionID
	Addr    string
	Expires Time
	// Request is the node's certificate request, DER; none: it has not asked yet.
	Request []byte
	// Certificate is the node's, DER, with its intermediates behind it; none: not signed yet.
	Certificate []byte
	// Founds: the node was the first of its region, and founds its group alone.
	Founds bool
}

// Fields declares the message.
func (t *JoinToken) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, t.Hash[:])
	codec.String(c, 2, &t.Node)
	codec.String(c, 3, &t.Region)
	codec.String(c, 4, &t.Addr)
	codec.Int(c, 5, &t.Expires)
	codec.Bytes(c, 6, &t.Request)
	codec.Bytes(c, 7, &t.Certificate)
	codec.Bool(c, 8, &t.Founds)
}

// AuditSubject is the node that the token admits.
func (t *JoinToken) AuditSubject() string { return string(t.Node) }

// JoinTokens are all that are kept, in the order of their nodes.
type JoinTokens struct{ List []JoinToken }

// Fields declares the message.
func (t *JoinTokens) Fields(c *codec.Codec) { codec.Repeated(c, 1, &t.List) }

// Enrolment brings a token on: by the node's request, or by the certificate that answers it.
type Enrolment struct {
	Hash        [32]byte
	Node        NodeID // whom the certificate is for
	Request     []byte
	Certificate []byte
}

// Fields declares the message.
func (e *Enrolment) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, e.Hash[:])
	codec.String(c, 2, &e.Node)
	codec.Bytes(c, 3, &e.Request)
	codec.Bytes(c, 4, &e.Certificate)
}

// AuditSubject is the node that is admitted.
func (e *Enrolment) AuditSubject() string { return string(e.Node) }

// EnrolRequest is a node's, which shows by the secret that the token is its own. Asked again, it
// answers how far the token has come.
type EnrolRequest struct {
	Secret  [32]byte
	Request []byte // PKCS #10, DER
}

// Fields declares the message.
func (e *EnrolRequest) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, e.Secret[:])
	codec.Bytes(c, 2, &e.Request)
}

// GroupRef names a Raft group: "federation", or "region/" and a region's name.
type GroupRef struct{ Group string }

// Fields declares the message.
func (g *GroupRef) Fields(c *codec.Codec) { codec.String(c, 1, &g.Group) }

// GroupMembers is a group's membership as its leader knows it.
type GroupMembers struct {
	Group      string
	Leader     NodeID
	MapVersion uint64 // of the leader's replica of the map
	List       []GroupMember
}

// Fields declares the message.
func (g *GroupMembers) Fields(c *codec.Codec) {
	codec.String(c, 1, &g.Group)
	codec.String(c, 2, &g.Leader)
	codec.Uint(c, 3, &g.MapVersion)
	codec.Repeated(c, 4, &g.List)
}

// Member returns a member by its name.
func (g *GroupMembers) Member(id NodeID) (GroupMember, bool) {
	for _, m := range g.List {
		if m.Node == id {
			return m, true
		}
	}
	return GroupMember{}, false
}

// GroupMember is a replica of a group as the leader sees it.
type GroupMember struct {
	Node    NodeID
	Voter   bool
	Answers bool   // within the last two seconds; the leader answers itself
	Behind  uint64 // entries
}

// Fields declares the message.
func (m *GroupMember) Fields(c *codec.Codec) {
	codec.String(c, 1, &m.Node)
	codec.Bool(c, 2, &m.Voter)
	codec.Bool(c, 3, &m.Answers)
	codec.Uint(c, 4, &m.Behind)
}

// LeadershipTransfer asks a group's leader to hand leadership over, to a voter or to whoever is
// furthest.
type LeadershipTransfer struct {
	Group string
	To    NodeID
}

// Fields declares the message.
func (h *LeadershipTransfer) Fields(c *codec.Codec) {
	codec.String(c, 1, &h.Group)
	codec.String(c, 2, &h.To)
}

// MapVersion is the version of the map that the federation's leader has committed.
type MapVersion struct{ Version uint64 }

// Fields declares the message.
func (m *MapVersion) Fields(c *codec.Codec) { codec.Uint(c, 1, &m.Version) }

// Seed asks for a group's state, to begin a replica with, from Offset on. The copy is made when ID
// is zero; to go on after a broken connection, ID and Offset say where.
type Seed struct {
	Group  string
	ID     uint64
	Offset uint64
	Rate   uint64 // bytes per second at most; 0: as fast as it goes
	Leader bool   // a leader may answer, too
}

// Fields declares the message.
func (s *Seed) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Group)
	codec.Uint(c, 2, &s.ID)
	codec.Uint(c, 3, &s.Offset)
	codec.Uint(c, 4, &s.Rate)
	codec.Bool(c, 5, &s.Leader)
}

// SeedFrame is a part of a state. The first one says what comes, and has no content.
type SeedFrame struct {
	ID, Size           uint64
	Index, Term        uint64
	Configuration      []byte
	ConfigurationIndex uint64
	Content            []byte
}

// Fields declares the message.
func (f *SeedFrame) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &f.ID)
	codec.Uint(c, 2, &f.Size)
	codec.Uint(c, 3, &f.Index)
	codec.Uint(c, 4, &f.Term)
	codec.Bytes(c, 5, &f.Configuration)
	codec.Uint(c, 6, &f.ConfigurationIndex)
	codec.Bytes(c, 7, &f.Content)
}
