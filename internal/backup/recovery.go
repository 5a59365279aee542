package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const (
	recoveryHead       = "staffetta recovery key 1"
	recoveryPublicHead = "staffetta recovery key 1, public half"
	recoveryBytesMax   = 8 << 10
)

// PublicFile is where the public half of a recovery key lies, beside the private one.
func PublicFile(path string) string { return path + ".pub" }

// NewRecoveryKeyFile makes a recovery key. Its private half goes into a new file that only its
// owner may read, the public one into a file beside it. A file that is there already is left
// alone: fs.ErrExist.
func NewRecoveryKeyFile(path string) (*wire.RecoveryKey, error) {
	key, err := wire.NewRecoveryKey()
	if err != nil {
		return nil, err
	}
	private, err := key.Private()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(PublicFile(path)); err == nil {
		return nil, &fs.PathError{Op: "create", Path: PublicFile(path), Err: fs.ErrExist}
	}
	if err := writeKeyFile(path, recoveryHead, private, 0o600); err != nil {
		return nil, err
	}
	return key, writeKeyFile(PublicFile(path), recoveryPublicHead, key.Public(), 0o644)
}

// ReadRecoveryKeyFile reads the private half. Its errors do not show the file's text.
func ReadRecoveryKeyFile(path string) (*wire.RecoveryKey, error) {
	private, err := readKeyFile(path, recoveryHead, wire.RecoveryPrivateBytes, recoveryBytesMax)
	if err != nil {
		return nil, err
	}
	return wire.OpenRecoveryKey(private)
}

// ReadRecoveryPublicFile reads the public half, which is all that the federation is told.
func ReadRecoveryPublicFile(path string) ([]byte, error) {
	return readKeyFile(path, recoveryPublicHead, wire.RecoveryPublicBytes, recoveryBytesMax)
}

// RecoveryKeys are private halves, to open copies of several regions.
type RecoveryKeys []*wire.RecoveryKey

// ReadRecoveryKeyFiles reads private halves.
func ReadRecoveryKeyFiles(paths []string) (keys RecoveryKeys, err error) {
	for _, path := range paths {
		key, err := ReadRecoveryKeyFile(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// RecoveryKey is the fingerprint of the key that opens the copy; empty for a copy in clear.
func (m *Manifest) RecoveryKey() string {
	if m.Sealed == nil {
		return ""
	}
	return m.Sealed.Recovery.String()
}

// ErrRecoveryKey is a sealed copy that is to be read without its recovery key.
var ErrRecoveryKey = errors.New("the recovery key is missing")

// Opened reads the files of one copy in clear.
type Opened struct {
	r      *Repository
	m      *Manifest
	sealer *wire.CopySealer // nil: the copy is in clear
}

// Open finds the key of a sealed copy among keys, and sees that nobody put the copy together of
// parts of others. It reads no piece. ErrRecoveryKey when the copy's key is not there.
func (r *Repository) Open(m *Manifest, keys RecoveryKeys) (*Opened, error) {
	o := &Opened{r: r, m: m}
	if m.Sealed == nil {
		return o, nil
	}
	for _, key := range keys {
		if key.ID() != m.Sealed.Recovery {
			continue
		}
		k, err := key.Open(m.Sealed, m.Federation, m.Group)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		if o.sealer = k.Sealer(); !o.sealer.ListingHolds(m.Listing, &m.BackupHead, m.Files) {
			return nil, fmt.Errorf("%s is damaged: it is not what the region sealed", m.Name)
		}
		return o, nil
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: the copy of %s of %s is sealed to %s; give its file with "+
			"--recovery-key", ErrRecoveryKey, m.Group, m.At().Format(time.RFC3339), m.RecoveryKey())
	}
	return nil, fmt.Errorf("%w: the copy of %s of %s is sealed to %s, and the key that was given is "+
		"another", ErrRecoveryKey, m.Group, m.At().Format(time.RFC3339), m.RecoveryKey())
}

// Files is Repository.Files, in clear: every segment is opened before write sees any of it.
func (o *Opened) Files(ctx context.Context, progress func(done, total uint64),
	write func(name string, size int64, content io.Reader) error) error {
	if o.sealer == nil {
		return o.r.Files(ctx, o.m, progress, write)
	}
	return o.r.Files(ctx, o.m, progress, func(name string, size int64, content io.Reader) error {
		clear, ok := wire.ContentSize(uint64(size))
		if !ok {
			return fmt.Errorf("%d bytes are no segments", size)
		}
		return write(name, int64(clear), &segmentReader{sealer: o.sealer, sealed: content,
			next: wire.Segment{File: name, Size: clear}, buf: make([]byte, wire.SegmentBytes)})
	})
}

// segmentReader opens a file segment by segment.
type segmentReader struct {
	sealer *wire.CopySealer
	sealed io.Reader
	next   wire.Segment
	buf    []byte // for a sealed segment
	left   []byte // of the segment at hand
	end    bool
}

// Read reads from the segment at hand, or opens the next.
func (s *segmentReader) Read(b []byte) (int, error) {
	for len(s.left) == 0 {
		if s.end {
			return 0, io.EOF
		}
		n, err := io.ReadFull(s.sealed, s.buf)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		if s.left, err = s.sealer.Open(s.next, s.buf[:n]); err != nil {
			return 0, err
		}
		s.end = s.next.Last()
		s.next.Number++
	}
	n := copy(b, s.left)
	s.left = s.left[n:]
	return n, nil
}
