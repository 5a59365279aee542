package link

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestIdleConnectionGoes: a connection without calls is closed by who dialled it, and the next call
// has another.
func TestIdleConnectionGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, nil)
		mustEcho(t, gateway, Peer{Addr: node.addr})
		if got := connections(t, gateway, "out"); got != 1 {
			t.Fatalf("%v connections after a call, want 1", got)
		}
		time.Sleep(connIdleMax + 2*reviewPeriod)
		if got := connections(t, gateway, "out"); got != 0 {
			t.Errorf("%v connections after %s without a call, want none", got, connIdleMax)
		}
		mustEcho(t, gateway, Peer{Addr: node.addr})
	})
}

// TestConnectionInUseStays: neither a call that waits for its answer nor an open stream on which
// nothing is said lets a connection count as idle; when the last has ended, it does.
func TestConnectionInUseStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(idLazio1, 1, nil)
		b := w.join(idLazio2, 2, knows(a))
		dialled, accepted := pair(t, b, a, FederationGroup)
		ctx, giveUp := context.WithCancel(context.Background())
		called := make(chan error)
		go func() {
			_, err := b.Call(ctx, Peer{Addr: a.addr}, methodBlock, nil)
			called <- err
		}()
		time.Sleep(5 * connIdleMax)
		if got := connections(t, b, "out"); got != 2 {
			t.Fatalf("%v connections with a call and a stream open, want 2", got)
		}
		if _, err := dialled.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		var got [1]byte
		if _, err := accepted.Read(got[:]); err != nil || got[0] != 'x' {
			t.Errorf("read %q, %v from a stream that was silent for long", got, err)
		}
		giveUp()
		wantCode(t, <-called, wire.OutcomeUnknown)
		dialled.Close()
		accepted.Close()
		time.Sleep(connIdleMax + 2*reviewPeriod)
		if got := connections(t, b, "out"); got != 0 {
			t.Errorf("%v connections after %s without a use, want none", got, connIdleMax)
		}
	})
}

// TestIdleConnectionClearsFailures: an idle connection that carried an answer leaves no pause, nor
// a count of failures, to the next dial.
func TestIdleConnectionClearsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, nil)
		to := Peer{Addr: node.addr}
		w.router.cut(node.addr, true)
		for range 3 {
			if _, err := gateway.Call(context.Background(), to, methodEcho, nil); err == nil {
				t.Fatal("a call to a node that is away succeeded")
			}
			time.Sleep(backoffMax)
		}
		w.router.cut(node.addr, false)
		mustEcho(t, gateway, to)
		time.Sleep(connIdleMax + 2*reviewPeriod)
		gateway.pool.mu.Lock()
		defer gateway.pool.mu.Unlock()
		for key, r := range gateway.pool.peers {
			if r.conn != nil || r.failures != 0 {
				t.Errorf("%s: connected %t, %d failures", key, r.conn != nil, r.failures)
			}
		}
	})
}
