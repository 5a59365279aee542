package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

// problemsMax bounds the problems that a verification tells of; one is enough to know.
const problemsMax = 20

// Verification is what reading a copy back showed.
type Verification struct {
	Entry
	Pieces uint64 `json:"pieces"`
	Bytes  uint64 `json:"bytes"`
	// Rows of the state, when it was opened.
	Rows uint64 `json:"rows,omitempty"`
	// Problems are missing and damaged pieces, and what is wrong with the state; at most 20.
	Problems []string `json:"problems,omitempty"`
}

// Verify reads every piece of a copy back and holds it against its hash, which takes no recovery
// key. With scratch, a directory with room for the state that is made when missing, it also puts
// the state together there, compares its identity, position and digest with the manifest's, and
// reads every row; afterwards it removes it. The error is that of verifying, ErrRecoveryKey before
// anything is read among them; what is wrong with the copy is in the Verification.
func (r *Repository) Verify(ctx context.Context, e Entry, scratch string, opts Options) (
	*Verification, error) {
	v := &Verification{Entry: e}
	m, err := r.Manifest(ctx, e.Name)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		v.Problems = append(v.Problems, err.Error())
		return v, nil
	}
	var opened *Opened
	if scratch != "" {
		if opened, err = r.Open(m, opts.Keys); errors.Is(err, ErrRecoveryKey) {
			return nil, err
		} else if err != nil {
			v.Problems = append(v.Problems, err.Error())
			return v, nil
		}
	}
	if err := r.verifyPieces(ctx, m, v, opts); err != nil {
		return nil, err
	}
	if len(v.Problems) > 0 || scratch == "" {
		return v, nil
	}
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(scratch, "verify-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	v.Rows, err = opened.scan(ctx, filepath.Join(dir, "state"))
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		v.Problems = append(v.Problems, err.Error())
	}
	return v, nil
}

func (r *Repository) verifyPieces(ctx context.Context, m *Manifest, v *Verification,
	opts Options) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workersDefault)
	var mu sync.Mutex
	seen := map[string]bool{}
	for i := range m.Files {
		f := &m.Files[i]
		for at, hash := range f.Pieces {
			if ctx.Err() != nil {
				return errors.Join(g.Wait(), ctx.Err())
			}
			size := min(wire.PieceBytes, f.Size-uint64(at)*wire.PieceBytes)
			v.Bytes += size
			if opts.Progress != nil {
				opts.Progress(v.Bytes, m.Bytes)
			}
			if seen[string(hash)] {
				continue
			}
			seen[string(hash)] = true
			v.Pieces++
			g.Go(func() error {
				content, err := r.piece(ctx, hash)
				if err == nil && uint64(len(content)) != size {
					err = fmt.Errorf("piece of %d bytes, %d expected", len(content), size)
				}
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					if len(v.Problems) < problemsMax {
						v.Problems = append(v.Problems, f.Name+": "+err.Error())
					}
				}
				return ctx.Err()
			})
		}
	}
	return g.Wait()
}

// scan puts a state together in dir and reads it whole.
func (o *Opened) scan(ctx context.Context, dir string) (rows uint64, err error) {
	m := o.m
	cfg := store.Config{Dir: dir, Sync: m.Group == "federation", Identity: m.Identity()}
	err = store.Build(cfg, store.Plan{Origin: m.Origin(), Digest: m.Digest,
		Configuration: m.Configuration,
		Files: func(write func(string, int64, io.Reader) error) error {
			return o.Files(ctx, nil, write)
		}})
	if err != nil {
		return 0, err
	}
	db, err := store.Open(cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Scan()
}

// Identity is that of the state that the copy is of.
func (m *Manifest) Identity() store.Identity {
	return store.Identity{Federation: m.Federation, Group: m.Group, Key: m.Key,
		Format: m.Format, Incarnation: m.Incarnation}
}

// Origin is what an incarnation that begins with the copy says of where it began.
func (m *Manifest) Origin() store.Origin {
	return store.Origin{Index: m.Index, Term: m.Term, Taken: m.Taken}
}
