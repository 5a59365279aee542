package admin

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRotateAgain: the key that a rotation puts is in its file before the federation hears of it,
// and the same rotation again puts the same one.
func TestRotateAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	first, err := newKeyIn(file)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := newKeyIn(file); err != nil || again != first {
		t.Errorf("the same again: %q, %v, want %q", again, err, first)
	}
	if mode := modeOf(t, file); mode != 0o600 {
		t.Errorf("the file's mode is %o", mode)
	}
	if err := os.WriteFile(file, []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newKeyIn(file); err == nil {
		t.Error("what is no key is put as one")
	}
	if one, _ := newKeyIn(""); one == first {
		t.Error("two keys are the same")
	}
}
