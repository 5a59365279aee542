package virtual

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestEveryReplicaLearnsAtOnce: when a change of the federation is acknowledged, every node of
// every region knows within a tenth of a second, on an idle group too.
func TestEveryReplicaLearnsAtOnce(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		time.Sleep(10 * time.Second) // idle
		began := time.Now()
		code := s.unclaimed(17, "sicilia")
		to := s.Hasher().Recipient(code)
		if err := s.Login(t.Context(), "lazio", code); err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Nodes("") {
			s.Await("the node knows of the claim", func() bool {
				e, err := n.Node.Federation().Directory(to)
				return err == nil && e.State != wire.Unclaimed
			})
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("the last replica knew after %s", took)
		}
	})
}
