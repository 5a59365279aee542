package virtual

import (
	"context"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// TestOrdersAreWithdrawn: what an operator orders of a region whose leader has just lost its
// majority, and does not know it, ends in time and is not done when there is a majority again.
func TestOrdersAreWithdrawn(t *testing.T) {
	for name, order := range map[string]struct {
		give func(ctx context.Context, s *scene, op *operator.Client) error
		done func(s *scene, op *operator.Client) (bool, error)
	}{
		"move": {
			func(ctx context.Context, s *scene, op *operator.Client) error {
				_, err := op.OrderMove(ctx, s.Hasher().Recipient(s.citizens[0]), "sicilia")
				return err
			},
			func(s *scene, op *operator.Client) (bool, error) {
				m, err := op.Move(context.Background(), s.Hasher().Recipient(s.citizens[0]))
				return err == nil && (m.State != wire.MoveNone || m.Region != "lazio"), err
			},
		},
		"region-key rotate": {
			func(ctx context.Context, s *scene, op *operator.Client) error {
				_, err := op.RotateRegionKey(ctx, "lazio", 1)
				return err
			},
			func(s *scene, op *operator.Client) (bool, error) {
				k, err := op.RegionKey(context.Background(), "lazio")
				return err == nil && k.ID != 1, err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(t *testing.T, s *scene) {
				op := s.Operator()
				if done, err := order.done(s, op); done || err != nil {
					t.Fatalf("before: done %t, %v", done, err)
				}
				leader := s.Leader("lazio")
				for _, n := range s.Nodes("lazio") {
					if n != leader {
						n.Crash()
					}
				}
				began := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), wire.OperatorWait)
				defer cancel()
				if err := order.give(ctx, s, op); err == nil {
					t.Error("done without a majority")
				}
				if took := time.Since(began); took > wire.OperatorWait+time.Second {
					t.Errorf("it took %s", took)
				}
				for _, n := range s.Nodes("lazio") {
					if n != leader {
						n.Start()
					}
				}
				s.AwaitReady()
				time.Sleep(10 * time.Second)
				if done, err := order.done(s, op); done || err != nil {
					t.Errorf("afterwards: done %t, %v", done, err)
				}
			})
		})
	}
}
