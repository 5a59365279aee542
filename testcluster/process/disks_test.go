package process_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/testcluster"
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
	blocks []byte // records of the blocks in the Raft log, where nothing else is packed
	rows   []byte // keys and values of the state and of its files, blocks decoded
}

func (c *content) all() []byte { return slices.Concat(c.files, c.blocks, c.rows) }

// checkDisks looks for citizens' data on the disks of a federation that has ended (P4).
func checkDisks(t *testing.T, f *federation, w *traffic) {
	t.Helper()
	directory, err := testcluster.ReadDirectoryKey(filepath.Join(f.dir, process.DirectoryKeyFile))
	if err != nil {
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
	read, err := testcluster.OpenDisk(dir, "local", wire.RegionID(name), key)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	err = read.Scan(func(at testcluster.Place, b []byte) {
		c := &d.region
		if at.Group == "federation" {
			c = &d.federation
		}
		switch at.Kind {
		case "file":
			c.files = append(c.files, b...)
		case "log":
			c.blocks = append(c.blocks, b...)
		default:
			c.rows = append(c.rows, b...)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
