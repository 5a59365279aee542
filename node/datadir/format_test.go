package datadir

import (
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestDataDirOfANewerProgram(t *testing.T) {
	path := t.TempDir()
	o := Owner{Format: Format, Node: "lazio-1", Federation: "italia", Region: "lazio"}
	open := func() error {
		d, err := Open(path, o)
		if err != nil {
			return err
		}
		defer d.Close()
		return d.RaiseFormat(wire.Version)
	}
	for range 2 { // made, and opened again at its raised format
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.RaiseFormat(wire.Version + 1); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := open(); err == nil || !strings.Contains(err.Error(), "or a newer one") {
		t.Errorf("a directory of a newer program: got %v, want it refused", err)
	}
}
