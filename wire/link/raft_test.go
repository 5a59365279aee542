package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pair opens a stream of a group from one member to another.
func pair(t *testing.T, from, to *member, group string) (dialled, accepted net.Conn) {
	t.Helper()
	layer := to.Raft(group)
	dialled, err := from.Raft(group).Dial(to.self.Node(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err = layer.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

// streams checks how many streams are open at a member, once everything has settled.
func (m *member) wantStreams(t *testing.T, want float64) {
	t.Helper()
	time.Sleep(time.Second)
	if got := m.value(t, "staffetta_link_streams"); got != want {
		t.Errorf("%s: got %v streams, want %v", m.self, got, want)
	}
}

func raftWorld(t *testing.T, body func(w *world, a, b *member)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(idLazio1, 1, nil)
		b := w.join(idLazio2, 2, knows(a))
		w.t = t
		body(w, a, b)
	})
}

func TestRaftStream(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		dialled, accepted := pair(t, b, a, "region/lazio")
		if got := accepted.RemoteAddr().String(); got != "lazio-2" {
			t.Errorf("got remote %s", got)
		}
		if got := dialled.RemoteAddr().String(); got != "lazio-1" {
			t.Errorf("got remote %s", got)
		}
		if got := a.Raft("region/lazio").Addr().String(); got != "lazio-1" ||
			accepted.LocalAddr().String() != got {
			t.Errorf("got address %s", got)
		}
		const size = 40 << 20 // larger than every window, and than bulkAfterBytes
		go func() {
			io.Copy(accepted, accepted)
		}()
		go dialled.Write(make([]byte, size))
		if n, err := io.CopyN(io.Discard, dialled, size); err != nil {
			t.Errorf("got %d bytes back, %v", n, err)
		}
		dialled.Close()
		a.wantStreams(t, 1)
		accepted.Close()
		a.wantStreams(t, 0)
		b.wantStreams(t, 0)
	})
}

func TestRaftStreamCloseIsSeenByBothSides(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		for range 2 {
			dialled, accepted := pair(t, b, a, FederationGroup)
			near, far := dialled, accepted
			near.Write([]byte("last words"))
			near.Close()
			got, err := io.ReadAll(far)
			if err != nil || string(got) != "last words" {
				t.Errorf("got %q, %v, want all that was written", got, err)
			}
			if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read after Close: got %v", err)
			}
			if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("write after Close: got %v", err)
			}
			time.Sleep(time.Second) // the far side has heard of it
			if _, err := far.Write([]byte("x")); err == nil {
				t.Error("write to a closed stream succeeded")
			}
			far.Close()
			far.Close()
		}
		a.wantStreams(t, 0)
	})
}

func TestRaftStreamCloseReleasesTheBlocked(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		dialled, accepted := pair(t, b, a, FederationGroup)
		var wg sync.WaitGroup
		blockedWrite := func(c net.Conn) {
			wg.Go(func() {
				if n, err := c.Write(make([]byte, 200<<20)); err == nil {
					t.Errorf("wrote %d bytes that nobody read", n)
				}
			})
		}
		blockedWrite(dialled)  // released by the peer's Close
		blockedWrite(accepted) // released by its own
		time.Sleep(time.Second)
		begun := time.Now()
		accepted.Close()
		wg.Wait()
		if got := time.Since(begun); got > 10*testLatency {
			t.Errorf("released after %s", got)
		}
		dialled.Close()

		dialled, accepted = pair(t, b, a, FederationGroup)
		wg.Go(func() {
			if _, err := dialled.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("blocked read: got %v", err)
			}
		})
		time.Sleep(time.Second)
		dialled.Close()
		wg.Wait()
		if _, err := accepted.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v, want the end", err)
		}
		accepted.Close()
		a.wantStreams(t, 0)
		b.wantStreams(t, 0)
	})
}

func TestRaftStreamDeadlines(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		dialled, accepted := pair(t, b, a, FederationGroup)
		defer accepted.Close()
		var timeout net.Error
		begun := time.Now()
		dialled.SetReadDeadline(begun.Add(3 * time.Second))
		_, err := dialled.Read(make([]byte, 1))
		if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: got %v, want a timeout", err)
		}
		dialled.SetDeadline(begun.Add(5 * time.Second))
		_, err = dialled.Write(make([]byte, 100<<20))
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("write: got %v, want a timeout", err)
		}
		if got := time.Since(begun); got != 5*time.Second {
			t.Errorf("got timeouts after %s, want 5s", got)
		}
		dialled.Close()
		if got, err := io.ReadAll(accepted); err == nil {
			t.Errorf("got %d bytes and a clean end of a broken stream", len(got))
		}
	})
}

func TestRaftStreamsDoNotLeak(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		for i := range 2*callStreamsMax + 10 {
			dialled, accepted := pair(t, b, a, FederationGroup)
			dialled.Write([]byte("x"))
			if i%2 == 0 { // whoever closes first
				dialled.Close()
				accepted.Close()
			} else {
				accepted.Close()
				dialled.Close()
			}
		}
		a.wantStreams(t, 0)
		b.wantStreams(t, 0)
	})
}

func TestRaftStreamsAreAuthorised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(idLazio1, 1, nil)
		for _, group := range []string{FederationGroup, RegionGroup("lazio"), RegionGroup("sicilia")} {
			a.Raft(group)
		}
		neighbour := w.join(idLazio2, 2, knows(a))
		foreigner := w.join(idSicilia1, 3, knows(a))
		gateway := w.join(idGateway, 4, knows(a))
		for _, c := range []struct {
			from  *member
			group string
			want  bool
		}{
			{neighbour, FederationGroup, true},
			{neighbour, RegionGroup("lazio"), true},
			{neighbour, RegionGroup("sicilia"), false},
			{neighbour, RegionGroup("veneto"), false},
			{neighbour, "lazio", false},
			{foreigner, FederationGroup, true},
			{foreigner, RegionGroup("lazio"), false},
			{foreigner, RegionGroup("sicilia"), true},
			{gateway, FederationGroup, false},
			{gateway, RegionGroup("lazio"), false},
		} {
			conn, err := c.from.Raft(c.group).Dial("lazio-1", time.Minute)
			if err == nil {
				conn.SetReadDeadline(time.Now().Add(3 * time.Second))
				_, err = conn.Read(make([]byte, 1))
				conn.Close()
			}
			if accepted := errors.Is(err, os.ErrDeadlineExceeded); accepted != c.want {
				t.Errorf("%s to %s: got %v, want accepted %t", c.from.self, c.group, err, c.want)
			}
		}
		// A gateway is not even let in.
		if got := a.value(t, "staffetta_link_refused_total", "reason", "forbidden"); got == 0 {
			t.Error("a gateway has a raft connection")
		}
	})
}

func TestRaftLayerClose(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		layer := a.Raft(FederationGroup)
		if a.Raft(FederationGroup) != layer {
			t.Error("two layers of one group")
		}
		waiting, err := b.Raft(FederationGroup).Dial("lazio-1", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // it is queued
		var wg sync.WaitGroup
		layer.Close()
		wg.Go(func() {
			if _, err := layer.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		})
		wg.Wait()
		if _, err := waiting.Read(make([]byte, 1)); err == nil {
			t.Error("a stream that nobody accepted stayed open")
		}
		waiting.Close()
		layer.Close()
		if a.Raft(FederationGroup) == layer {
			t.Error("the closed layer came back")
		}
		dialled, accepted := pair(t, b, a, FederationGroup)
		dialled.Close()
		accepted.Close()
	})
}

func TestRaftQueueAtItsBound(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		layer := a.Raft(FederationGroup)
		var conns []net.Conn
		for range raftAcceptMax + 1 {
			conn, err := b.Raft(FederationGroup).Dial("lazio-1", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			time.Sleep(time.Millisecond) // in this order
		}
		surplus := conns[raftAcceptMax]
		if _, err := surplus.Read(make([]byte, 1)); err == nil {
			t.Error("a stream beyond the bound was accepted")
		}
		for range raftAcceptMax {
			c, err := layer.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		for _, c := range conns {
			c.Close()
		}
		a.wantStreams(t, 0)
		b.wantStreams(t, 0)
	})
}

func TestRaftDialWaitsOutThePause(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		a.Raft(FederationGroup)
		w.router.cut(a.addr, true)
		layer := b.Raft(FederationGroup)
		if _, err := layer.Dial("lazio-1", time.Minute); err == nil {
			t.Fatal("dialled a node that is cut off")
		}
		w.router.cut(a.addr, false)
		conn, err := layer.Dial("lazio-1", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if _, err := layer.Dial("nobody", time.Minute); err == nil {
			t.Error("dialled nobody")
		}
	})
}

// A bulk transfer that nobody reads must not hold up other calls: they have their own connection.
func TestBulkDoesNotHoldUpHeartbeats(t *testing.T) {
	raftWorld(t, func(w *world, a, b *member) {
		t := w.t
		bulk, idle := pair(t, b, a, RegionGroup("lazio"))
		beat, answer := pair(t, b, a, FederationGroup)
		var wg sync.WaitGroup
		wg.Go(func() { bulk.Write(make([]byte, 100<<20)) })
		time.Sleep(time.Second)
		begun := time.Now()
		wg.Go(func() { io.Copy(answer, answer) })
		ping := bytes.Repeat([]byte("x"), 1000)
		if _, err := beat.Write(ping); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(beat, ping); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begun); got > 10*testLatency {
			t.Errorf("the heartbeat took %s", got)
		}
		for _, c := range []net.Conn{bulk, idle, beat, answer} {
			c.Close()
		}
		wg.Wait()
	})
}
