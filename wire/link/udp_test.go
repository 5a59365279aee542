package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
)

// nowhere is a socket that is never used.
type nowhere struct{ net.PacketConn }

func (nowhere) LocalAddr() net.Addr { return &net.UDPAddr{} }

// joinUDP starts a member on a loopback socket of this machine.
func joinUDP(tb testing.TB, authority *ca.CA, id, addr string, setup func(*Config)) *member {
	tb.Helper()
	return joinUDPWith(tb, authority, id, addr, setup, registerTestMethods)
}

func joinUDPWith(tb testing.TB, authority *ca.CA, id, addr string, setup func(*Config),
	methods func(*Link)) *member {
	tb.Helper()
	conn, err := net.ListenPacket("udp4", addr)
	if err != nil {
		tb.Fatal(err)
	}
	m := &member{addr: conn.LocalAddr().String(), reg: prometheus.NewRegistry()}
	key := [32]byte{7}
	cfg := Config{
		Federation: testFederation, PacketConn: conn, Authorities: authority.Authorities,
		Listen: id != idGateway, Registerer: m.reg, ResetKey: &key,
		Certificate: always(issue(tb, authority, id, time.Hour)),
	}
	if setup != nil {
		setup(&cfg)
	}
	m.start(tb, cfg, methods, func() { conn.Close() })
	return m
}

func newCA(tb testing.TB) *ca.CA {
	tb.Helper()
	authority, err := ca.New(testFederation, time.Hour)
	if err != nil {
		tb.Fatal(err)
	}
	return authority
}

func TestOverUDP(t *testing.T) {
	authority := newCA(t)
	node := joinUDP(t, authority, idLazio1, "127.0.0.1:0", nil)
	gateway := joinUDP(t, authority, idGateway, "127.0.0.1:0", knows(node))
	mustEcho(t, gateway, Peer{Node: "lazio-1"})
	_, port, _ := net.SplitHostPort(node.addr)
	mustEcho(t, gateway, Peer{Node: "lazio-1", Addr: "localhost:" + port})
	req := bytes.Repeat([]byte("0123456789abcdef"), wire.FrameBytesMax/16)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := gateway.Call(within(t, time.Minute), Peer{Node: "lazio-1"}, methodEcho, req)
			if err != nil || !bytes.Equal(got, req) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ":", ""} {
		_, err := gateway.Call(within(t, time.Minute), Peer{Addr: addr}, methodEcho, nil)
		wantCode(t, err, wire.Unavailable)
	}
}

func TestRestartOverUDP(t *testing.T) {
	authority := newCA(t)
	node := joinUDP(t, authority, idLazio1, "127.0.0.1:0", nil)
	gateway := joinUDP(t, authority, idGateway, "127.0.0.1:0", knows(node))
	mustEcho(t, gateway, Peer{Node: "lazio-1"})
	if err := node.stop(); err != nil {
		t.Fatal(err)
	}
	joinUDP(t, authority, idLazio1, node.addr, nil)
	ctx := within(t, time.Minute)
	for {
		_, err := gateway.Call(ctx, Peer{Node: "lazio-1"}, methodEcho, nil)
		if err == nil {
			return
		}
		if !wire.Retriable(err) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestSocketFailureEndsRun(t *testing.T) {
	authority := newCA(t)
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(Config{Federation: testFederation, PacketConn: conn, Authorities: authority.Authorities,
		Listen: true, Certificate: always(issue(t, authority, idLazio1, time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- l.Run(context.Background()) }()
	<-l.started
	conn.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want the socket's failure", err)
	}
}

func TestRaftOverUDP(t *testing.T) {
	authority := newCA(t)
	a := joinUDP(t, authority, idLazio1, "127.0.0.1:0", nil)
	b := joinUDP(t, authority, idLazio2, "127.0.0.1:0", knows(a))
	dialled, accepted := pair(t, b, a, FederationGroup)
	defer accepted.Close()
	defer dialled.Close()
	go io.Copy(accepted, accepted)
	const size = 8 << 20
	go dialled.Write(make([]byte, size))
	if n, err := io.CopyN(io.Discard, dialled, size); err != nil {
		t.Errorf("got %d bytes back, %v", n, err)
	}
}

func BenchmarkCall(b *testing.B) {
	for name, size := range map[string]int{"1KiB": 1 << 10, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			from, to := benchPair(b)
			req := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := from.Call(context.Background(), to, methodFail, req); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"-16", func(b *testing.B) {
			from, to := benchPair(b)
			req := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := from.Call(context.Background(), to, methodFail, req); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// benchPair is a gateway and a node that answers 64 bytes.
func benchPair(b *testing.B) (*member, Peer) {
	authority := newCA(b)
	answer := make([]byte, 64)
	node := joinUDPWith(b, authority, idLazio1, "127.0.0.1:0", nil, func(l *Link) {
		l.Handle(methodFail, func(context.Context, Identity, []byte) ([]byte, error) {
			return answer, nil
		}, RoleGateway)
	})
	gateway := joinUDP(b, authority, idGateway, "127.0.0.1:0", knows(node))
	to := Peer{Node: "lazio-1"}
	if _, err := gateway.Call(context.Background(), to, methodFail, nil); err != nil {
		b.Fatal(err)
	}
	return gateway, to
}

func BenchmarkRaftLayer(b *testing.B) {
	authority := newCA(b)
	node := joinUDP(b, authority, idLazio1, "127.0.0.1:0", nil)
	from := joinUDP(b, authority, idLazio2, "127.0.0.1:0", knows(node))
	layer := node.Raft(FederationGroup)
	dialled, err := from.Raft(FederationGroup).Dial("lazio-1", time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := layer.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer accepted.Close()
	chunk, sink := make([]byte, 128<<10), make([]byte, 128<<10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := accepted.Read(sink); err != nil {
				done <- err
				return
			}
		}
	}()
	for b.Loop() {
		if _, err := dialled.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	dialled.Close()
	if err := <-done; err != io.EOF {
		b.Fatal(err)
	}
}
