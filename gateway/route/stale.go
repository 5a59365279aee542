package route

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// leaderHead is how long a leader is asked alone: longer than a busy one takes. While the
	// region is known to have none, for leaderlessFor after a stale answer, it is leaderlessHead.
	leaderHead     = 400 * time.Millisecond
	leaderlessHead = 25 * time.Millisecond
	leaderlessFor  = 10 * time.Second
	// staleWait bounds a round of questions to all nodes of a region, staleFresher how long after
	// the first answer a fresher one is waited for, staleRounds how many rounds there are.
	staleWait    = 500 * time.Millisecond
	staleFresher = 50 * time.Millisecond
	staleAgain   = 250 * time.Millisecond
	staleRounds  = 16
)

// absence remembers when a region last had no leader, by the clock of began.
type absence struct {
	began time.Time
	at    atomic.Int64 // nanoseconds since began; 0: never
}

func (l *absence) note() { l.at.Store(int64(time.Since(l.began)) + 1) }

// head is how long a leader is asked alone.
func (l *absence) head() time.Duration {
	if at := l.at.Load(); at > 0 && time.Since(l.began)-time.Duration(at) < leaderlessFor {
		return leaderlessHead
	}
	return leaderHead
}

// askAnyhow asks a region's leader, and when none answers soon, each of the region's nodes for what
// it has. The leader goes on being asked meanwhile, and its answer is preferred. Whether there may
// be a leader that we do not reach is the nodes' to say: they refuse then.
func (r *Router) askAnyhow(ctx context.Context, o *owner, c link.Ask, mark *asof.Mark) ([]byte,
	error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan *wire.StaleAnswer, 1)
	timer := time.AfterFunc(o.absence.head(), func() {
		a := r.askNodes(ctx, o, c)
		if got <- a; a != nil {
			cancel()
		}
	})
	answer, _, err := o.Ask(ctx, c)
	if err == nil || !wire.Retriable(err) || timer.Stop() {
		return answer, err
	}
	a := <-got
	if a == nil {
		return nil, err
	}
	o.absence.note()
	r.stats.stale.Inc()
	mark.Note(a.AsOf.Std())
	if a.Result.Err != nil {
		return nil, a.Result.Err
	}
	return a.Result.Body, nil
}

// askNodes asks all nodes of a region, round after round, until one answers; nil: none did.
func (r *Router) askNodes(ctx context.Context, o *owner, c link.Ask) *wire.StaleAnswer {
	for range staleRounds {
		f := r.fed.Load()
		q := wire.Encode(&wire.StaleRead{Method: c.Method, Request: c.Req,
			Incarnation: f.byID[o.id].Incarnation})
		if a := askRound(ctx, r.cfg.Caller, f.nodes[o.id], q); a != nil {
			return a
		}
		select {
		case <-time.After(staleAgain):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// askRound returns the freshest of the answers that come soon.
func askRound(ctx context.Context, caller Caller, nodes []link.Peer, q []byte) (
	best *wire.StaleAnswer) {
	ctx, cancel := context.WithTimeout(ctx, staleWait)
	defer cancel()
	answers := make(chan *wire.StaleAnswer, len(nodes))
	for _, n := range nodes {
		go func() {
			a := new(wire.StaleAnswer)
			b, err := caller.Call(ctx, n, wire.MethodStaleRead, q)
			if err != nil || wire.Decode(b, a) != nil {
				a = nil
			}
			answers <- a
		}()
	}
	var enough <-chan time.Time
	for range nodes {
		select {
		case a := <-answers:
			if a == nil {
				continue
			}
			if best == nil || a.AsOf > best.AsOf {
				best = a
			}
			if enough == nil {
				enough = time.After(staleFresher)
			}
		case <-enough:
			return best
		case <-ctx.Done():
			return best
		}
	}
	return best
}
