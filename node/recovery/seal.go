package recovery

import (
	"context"
	"crypto/rand"
	"io/fs"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// copyKeyPeriod is how often a region's leader looks at the key for copies.
const copyKeyPeriod = time.Second

// copyKeyPoll is how often a node that is asked for a copy looks whether its leader has made the
// key.
const copyKeyPoll = 50 * time.Millisecond

// setRecoveryKey answers MethodSetRecoveryKey.
func (d *Recovery) setRecoveryKey(ctx context.Context, from link.Identity, s *wire.SetRecoveryKey) (
	*seat.None, error) {
	if err := s.Usable(); err != nil { // what the log does not look at
		return nil, err
	}
	_, err := d.Administrate(ctx, from, "region recovery-key", wire.CmdSetRecoveryKey, s)
	return nil, err
}

// KeepCopyKeys sees to it that the region has a secret under which copies are sealed for its
// recovery key; a duty of the region's leader.
func (d *Recovery) KeepCopyKeys(ctx context.Context) error {
	return d.Rounds(ctx, copyKeyPeriod, "the region's key for copies waits", d.copyKeyRound)
}

func (d *Recovery) copyKeyRound(ctx context.Context) error {
	r, _ := d.Map().RegionByID(d.RegionID)
	recovery := wire.RecoveryIDOf(r.Recovery)
	if recovery == (wire.RecoveryID{}) || d.Region.ActiveVersion() < wire.CmdCopyKey.Since() {
		return nil
	}
	if k, err := d.Region.CopyKey(recovery); err != nil || k != nil {
		return err
	}
	if err := d.RegionQueue.Do(ctx, wire.CmdCopyKey, newCopyKey(recovery), nil); err != nil {
		return err
	}
	d.Log.Info("the region has a new key for copies", "recovery_key", recovery.String())
	return nil
}

func newCopyKey(recovery wire.RecoveryID) *wire.CopyKey {
	k := &wire.CopyKey{Recovery: recovery}
	rand.Read(k.Key[:])
	return k
}

// copyKeyFor is the key to seal a copy of a group with, and the public half of its recovery key;
// nil for a copy in clear. The federation's state holds nobody's data, and a region's is given in
// clear only when it has no recovery key and the operator has said so.
func (d *Recovery) copyKeyFor(ctx context.Context, q *wire.OpenBackup) (*wire.CopyKey, []byte,
	error) {
	if q.Group == seat.FederationGroup {
		return nil, nil, nil
	}
	m := d.Map()
	r, _ := m.RegionByID(d.RegionID)
	switch {
	case len(r.Recovery) > 0:
	case q.Unsealed || m.ActiveVersion < wire.VersionRecovery:
		return nil, nil, nil
	default:
		return nil, nil, wire.Errorf(wire.Conflict, "region %s has no recovery key to seal a copy to: "+
			"staffetta admin region recovery-key --region %s --out FILE, or take one in clear with "+
			"--unsealed", r.ID, r.ID)
	}
	k, err := d.copyKey(ctx, wire.RecoveryIDOf(r.Recovery), q.Stale)
	return k, r.Recovery, err
}

// copyKey waits until the region's leader has made the copy key. A stale copy of a region that may
// have no leader gets a key of its own: it shares nothing with others.
func (d *Recovery) copyKey(ctx context.Context, recovery wire.RecoveryID,
	stale bool) (*wire.CopyKey, error) {
	for end := time.Now().Add(wire.OwnerWait); ; {
		k, err := d.Region.CopyKey(recovery)
		switch {
		case err != nil || k != nil:
			return k, err
		case stale:
			return newCopyKey(recovery), nil
		case !time.Now().Before(end) || !backoff.Pause(ctx, copyKeyPoll):
			return nil, wire.Errorf(wire.NotReady, "the region's leader has not made the key for copies "+
				"that goes with recovery key %s yet", recovery)
		}
	}
}

// copyFiles are the files of a copy as an operator sees them: as they are, or sealed.
type copyFiles struct {
	*store.Copy
	sealer *wire.CopySealer // nil: as they are
	sealed *wire.SealedKey  // the key, for the head
	sizes  map[string]uint64
}

// newCopyFiles seals a copy under k, for public; a nil k leaves it in clear.
func newCopyFiles(c *store.Copy, k *wire.CopyKey, public []byte) (*copyFiles, error) {
	f := &copyFiles{Copy: c, sizes: map[string]uint64{}}
	for _, file := range c.Files {
		f.sizes[file.Name] = uint64(file.Size)
	}
	if k == nil {
		return f, nil
	}
	sealed, err := k.SealTo(public, c.Identity.Federation, c.Identity.Group)
	if err != nil {
		return nil, err
	}
	f.sealer, f.sealed = k.Sealer(), sealed
	return f, nil
}

// recovery is the key that the files are sealed for; zero for none.
func (f *copyFiles) recovery() (id wire.RecoveryID) {
	if f.sealed != nil {
		id = f.sealed.Recovery
	}
	return id
}

// size is that of a file as it is read.
func (f *copyFiles) size(content int64) uint64 {
	if f.sealer == nil {
		return uint64(content)
	}
	return wire.SealedSize(uint64(content))
}

// readAt returns n bytes of a file.
func (f *copyFiles) readAt(name string, offset uint64, n int) ([]byte, error) {
	if f.sealer == nil {
		p := make([]byte, n)
		return p, f.ReadAt(name, p, int64(offset))
	}
	content, ok := f.sizes[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if end := wire.SealedSize(content); offset > end || uint64(n) > end-offset {
		return nil, wire.Malformedf("%d bytes at %d, the file has %d", n, offset, end)
	}
	out := make([]byte, 0, n)
	for len(out) < n {
		at := offset + uint64(len(out))
		g := wire.Segment{File: name, Size: content, Number: at / wire.SegmentBytes}
		from, bytes := g.Bounds()
		clear := make([]byte, bytes)
		if err := f.ReadAt(name, clear, int64(from)); err != nil {
			return nil, err
		}
		segment := f.sealer.Seal(make([]byte, 0, wire.SegmentBytes), g, clear)
		segment = segment[at%wire.SegmentBytes:]
		out = append(out, segment[:min(len(segment), n-len(out))]...)
	}
	return out, nil
}
