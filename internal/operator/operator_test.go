package operator

import (
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestMapsGoForward: no answer of a node that is behind takes a client back.
func TestMapsGoForward(t *testing.T) {
	var c Client
	for _, tt := range []struct {
		version uint64
		want    bool
	}{{3, true}, {3, true}, {2, false}, {5, true}, {4, false}, {5, true}} {
		if got := c.note(&wire.Map{Version: tt.version}); got != tt.want {
			t.Errorf("map %d: taken is %v, want %v", tt.version, got, tt.want)
		}
	}
	if got := c.view.Load().Version; got != 5 {
		t.Errorf("ends with map %d, want 5", got)
	}
}
