package consensus

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdleStreamIsParked: a stream that nobody uses is closed, works again when it is used, and is
// not closed while an answer is awaited.
func TestIdleStreamIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials, ends := 0, make(chan net.Conn, 4)
		dial := func(time.Duration) (net.Conn, error) {
			here, there := net.Pipe()
			dials++
			ends <- there
			return here, nil
		}
		first, _ := dial(0)
		p := newParkable(first, time.Second, dial)
		call := func(there net.Conn, answerAfter time.Duration) {
			t.Helper()
			go func() {
				var b [1]byte
				io.ReadFull(there, b[:])
				time.Sleep(answerAfter)
				there.Write(b[:])
			}()
			if _, err := p.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			var b [1]byte
			if _, err := p.Read(b[:]); err != nil {
				t.Fatal(err)
			}
		}
		sweep := func() { p.park(time.Now().Add(-streamIdleMax)) }
		there := <-ends
		stop := time.AfterFunc(2*streamIdleMax, sweep) // in the middle of the call
		call(there, 3*streamIdleMax)
		stop.Stop()
		if sweep(); dials != 1 {
			t.Fatalf("dialled %d times", dials)
		}
		time.Sleep(streamIdleMax + time.Second)
		sweep()
		var b [1]byte
		if _, err := there.Read(b[:]); err != io.EOF {
			t.Errorf("the peer of an idle stream sees %v, want its end", err)
		}
		go func() { call2 := <-ends; io.ReadFull(call2, b[:]); call2.Write(b[:]) }()
		if _, err := p.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Read(make([]byte, 1)); err != nil || dials != 2 {
			t.Errorf("used again: %v after %d dials", err, dials)
		}
		p.Close()
		if _, err := p.Write([]byte("z")); err != net.ErrClosed {
			t.Errorf("written after Close: %v", err)
		}
	})
}

// TestStreamIsNotParkedWithinARequest: a request that is written in parts, with a pause that is
// longer than any idle stream is kept, goes out on one stream whole.
func TestStreamIsNotParkedWithinARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		p := newParkable(here, time.Second, func(time.Duration) (net.Conn, error) {
			t.Error("dialled in the middle of a request")
			return nil, net.ErrClosed
		})
		defer p.Close()
		got := make(chan string)
		go func() {
			var b [5]byte
			io.ReadFull(there, b[:])
			got <- string(b[:])
			there.Write(b[:1])
		}()
		for _, part := range []string{"ent", "ry"} { // a snapshot, say, from a slow disk
			if _, err := p.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * streamIdleMax)
			p.park(time.Now().Add(-streamIdleMax))
		}
		if request := <-got; request != "entry" {
			t.Errorf("the peer got %q", request)
		}
		if _, err := p.Read(make([]byte, 1)); err != nil {
			t.Errorf("answer of a request that took long: %v", err)
		}
	})
}

// TestParkingLosesNoCall: calls and a sweep that parks whatever it may, at the same time; every
// call arrives whole, and has its answer.
func TestParkingLosesNoCall(t *testing.T) {
	serve := func(there net.Conn) {
		defer there.Close()
		var b [8]byte
		for {
			if _, err := io.ReadFull(there, b[:]); err != nil {
				if err != io.EOF && err != io.ErrClosedPipe {
					t.Errorf("a request ended in the middle: %v", err)
				}
				return
			}
			if _, err := there.Write(b[:]); err != nil {
				t.Errorf("answer: %v", err)
				return
			}
		}
	}
	var dials atomic.Int32
	var served sync.WaitGroup
	dial := func(time.Duration) (net.Conn, error) {
		here, there := net.Pipe()
		dials.Add(1)
		served.Go(func() { serve(there) })
		return here, nil
	}
	first, _ := dial(0)
	p := newParkable(first, time.Second, dial)
	done := make(chan struct{})
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				p.park(time.Now())
			}
		}
	})
	var request, answer [8]byte
	for i := range uint64(2000) {
		binary.BigEndian.PutUint64(request[:], i)
		p.SetDeadline(time.Now().Add(time.Minute))
		for _, part := range [][]byte{request[:3], request[3:]} {
			if _, err := p.Write(part); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
		if _, err := io.ReadFull(p, answer[:]); err != nil || answer != request {
			t.Fatalf("call %d: got %x, %v", i, answer, err)
		}
		if i%100 == 0 {
			p.park(time.Now()) // whatever the other sweep gets to do
		}
	}
	close(done)
	sweeps.Wait()
	p.Close()
	served.Wait()
	if dials.Load() < 2 {
		t.Error("the stream was never parked")
	}
}
