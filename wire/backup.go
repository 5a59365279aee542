package wire

import (
	"strconv"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

// A backup is a copy of a group's state that an operator fetches from one of its nodes. A restored
// group is a new incarnation of it: nodes of an earlier one take no part. Since others went on
// after the copy was made, it serves nothing before ownership is reconciled:
//
//	region restored       Reconcile, in its own log: what the directory knows better, page by page
//	federation restored   OwnershipReport, in its log: what each region knows better, page by page

// The bounds of backups.
const (
	// PieceBytes is the size of the pieces that files of a backup are cut into, all but the last.
	// It is what whoever makes or reads a backup holds in memory, some of them at a time.
	PieceBytes = 4 << 20
	// BackupReadMax bounds the bytes of one ReadBackup.
	BackupReadMax = 1 << 20
	// BackupFileMax bounds a file of a state, and with it the pieces in one frame.
	BackupFileMax = 16 << 30
	// BackupFilesMax bounds the files of a state: a terabyte in tables of 2 MiB.
	BackupFilesMax = 1 << 19
	// BackupBeat is how often a node says that a backup is still held open.
	BackupBeat = time.Second
	// ReconcileMax bounds the codes of one Reconcile and of one OwnershipReport: some 40 KB.
	ReconcileMax = 1024
)

// OpenBackup asks a node for a copy of a group's state, which it holds until the call ends.
type OpenBackup struct {
	Group string
	// Leader lets the group's leader answer; otherwise it refuses with Conflict.
	Leader bool
	// Rate bounds, in bytes per second, how fast the node reads files to hash them; 0: no bound.
	Rate uint64
	// Stale takes what the node has, though its group may have no leader. Otherwise the copy holds
	// everything that was acknowledged before the call.
	Stale bool
	// Unsealed takes a copy in clear of a region that has no recovery key, which is refused
	// otherwise. Of one that has a key no node gives any.
	Unsealed bool
}

// Fields declares the message.
func (o *OpenBackup) Fields(c *codec.Codec) {
	codec.String(c, 1, &o.Group)
	codec.Bool(c, 2, &o.Leader)
	codec.Uint(c, 3, &o.Rate)
	codec.Bool(c, 4, &o.Stale)
	codec.Bool(c, 5, &o.Unsealed)
}

// ReadIndex is an index of a group's log that is at least that of everything acknowledged.
type ReadIndex struct{ Index uint64 }

// Fields declares the message.
func (r *ReadIndex) Fields(c *codec.Codec) { codec.Uint(c, 1, &r.Index) }

// BackupFrame says what a copy consists of: the head first, then files, then the end. Frames
// without any of them say that the copy is still there.
type BackupFrame struct {
	Head  *BackupHead
	Files []BackupFile
	End   bool
	// Listing, with the end of a sealed copy, is CopySealer.Listing of it all.
	Listing []byte
}

// Fields declares the message.
func (f *BackupFrame) Fields(c *codec.Codec) {
	codec.Optional(c, 1, &f.Head)
	codec.Repeated(c, 2, &f.Files)
	codec.Bool(c, 3, &f.End)
	codec.Bytes(c, 4, &f.Listing)
}

// BackupHead says whose state a copy is, and as of when.
type BackupHead struct {
	Lease      uint64 // what ReadBackup names the copy by
	Federation string
	Group      string
	Node       NodeID
	// Key is the fingerprint of the directory key that the state was built under.
	Key         [8]byte
	Format      uint32 // of the state's keys and values
	Incarnation uint32
	Index, Term uint64
	Digest      [32]byte
	// Configuration is the membership in force, in the consensus package's encoding.
	Configuration []byte
	// Taken is when the copy was made, by the node's clock.
	Taken Time
	// Federated is how far the node's replica of the federation was, then.
	Federated    uint64
	Leader       bool // the node led the group
	Stale        bool // it may have missed what others acknowledged
	Files, Bytes uint64
	// Sealed is the key of a sealed copy: its files are rows of sealed segments, and sizes and
	// hashes are of those. Nil for a copy in clear.
	Sealed *SealedKey
}

// Fields declares the message.
func (h *BackupHead) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &h.Lease)
	codec.String(c, 2, &h.Federation)
	codec.String(c, 3, &h.Group)
	codec.String(c, 4, &h.Node)
	codec.Fixed(c, 5, h.Key[:])
	codec.Uint(c, 6, &h.Format)
	codec.Uint(c, 7, &h.Incarnation)
	codec.Uint(c, 8, &h.Index)
	codec.Uint(c, 9, &h.Term)
	codec.Fixed(c, 10, h.Digest[:])
	codec.Bytes(c, 11, &h.Configuration)
	codec.Int(c, 12, &h.Taken)
	codec.Uint(c, 13, &h.Federated)
	codec.Bool(c, 14, &h.Leader)
	codec.Uint(c, 15, &h.Files)
	codec.Uint(c, 16, &h.Bytes)
	codec.Bool(c, 17, &h.Stale)
	codec.Optional(c, 18, &h.Sealed)
}

// BackupFile is a file of a state, with the SHA-256 of each of its pieces.
type BackupFile struct {
	Name   string
	Size   uint64
	Pieces [][]byte
}

// Fields declares the message.
func (f *BackupFile) Fields(c *codec.Codec) {
	codec.String(c, 1, &f.Name)
	codec.Uint(c, 2, &f.Size)
	codec.ByteStrings(c, 3, &f.Pieces)
}

// Validate refuses a file whose pieces do not add up.
func (f *BackupFile) Validate() *Error {
	if f.Size > BackupFileMax || uint64(len(f.Pieces)) != (f.Size+PieceBytes-1)/PieceBytes {
		return Malformedf("file of %d bytes in %d pieces", f.Size, len(f.Pieces))
	}
	for _, p := range f.Pieces {
		if len(p) != 32 {
			return Malformedf("hash of %d bytes", len(p))
		}
	}
	return nil
}

// ReadBackup asks for up to BackupReadMax bytes of a file of a copy.
type ReadBackup struct {
	Lease  uint64
	Name   string
	Offset uint64
	Bytes  uint32
}

// Fields declares the message.
func (r *ReadBackup) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Lease)
	codec.String(c, 2, &r.Name)
	codec.Uint(c, 3, &r.Offset)
	codec.Uint(c, 4, &r.Bytes)
}

// Incarnations are those of the groups that a node takes part in. Asker is what its map says of the
// asking node's region: one whose directory is of an earlier incarnation follows no map any more.
type Incarnations struct {
	Federation uint32
	RegionID   RegionID
	Region     uint32
	Asker      uint32
}

// Fields declares the message.
func (i *Incarnations) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &i.Federation)
	codec.String(c, 2, &i.RegionID)
	codec.Uint(c, 3, &i.Region)
	codec.Uint(c, 4, &i.Asker)
}

// FenceRegion makes Incarnation the region's in the map: nodes of earlier ones stop, and what they
// say to the directory is refused. Conflict when it is neither the present one nor the next.
type FenceRegion struct {
	Region      RegionID
	Incarnation uint32
	// DryRun asks whether it would be done. It is never logged.
	DryRun bool
	// Healthy fences a region that answers, which is refused otherwise. It is never logged.
	Healthy bool
}

// Fields declares the message.
func (f *FenceRegion) Fields(c *codec.Codec) {
	codec.String(c, 1, &f.Region)
	codec.Uint(c, 2, &f.Incarnation)
	codec.Bool(c, 3, &f.DryRun)
	codec.Bool(c, 4, &f.Healthy)
}

// AuditSubject is what the operators' log shows.
func (f *FenceRegion) AuditSubject() string {
	return string(f.Region) + " incarnation " + strconv.FormatUint(uint64(f.Incarnation), 10)
}

// Standing is who owns a code, as one of two says that have to agree.
type Standing struct {
	Recipient Recipient
	Region    RegionID
	Epoch     Epoch
	Active    bool // a hint, of an owner
	// Leaving, to a restored region: the directory has the code on its way from there to Region,
	// which owns it at Epoch if it has got everything.
	Leaving bool
}

// Fields declares the message.
func (s *Standing) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.Recipient[:])
	codec.String(c, 2, &s.Region)
	codec.Uint(c, 3, &s.Epoch)
	codec.Bool(c, 4, &s.Active)
	codec.Bool(c, 5, &s.Leaving)
}

// Agrees reports whether what the log of region self has of a code is what the standing says: the
// same epoch and, since an epoch alone says nothing, the same owner.
func (s *Standing) Agrees(own Ownership, self RegionID) bool {
	switch {
	case own.Epoch != s.Epoch:
		return false
	case own.State == Owned:
		return s.Region == self && !s.Leaving
	}
	return own.State == Released && own.Region == s.Region
}

// Reconcile tells a restored region what the directory knows better, in order of the codes. The
// last one says Done: the region serves from then on.
type Reconcile struct {
	Incarnation uint32
	List        []Standing
	// Last is how far the comparison has come, so that another leader goes on from there.
	Last Recipient
	Done bool
	// Counts are those of this page.
	Counts ReconcileCounts
}

// Fields declares the message.
func (r *Reconcile) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Incarnation)
	codec.Repeated(c, 2, &r.List)
	codec.Fixed(c, 3, r.Last[:])
	codec.Bool(c, 4, &r.Done)
	codec.Nested(c, 5, &r.Counts)
}

// ReconcileCounts says what became of the codes that a region and the directory compared.
type ReconcileCounts struct {
	Agreed   uint64 // both said the same
	Released uint64 // had moved to, or been claimed by, another region
	Raised   uint64 // had left and come back: what came in between is lost
	Lost     uint64 // had come here after the backup: their registrations and messages are lost
	Ahead    uint64 // the directory knew less than the region
}

// Fields declares the message.
func (r *ReconcileCounts) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Agreed)
	codec.Uint(c, 2, &r.Released)
	codec.Uint(c, 3, &r.Raised)
	codec.Uint(c, 4, &r.Lost)
	codec.Uint(c, 5, &r.Ahead)
}

// Add adds a page's counts.
func (r *ReconcileCounts) Add(o *ReconcileCounts) {
	r.Agreed += o.Agreed
	r.Released += o.Released
	r.Raised += o.Raised
	r.Lost += o.Lost
	r.Ahead += o.Ahead
}

// OwnershipReport is a page of what a region's log says of codes, for a restored federation: the
// higher epoch wins. The page with Done ends the region's part.
type OwnershipReport struct {
	Region      RegionID
	Incarnation uint32 // of the federation, that the report is for
	// RegionIncarnation is the region's own; the map takes the higher one.
	RegionIncarnation uint32
	List              []Standing
	// Slots are those that the region holds, each since an epoch; the map takes the higher one.
	Slots  []Slot
	Epochs []uint64
	Done   bool
}

// Fields declares the message.
func (o *OwnershipReport) Fields(c *codec.Codec) {
	codec.String(c, 1, &o.Region)
	codec.Uint(c, 2, &o.Incarnation)
	codec.Uint(c, 3, &o.RegionIncarnation)
	codec.Repeated(c, 4, &o.List)
	codec.Uints(c, 5, &o.Slots)
	codec.Uints(c, 6, &o.Epochs)
	codec.Bool(c, 7, &o.Done)
}

// WaiveReport lets a restored federation go on without the report of a region that is lost, too.
type WaiveReport struct {
	Region RegionID
	// Healthy does without a region that answers, which is refused otherwise. It is never logged.
	Healthy bool
}

// Fields declares the message.
func (f *WaiveReport) Fields(c *codec.Codec) {
	codec.String(c, 1, &f.Region)
	codec.Bool(c, 2, &f.Healthy)
}

// AuditSubject is what the operators' log shows.
func (f *WaiveReport) AuditSubject() string { return string(f.Region) }

// Restores say how far restored groups are, as one node knows.
type Restores struct{ List []Restore }

// Fields declares the message.
func (r *Restores) Fields(c *codec.Codec) { codec.Repeated(c, 1, &r.List) }

// Restore is how far one restored group is.
type Restore struct {
	Group       string
	Incarnation uint32
	Done        bool
	// Index and Time are where the copy stood from which the group began; what came after is lost.
	Index  uint64
	Time   Time
	Counts ReconcileCounts
	// Awaited are the regions that a restored federation waits for.
	Awaited []RegionID
}

// Fields declares the message.
func (r *Restore) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.Group)
	codec.Uint(c, 2, &r.Incarnation)
	codec.Bool(c, 3, &r.Done)
	codec.Uint(c, 4, &r.Index)
	codec.Int(c, 5, &r.Time)
	codec.Nested(c, 6, &r.Counts)
	codec.Strings(c, 7, &r.Awaited)
}
