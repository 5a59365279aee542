package datadir

import (
	"bytes"
	"testing"
)

// TestOwnerFile: a bit that changes in the file of an owner makes it a damaged one, and never
// another's. What older programs wrote, without a checksum, is read.
func TestOwnerFile(t *testing.T) {
	want := Owner{Format: 1, Federation: "italia", Region: "lazio", Node: "lazio-1"}
	file, err := encodeOwner(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeOwner(file); err != nil || got != want {
		t.Fatalf("got %+v, %v of %s", got, err, file)
	}
	for i := range file {
		for bit := range 8 {
			b := bytes.Clone(file)
			b[i] ^= 1 << bit
			if got, err := decodeOwner(b); err == nil {
				t.Errorf("bit %d of byte %d: %s is read as %+v", bit, i, b, got)
			}
		}
		if _, err := decodeOwner(file[:i]); err == nil {
			t.Errorf("%s is read", file[:i])
		}
	}
	old := []byte(`{"format":1,"federation":"italia","region":"lazio","node":"lazio-1"}`)
	if got, err := decodeOwner(old); err != nil || got != want {
		t.Errorf("got %+v, %v of %s", got, err, old)
	}
	for _, b := range []string{`{"format":1,"regioo":"lazio"}`, string(old) + "}", "null1"} {
		if got, err := decodeOwner([]byte(b)); err == nil {
			t.Errorf("%s is read as %+v", b, got)
		}
	}
}
