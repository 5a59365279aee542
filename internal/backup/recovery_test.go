package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// newSealedSource is a copy of files as a node seals it.
func newSealedSource(t *testing.T, at int, files map[string][]byte, to *wire.RecoveryKey,
	k *wire.CopyKey) *source {
	t.Helper()
	sealer := k.Sealer()
	sealed := map[string][]byte{}
	for name, content := range files {
		for g := (wire.Segment{File: name, Size: uint64(len(content))}); ; g.Number++ {
			from, n := g.Bounds()
			sealed[name] = append(sealed[name], sealer.Seal(nil, g, content[from:from+n])...)
			if g.Last() {
				break
			}
		}
	}
	s := newSource(at, sealed)
	var err error
	if s.head.Sealed, err = k.SealTo(to.Public(), s.head.Federation, s.head.Group); err != nil {
		t.Fatal(err)
	}
	s.listing = sealer.Listing(&s.head, s.files)
	return s
}

func newRecoveryKey(t *testing.T) *wire.RecoveryKey {
	t.Helper()
	k, err := wire.NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// openedFiles are those of a copy in clear.
func openedFiles(t *testing.T, r *Repository, m *Manifest, keys ...*wire.RecoveryKey) (
	map[string][]byte, error) {
	t.Helper()
	o, err := r.Open(m, keys)
	if err != nil {
		return nil, err
	}
	got := map[string][]byte{}
	err = o.Files(t.Context(), nil, func(name string, size int64, content io.Reader) error {
		b, err := io.ReadAll(content)
		if err == nil && int64(len(b)) != size {
			err = fmt.Errorf("%d bytes, %d announced", len(b), size)
		}
		got[name] = b
		return err
	})
	return got, err
}

// TestSealedCopies: copies under one copy key share what did not change, are verified without a
// recovery key and read with it only; nothing of the content is in what the target has, nor in what
// the repository's key opens.
func TestSealedCopies(t *testing.T) {
	m := newMemory()
	r := newRepository(t, m)
	mine, another := newRecoveryKey(t), newRecoveryKey(t)
	k := &wire.CopyKey{Recovery: mine.ID(), Key: [32]byte{9}}
	text := []byte("CTTLTI80A01F205X Gentile cittadina, questo avviso è per lei")
	files := func(at int) map[string][]byte {
		all := invented(at)
		all["000008.sst"] = bytes.Repeat(text, 100_000) // more than a piece
		return all
	}
	for at := range 2 {
		report, err := r.Backup(t.Context(), newSealedSource(t, at, files(at), mine, k), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if report.RecoveryKey != mine.ID().String() || at > 0 && report.AddedBytes > 400 {
			t.Errorf("copy %d: %+v", at, report)
		}
	}
	list, err := r.List(t.Context(), "")
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for at, e := range list {
		v, err := r.Verify(t.Context(), e, "", Options{})
		if err != nil || len(v.Problems) > 0 {
			t.Errorf("without the key: %+v, %v", v, err)
		}
		scratch := filepath.Join(t.TempDir(), "scratch")
		if _, err := r.Verify(t.Context(), e, scratch, Options{}); !errors.Is(err, ErrRecoveryKey) {
			t.Errorf("with its content, without the key: %v", err)
		}
		if _, err := os.Stat(scratch); err == nil {
			t.Error("a directory was made before the key was missed")
		}
		manifest, err := r.Manifest(t.Context(), e.Name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := openedFiles(t, r, manifest, another, mine)
		if err != nil || !maps.EqualFunc(got, files(at), bytes.Equal) {
			t.Errorf("copy %d does not come back: %d files, %v", at, len(got), err)
		}
		for _, keys := range [][]*wire.RecoveryKey{nil, {another}} {
			if _, err := openedFiles(t, r, manifest, keys...); !errors.Is(err, ErrRecoveryKey) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("with %d other keys: %v", len(keys), err)
			}
		}
		for name, b := range readFiles(t, r, manifest) { // with the repository's key
			if bytes.Contains(b, text[:16]) {
				t.Errorf("%s has a fiscal code in clear", name)
			}
		}
	}
}

// TestSealedCopyIsWhole: who has the repository's key can change what lies there, and whoever
// reads it notices, before a key is trusted or a byte is written.
func TestSealedCopyIsWhole(t *testing.T) {
	mine := newRecoveryKey(t)
	k := &wire.CopyKey{Recovery: mine.ID(), Key: [32]byte{9}}
	for name, harm := range map[string]func(m *Manifest){
		"an older index":   func(m *Manifest) { m.Index-- },
		"a file less":      func(m *Manifest) { m.Files = m.Files[1:] },
		"a piece swapped":  func(m *Manifest) { m.Files[0].Pieces[0] = m.Files[1].Pieces[0] },
		"another's key":    func(m *Manifest) { m.Sealed.Bytes[7] ^= 1 },
		"another group":    func(m *Manifest) { m.Group = "region/sicilia" },
		"another listing":  func(m *Manifest) { m.Listing[0] ^= 1 },
		"no listing":       func(m *Manifest) { m.Listing = nil },
		"another sequence": func(m *Manifest) { m.Files[0], m.Files[1] = m.Files[1], m.Files[0] },
	} {
		r := newRepository(t, newMemory())
		report, err := r.Backup(t.Context(), newSealedSource(t, 0, invented(0), mine, k), Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Manifest(t.Context(), report.Name)
		if err != nil {
			t.Fatal(err)
		}
		harm(m)
		if _, err := r.Open(m, RecoveryKeys{mine}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	// In clear a file of segments is none, and a manifest says so.
	src := newSource(0, invented(0))
	src.head.Sealed = &wire.SealedKey{Bytes: make([]byte, 1120+48)}
	if _, err := newRepository(t, newMemory()).Backup(t.Context(), src, Options{}); err == nil ||
		!strings.Contains(err.Error(), "not sealed") {
		t.Errorf("an empty file of no segment: %v", err)
	}
}

func TestRecoveryKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lazio.key")
	key, err := NewRecoveryKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewRecoveryKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	got, err := ReadRecoveryKeyFile(path)
	if err != nil || got.ID() != key.ID() {
		t.Fatal(got, err)
	}
	public, err := ReadRecoveryPublicFile(PublicFile(path))
	if err != nil || !bytes.Equal(public, key.Public()) {
		t.Errorf("the public half: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	backupKey := filepath.Join(t.TempDir(), "backup.key")
	if _, err := NewKeyFile(backupKey); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{PublicFile(path), backupKey, path + ".none"} {
		if _, err := ReadRecoveryKeyFile(wrong); err == nil {
			t.Errorf("%s is taken for a recovery key", filepath.Base(wrong))
		}
	}
	if _, err := ReadRecoveryPublicFile(path); err == nil {
		t.Error("the private half is taken for the public one")
	}
	if _, err := ReadKeyFile(path); err == nil {
		t.Error("a recovery key is taken for a repository's")
	}
}

// FuzzManifest: no bytes that a repository's key opens make a manifest that is used and has no
// form.
func FuzzManifest(f *testing.F) {
	src := newSource(0, invented(0))
	f.Add(wire.Encode(&Manifest{BackupHead: src.head, Files: src.files}))
	src.head.Sealed = &wire.SealedKey{Bytes: make([]byte, 1120+48)}
	f.Add(wire.Encode(&Manifest{BackupHead: src.head, Files: src.files, Listing: []byte{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &Manifest{}
		if wire.Decode(b, m) != nil || m.validate() != nil {
			return
		}
		if _, err := (&Repository{}).Open(m, nil); (err == nil) != (m.Sealed == nil) {
			t.Errorf("opened without a key: %v", err)
		}
		for _, file := range m.Files {
			clear, ok := wire.ContentSize(file.Size)
			if m.Sealed != nil && (!ok || wire.SealedSize(clear) != file.Size) {
				t.Errorf("file of %d sealed bytes", file.Size)
			}
		}
	})
}
