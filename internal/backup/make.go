package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/staffetta/staffetta/wire"
)

// workersDefault pieces are on their way at once.
const workersDefault = 4

// Source is a copy that is held still while it is taken.
type Source interface {
	Head() wire.BackupHead
	Files() []wire.BackupFile
	// Listing goes with the files of a sealed copy; nil for one in clear.
	Listing() []byte
	// Read returns n bytes of a file. It may be called concurrently.
	Read(ctx context.Context, file string, offset uint64, n int) ([]byte, error)
}

// Options of taking and reading copies.
type Options struct {
	// Rate bounds, in bytes per second, what is read from the source; 0: no bound.
	Rate int64
	// Progress is called, by several goroutines, with the bytes that are done with, and all of
	// them.
	Progress func(done, total uint64)
	// Keys open sealed copies that are read.
	Keys RecoveryKeys
}

// Report is what a backup did.
type Report struct {
	Name        string    `json:"name"`
	Group       string    `json:"group"`
	Node        string    `json:"node"`
	FromLeader  bool      `json:"from_leader"`
	Stale       bool      `json:"stale"`
	Time        time.Time `json:"time"`
	Incarnation uint32    `json:"incarnation"`
	Index       uint64    `json:"index"`
	Files       uint64    `json:"files"`
	Bytes       uint64    `json:"bytes"`
	// RecoveryKey is the fingerprint of the key that opens the copy; empty for one in clear.
	RecoveryKey string `json:"recovery_key,omitempty"`
	// AddedBytes are those of the pieces that were not there yet.
	AddedBytes uint64 `json:"added_bytes"`
}

// Backup takes a copy. On return without an error it is whole in the repository. After an error,
// or a crash, pieces may be there that no manifest names: the next backup makes use of them, or a
// prune removes them.
func (r *Repository) Backup(ctx context.Context, src Source, opts Options) (_ *Report,
	err error) {
	m := &Manifest{BackupHead: src.Head(), Files: src.Files(), Listing: src.Listing()}
	m.Lease = 0
	if err := m.validate(); err != nil {
		return nil, err
	}
	held, err := r.lock(ctx, lockBackup)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, held.release(ctx)) }()
	there, err := r.pieces(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the repository: %w", err)
	}
	b := &making{r: r, src: src, total: m.Bytes, progress: opts.Progress}
	if opts.Rate > 0 {
		b.limiter = rate.NewLimiter(rate.Limit(opts.Rate), wire.PieceBytes)
	}
	if err := b.pieces(ctx, m, there); err != nil {
		return nil, err
	}
	if err := held.refresh(ctx); err != nil {
		return nil, err
	}
	name := m.newName()
	if err := r.target.Put(ctx, name, r.key.sealManifest(name, wire.Encode(m))); err != nil {
		return nil, fmt.Errorf("put the manifest: %w", err)
	}
	return &Report{Name: name, Group: m.Group, Node: string(m.Node), FromLeader: m.Leader,
		Stale: m.Stale, Time: m.At(), Incarnation: m.Incarnation, Index: m.Index,
		Files: m.BackupHead.Files, Bytes: m.Bytes, RecoveryKey: m.RecoveryKey(),
		AddedBytes: b.added.Load()}, nil
}

// making is a backup under way.
type making struct {
	r        *Repository
	src      Source
	limiter  *rate.Limiter // nil: none
	total    uint64
	progress func(done, total uint64)

	done, added atomic.Uint64
}

// pieces puts what is not there. there is what is, and is added to.
func (b *making) pieces(ctx context.Context, m *Manifest, there map[string]bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workersDefault)
	for i := range m.Files {
		f := &m.Files[i]
		for at, hash := range f.Pieces {
			if ctx.Err() != nil {
				return g.Wait()
			}
			offset := uint64(at) * wire.PieceBytes
			size := int(min(wire.PieceBytes, f.Size-offset))
			name := b.r.key.pieceName(hash)
			if there[name] {
				b.passed(size)
				continue
			}
			there[name] = true
			g.Go(func() error {
				if err := b.piece(ctx, f.Name, offset, size, hash, name); err != nil {
					return fmt.Errorf("file %s: %w", f.Name, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

func (b *making) piece(ctx context.Context, file string, offset uint64, size int, hash []byte,
	name string) error {
	if b.limiter != nil {
		if err := b.limiter.WaitN(ctx, size); err != nil {
			return err
		}
	}
	content, err := b.src.Read(ctx, file, offset, size)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(content); len(content) != size || string(sum[:]) != string(hash) {
		return fmt.Errorf("the node sent something else than it had announced")
	}
	if err := b.r.target.Put(ctx, name, b.r.key.sealPiece(hash, content)); err != nil {
		return err
	}
	b.added.Add(uint64(size))
	b.passed(size)
	return nil
}

func (b *making) passed(bytes int) {
	done := b.done.Add(uint64(bytes))
	if b.progress != nil {
		b.progress(done, b.total)
	}
}
