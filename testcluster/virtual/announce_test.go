package virtual

import (
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestEveryReplicaLearnsAtOnce: when an operator's change is acknowledged, every node of every
// region knows within a tenth of a second, on an idle group too.
func TestEveryReplicaLearnsAtOnce(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		time.Sleep(10 * time.Second) // idle
		const id = "80000000010"
		err := s.Operate(wire.MethodPutInstitution,
			&wire.Institution{ID: id, Name: "Comune di Prova"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, n := range s.Nodes("") {
			s.Await("the node knows of the change", func() bool {
				_, err := n.Node.Federation().Institution(id)
				return err == nil
			})
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the last replica knew after %s", took)
		}
	})
}
