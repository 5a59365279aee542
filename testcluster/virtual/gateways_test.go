package virtual

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestGatewayOffTheMap takes a gateway at work off the map, whose certificate is as good as before:
// no node answers it any more, until it is put there again.
func TestGatewayOffTheMap(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		if err := s.Send(t.Context(), &s.h, s.citizens[0]); err != nil {
			t.Fatal(err)
		}
		s.MustChange(&wire.MemberChange{RemoveGateway: s.Gateway.id})
		time.Sleep(5 * time.Second)
		for i, c := range s.citizens[:6] { // of both regions
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if err := s.Send(ctx, &s.h, c); !wire.Retriable(err) && !errors.Is(err,
				context.DeadlineExceeded) || err == nil {
				t.Errorf("a message to citizen %d: %v, want a refusal", i, err)
			}
			cancel()
		}
		if err := s.Gateway.Ready(); err == nil {
			t.Error("a gateway that is off the map is ready")
		}
		s.MustChange(&wire.MemberChange{PutGateway: &wire.Gateway{ID: s.Gateway.id,
			Region: "lazio"}})
		s.Await("the gateway is served again", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return s.Gateway.Ready() == nil && s.Send(ctx, &s.h, s.citizens[0]) == nil
		})
	})
}
