package backup

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const (
	repositoryName  = "repository"
	objectsPrefix   = "objects/"
	manifestsPrefix = "manifests/"
	locksPrefix     = "locks/"

	repositoryFormat   = 1
	repositoryBytesMax = 4 << 10
	// manifestsMax bounds the manifests of a repository: those of 256 groups, daily for a year.
	manifestsMax = 100_000
)

// Repository keeps copies on a target. Its methods may be called concurrently.
type Repository struct {
	target Target
	key    Key
}

// repositoryFile says what a target holds. Check shows whether a key is the repository's.
type repositoryFile struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	Check  string `json:"check"`
}

func (f *repositoryFile) check(key *Key) string {
	return hex.EncodeToString(key.derive("check", []byte(f.ID)))
}

// Init makes a repository on an empty target. One that is there under the same key is left as it
// is, and made is false.
func Init(ctx context.Context, target Target, key Key) (made bool, err error) {
	_, err = Open(ctx, target, key)
	if err == nil || !isNotExist(err) {
		return false, err
	}
	empty := errors.New("not empty")
	err = target.List(ctx, "", func(o Object) error {
		return fmt.Errorf("%s is no repository, and %w: it holds %q", target, empty, o.Name)
	})
	if err != nil {
		return false, err
	}
	var id [16]byte
	rand.Read(id[:])
	f := repositoryFile{Format: repositoryFormat, ID: hex.EncodeToString(id[:])}
	f.Check = f.check(&key)
	b, err := json.Marshal(f)
	if err != nil {
		return false, err
	}
	return true, target.Put(ctx, repositoryName, append(b, '\n'))
}

// Open opens the repository on a target; fs.ErrNotExist when none was made there.
func Open(ctx context.Context, target Target, key Key) (*Repository, error) {
	b, err := target.Get(ctx, repositoryName, repositoryBytesMax)
	if isNotExist(err) {
		return nil, fmt.Errorf("there is no repository of backups in %s: %w", target, err)
	}
	if err != nil {
		return nil, fmt.Errorf("repository of backups in %s: %w", target, err)
	}
	var f repositoryFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%s in %s is damaged", repositoryName, target)
	}
	if f.Format != repositoryFormat {
		return nil, fmt.Errorf("repository in %s is of format %d, this program knows %d", target,
			f.Format, repositoryFormat)
	}
	if !hmac.Equal([]byte(f.check(&key)), []byte(f.Check)) {
		return nil, fmt.Errorf("the key is not that of the repository in %s, or its file %s is "+
			"damaged", target, repositoryName)
	}
	return &Repository{target: target, key: key}, nil
}

// List returns what copies of a group there are, oldest first; of all groups for "".
func (r *Repository) List(ctx context.Context, group string) (list []Entry, err error) {
	if group != "" && !validGroup(group) {
		return nil, fmt.Errorf("group %q is neither federation nor region/NAME", group)
	}
	prefix := manifestsPrefix
	if group != "" {
		prefix += group + "/"
	}
	err = r.target.List(ctx, prefix, func(o Object) error {
		if len(list) >= manifestsMax {
			return fmt.Errorf("more than %d copies", manifestsMax)
		}
		if e, ok := parseName(o.Name); ok {
			list = append(list, e)
		}
		return nil
	})
	byTime(list)
	return list, err
}

// Find returns the newest copy of a group that is not newer than at; the newest for a zero at.
func (r *Repository) Find(ctx context.Context, group string, at time.Time) (Entry, error) {
	list, err := r.List(ctx, group)
	if err != nil {
		return Entry{}, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if at.IsZero() || !list[i].Time.After(at) {
			return list[i], nil
		}
	}
	if len(list) == 0 {
		return Entry{}, fmt.Errorf("no copy of %s in %s", group, r.target)
	}
	return Entry{}, fmt.Errorf("no copy of %s as old as %s: the oldest is of %s", group,
		at.UTC().Format(time.RFC3339), list[0].Time.Format(time.RFC3339))
}

// Manifest reads one.
func (r *Repository) Manifest(ctx context.Context, name string) (*Manifest, error) {
	e, ok := parseName(name)
	if !ok {
		return nil, fmt.Errorf("%q is not a manifest's name", name)
	}
	object, err := r.target.Get(ctx, name, manifestBytesMax)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, err := r.key.openManifest(name, object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m := &Manifest{}
	if err := wire.Decode(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m.Name = name
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if m.Group != e.Group || m.Index != e.Index || m.Incarnation != e.Incarnation {
		return nil, fmt.Errorf("%s: the content is of %s at entry %d", name, m.Group, m.Index)
	}
	return m, nil
}

// pieces lists the objects that are there.
func (r *Repository) pieces(ctx context.Context) (map[string]bool, error) {
	there := map[string]bool{}
	err := r.target.List(ctx, objectsPrefix, func(o Object) error {
		if !strings.Contains(o.Name, temporary) {
			there[o.Name] = true
		}
		return nil
	})
	return there, err
}
