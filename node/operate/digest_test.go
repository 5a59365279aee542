package operate

import (
	"reflect"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

func TestAgree(t *testing.T) {
	d := func(index uint64, sum byte) wire.StateDigest {
		return wire.StateDigest{Index: index, Sum: [32]byte{sum}}
	}
	voters := []wire.NodeID{"a", "b", "c"}
	type digests = map[wire.NodeID][]wire.StateDigest
	for name, tc := range map[string]struct {
		digests  digests
		agreed   []wire.StateDigest
		disputed bool
	}{
		"nobody answers": {digests{}, nil, false},
		"one answers":    {digests{"a": {d(5, 1)}}, nil, false},
		"all agree, newest first": {digests{"a": {d(4, 9), d(5, 1)}, "b": {d(4, 9), d(5, 1)},
			"c": {d(5, 1)}}, []wire.StateDigest{d(5, 1), d(4, 9)}, false},
		"one differs": {digests{"a": {d(5, 1)}, "b": {d(5, 2)}, "c": {d(5, 1)}},
			[]wire.StateDigest{d(5, 1)}, false},
		"two differ, one is away": {digests{"a": {d(5, 1)}, "b": {d(5, 2)}}, nil, true},
		"all differ": {digests{"a": {d(5, 1)}, "b": {d(5, 2)}, "c": {d(5, 3)}}, nil,
			true},
		"no index in common": {digests{"a": {d(5, 1)}, "b": {d(6, 2)}, "c": {d(7, 3)}}, nil,
			false},
		"who does not vote does not count": {digests{"a": {d(5, 1)}, "x": {d(5, 1)}, "y": {d(5, 2)}},
			nil, false},
		"an old dispute, settled since": {digests{"a": {d(5, 1), d(6, 4)}, "b": {d(5, 2), d(6, 4)}},
			[]wire.StateDigest{d(6, 4)}, false},
	} {
		agreed, disputed := agree(voters, tc.digests)
		if !reflect.DeepEqual(agreed, tc.agreed) || disputed != tc.disputed {
			t.Errorf("%s: got %v, disputed %t, want %v, %t", name, agreed, disputed, tc.agreed,
				tc.disputed)
		}
	}
	var agreed, has []wire.StateDigest
	for i := range uint64(3 * agreedMax) {
		agreed, has = append(agreed, d(100-i, 1)), append(has, d(100-i, 2))
	}
	if got := differing(agreed, has); len(got) != agreedMax || got[0] != agreed[0] {
		t.Errorf("differing: %d digests from %v on, want the newest %d", len(got), got[0], agreedMax)
	}
	if got := differing(agreed, agreed); got != nil {
		t.Errorf("equal ones differ: %v", got)
	}
}
