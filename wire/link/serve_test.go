package link

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// raw opens a stream without a header.
func raw(t *testing.T, from, to *member) *quic.Stream {
	t.Helper()
	c, s, err := from.open(within(t, time.Minute), Peer{Addr: to.addr}, protoRelay, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.release)
	return s
}

func callHeader(length int) header {
	return header{purpose: purposeCall, method: methodEcho, federation: testFederation,
		length: length}
}

func TestMalformedStreams(t *testing.T) {
	good := callHeader(3)
	encode := func(change func(b []byte)) []byte {
		b := good.append(nil)
		change(b)
		return append(b, "abc"...)
	}
	zeroMethod := func(b []byte) { b[headerMethodAt], b[headerMethodAt+1] = 0, 0 }
	withGroup := func(b []byte) { b[headerFederationAt]--; b[headerGroupAt]++ }
	raft := header{purpose: purposeRaft, federation: testFederation, group: FederationGroup}
	for name, c := range map[string]struct {
		sent []byte
		want wire.Code
	}{
		"fine":        {encode(func([]byte) {}), 0},
		"magic":       {encode(func(b []byte) { b[0] = 'X' }), wire.Malformed},
		"version":     {encode(func(b []byte) { b[headerVersionAt] = 9 }), wire.UnknownKind},
		"purpose":     {encode(func(b []byte) { b[headerPurposeAt] = 9 }), wire.UnknownKind},
		"no method":   {encode(zeroMethod), wire.Malformed},
		"long name":   {encode(func(b []byte) { b[headerFederationAt] = 200 }), wire.Malformed},
		"group":       {encode(withGroup), wire.Malformed},
		"huge":        {encode(func(b []byte) { b[headerLengthAt+3] = 0xff }), wire.TooLarge},
		"longer":      {append(encode(func([]byte) {}), 'd'), wire.Malformed},
		"not a call":  {[]byte("GET / HTTP/1.1\r\nHost: lazio-1\r\n\r\n"), wire.Malformed},
		"raft":        {raft.append(nil), wire.Malformed},
		"other names": {encode(func(b []byte) { b[headerSize] = 'x' }), wire.WrongFederation},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				node := w.join(idLazio1, 1, nil)
				peer := w.join(idLazio2, 2, nil)
				s := raw(t, peer, node)
				s.Write(c.sent)
				s.Close()
				st, body, err := readFrame(s)
				if err != nil {
					t.Fatal(err)
				}
				if c.want == 0 {
					if st != statusOK || string(body) != "abc" {
						t.Fatalf("got status %d, %q", st, body)
					}
					return
				}
				got, err := decodeError(body)
				if st != statusError || err != nil || got.Code != c.want {
					t.Errorf("got status %d, %v, %v, want %s", st, got, err, c.want)
				}
				mustEcho(t, peer, Peer{Addr: node.addr}) // the connection goes on
			})
		})
	}
}

func TestSilentStreamsAreGivenUp(t *testing.T) {
	full := callHeader(100)
	for name, c := range map[string]struct {
		sent []byte
		wait time.Duration
	}{
		"in the header":  {full.append(nil)[:7], headerWait},
		"in the request": {full.append(nil), requestWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				node := w.join(idLazio1, 1, nil)
				peer := w.join(idLazio2, 2, nil)
				begun := time.Now()
				s := raw(t, peer, node)
				s.Write(c.sent)
				if n, err := s.Read(make([]byte, 1)); err == nil || n != 0 {
					t.Fatalf("got %d bytes, %v", n, err)
				}
				if got := time.Since(begun); got < c.wait || got > c.wait+time.Second {
					t.Errorf("given up after %s, want %s", got, c.wait)
				}
				mustEcho(t, peer, Peer{Addr: node.addr})
			})
		})
	}
}

func TestMalformedAnswers(t *testing.T) {
	big := appendFrame(nil, statusOK, nil)
	big[4] = 0xff
	for name, answer := range map[string][]byte{
		"nothing":    nil,
		"cut off":    appendFrame(nil, statusOK, []byte("hello"))[:8],
		"huge":       big,
		"status":     appendFrame(nil, 99, nil),
		"stream":     appendFrame(nil, statusFrame, []byte("x")),
		"end":        appendFrame(nil, statusEnd, nil),
		"end + body": appendFrame(nil, statusEnd, []byte("x")),
		"bad error":  appendFrame(nil, statusError, []byte{0xff}),
		"huge error": appendFrame(nil, statusError, make([]byte, errorBytesMax+1)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := func() (*wire.Error, error) {
				s, body, err := readFrame(bytes.NewReader(answer))
				if err == nil && s == statusError {
					return decodeError(body)
				}
				if err == nil && s != statusOK {
					return nil, io.ErrUnexpectedEOF
				}
				return nil, err
			}()
			if err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestPeerRestartIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, knows(node))
		mustEcho(t, gateway, Peer{Node: "lazio-1"})
		// A crash says no farewell.
		w.router.cut(node.addr, true)
		if err := node.stop(); err != nil {
			t.Fatal(err)
		}
		w.router.cut(node.addr, false)
		again := w.join(idLazio1, 1, nil)
		begun := time.Now()
		for {
			_, err := gateway.Call(within(t, time.Minute), Peer{Node: "lazio-1"}, methodEcho, nil)
			if err == nil {
				break
			}
			if !wire.Retriable(err) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := time.Since(begun); got > keepAlive+backoffMax {
			t.Errorf("noticed after %s, want less than the idle timeout", got)
		}
		mustEcho(t, gateway, Peer{Addr: again.addr})
	})
}

func TestConnectionsAreReplacedByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		node := w.joinWith(idLazio1, 1, nil, func(l *Link) {
			registerTestMethods(l)
			l.Handle(methodFail, func(context.Context, Identity, []byte) ([]byte, error) {
				<-release
				return nil, nil
			}, RoleGateway)
		})
		gateway := w.join(idGateway, 2, func(c *Config) { c.ConnAgeMax = time.Hour })
		to := Peer{Addr: node.addr}
		for range 100 { // fifty minutes, never idle for long
			mustEcho(t, gateway, to)
			time.Sleep(connIdleMax / 2)
		}
		var wg sync.WaitGroup
		wg.Go(func() { // in progress when the connection is replaced
			if _, err := gateway.Call(context.Background(), to, methodFail, nil); err != nil {
				t.Errorf("call on the old connection: %v", err)
			}
		})
		for gateway.value(t, "staffetta_link_dials_total") < 2 {
			time.Sleep(time.Second)
			mustEcho(t, gateway, to)
		}
		if got := gateway.value(t, "staffetta_link_connections"); got != 2 {
			t.Errorf("got %v connections, want the old one until its call is done", got)
		}
		close(release)
		wg.Wait()
		time.Sleep(time.Second)
		if got := gateway.value(t, "staffetta_link_connections"); got != 1 {
			t.Errorf("got %v connections, want 1", got)
		}
		// A call that does not end keeps the old connection for ageGrace only.
		begun := time.Now()
		_, err := gateway.Call(context.Background(), to, methodBlock, nil)
		wantCode(t, err, wire.OutcomeUnknown)
		if got := time.Since(begun); got > time.Hour+ageGrace {
			t.Errorf("got the end after %s", got)
		}
	})
}

func TestSurplusConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		for host := range byte(connsPerPeerMax + 3) { // one identity at many addresses
			mustEcho(t, w.join(idGateway, 10+host, nil), Peer{Addr: node.addr})
		}
		synctest.Wait()
		if got := node.value(t, "staffetta_link_connections", "direction",
			"in"); got != connsPerPeerMax {
			t.Errorf("got %v connections, want %d", got, connsPerPeerMax)
		}
	})
}

func TestRunEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		node := w.join(idLazio1, 1, nil)
		gateway := w.join(idGateway, 2, knows(node))
		to := Peer{Node: "lazio-1"}
		mustEcho(t, gateway, to)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := gateway.Call(context.Background(), to, methodBlock, nil)
			wantCode(t, err, wire.OutcomeUnknown)
		})
		time.Sleep(time.Second)
		if err := node.stop(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		wg.Go(func() { // a dial is in progress
			_, err := gateway.Call(context.Background(), to, methodBlock, nil)
			wantCode(t, err, wire.Unavailable)
		})
		time.Sleep(time.Second)
		begun := time.Now()
		if err := gateway.stop(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if got := time.Since(begun); got > 100*time.Millisecond {
			t.Errorf("stopping took %s", got)
		}
		other := w.join(idGateway, 3, nil)
		third := w.join(idLazio2, 4, nil)
		mustEcho(t, other, Peer{Addr: third.addr})
		if err := other.stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * testLatency)
		if got := third.value(t, "staffetta_link_connections"); got != 0 {
			t.Errorf("got %v connections, want the peer told of the end", got)
		}
		_, err := gateway.Call(context.Background(), to, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		if err := gateway.Run(context.Background()); err == nil {
			t.Error("ran twice")
		}
	})
}

func TestCallsWaitForRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l, err := New(Config{Federation: testFederation, PacketConn: nowhere{},
			Authorities: w.ca.Authorities, Certificate: always(issue(t, w.ca, idGateway, time.Hour))})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, err = l.Call(within(t, time.Second), Peer{Addr: "10.0.0.1:7000"}, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
		if got := time.Since(begun); got != time.Second {
			t.Errorf("waited %s, want 1s", got)
		}
	})
}

func TestRegisteringTwicePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l, err := New(Config{Federation: testFederation, PacketConn: nowhere{},
			Authorities: w.ca.Authorities, Certificate: always(issue(t, w.ca, idGateway, time.Hour))})
		if err != nil {
			t.Fatal(err)
		}
		registerTestMethods(l)
		for name, f := range map[string]func(){
			"twice": func() { registerTestMethods(l) },
			"for nobody": func() {
				l.Handle(77, func(context.Context, Identity, []byte) ([]byte, error) {
					return nil, nil
				})
			},
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				f()
			}()
		}
	})
}
