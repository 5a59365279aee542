package virtual

import (
	"fmt"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestRevokedWhileAFollowerReturns: the library leaves a follower that was cut off for minutes
// without the log for some seconds after it hears from the leader again. A key that is revoked in
// these seconds is refused there, too, a second after the operator was told that it is revoked.
func TestRevokedWhileAFollowerReturns(t *testing.T) {
	for i := range 4 { // of the ten seconds between two tries of the library
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			testRevokedWhileReturning(t, 5*time.Minute+time.Duration(i)*2500*time.Millisecond)
		})
	}
}

func testRevokedWhileReturning(t *testing.T, away time.Duration) {
	inScene(t, func(t *testing.T, s *scene) {
		op, n := s.Operator(), s.node(t, "sicilia-2")
		if n.Status("federation").Role == "leader" {
			n = s.node(t, "sicilia-3")
		}
		institution := wire.Institution{ID: "01234567890", Name: "Comune"}
		if err := op.PutInstitution(t.Context(), institution); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("%032d", 1)
		knows := func() bool {
			_, err := n.Node.Federation().ServiceByKey(wire.HashKey(key))
			return err == nil
		}
		if err := op.PutService(t.Context(), wire.ServiceSpec{Service: wire.Service{
			ID: "SERVICE-2", Institution: institution.ID, Name: "Avvisi"}}); err != nil {
			t.Fatal(err)
		}
		if err := op.RotateKey(t.Context(), "SERVICE-2", wire.PrimaryKey, key); err != nil {
			t.Fatal(err)
		}
		s.Await("the node knows the key", knows)
		n.Isolate()
		time.Sleep(away)
		if err := op.PutInstitution(t.Context(), institution); err != nil {
			t.Fatal(err)
		}
		s.Mend()
		s.Await("it hears from the leader", func() bool {
			return n.Status("federation").LastContact < time.Second
		})
		began := time.Now()
		if err := op.RevokeKey(t.Context(), "SERVICE-2", wire.PrimaryKey); err != nil {
			t.Fatal(err)
		}
		t.Logf("acknowledged after %s", time.Since(began))
		time.Sleep(time.Second)
		if knows() {
			t.Error("the node still knows the key")
		}
	})
}
