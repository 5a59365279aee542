package wire

import (
	"crypto/sha256"

	"github.com/staffetta/staffetta/internal/codec"
)

// Map is the federation: who takes part and which region anchors which slot.
type Map struct {
	Federation string
	Version    uint64
	Regions    []Region
	Nodes      []Node
	Gateways   []Gateway
	// SlotOwners has Slots elements: the tag of each slot's region.
	SlotOwners []RegionTag
	// SlotEpochs counts the owners of each slot; none: all as at the founding.
	SlotEpochs []uint64
	// SlotDeals are the slots on their way to SlotOwners, in order of the slots.
	SlotDeals []SlotDeal
	Trust     Trust
	// ActiveVersion is the newest version whose kinds of entries and commands may be logged.
	ActiveVersion uint32
	// Approvals is how many operators it takes to do what hurts a region, from version 3 on; 0:
	// one.
	Approvals uint32
}

// Fields declares the message.
func (m *Map) Fields(c *codec.Codec) {
	codec.String(c, 1, &m.Federation)
	codec.Uint(c, 2, &m.Version)
	codec.Repeated(c, 3, &m.Regions)
	codec.Repeated(c, 4, &m.Nodes)
	codec.Repeated(c, 5, &m.Gateways)
	codec.Uints(c, 6, &m.SlotOwners)
	codec.Uints(c, 7, &m.SlotEpochs)
	codec.Nested(c, 8, &m.Trust)
	codec.Uint(c, 9, &m.ActiveVersion)
	codec.Repeated(c, 10, &m.SlotDeals)
	codec.Uint(c, 11, &m.Approvals)
}

// Region is a region group of the map.
type Region struct {
	ID  RegionID
	Tag RegionTag
	// Keys are the public keys that blocks are sealed to while the region is away, newest last.
	Keys []RegionKey
	// Incarnation counts how often the region was restored from a backup. Nodes of an earlier one
	// take no part.
	Incarnation uint32
	// Closing: the region claims no codes any more, and may lose its last node.
	Closing bool
	// Recovery is the public half of the key that copies of the region's state are sealed to, from
	// version 3 on; empty: it has none.
	Recovery []byte
}

// Fields declares the message.
func (r *Region) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.ID)
	codec.Uint(c, 2, &r.Tag)
	codec.Repeated(c, 3, &r.Keys)
	codec.Uint(c, 4, &r.Incarnation)
	codec.Bool(c, 5, &r.Closing)
	codec.Bytes(c, 6, &r.Recovery)
}

// RegionKey is a public key of a region; its private half is in the region's log only.
type RegionKey struct {
	ID     uint32 // counts from 1
	Public []byte
}

// Fields declares the message.
func (k *RegionKey) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &k.ID)
	codec.Bytes(c, 2, &k.Public)
}

// Trust is whom the federation believes, besides what each process's own files say.
type Trust struct {
	// Authorities are authorities' certificates, DER.
	Authorities [][]byte
	Revoked     []Revocation
	// Bounds are of the authorities that speak for some regions only, from version 3 on.
	Bounds []AuthorityBound
}

// Fields declares the message.
func (t *Trust) Fields(c *codec.Codec) {
	codec.ByteStrings(c, 1, &t.Authorities)
	codec.Repeated(c, 2, &t.Revoked)
	codec.Repeated(c, 3, &t.Bounds)
}

// AuthorityBound limits an authority to regions: nodes and gateways of others with a certificate of
// it are refused, and operators have its grants in these regions only.
type AuthorityBound struct {
	Root    Fingerprint
	Regions []RegionID
}

// Fields declares the message.
func (b *AuthorityBound) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, b.Root[:])
	codec.Strings(c, 2, &b.Regions)
}

// Revocation ends the use of certificates of an identity that were issued before a time.
type Revocation struct {
	Identity string // the spiffe:// URI
	Before   Time   // certificates whose NotBefore is at or before this are worthless
}

// Fields declares the message.
func (r *Revocation) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.Identity)
	codec.Int(c, 2, &r.Before)
}

// Node is a relay node of the map.
type Node struct {
	ID     NodeID
	Region RegionID
	Addr   string // host:port, UDP
	Voter  bool   // of the federation group; the others are non-voters
	// Maintenance is the reason why the node is not to lead, set by an operator; empty: none.
	Maintenance string
	Nonvoter    bool // of its region's group: it follows, for good
}

// Fields declares the message.
func (n *Node) Fields(c *codec.Codec) {
	codec.String(c, 1, &n.ID)
	codec.String(c, 2, &n.Region)
	codec.String(c, 3, &n.Addr)
	codec.Bool(c, 4, &n.Voter)
	codec.String(c, 5, &n.Maintenance)
	codec.Bool(c, 6, &n.Nonvoter)
}

// Gateway is a gateway of the map; its home region is where its message ids point.
type Gateway struct {
	ID     GatewayID
	Region RegionID
}

// Fields declares the message.
func (g *Gateway) Fields(c *codec.Codec) {
	codec.String(c, 1, &g.ID)
	codec.String(c, 2, &g.Region)
}

// Region returns the region of a tag.
func (m *Map) RegionByTag(tag RegionTag) (Region, bool) {
	for _, r := range m.Regions {
		if r.Tag == tag {
			return r, true
		}
	}
	return Region{}, false
}

// RegionByID returns a region by its name.
func (m *Map) RegionByID(id RegionID) (Region, bool) {
	for _, r := range m.Regions {
		if r.ID == id {
			return r, true
		}
	}
	return Region{}, false
}

// Anchor is the region that holds the slot; empty when nobody does.
func (m *Map) Anchor(s Slot) RegionID {
	if int(s) >= len(m.SlotOwners) {
		return ""
	}
	r, _ := m.RegionByTag(m.SlotOwners[s])
	return r.ID
}

// Node returns a node by its name.
func (m *Map) Node(id NodeID) (Node, bool) {
	for _, n := range m.Nodes {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}

// Validate checks a founding map: names, tags and addresses unique, an odd number of 1-7 voters,
// every slot dealt to a region that has nodes.
func (m *Map) Validate() error {
	switch {
	case !validName(m.Federation):
		return Malformedf("federation needs a name of 1-%d of [a-z0-9-]", NameBytesMax)
	case len(m.Regions) == 0 || len(m.Regions) > RegionsMax:
		return Malformedf("%d regions, 1-%d allowed", len(m.Regions), RegionsMax)
	case len(m.Nodes) > NodesMax || len(m.Gateways) > GatewaysMax:
		return Malformedf("too many nodes or gateways")
	case m.Approvals > ApprovalsMax:
		return Malformedf("%d operators for what hurts a region, 1-%d allowed", m.Approvals,
			ApprovalsMax)
	case len(m.SlotOwners) != Slots:
		return Malformedf("%d anchor slots dealt, %d needed", len(m.SlotOwners), Slots)
	}
	tags, regions := map[RegionTag]bool{}, map[RegionID]int{}
	for _, r := range m.Regions {
		if _, dup := regions[r.ID]; dup || tags[r.Tag] || !r.ID.Valid() || r.Tag >= RegionTags {
			return Malformedf("region %q: name or tag invalid or taken", r.ID)
		}
		tags[r.Tag], regions[r.ID] = true, 0
	}
	names, addrs, voters := map[NodeID]bool{}, map[string]bool{}, 0
	for _, n := range m.Nodes {
		if _, ok := regions[n.Region]; !ok || names[n.ID] || addrs[n.Addr] || !n.ID.Valid() {
			return Malformedf("node %q: name, region or address invalid or taken", n.ID)
		}
		names[n.ID], addrs[n.Addr] = true, true
		regions[n.Region]++
		if n.Voter {
			voters++
		}
	}
	if voters%2 == 0 || voters > 7 {
		return Malformedf("%d federation voters, an odd number of 1-7 needed", voters)
	}
	for s, tag := range m.SlotOwners {
		if r, ok := m.RegionByTag(tag); !ok || regions[r.ID] == 0 {
			return Malformedf("anchor slot %d is dealt to no region with nodes", s)
		}
	}
	for _, d := range m.SlotDeals {
		if _, ok := m.RegionByTag(d.From); !ok || d.Slot >= Slots {
			return Malformedf("anchor slot %d is on its way from a region that is not there", d.Slot)
		}
	}
	return nil
}

// Institution is a sending body. Scopes are the contract's groups; they and the rate limit are
// shared by all its services.
type Institution struct {
	ID     InstitutionID
	Name   string
	Scopes []string
}

// Fields declares the message.
func (i *Institution) Fields(c *codec.Codec) {
	codec.String(c, 1, &i.ID)
	codec.String(c, 2, &i.Name)
	codec.Strings(c, 3, &i.Scopes)
}

// HasScope reports whether the institution has a scope.
func (i *Institution) HasScope(scope string) bool {
	for _, s := range i.Scopes {
		if s == scope {
			return true
		}
	}
	return false
}

// Service is a sending service of an institution, as the federation group holds it.
type Service struct {
	ID                    ServiceID
	Institution           InstitutionID
	Name                  string
	Department            string
	RequireSecureChannels bool
	// AuthorizedRecipients are hashes; SealedRecipients the same codes, sealed for reading back.
	AuthorizedRecipients    []Recipient
	SealedRecipients        []byte
	AuthorizedCIDRs         []string
	MaxAllowedPaymentAmount uint64 // eurocent; 0: none allowed
	Metadata                ServiceMetadata
	Version                 uint64
	// Keys are hashes of the primary and the secondary key; zero: revoked.
	Keys [2]KeyHash
}

// KeyHash is the SHA-256 of a subscription key; the key itself is stored nowhere.
type KeyHash [32]byte

// HashKey hashes a subscription key as an institution sends it.
func HashKey(key string) KeyHash { return KeyHash(sha256.Sum256([]byte(key))) }

// Fields declares the message.
func (s *Service) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.ID)
	codec.String(c, 2, &s.Institution)
	codec.String(c, 3, &s.Name)
	codec.String(c, 4, &s.Department)
	codec.Bool(c, 5, &s.RequireSecureChannels)
	recipients := joinRecipients(s.AuthorizedRecipients)
	codec.Bytes(c, 6, &recipients)
	if c.Decoding() {
		s.AuthorizedRecipients = cutRecipients(c, recipients)
	}
	codec.Bytes(c, 7, &s.SealedRecipients)
	codec.Strings(c, 8, &s.AuthorizedCIDRs)
	codec.Uint(c, 9, &s.MaxAllowedPaymentAmount)
	codec.Nested(c, 10, &s.Metadata)
	codec.Uint(c, 11, &s.Version)
	codec.Fixed(c, 12, s.Keys[0][:])
	codec.Fixed(c, 13, s.Keys[1][:])
}

func cutRecipients(c *codec.Codec, b []byte) []Recipient {
	if len(b)%16 != 0 {
		c.Fail("list of recipients of %d bytes", len(b))
		return nil
	}
	var list []Recipient
	for ; len(b) > 0; b = b[16:] {
		list = append(list, Recipient(b[:16]))
	}
	return list
}

// Authorizes reports whether the recipient is one of the service's authorized recipients.
func (s *Service) Authorizes(r Recipient) bool {
	for _, a := range s.AuthorizedRecipients {
		if a == r {
			return true
		}
	}
	return false
}

// QualityComplete is the contract's gate for reading profiles: at least one address range, a
// description, a privacy page and one contact.
func (s *Service) QualityComplete() bool {
	m := &s.Metadata
	return len(s.AuthorizedCIDRs) > 0 && m.Description != "" && m.PrivacyURL != "" &&
		(m.Email != "" || m.PEC != "" || m.Phone != "" || m.SupportURL != "")
}

// ServiceMetadata is what a service says of itself to citizens.
type ServiceMetadata struct {
	Scope       string // NATIONAL or LOCAL
	Description string
	PrivacyURL  string
	WebURL      string
	TosURL      string
	Email       string
	PEC         string
	Phone       string
	SupportURL  string
	Address     string
}

// Fields declares the message.
func (m *ServiceMetadata) Fields(c *codec.Codec) {
	codec.String(c, 1, &m.Scope)
	codec.String(c, 2, &m.Description)
	codec.String(c, 3, &m.PrivacyURL)
	codec.String(c, 4, &m.WebURL)
	codec.String(c, 5, &m.TosURL)
	codec.String(c, 6, &m.Email)
	codec.String(c, 7, &m.PEC)
	codec.String(c, 8, &m.Phone)
	codec.String(c, 9, &m.SupportURL)
	codec.String(c, 10, &m.Address)
}

// KeyName says which of a service's two keys.
type KeyName uint8

// The keys, both valid at once so that one can be rotated.
const (
	PrimaryKey KeyName = iota
	SecondaryKey
)

// SetKey replaces a key's hash: rotation, or revocation with a zero hash. NotFound when there is
// no such service; Conflict when another service has a key with this hash.
type SetKey struct {
	Service ServiceID
	Name    KeyName
	Hash    KeyHash
}

// Fields declares the message.
func (s *SetKey) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Service)
	codec.Uint(c, 2, &s.Name)
	codec.Fixed(c, 3, s.Hash[:])
}

// DirectoryState is what the directory says of one code.
type DirectoryState uint8

// The directory states; the owner of the first two is the anchor.
const (
	Unclaimed DirectoryState = iota
	ClaimPending
	Claimed
	// Moving: Region owns at Epoch until To does, at the epoch after it. Whoever looks for the
	// owner is told of the former only, as Claimed.
	Moving
)

// DirectoryEntry is the directory's word on one code: the owner, or the region that is claiming.
type DirectoryEntry struct {
	Region RegionID
	Epoch  Epoch
	State  DirectoryState
	Active bool     // a hint: the owner's log decides
	To     RegionID // with Moving
}

// Fields declares the message.
func (e *DirectoryEntry) Fields(c *codec.Codec) {
	codec.String(c, 1, &e.Region)
	codec.Uint(c, 2, &e.Epoch)
	codec.Uint(c, 3, &e.State)
	codec.Bool(c, 4, &e.Active)
	codec.String(c, 5, &e.To)
}

// DirectoryOpKind says what a DirectoryOp does.
type DirectoryOpKind uint8

// The operations, all idempotent. A failed one changes nothing; its result is the entry as it is.
const (
	// OpClaim: compare-and-set from Unclaimed to ClaimPending at epoch 1 for Region.
	OpClaim DirectoryOpKind = 1 + iota
	// OpOwn: from ClaimPending of the same Region and Epoch to Claimed.
	OpOwn
	// OpSetActive: sets Active of a code Claimed by Region at Epoch.
	OpSetActive
	// OpMove: compare-and-set from Claimed by Region at Epoch to Moving, to To at the next epoch.
	// OpOwn by To ends it. Only a CmdMoveDirectory may hold this operation and the next one.
	OpMove
	// OpMoveAborted: ends the move of Epoch away from Region, which owns at the epoch after it.
	OpMoveAborted
)

// DirectoryOp changes one entry of the directory.
type DirectoryOp struct {
	Kind      DirectoryOpKind
	Recipient Recipient
	Region    RegionID
	Epoch     Epoch
	Active    bool
	To        RegionID // with OpMove
}

// Fields declares the message.
func (o *DirectoryOp) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &o.Kind)
	codec.Fixed(c, 2, o.Recipient[:])
	codec.String(c, 3, &o.Region)
	codec.Uint(c, 4, &o.Epoch)
	codec.Bool(c, 5, &o.Active)
	codec.String(c, 6, &o.To)
}

// DirectoryOps is a batch of independent operations, applied in order.
type DirectoryOps struct {
	List []DirectoryOp
	// Incarnation is that of the region that speaks; one that the map does not know is refused.
	Incarnation uint32
}

// Fields declares the message.
func (o *DirectoryOps) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &o.List)
	codec.Uint(c, 2, &o.Incarnation)
}

// DirectoryResult is the entry after an operation, and whether the operation holds.
type DirectoryResult struct {
	OK    bool
	Entry DirectoryEntry
	// Err refuses this operation, and no other one of its batch: it is malformed, or names a region
	// that is not there, or takes nobody. From VersionOwners on; below it, it fails the batch.
	Err *Error
}

// Fields declares the message.
func (r *DirectoryResult) Fields(c *codec.Codec) {
	codec.Bool(c, 1, &r.OK)
	codec.Nested(c, 2, &r.Entry)
	codec.Optional(c, 3, &r.Err)
}

// DirectoryResults answers DirectoryOps, in order.
type DirectoryResults struct{ List []DirectoryResult }

// Fields declares the message.
func (r *DirectoryResults) Fields(c *codec.Codec) { codec.Repeated(c, 1, &r.List) }
