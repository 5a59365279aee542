package link

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/semaphore"
)

func TestCallRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		other := w.join(idSicilia1, 2, knows(node))
		gateway := w.join(idGateway, 3, knows(node))
		operator := w.join(idOperator, 4, nil)
		mustEcho(t, other, Peer{Node: "lazio-1"})
		mustEcho(t, gateway, Peer{Node: "lazio-1"})
		mustEcho(t, gateway, Peer{Node: "lazio-1", Addr: node.addr})
		mustEcho(t, operator, Peer{Addr: node.addr})
		for _, size := range []int{0, 1, 1200, 64 << 10, wire.FrameBytesMax} {
			req := bytes.Repeat([]byte{byte(size), 7}, size/2+1)[:size]
			got, err := gateway.Call(within(t, 10*time.Second), Peer{Node: "lazio-1"},
				methodEcho, req)
			if err != nil || !bytes.Equal(got, req) {
				t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
			}
		}
		if got := node.value(t, "staffetta_link_bytes_total", "direction", "in", "role",
			"gateway"); got < wire.FrameBytesMax {
			t.Errorf("got %v bytes counted, want at least %d", got, wire.FrameBytesMax)
		}
		if got := gateway.value(t, "staffetta_link_quic_bytes_total", "direction", "out",
			"protocol", protoRelay); got < wire.FrameBytesMax {
			t.Errorf("got %v QUIC bytes counted, want at least %d", got, wire.FrameBytesMax)
		}
	})
}

func TestCallsShareAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, knows(node))
		var wg sync.WaitGroup
		for i := range 2 * callStreamsMax {
			wg.Go(func() {
				req := bytes.Repeat([]byte{byte(i)}, i)
				got, err := gateway.Call(within(t, time.Minute), Peer{Node: "lazio-1"},
					methodEcho, req)
				if err != nil || !bytes.Equal(got, req) {
					t.Errorf("call %d: got %d bytes, %v", i, len(got), err)
				}
			})
		}
		wg.Wait()
		if got := gateway.value(t, "staffetta_link_dials_total"); got != 1 {
			t.Errorf("got %v dials, want 1", got)
		}
		if got := node.value(t, "staffetta_link_streams"); got != 0 {
			t.Errorf("got %v open streams, want 0", got)
		}
	})
}

func TestCallErrors(t *testing.T) {
	moved := &wire.Error{Code: wire.Moved, Detail: "elsewhere", Region: "sicilia", Epoch: 4,
		Leader: "sicilia-2"}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.joinWith(idLazio1, 1, nil, func(l *Link) {
			registerTestMethods(l)
			l.Handle(methodFail, func(_ context.Context, _ Identity, req []byte) ([]byte, error) {
				switch req[0] {
				case 0:
					return nil, moved
				case 1:
					return nil, errors.New("RSSMRA80A01H501U")
				case 2:
					return nil, wire.NotReady
				}
				return make([]byte, wire.FrameBytesMax+1), nil
			}, RoleNode, RoleGateway)
		})
		gateway := w.join(idGateway, 2, knows(node))
		operator := w.join(idOperator, 3, nil)
		call := func(from *member, m wire.Method, req []byte) error {
			_, err := from.Call(within(t, time.Minute), Peer{Node: "lazio-1", Addr: node.addr},
				m, req)
			return err
		}
		if got, ok := call(gateway, methodFail, []byte{0}).(*wire.Error); !ok || *got != *moved {
			t.Errorf("got %#v, want it verbatim", got)
		}
		hidden := call(gateway, methodFail, []byte{1})
		wantCode(t, hidden, wire.Internal)
		if hidden.Error() != wire.Internal.String() {
			t.Errorf("got %q, want no text of a foreign error", hidden)
		}
		wantCode(t, call(gateway, methodFail, []byte{2}), wire.NotReady)
		wantCode(t, call(gateway, methodFail, []byte{3}), wire.Internal)
		wantCode(t, call(operator, methodFail, []byte{0}), wire.Forbidden)
		wantCode(t, call(gateway, 77, nil), wire.UnknownKind)
		wantCode(t, call(gateway, 77, make([]byte, wire.FrameBytesMax)), wire.UnknownKind)
		wantCode(t, call(gateway, methodCount, []byte{1}), wire.UnknownKind)
		wantCode(t, gateway.Stream(within(t, time.Minute), Peer{Node: "lazio-1"}, methodEcho, nil,
			func([]byte) error { return nil }), wire.UnknownKind)
		wantCode(t, call(gateway, methodEcho, make([]byte, wire.FrameBytesMax+1)), wire.TooLarge)
		_, err := gateway.Call(within(t, time.Minute), Peer{Node: "nobody"}, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		_, err = gateway.Call(within(t, time.Minute), Peer{}, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		mustEcho(t, gateway, Peer{Node: "lazio-1"})
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		started, ended := make(chan struct{}), make(chan struct{})
		node := w.joinWith(idLazio1, 1, nil, func(l *Link) {
			l.Handle(methodBlock, func(ctx context.Context, _ Identity, _ []byte) ([]byte, error) {
				close(started)
				<-ctx.Done()
				close(ended)
				return nil, ctx.Err()
			}, RoleGateway)
		})
		gateway := w.join(idGateway, 2, knows(node))
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-started; cancel() }()
		_, err := gateway.Call(ctx, Peer{Node: "lazio-1"}, methodBlock, nil)
		wantCode(t, err, wire.OutcomeUnknown)
		<-ended
		_, err = gateway.Call(ctx, Peer{Node: "lazio-1"}, methodBlock, nil)
		wantCode(t, err, wire.Unavailable)
		synctest.Wait()
		if got := gateway.value(t, "staffetta_link_streams"); got != 0 {
			t.Errorf("got %v open streams, want 0", got)
		}
	})
}

func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, knows(node))
		to := Peer{Node: "lazio-1"}
		mustEcho(t, gateway, to)
		w.router.cut(node.addr, true)

		begun := time.Now()
		_, err := gateway.Call(within(t, time.Second), to, methodEcho, nil)
		wantCode(t, err, wire.OutcomeUnknown)
		if got := time.Since(begun); got != time.Second {
			t.Errorf("got the error after %s, want 1s", got)
		}
		// Without a deadline the connection's own timeout ends the call.
		_, err = gateway.Call(context.Background(), to, methodEcho, nil)
		wantCode(t, err, wire.OutcomeUnknown)
		if got := time.Since(begun); got > 2*idleMax {
			t.Errorf("noticed after %s, want at most %s", got, 2*idleMax)
		}
		// Now there is no connection: nothing was sent, and the next call does not wait.
		_, err = gateway.Call(within(t, time.Minute), to, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		begun = time.Now()
		_, err = gateway.Call(within(t, time.Minute), to, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		if got := time.Since(begun); got != 0 {
			t.Errorf("got the second error after %s, want it at once", got)
		}
		w.router.cut(node.addr, false)
		time.Sleep(backoffMax)
		mustEcho(t, gateway, to)
	})
}

func TestBackoffGrowsToItsMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gateway := w.join(idGateway, 2, nil)
		to := Peer{Node: "lazio-1", Addr: "10.0.0.9:7000"} // nobody is there
		for range 12 {
			_, err := gateway.Call(within(t, time.Minute), to, methodEcho, nil)
			wantCode(t, err, wire.Unavailable)
			time.Sleep(backoffMax)
		}
		if got := gateway.value(t, "staffetta_link_dials_total", "result", "failed"); got != 12 {
			t.Errorf("got %v dials, want one after each pause, 12", got)
		}
		gateway.pool.mu.Lock()
		for key, p := range gateway.pool.peers {
			if p.failures != 12 || time.Until(p.retryAt) > 0 {
				t.Errorf("%s: got %d failures, pause %s", key, p.failures, time.Until(p.retryAt))
			}
		}
		gateway.pool.mu.Unlock()
	})
}

func TestHandlersAtTheirBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, knows(node))
		to := Peer{Node: "lazio-1"}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range callStreamsMax {
			wg.Go(func() { gateway.Call(ctx, to, methodBlock, nil) })
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if got := node.value(t, "staffetta_link_streams", "kind", "call"); got != callStreamsMax {
			t.Fatalf("got %v calls in progress, want %d", got, callStreamsMax)
		}
		_, err := gateway.Call(within(t, time.Second), to, methodEcho, nil)
		wantCode(t, err, wire.Unavailable) // was never sent
		cancel()
		wg.Wait()
		mustEcho(t, gateway, to)
	})
}

// A caller that gives up must not make room for more while its handlers still run.
func TestAbandonedHandlersCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		node := w.joinWith(idLazio1, 1, nil, func(l *Link) {
			l.Handle(methodBlock, func(context.Context, Identity, []byte) ([]byte, error) {
				<-release
				return nil, nil
			}, RoleGateway)
		})
		gateway := w.join(idGateway, 2, knows(node))
		for range 2 { // waves, each abandoned after a second
			var wg sync.WaitGroup
			for range callStreamsMax {
				wg.Go(func() {
					gateway.Call(within(t, time.Second), Peer{Node: "lazio-1"}, methodBlock, nil)
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
		}
		if got := node.value(t, "staffetta_link_streams", "kind", "call"); got != callStreamsMax {
			t.Errorf("got %v handlers, want %d", got, callStreamsMax)
		}
		close(release)
		time.Sleep(time.Second)
		_, err := gateway.Call(within(t, time.Second), Peer{Node: "lazio-1"}, methodBlock, nil)
		if err != nil {
			t.Errorf("after the handlers returned: %v", err)
		}
	})
}

func TestRequestsBeyondMemoryAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		node.requests = semaphore.NewWeighted(100 << 10)
		gateway := w.join(idGateway, 2, knows(node))
		to := Peer{Node: "lazio-1"}
		_, err := gateway.Call(within(t, time.Minute), to, methodEcho, make([]byte, 1<<20))
		wantCode(t, err, wire.Overloaded)
		for range 3 { // what was taken is given back
			_, err = gateway.Call(within(t, time.Minute), to, methodEcho, make([]byte, 90<<10))
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Requests that are refused unread must not fill the connection with half-closed streams.
func TestRefusedRequestsDoNotLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, knows(node))
		req := make([]byte, 20<<10)
		for range callStreamsMax + 10 {
			_, err := gateway.Call(within(t, time.Minute), Peer{Node: "lazio-1"}, 77, req)
			wantCode(t, err, wire.UnknownKind)
		}
		mustEcho(t, gateway, Peer{Node: "lazio-1"})
	})
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ended := make(chan error, 1)
		node := w.joinWith(idLazio1, 1, nil, func(l *Link) {
			registerTestMethods(l)
			l.HandleStream(methodFail, func(ctx context.Context, _ Identity, req []byte,
				send func([]byte) error) error {
				if err := send([]byte("first")); err != nil {
					return err
				}
				if len(req) > 0 {
					return wire.Errorf(wire.NotReady, "later")
				}
				<-ctx.Done()
				ended <- send([]byte("late"))
				return nil
			}, RoleGateway)
		})
		gateway := w.join(idGateway, 2, knows(node))
		to := Peer{Node: "lazio-1"}
		count := 0
		next := func(frame []byte) error {
			if int(frame[0]) != count {
				t.Errorf("got frame %d, want %d", frame[0], count)
			}
			count++
			return nil
		}
		err := gateway.Stream(within(t, time.Minute), to, methodCount, []byte{200}, next)
		if err != nil || count != 200 {
			t.Fatalf("got %d frames, %v, want 200", count, err)
		}
		err = gateway.Stream(within(t, time.Minute), to, methodCount, []byte{0}, next)
		if err != nil {
			t.Fatalf("no frames: %v", err)
		}
		own := errors.New("enough")
		if err := gateway.Stream(within(t, time.Minute), to, methodCount, []byte{9},
			func([]byte) error { return own }); err != own {
			t.Errorf("got %v, want the receiver's own error", err)
		}
		err = gateway.Stream(within(t, time.Minute), to, methodFail, []byte{1},
			func([]byte) error { return nil })
		wantCode(t, err, wire.NotReady)
		ctx, cancel := context.WithCancel(context.Background())
		err = gateway.Stream(ctx, to, methodFail, nil, func([]byte) error { cancel(); return nil })
		wantCode(t, err, wire.OutcomeUnknown)
		if err := <-ended; err == nil {
			t.Error("send to a caller that is gone succeeded")
		}
	})
}

func TestStreamBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		sent := make(chan int, 1000)
		node := w.joinWith(idLazio1, 1, nil, func(l *Link) {
			l.HandleStream(methodCount, func(_ context.Context, _ Identity, _ []byte,
				send func([]byte) error) error {
				frame := make([]byte, 1<<20)
				for i := 0; ; i++ {
					if err := send(frame); err != nil {
						return err
					}
					sent <- i
				}
			}, RoleGateway)
		})
		gateway := w.join(idGateway, 2, knows(node))
		release := make(chan struct{})
		go func() {
			gateway.Stream(within(t, time.Hour), Peer{Node: "lazio-1"}, methodCount, nil,
				func([]byte) error { <-release; return errors.New("enough") })
		}()
		time.Sleep(frameWait / 2)
		if got := len(sent); got > relayStreamWindowMax>>20 {
			t.Errorf("got %d MiB sent to a receiver that reads none, want a window", got)
		}
		time.Sleep(frameWait)
		if got := node.value(t, "staffetta_link_streams"); got != 0 {
			t.Errorf("got %v streams, want the one that is stuck given up", got)
		}
		close(release)
	})
}
