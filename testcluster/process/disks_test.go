package process_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
)

// disk is what a node that does not run has on its disk, every compression undone.
type disk struct {
	region, federation content
}

// content is a group's part of a disk, in the forms in which something may be found there.
type content struct {
	files  []byte // as they are
	blocks []byte // records of the blocks in the files: the Raft log, where nothing else is packed
	rows   []byte // keys and values of the state, blocks decoded
}

func (c *content) all() []byte { return slices.Concat(c.files, c.blocks, c.rows) }

// checkDisks looks for citizens' data on the disks of a federation that has ended (P4).
func checkDisks(t *testing.T, f *federation, w *traffic) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(f.dir, process.DirectoryKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	var directory wire.DirectoryKey
	if _, err := hex.Decode(directory[:], bytes.TrimSpace(key)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lazio", "lombardia"} {
		d := readDisk(t, filepath.Join(f.dir, "nodes", name+"-1"), name, directory)
		var codes, foreign secrets
		for _, c := range w.all {
			codes.add("the fiscal code of one who is "+c.State+" in "+c.Region, c.FiscalCode)
			if c.Region != name || c.State == localfile.Unknown {
				foreign.add("the fiscal code of one who is "+c.State+" in "+c.Region, c.FiscalCode)
				foreign.add("a text to one who is "+c.State+" in "+c.Region,
					w.texts[c.Region+c.State])
			}
		}
		for _, kind := range codes.in(d.federation.all()) {
			t.Errorf("%s has %s in its replica of the federation", name, kind)
		}
		for _, kind := range foreign.in(d.region.all()) {
			t.Errorf("%s has %s on its disk", name, kind)
		}
		// The scan sees: what belongs here is found, in the log and in the state.
		own := secrets{{"an own text", w.texts[name+localfile.Active]}}
		for _, c := range w.all {
			if c.Region == name && c.State == localfile.Active {
				own.add("an own fiscal code", c.FiscalCode)
			}
		}
		for place, b := range map[string][]byte{"log": d.region.blocks, "state": d.region.rows} {
			if found := own.in(b); len(found) != len(own) {
				t.Errorf("%s: %d of %d own secrets are found in the %s: the scan is blind", name,
					len(found), len(own), place)
			}
		}
		if !bytes.Contains(d.federation.rows, []byte("Comune di Prova")) {
			t.Errorf("%s: the federation's state has no institution: the scan is blind", name)
		}
	}
}

// readDisk reads a node's directory.
func readDisk(t *testing.T, dir, name string, key wire.DirectoryKey) (d disk) {
	t.Helper()
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	d.region.read(t, filepath.Join(dir, "region"), coder)
	d.federation.read(t, filepath.Join(dir, "federation"), coder)

	state, err := region.Open(region.Config{Region: wire.RegionID(name), Coder: coder,
		Hasher: wire.NewHasher(key), Store: store.Config{
			Dir: filepath.Join(dir, "region", "state"), Identity: store.Identity{
				Federation: "local"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	d.region.readRows(t, state.Store(), coder)
	db, err := store.Open(store.Config{Dir: filepath.Join(dir, "federation", "state"), Sync: true,
		Identity: store.Identity{Federation: "local", Group: "federation", Format: 1,
			Key: key.Fingerprint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d.federation.readRows(t, db, coder)
	return d
}

func (c *content) read(t *testing.T, dir string, coder *wire.Coder) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		c.files = append(c.files, b...)
		if strings.Contains(path, "/log/") {
			c.blocks = append(c.blocks, blocksIn(b, coder)...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *content) readRows(t *testing.T, db *store.DB, coder *wire.Coder) {
	t.Helper()
	err := db.Iterate(nil, nil, false, func(k, v []byte) (bool, error) {
		c.rows = append(append(append(c.rows, k...), v...), blocksIn(v, coder)...)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// blocksIn decodes every block that begins anywhere in b.
func blocksIn(b []byte, coder *wire.Coder) (texts []byte) {
	const magic, lengthAt, header = "SfB1", 12, 20 // as wire's golden bytes have them
	for {
		at := bytes.Index(b, []byte(magic))
		if at < 0 || len(b) < at+header {
			return texts
		}
		b = b[at:]
		if end := header + int(binary.LittleEndian.Uint32(b[lengthAt:])); end <= len(b) {
			if block, err := coder.Decode(b[:end]); err == nil {
				for _, r := range block.Records {
					texts = append(append(append(texts, r.FiscalCode...), r.Recipient[:]...),
						r.Content...)
				}
			}
		}
		b = b[len(magic):]
	}
}
