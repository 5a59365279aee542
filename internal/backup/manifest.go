package backup

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

const (
	// manifestBytesMax bounds a manifest: the pieces of five terabytes take 40 MiB.
	manifestBytesMax = 64 << 20
	// timeForm is the time in a manifest's name.
	timeForm = "20060102t150405.000z"
)

// Manifest is one copy: whose state, as of when, of which pieces.
type Manifest struct {
	// Name is the manifest's in the repository.
	Name string
	wire.BackupHead
	Files []wire.BackupFile
	// Listing is what a sealed copy's key says of it all; see wire.CopySealer.
	Listing []byte
}

// Fields declares what is stored.
func (m *Manifest) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &m.BackupHead)
	codec.Repeated(c, 2, &m.Files)
	codec.Bytes(c, 3, &m.Listing)
}

// At is when the copy was taken.
func (m *Manifest) At() time.Time { return time.UnixMilli(int64(m.Taken)).UTC() }

// validate refuses what cannot be a whole copy.
func (m *Manifest) validate() error {
	if !validGroup(m.Group) || m.Federation == "" || m.Index == 0 || len(m.Files) == 0 {
		return fmt.Errorf("copy of group %q at entry %d, of %d files", m.Group, m.Index, len(m.Files))
	}
	if m.Sealed != nil {
		if err := m.Sealed.Validate(); err != nil {
			return err
		}
	}
	var bytes uint64
	names := make(map[string]bool, len(m.Files))
	for i := range m.Files {
		f := &m.Files[i]
		if err := f.Validate(); err != nil {
			return fmt.Errorf("file %q: %w", f.Name, err)
		}
		if names[f.Name] {
			return fmt.Errorf("two files %q", f.Name)
		}
		if _, ok := wire.ContentSize(f.Size); m.Sealed != nil && !ok {
			return fmt.Errorf("file %q of %d bytes is not sealed", f.Name, f.Size)
		}
		names[f.Name] = true
		bytes += f.Size
	}
	if uint64(len(m.Files)) != m.BackupHead.Files || bytes != m.Bytes {
		return fmt.Errorf("%d files of %d bytes, %d of %d announced", len(m.Files), bytes,
			m.BackupHead.Files, m.Bytes)
	}
	return nil
}

// validGroup accepts "federation" and "region/" with a region's name.
func validGroup(group string) bool {
	region, ok := strings.CutPrefix(group, "region/")
	return group == "federation" || ok && wire.RegionID(region).Valid()
}

// newName is a name that nobody has, and that sorts by time.
func (m *Manifest) newName() string {
	var unique [4]byte
	rand.Read(unique[:])
	return fmt.Sprintf("%s%s/%s-c%d-i%d-%s", manifestsPrefix, m.Group,
		m.At().Format(timeForm), m.Incarnation, m.Index,
		hex.EncodeToString(unique[:]))
}

// Entry is a manifest as its name tells, without being opened.
type Entry struct {
	Name  string    `json:"name"`
	Group string    `json:"group"`
	Time  time.Time `json:"time"`
	// Incarnation of the group, and the entry of its log up to which the copy goes.
	Incarnation uint32 `json:"incarnation"`
	Index       uint64 `json:"index"`
}

// parseName reads a manifest's name; false for anything else.
func parseName(name string) (e Entry, ok bool) {
	rest, ok := strings.CutPrefix(name, manifestsPrefix)
	slash := strings.LastIndexByte(rest, '/')
	if !ok || slash < 0 || !validGroup(rest[:slash]) {
		return e, false
	}
	e = Entry{Name: name, Group: rest[:slash]}
	at, numbers, _ := strings.Cut(rest[slash+1:], "-")
	var err error
	if e.Time, err = time.Parse(timeForm, at); err != nil {
		return e, false
	}
	var unique string
	n, err := fmt.Sscanf(strings.ReplaceAll(numbers, "-", " "), "c%d i%d %s", &e.Incarnation,
		&e.Index, &unique)
	return e, err == nil && n == 3
}

// byTime sorts oldest first.
func byTime(list []Entry) {
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Index, b.Index),
			cmp.Compare(a.Name, b.Name))
	})
}
