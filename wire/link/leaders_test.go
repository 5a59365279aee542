package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// group is a fake group: each node answers as its function says.
type group struct {
	mu    sync.Mutex
	nodes map[wire.NodeID]func(context.Context) ([]byte, error)
	calls []wire.NodeID
}

func (g *group) Call(ctx context.Context, to Peer, _ wire.Method, _ []byte) ([]byte, error) {
	g.mu.Lock()
	g.calls = append(g.calls, to.Node)
	f := g.nodes[to.Node]
	g.mu.Unlock()
	if f == nil {
		return nil, wire.Errorf(wire.Unavailable, "no such node")
	}
	return f(ctx)
}

func answers(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

func fails(err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return nil, err }
}

func silent(ctx context.Context) ([]byte, error) {
	<-ctx.Done()
	return nil, wire.Errorf(wire.OutcomeUnknown, "silent")
}

var abc = []wire.NodeID{"a", "b", "c"}

func TestLeadersFollowTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hint := fails(&wire.Error{Code: wire.NotLeader, Leader: "c"})
		g := &group{nodes: map[wire.NodeID]func(context.Context) ([]byte, error){
			"a": hint, "b": hint, "c": answers("yes")}}
		l := NewLeaders(g)
		for range 10 {
			got, err := l.Call(t.Context(), "g", abc, 1, nil, false)
			if err != nil || string(got) != "yes" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		if len(g.calls) > 11 { // at most one detour, then the leader is remembered
			t.Errorf("calls went to %v", g.calls)
		}
	})
}

func TestLeadersAskTheOthersWhenTheLeaderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, dead := range map[string]func(context.Context) ([]byte, error){
			"dead": fails(wire.Errorf(wire.Unavailable, "gone")), "silent": silent} {
			g := &group{nodes: map[wire.NodeID]func(context.Context) ([]byte, error){
				"a": answers("first")}}
			l := NewLeaders(g)
			if _, err := l.Call(t.Context(), "g", abc, 1, nil, true); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			g.nodes["a"], g.nodes["b"] = dead, answers("second")
			got, err := l.Call(t.Context(), "g", abc, 1, nil, true)
			if err != nil || string(got) != "second" {
				t.Errorf("%s: got %q, %v, want the new leader's answer", name, got, err)
			}
		}
	})
}

func TestLeadersDoNotRepeatWhatMayHaveHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{nodes: map[wire.NodeID]func(context.Context) ([]byte, error){}}
		for _, n := range abc {
			g.nodes[n] = fails(wire.Errorf(wire.OutcomeUnknown, "lost"))
		}
		_, err := NewLeaders(g).Call(t.Context(), "g", abc, 1, nil, false)
		if !errors.Is(err, wire.OutcomeUnknown) || len(g.calls) != 1 {
			t.Errorf("got %v after %d calls, want outcome-unknown after one", err, len(g.calls))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err = NewLeaders(g).Call(ctx, "g", abc, 1, nil, true)
		if !errors.Is(err, wire.OutcomeUnknown) || len(g.calls) < 4 {
			t.Errorf("got %v after %d calls, want outcome-unknown after several", err, len(g.calls))
		}
	})
}

func TestLeadersAnswerRefusalsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []wire.Code{wire.NotFound, wire.Conflict, wire.Moved, wire.Malformed,
			wire.Forbidden} {
			g := &group{nodes: map[wire.NodeID]func(context.Context) ([]byte, error){}}
			for _, n := range abc {
				g.nodes[n] = fails(&wire.Error{Code: code})
			}
			_, err := NewLeaders(g).Call(t.Context(), "g", abc, 1, nil, true)
			if !errors.Is(err, code) || len(g.calls) != 1 {
				t.Errorf("got %v after %d calls, want %s after one", err, len(g.calls), code)
			}
		}
	})
}

func TestLeadersEndWithTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{nodes: map[wire.NodeID]func(context.Context) ([]byte, error){}}
		for i, n := range abc { // each names the next: a circle
			g.nodes[n] = fails(&wire.Error{Code: wire.NotLeader, Leader: abc[(i+1)%3]})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := NewLeaders(g).Call(ctx, "g", abc, 1, nil, true)
		if !errors.Is(err, wire.Unavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(g.calls) > 1000 {
			t.Errorf("%d calls in five seconds", len(g.calls))
		}
		if fmt.Sprint(err) == "" {
			t.Error("no reason")
		}
	})
}
