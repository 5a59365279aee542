package virtual

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

// A fileKind is a kind of file in a data directory, by its name without numbers.
type fileKind struct {
	kind string
	// refused are the damages at which the node must not start: without that something would be
	// lost, or forgotten. At every other one it may, and why that is no harm stands in harmless.
	refused, harmless string
}

const anyDamage = "removed, emptied, cut to half, a page zeroed, a bit flipped, a directory"

// fileKinds are all kinds that a node makes. A new one needs a line here.
var fileKinds = []fileKind{
	{"lock", "a directory", "nothing is in it"},
	{"founded", "", "it is empty; what it says of the groups they say themselves"},
	{"reset.key", "a directory", "another one is made: peers notice a restart a little later"},
	{"contact", "a directory", "services' keys are believed when the federation is heard again"},
	{"owner.json", "removed, emptied, cut to half, a page zeroed, a directory",
		"a flipped bit is in the format, or another node's name"},
	{"disk", anyDamage, ""},
	{"witness", anyDamage, ""},
	{"log.mark", "removed, emptied, a directory", "it has the last three states; the log is whole"},
	{"log/LOCK", "a directory", "nothing is in it"},
	{"log/#.wal", "removed, emptied, a directory",
		"what was lost of it is reserved, or the state has it durably"},
	{"log/wal-meta.db", "removed, emptied, cut to half, a directory",
		"bbolt keeps the state before the last one, and pages that nobody uses"},
	{"log/raft.db", "removed, emptied, a directory", "pages that nobody uses, or entries that the " +
		"state has durably"},
	{"state/CURRENT", anyDamage, ""},
	{"state/LOCK", "a directory", "nothing is in it"},
	{"state/db-#/LOCK", "a directory", "nothing is in it"},
	{"state/db-#/#.sst", anyDamage, ""},
	{"state/db-#/#.blob", anyDamage, ""},
	{"state/db-#/#.log", "", "the Raft log has what it had"},
	{"state/db-#/MANIFEST-#", "removed, emptied, a page zeroed, a directory",
		"its end is the flush before, and the Raft log has the rest"},
	{"state/db-#/OPTIONS-#", "cut to half, a page zeroed, a directory", "the program has its own"},
	{"state/db-#/marker.format-version.#.#", "removed", "its name is all that it has"},
	{"state/db-#/marker.manifest.#.MANIFEST-#", "removed", "its name is all that it has"},
}

// kindOf is a file's kind: groups and numbers do not matter.
func kindOf(file string) string {
	file = strings.TrimPrefix(strings.TrimPrefix(file, "region/"), "federation/")
	return numbers.ReplaceAllString(file, "#")
}

var numbers = regexp.MustCompile(`[0-9]{6,}-[0-9a-f]{16}|[0-9]{3,}`)

// damages are what a disk, or a hand, does to a file.
var damages = []struct {
	name string
	do   func(path string) error
}{
	{"removed", os.Remove},
	{"emptied", func(path string) error { return os.Truncate(path, 0) }},
	{"cut to half", func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()/2)
	}},
	{"a page zeroed", func(path string) error {
		return inPlace(path, func(b []byte) { clear(b[pageOf(b):min(pageOf(b)+4096, len(b))]) })
	}},
	{"a bit flipped", func(path string) error {
		return inPlace(path, func(b []byte) {
			if len(b) > 0 {
				b[middle(b)] ^= 1
			}
		})
	}},
	{"a directory", func(path string) error {
		return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
	}},
}

// middle is in the middle of what is written of a file; pageOf is where the page with it begins.
func middle(b []byte) int {
	end := len(bytes.TrimRight(b, "\x00"))
	return end / 2
}

func pageOf(b []byte) int { return middle(b) &^ 4095 }

// inPlace changes a file where it lies.
func inPlace(path string, change func([]byte)) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	was := bytes.Clone(b)
	change(b)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for i := 0; i < len(b); i += 4096 {
		page := b[i:min(i+4096, len(b))]
		if !bytes.Equal(page, was[i:i+len(page)]) {
			_, werr := f.WriteAt(page, int64(i))
			err = errors.Join(err, werr)
		}
	}
	return errors.Join(err, f.Close())
}

// cloneFiles copies a directory, without what is empty in large files.
func cloneFiles(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(to, rel), 0o700))
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(to, rel), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		end := len(bytes.TrimRight(b, "\x00"))
		_, err = f.WriteAt(b[:end], 0)
		return errors.Join(err, f.Truncate(int64(len(b))), f.Close())
	})
}

// TestDamagedFiles damages every kind of file that lies in a node's directory in every way. A node
// of a federation of its own, to which nobody says what it forgot, either starts and has everything,
// or ends, each time, with one line that names the file and says what to do.
func TestDamagedFiles(t *testing.T) {
	long(t)
	for _, store := range []string{"wal", "bolt"} {
		t.Run(store, func(t *testing.T) {
			inBubble(t, func(t *testing.T) { damagedFiles(t, store) })
		})
	}
}

func damagedFiles(t *testing.T, store string) {
	w := NewAt(t, wire.Version, func(c *node.Config) {
		c.Stores, c.FS, c.LogStore = nil, vfs.Default, store
	}, 1, "lazio")
	s := &scene{World: w, Gateway: w.Gateway("lazio")}
	c := synthetic.NewCitizens(1).Next().FiscalCode
	if err := s.Activate(t.Context(), "lazio", c); err != nil {
		t.Fatal(err)
	}
	ids := s.texts(t, c, 10)
	n := w.Nodes("lazio")[0]
	n.Stop()
	whole, scratch := n.dir, t.TempDir()
	defer func() { n.dir = whole }()
	for kind, file := range kindsIn(t, whole) {
		if store == "bolt" && kind != "log/raft.db" {
			continue // the same as with the other store
		}
		at := slices.IndexFunc(fileKinds, func(k fileKind) bool { return k.kind == kind })
		if at < 0 {
			t.Errorf("%s: a kind of file, %q, of which nobody said what its damage does", file, kind)
			continue
		}
		for _, d := range damages {
			n.dir = filepath.Join(scratch, "damaged")
			err := errors.Join(os.RemoveAll(n.dir), cloneFiles(whole, n.dir),
				d.do(filepath.Join(n.dir, file)))
			if err != nil {
				t.Fatal(err)
			}
			s.damaged(t, n, fileKinds[at], file, d.name,
				func() error { return s.outcome(t, n, c, ids) })
		}
	}
}

// damaged judges what a node makes of a damaged file at two starts.
func (s *scene) damaged(t *testing.T, n *Node, k fileKind, file, damage string,
	start func() error) {
	t.Helper()
	for again := range 2 {
		err := start()
		// What a library has open when it panics must not be in the way of the next start.
		left := n.dir + "-left"
		if err := errors.Join(os.RemoveAll(left), cloneFiles(n.dir, left)); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, %s: %v", file, damage, err)
		if err == nil && strings.Contains(k.refused, damage) {
			t.Errorf("%s, %s: the node starts, start %d", file, damage, again+1)
		}
		if err == nil && k.harmless == "" || err == nil && again > 0 {
			t.Errorf("%s, %s: it starts after it had refused to", file, damage)
		}
		if err == nil {
			return
		}
		says := regexp.MustCompile("replace the node with|Remove this node").MatchString
		if !says(err.Error()) || !node.Final(err) {
			t.Errorf("%s, %s: ended with %q, which does not say what to do", file, damage, err)
		}
		if !names(err.Error(), n.dir, file) || strings.ContainsAny(err.Error(), "\n<>") ||
			len(err.Error()) > 800 {
			t.Errorf("%s, %s: ended with %q, want one line that names the file", file, damage, err)
		}
		if err := errors.Join(os.RemoveAll(n.dir), os.Rename(left, n.dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// names reports whether an error names a file, or the database that has it where more than one
// file may be to blame.
func names(said, dir, file string) bool {
	path := filepath.Join(dir, file)
	if strings.Contains(said, path) || strings.Contains(said, filepath.Dir(path)+"/OPTIONS-*") {
		return true
	}
	base, ending := filepath.Base(path), filepath.Ext(path)
	if ending == ".wal" && strings.Contains(said, "the log in "+filepath.Dir(path)) {
		return true
	}
	database := strings.Contains(said, filepath.Dir(path)+" is damaged")
	return database && (ending == ".blob" || strings.HasPrefix(base, "MANIFEST-") ||
		strings.HasPrefix(base, "marker."))
}

// kindsIn finds the kinds of files of a data directory, and one of each.
func kindsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	kinds := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			file, _ := filepath.Rel(dir, path)
			kinds[kindOf(file)] = file // the last, which is the region's
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// texts sends texts to a citizen, long enough to lie in a blob.
func (s *scene) texts(t *testing.T, c fiscalcode.Code, n int) (ids []wire.MessageID) {
	random := rand.New(rand.NewPCG(1, 1))
	for range n {
		text := make([]byte, 3000)
		for i := range text {
			text[i] = byte('a' + random.IntN(26))
		}
		rec := s.Message(c)
		rec.Content = wire.Encode(&wire.Content{Subject: "Un avviso di prova",
			Markdown: string(text)})
		if _, err := s.Submit(t.Context(), rec, Institution); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, rec.ID)
	}
	return ids
}

// outcome starts the node and reads everything: why it ended, or nil.
func (s *scene) outcome(t *testing.T, n *Node, c fiscalcode.Code, ids []wire.MessageID) error {
	if err := n.Try(); err != nil {
		return err
	}
	end := time.Now().Add(time.Minute)
	for !n.Node.Health().Ready {
		if len(n.done) > 0 {
			return n.ended(time.Second)
		}
		if time.Now().After(end) {
			h := n.Node.Health()
			n.halt()
			return fmt.Errorf("NOT READY: %v", h)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, id := range ids {
		for {
			m, err := s.FindMessage(t.Context(), c, id)
			if err == nil && m.Content != nil {
				break
			}
			if len(n.done) > 0 {
				return n.ended(time.Second)
			}
			if time.Now().After(end) || err == nil || !wire.Retriable(err) {
				n.halt()
				return fmt.Errorf("LOST %v", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return n.halt()
}
