package virtual

import (
	"testing"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// TestDigestsOfOneIncarnation: a replica that was left over from before a restore has another
// history, and as many of its kind would outvote the restored one. Neither tells the other.
func TestDigestsOfOneIncarnation(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := New(t, 1, "lazio")
		w.write(w.Gateway("lazio"))
		other := link.Identity{Federation: federationName, Role: link.RoleNode, Region: "lazio",
			Name: "lazio-2"}
		for group, member := range map[string]bool{"region/lazio": true, "federation": true,
			"region/lazio#1": false, "federation#1": false} {
			var r wire.Replica
			err := w.callAs(other, patience, "region/lazio", []wire.NodeID{"lazio-1"},
				wire.MethodReplica, &wire.ReplicaQuery{Group: group}, &r)
			if err != nil || r.Version != wire.Version || (len(r.Digests) > 0) != member {
				t.Errorf("%s: %d digests of version %d, %v; any wanted: %t", group, len(r.Digests),
					r.Version, err, member)
			}
		}
	})
}
