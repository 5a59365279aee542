package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// PieceAgeMin is how old a piece must be that a prune removes: whatever else goes wrong, what a
// backup of today has put stays.
const PieceAgeMin = 24 * time.Hour

// Retention says which copies of each group stay: the newest Last, at least one, and all that are
// younger than Within.
type Retention struct {
	Last   int
	Within time.Duration
}

// Pruned is what a prune removed, or would remove.
type Pruned struct {
	Kept    []Entry `json:"kept"`
	Removed []Entry `json:"removed"`
	// Pieces that no copy names any more, and their bytes.
	Pieces uint64 `json:"pieces"`
	Bytes  uint64 `json:"bytes"`
}

// Prune removes copies that the retention does not keep, then the pieces that no copy names. It
// has the repository to itself, and reads every manifest that stays first: one that cannot be
// read ends it before anything was removed. A dry run removes nothing. A prune that breaks off is
// finished by the next one.
func (r *Repository) Prune(ctx context.Context, keep Retention, dryRun bool) (_ *Pruned,
	err error) {
	if keep.Last < 1 {
		return nil, fmt.Errorf("at least one copy of each group has to stay")
	}
	held, err := r.lock(ctx, lockPrune)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, held.release(ctx)) }()
	p := &Pruned{}
	if err := r.choose(ctx, keep, held.at, p); err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, e := range p.Kept {
		m, err := r.Manifest(ctx, e.Name)
		if err != nil {
			return nil, fmt.Errorf("a copy that stays cannot be read: %w", err)
		}
		for i := range m.Files {
			for _, hash := range m.Files[i].Pieces {
				named[r.key.pieceName(hash)] = true
			}
		}
	}
	if !dryRun {
		for _, e := range p.Removed {
			if err := r.target.Delete(ctx, e.Name); err != nil {
				return nil, fmt.Errorf("remove %s: %w", e.Name, err)
			}
		}
	}
	return p, r.collect(ctx, held, named, dryRun, p)
}

// choose sorts the copies into those that stay and those that go.
func (r *Repository) choose(ctx context.Context, keep Retention, now time.Time, p *Pruned) error {
	list, err := r.List(ctx, "")
	if err != nil {
		return err
	}
	newer := map[string]int{}
	for i := len(list) - 1; i >= 0; i-- {
		e := list[i]
		if newer[e.Group] < keep.Last || keep.Within > 0 && now.Sub(e.Time) < keep.Within {
			p.Kept = append(p.Kept, e)
		} else {
			p.Removed = append(p.Removed, e)
		}
		newer[e.Group]++
	}
	byTime(p.Kept)
	byTime(p.Removed)
	return nil
}

// collect removes old pieces that are not named, what broken writes left, and stale locks.
func (r *Repository) collect(ctx context.Context, held *lock, named map[string]bool, dryRun bool,
	p *Pruned) error {
	var gone []Object
	err := r.target.List(ctx, "", func(o Object) error {
		age := held.at.Sub(o.Changed)
		switch {
		case strings.HasPrefix(o.Name, objectsPrefix) && !named[o.Name] && age >= PieceAgeMin:
			p.Pieces++
			p.Bytes += uint64(o.Bytes)
		case strings.Contains(o.Name, "/"+temporary) && age >= PieceAgeMin:
		case strings.HasPrefix(o.Name, locksPrefix) && age >= lockStale:
		default:
			return nil
		}
		gone = append(gone, o)
		return nil
	})
	if err != nil || dryRun {
		return err
	}
	for i, o := range gone {
		if i%1000 == 0 { // nobody may take the lock for stale while this goes on
			if err := held.refresh(ctx); err != nil {
				return err
			}
		}
		if err := r.target.Delete(ctx, o.Name); err != nil {
			return fmt.Errorf("remove %s: %w", o.Name, err)
		}
	}
	return nil
}
