package wire

import "github.com/staffetta/staffetta/internal/codec"

// ProtocolVersion is the relay protocol's, in Hello and Welcome.
const ProtocolVersion = 1

// Hello opens a gateway's or operator's work with a node.
type Hello struct{ Version uint32 }

// Fields declares the message.
func (h *Hello) Fields(c *codec.Codec) { codec.Uint(c, 1, &h.Version) }

// Welcome tells a gateway what it needs to work. The directory key stays in its memory.
type Welcome struct {
	Version uint32
	Node    NodeID
	Region  RegionID
	Key     DirectoryKey
	Map     Map
}

// Fields declares the message.
func (w *Welcome) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &w.Version)
	codec.String(c, 2, &w.Node)
	codec.String(c, 3, &w.Region)
	codec.Fixed(c, 4, w.Key[:])
	codec.Nested(c, 5, &w.Map)
}

// Resolve asks for the owners of up to ResolveMax recipients.
type Resolve struct{ Recipients []Recipient }

// Fields declares the message.
func (r *Resolve) Fields(c *codec.Codec) {
	list := make([]byte, 0, 16*len(r.Recipients))
	for _, x := range r.Recipients {
		list = append(list, x[:]...)
	}
	codec.Bytes(c, 1, &list)
	if c.Decoding() {
		r.Recipients = cutRecipients(c, list)
	}
}

// Resolved answers Resolve in order, as of the federation log's Index. An unclaimed or pending
// code's Region is its anchor and its Epoch 0.
type Resolved struct {
	Index   uint64
	Entries []DirectoryEntry
}

// Fields declares the message.
func (r *Resolved) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Index)
	codec.Repeated(c, 2, &r.Entries)
}

// ServiceByKey asks whose key this is.
type ServiceByKey struct{ Key KeyHash }

// Fields declares the message.
func (s *ServiceByKey) Fields(c *codec.Codec) { codec.Fixed(c, 1, s.Key[:]) }

// ServiceByID asks for a service.
type ServiceByID struct{ ID ServiceID }

// Fields declares the message.
func (s *ServiceByID) Fields(c *codec.Codec) { codec.String(c, 1, &s.ID) }

// ServiceAccess is a service with its institution, as of the federation log's Index.
type ServiceAccess struct {
	Index       uint64
	Service     Service
	Institution Institution
}

// Fields declares the message.
func (s *ServiceAccess) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &s.Index)
	codec.Nested(c, 2, &s.Service)
	codec.Nested(c, 3, &s.Institution)
}

// Feed subscribes to the changes after index From.
type Feed struct{ From uint64 }

// Fields declares the message.
func (f *Feed) Fields(c *codec.Codec) { codec.Uint(c, 1, &f.From) }

// FeedFrame carries changes in log order. A frame without events comes at least every second: it
// says how far the node's replica is.
type FeedFrame struct {
	Index uint64 // everything up to here was sent
	// Reset: From was too old; whoever caches drops everything and asks anew.
	Reset  bool
	Events []FeedEvent
	// ContactMillis is how long ago the node's replica last heard from the federation's leader.
	ContactMillis uint64
}

// Fields declares the message.
func (f *FeedFrame) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &f.Index)
	codec.Bool(c, 2, &f.Reset)
	codec.Repeated(c, 3, &f.Events)
	codec.Uint(c, 4, &f.ContactMillis)
}

// FeedEvent is one change: of a directory entry, of a service (with the keys it had and has), of
// an institution, or of the map. Exactly one is set.
type FeedEvent struct {
	Recipient   Recipient
	Entry       *DirectoryEntry
	Service     ServiceID
	Keys        []KeyHash
	Institution InstitutionID
	Map         *Map
}

// Fields declares the message.
func (e *FeedEvent) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, e.Recipient[:])
	codec.Optional(c, 2, &e.Entry)
	codec.String(c, 3, &e.Service)
	keys := make([][]byte, len(e.Keys))
	for i := range e.Keys {
		keys[i] = e.Keys[i][:]
	}
	codec.ByteStrings(c, 4, &keys)
	if c.Decoding() {
		for _, k := range keys {
			if len(k) != len(KeyHash{}) {
				c.Fail("key hash of %d bytes", len(k))
				return
			}
			e.Keys = append(e.Keys, KeyHash(k))
		}
	}
	codec.String(c, 5, &e.Institution)
	codec.Optional(c, 6, &e.Map)
}

// FindMessage asks the owner for a message.
type FindMessage struct {
	Recipient Recipient
	ID        MessageID
}

// Fields declares the message.
func (f *FindMessage) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, f.Recipient[:])
	codec.Fixed(c, 2, f.ID[:])
}

// MessageView answers FindMessage. NotFound and Moved are errors of the call. Content is nil
// unless the message was delivered.
type MessageView struct {
	ID           MessageID
	Service      ServiceID
	Verdict      Verdict
	TimeToLive   uint32
	FeatureLevel FeatureLevel
	Content      *Content
	Read         bool
	// ReadHidden: the citizen denies this sender the reading status; Read is then not to be shown.
	ReadHidden bool
}

// Fields declares the message.
func (m *MessageView) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.ID[:])
	codec.String(c, 2, &m.Service)
	codec.Nested(c, 3, &m.Verdict)
	codec.Uint(c, 4, &m.TimeToLive)
	codec.Uint(c, 5, &m.FeatureLevel)
	codec.Optional(c, 6, &m.Content)
	codec.Bool(c, 7, &m.Read)
	codec.Bool(c, 8, &m.ReadHidden)
}

// SenderProfileQuery asks whether a service may write to a citizen.
type SenderProfileQuery struct {
	Recipient Recipient
	Service   ServiceID
}

// Fields declares the message.
func (q *SenderProfileQuery) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, q.Recipient[:])
	codec.String(c, 2, &q.Service)
}

// SenderProfile is what an institution may know of a citizen. NotFound, an error of the call,
// covers both no profile and a disabled inbox.
type SenderProfile struct {
	Allowed   bool
	Languages []string
}

// Fields declares the message.
func (p *SenderProfile) Fields(c *codec.Codec) {
	codec.Bool(c, 1, &p.Allowed)
	codec.Strings(c, 2, &p.Languages)
}

// ReleaseBatch asks an anchor's leader to release codes to the calling node's region.
type ReleaseBatch struct{ List []Release }

// Fields declares the message.
func (r *ReleaseBatch) Fields(c *codec.Codec) { codec.Repeated(c, 1, &r.List) }

// ServiceSpec is a service as an operator gives it, recipients in clear; the node hashes and
// seals them before anything is logged. Keys of an existing service stay when the given ones
// are zero.
type ServiceSpec struct {
	Service    Service
	Recipients []string
}

// Fields declares the message.
func (s *ServiceSpec) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &s.Service)
	codec.Strings(c, 2, &s.Recipients)
}
