package recovery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/time/rate"
)

// backupFrameFiles bounds the pieces in one frame of a listing: some 300 KB.
const backupFrameFiles = 8192

// openBackup is a copy that an operator fetches.
type openBackup struct {
	copy *copyFiles
	to   link.Identity
	// reading counts the reads under way and the holder; the last one closes the copy.
	reading int // guarded by Recovery.mu
}

// hashes are those of files that never change, so that a backup reads only what is new. They are
// of one database, sealed for one recovery key or for none; after a start of the process all files
// are read once.
type hashes struct {
	database uint64
	recovery wire.RecoveryID
	of       map[string][][]byte
}

// backupCalls are the calls about copies of the states, and the keys that they are sealed to.
func (d *Recovery) backupCalls() []seat.Call {
	return []seat.Call{
		seat.Streams(wire.MethodBackup, seat.Operators(link.RightData, seat.Of(
			func(q *wire.OpenBackup) wire.RegionID { return groupRegion(q.Group) })),
			(*wire.BackupFrame)(nil), d.serve),
		seat.Raw(d.Seat, wire.MethodReadBackup, seat.Operators(link.RightData, seat.Anywhere),
			seat.AnyNode, d.read), // of a copy that the caller opened
		seat.Answers(d.Seat, wire.MethodReadIndex, seat.Only(link.RoleNode), seat.AnyNode,
			d.readIndex),
		// Not of who takes copies: whoever has a recovery key set reads those that are taken then.
		seat.Answers(d.Seat, wire.MethodSetRecoveryKey, seat.Operators(link.RightMember, seat.Of(
			func(s *wire.SetRecoveryKey) wire.RegionID { return s.Region })),
			seat.FederationLeads, d.setRecoveryKey).When(
			seat.Hurts(func(m *wire.Map, s *wire.SetRecoveryKey) bool {
				r, _ := m.RegionByID(s.Region) // the first makes nobody's copies another's to read
				return len(r.Recovery) > 0 && !bytes.Equal(r.Recovery, s.Public)
			})),
	}
}

// storeOf is the database of a group's state here, nil for a group that is not here.
func (d *Recovery) storeOf(group *consensus.Group) *store.DB {
	switch group {
	case nil:
		return nil
	case d.RegionGroup:
		return d.Region.Store()
	}
	return d.Federation.Store()
}

// serve answers MethodBackup: it makes a copy, tells what it consists of, and keeps it until the
// operator goes away.
func (d *Recovery) serve(ctx context.Context, from link.Identity, q *wire.OpenBackup,
	send func([]byte) error) error {
	group := d.Group(q.Group)
	if group == nil {
		return wire.Errorf(wire.NotFound, "no group %.70q here", q.Group)
	}
	leads := group.IsLeader()
	if leads && !q.Leader {
		return wire.Errorf(wire.Conflict, "this node leads the group: ask one that follows")
	}
	if err := d.begin(q.Group); err != nil {
		return err
	}
	defer d.end(q.Group)
	if !q.Stale {
		if err := d.catchUp(ctx, q.Group, group); err != nil {
			return err
		}
	}
	key, public, err := d.copyKeyFor(ctx, q)
	if err != nil {
		return err
	}
	// A copy of what is left may be taken where nothing can be noted any more.
	err = d.NoteRead(ctx, from, "backup", copied(d.ID, q, key))
	if err != nil && !q.Stale {
		return err
	}
	held, err := d.storeOf(group).Copy()
	if err != nil {
		return err
	}
	c, err := newCopyFiles(held, key, public)
	if err != nil {
		return errors.Join(err, held.Close())
	}
	o := &openBackup{copy: c, to: from, reading: 1}
	lease := 1 + rand.Uint64N(1<<62)
	d.mu.Lock()
	d.open[lease] = o
	d.mu.Unlock()
	defer d.forget(lease, o)
	head := d.head(c, lease, leads)
	head.Stale = q.Stale
	d.Log.Info("a backup is taken", "group", q.Group, "operator", from.String(), "index",
		head.Index, "bytes", head.Bytes)
	if err := send(wire.Encode(&wire.BackupFrame{Head: head})); err != nil {
		return err
	}
	if err := d.list(ctx, *q, c, head, send); err != nil {
		return err
	}
	return d.hold(ctx, send)
}

// copied is what a copy is of, in the log of reads.
func copied(node wire.NodeID, q *wire.OpenBackup, key *wire.CopyKey) string {
	what := "group " + q.Group + " at node " + string(node)
	if q.Stale {
		what += ", stale"
	}
	switch {
	case key != nil:
		return what + ", sealed to recovery key " + key.Recovery.String()
	case q.Group == seat.FederationGroup:
		return what
	}
	return what + ", unsealed"
}

// catchUp returns when this replica has everything that was acknowledged before the call.
func (d *Recovery) catchUp(ctx context.Context, name string, group *consensus.Group) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	if err := group.Ready(); err != nil {
		return wire.Errorf(wire.NotReady, "the replica is not ready: %s", err)
	}
	return d.CatchUp(ctx, name)
}

// readIndex answers MethodReadIndex.
func (d *Recovery) readIndex(ctx context.Context, _ link.Identity, ref *wire.GroupRef) (
	*wire.ReadIndex, error) {
	group := d.Group(ref.Group)
	if group == nil {
		return nil, wire.Errorf(wire.NotFound, "no group %.70q here", ref.Group)
	}
	index, err := group.ReadIndex(ctx)
	return &wire.ReadIndex{Index: index}, err
}

// begin makes q's group busy.
func (d *Recovery) begin(group string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[group] {
		return wire.Errorf(wire.Overloaded, "another backup of the group is under way here")
	}
	d.busy[group] = true
	return nil
}

func (d *Recovery) end(group string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, group)
}

func (d *Recovery) head(c *copyFiles, lease uint64, leads bool) *wire.BackupHead {
	h := &wire.BackupHead{Lease: lease, Federation: c.Identity.Federation,
		Group: c.Identity.Group, Node: d.ID, Key: c.Identity.Key,
		Format: c.Identity.Format, Incarnation: c.Identity.Incarnation,
		Index: c.Position.Index, Term: c.Position.Term, Digest: c.Digest,
		Configuration: c.Position.Configuration, Taken: d.Now(), Leader: leads,
		Federated: d.Federation.Position().Index, Files: uint64(len(c.Files)), Sealed: c.sealed}
	for _, f := range c.Files {
		h.Bytes += c.size(f.Size)
	}
	return h
}

// list sends the files with the hashes of their pieces.
func (d *Recovery) list(ctx context.Context, q wire.OpenBackup, c *copyFiles,
	head *wire.BackupHead, send func([]byte) error) error {
	d.mu.Lock()
	known := d.hashes[q.Group]
	d.mu.Unlock()
	if known == nil || known.database != c.Database || known.recovery != c.recovery() {
		known = &hashes{}
	}
	fresh := &hashes{database: c.Database, recovery: c.recovery(), of: map[string][][]byte{}}
	l := &listing{ctx: ctx, c: c, send: send, beat: time.Now()}
	if q.Rate > 0 {
		l.limiter = rate.NewLimiter(rate.Limit(q.Rate), wire.SegmentBytes)
	}
	var files []wire.BackupFile
	for _, f := range c.Files {
		pieces := known.of[f.Name]
		if !f.Final || pieces == nil {
			var err error
			if pieces, err = l.hash(f); err != nil {
				return err
			}
		}
		if f.Final {
			fresh.of[f.Name] = pieces
		}
		files = append(files, wire.BackupFile{Name: f.Name, Size: c.size(f.Size), Pieces: pieces})
		if err := l.add(files[len(files)-1]); err != nil {
			return err
		}
	}
	d.mu.Lock()
	d.hashes[q.Group] = fresh
	d.mu.Unlock()
	l.frame.End = true
	if c.sealer != nil {
		l.frame.Listing = c.sealer.Listing(head, files)
	}
	return l.flush()
}

// hold keeps the copy open, and says so, until the operator goes away or the node stops.
func (d *Recovery) hold(ctx context.Context, send func([]byte) error) error {
	beat := time.NewTicker(wire.BackupBeat)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return nil
		case <-d.Stopping:
			return wire.Errorf(wire.NotReady, "the node is stopping")
		}
		if err := send(wire.Encode(&wire.BackupFrame{})); err != nil {
			return err
		}
	}
}

// forget ends a lease. Reads under way finish.
func (d *Recovery) forget(lease uint64, o *openBackup) {
	d.mu.Lock()
	delete(d.open, lease)
	d.mu.Unlock()
	d.release(o)
}

func (d *Recovery) release(o *openBackup) {
	d.mu.Lock()
	o.reading--
	last := o.reading == 0
	d.mu.Unlock()
	if !last {
		return
	}
	if err := o.copy.Close(); err != nil {
		d.Log.Warn("a copy of the state was not removed", "reason", err)
	}
}

// read answers MethodReadBackup.
func (d *Recovery) read(_ context.Context, from link.Identity, req []byte) ([]byte, error) {
	var q wire.ReadBackup
	if err := wire.Decode(req, &q); err != nil {
		return nil, err
	}
	if q.Bytes == 0 || q.Bytes > wire.BackupReadMax || q.Offset > wire.BackupFileMax {
		return nil, wire.Malformedf("%d bytes at %d", q.Bytes, q.Offset)
	}
	d.mu.Lock()
	o := d.open[q.Lease]
	if o != nil && o.to == from {
		o.reading++
	} else {
		o = nil
	}
	d.mu.Unlock()
	if o == nil {
		return nil, wire.Errorf(wire.NotFound, "the copy is not held any more")
	}
	defer d.release(o)
	p, err := o.copy.readAt(q.Name, q.Offset, int(q.Bytes))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wire.Errorf(wire.NotFound, "no such file")
	}
	return p, err
}

// listing hashes files and sends what they consist of.
type listing struct {
	ctx     context.Context
	c       *copyFiles
	send    func([]byte) error
	limiter *rate.Limiter // nil: none
	beat    time.Time     // of the last frame

	frame  wire.BackupFrame
	pieces int // in frame
}

// hash reads a file. While that takes long, empty frames show that it goes on.
func (l *listing) hash(f store.File) (pieces [][]byte, err error) {
	size := l.c.size(f.Size)
	if size > wire.BackupFileMax {
		return nil, wire.Errorf(wire.TooLarge, "file of %d bytes", f.Size)
	}
	h := sha256.New()
	for at := uint64(0); at < size; {
		n := int(min(wire.SegmentBytes, size-at))
		if l.limiter != nil {
			if err := l.limiter.WaitN(l.ctx, n); err != nil {
				return nil, err
			}
		}
		part, err := l.c.readAt(f.Name, at, n)
		if err != nil {
			return nil, err
		}
		h.Write(part)
		if at += uint64(n); at%wire.PieceBytes == 0 || at == size {
			pieces = append(pieces, h.Sum(nil))
			h.Reset()
		}
		if time.Since(l.beat) > wire.BackupBeat {
			if err := l.flush(); err != nil {
				return nil, err
			}
		}
	}
	return pieces, nil
}

func (l *listing) add(f wire.BackupFile) error {
	l.frame.Files = append(l.frame.Files, f)
	if l.pieces += 1 + len(f.Pieces); l.pieces < backupFrameFiles {
		return nil
	}
	return l.flush()
}

func (l *listing) flush() error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	err := l.send(wire.Encode(&l.frame))
	l.frame, l.pieces, l.beat = wire.BackupFrame{}, 0, time.Now()
	return err
}

// groupRegion is the region of a group; AllRegions for the federation's.
func groupRegion(group string) wire.RegionID {
	region, ok := strings.CutPrefix(group, seat.RegionGroup(""))
	if !ok {
		return link.AllRegions
	}
	return wire.RegionID(region)
}
