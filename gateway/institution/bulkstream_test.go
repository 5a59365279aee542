package institution

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// An answer waits for no other line and for no end, however long the pause between lines is.
func TestBulkAnswersAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		for i := range 10 {
			c.send(message(active, "") + "\n")
			began := time.Now()
			if a := c.next(); a.Line != int64(i+1) || a.StatusCode != 201 {
				t.Fatalf("got %+v", a)
			}
			if took := time.Since(began); took > 0 {
				t.Errorf("answer %d took %v of virtual time", i+1, took)
			}
			time.Sleep(bulkIdle - time.Second) // in all far more than an ordinary request has
		}
		c.send(message(active, "")) // the last line may lack its end
		c.end()
		if a := c.next(); a.Line != 11 || a.StatusCode != 201 {
			t.Errorf("got %+v", a)
		}
		c.ended(nil)
		b.ends(t, endWhole)
		// The connection is good for another request.
		io.WriteString(c.conn, "GET /api/v1/profiles/"+active+" HTTP/1.1\r\nHost: x\r\n"+
			KeyHeader+": key-full\r\n\r\n")
		if resp, err := http.ReadResponse(c.in, nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("the next request: %v, %v", resp, err)
		}
	})
}

// Many lines, one in a hundred broken, over HTTP/1.1 and HTTP/2: all are answered in order.
func TestBulkOrder(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		inBubble(t, func(t *testing.T, b *bench, m *memory) {
			const lines = 5000
			var body strings.Builder
			for i := range lines {
				switch {
				case i%100 == 50:
					body.WriteString("{\n")
				case i%3 == 0:
					body.WriteString(message(unknown, "") + "\n")
				default:
					body.WriteString(message(active, "") + "\n")
				}
			}
			var protocols http.Protocols
			protocols.SetHTTP1(protocol == "HTTP/1.1")
			protocols.SetUnencryptedHTTP2(protocol != "HTTP/1.1")
			transport := &http.Transport{Protocols: &protocols,
				DialContext: func(context.Context, string, string) (net.Conn, error) {
					return m.dial(), nil
				}}
			defer transport.CloseIdleConnections()
			r := bulkRequest("full", body.String())
			r.URL.Scheme, r.URL.Host = "http", "x"
			resp, err := transport.RoundTrip(r)
			if err != nil || resp.Proto != protocol {
				t.Fatalf("%v, %v", resp, err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := readLines(t, text)
			if len(got) != lines {
				t.Fatalf("%d answers", len(got))
			}
			for i, a := range got {
				want := "201 PROCESSED"
				switch {
				case i%100 == 50:
					want = "400 "
				case i%3 == 0:
					want = "201 REJECTED"
				}
				if got := fmt.Sprint(a.StatusCode, " ", a.Status); got != want {
					t.Fatalf("line %d: %s, want %s", i+1, got, want)
				}
			}
			b.ends(t, endWhole)
		})
	}
}

// A client that reads only after it has sent a thousand lines gets all its answers, over a
// connection that buffers nothing.
func TestBulkReadAfterwards(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		for range 10 {
			if err := c.send(strings.Repeat(message(active, "")+"\n", 100)); err != nil {
				t.Fatal(err)
			}
		}
		c.end()
		for i := range 1000 {
			if a := c.next(); a.Line != int64(i+1) || a.StatusCode != 201 {
				t.Fatalf("got %+v", a)
			}
		}
		c.ended(nil)
		b.ends(t, endWhole)
	})
}

// A client that never reads costs a window of lines, and is hung up on.
func TestBulkNeverRead(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		began := time.Now()
		var err error
		for err == nil {
			err = c.send(message(active, "") + "\n")
		}
		if took := time.Since(began); took < bulkIdle || took > bulkIdle+2*bulkLinger {
			t.Errorf("hung up after %v", took)
		}
		b.ends(t, endBroken)
		if n := b.relay.asked; n < bulkLinesMax || n > bulkLinesMax+4096 {
			t.Errorf("%d lines were taken", n)
		}
	})
}

// A client that reads slowly, but reads, is served.
func TestBulkSlowReader(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		const lines = 4000
		go func() {
			for range lines {
				c.send(message(active, "") + "\n")
			}
			c.end()
		}()
		for i := range lines {
			if i%400 == 0 {
				time.Sleep(bulkIdle / 2)
			}
			if a := c.next(); a.Line != int64(i+1) || a.StatusCode != 201 {
				t.Fatalf("got %+v", a)
			}
		}
		c.ended(nil)
		b.ends(t, endWhole)
	})
}

// What is under way is bounded in lines and in bytes.
func TestBulkWindow(t *testing.T) {
	for _, lines := range []string{message(active, ""), message(active,
		`,"third_party_data":{"configuration_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","id":"`+
			strings.Repeat("x", 128<<10)+`"}`)} {
		inBubble(t, func(t *testing.T, b *bench, m *memory) {
			b.relay.gate = make(chan struct{})
			c := m.converse(t, "full")
			go func() {
				for c.send(lines+"\n") == nil {
				}
			}()
			synctest.Wait()
			want := bulkLinesMax + 2 // one that is waited for, and one that finds no room
			if len(lines) > 1<<10 {
				want = bulkBytesMax / len(lines)
			}
			if n := b.relay.asked; n < want-1 || n > want {
				t.Errorf("%d lines of %d bytes are under way, want %d", n, len(lines), want)
			}
			c.conn.Close()
			close(b.relay.gate)
			b.ends(t, endBroken)
		})
	}
}

// A body that is cut off: what was whole is decided, what was not is not taken.
func TestBulkCutOff(t *testing.T) {
	for _, partial := range []string{"", `{"fiscal_code":`, message(active, "")} {
		inBubble(t, func(t *testing.T, b *bench, m *memory) {
			b.relay.gate = make(chan struct{}, 9)
			c := m.converse(t, "full")
			c.send(strings.Repeat(message(active, "")+"\n", 3) + partial)
			c.conn.Close()
			synctest.Wait()
			b.relay.gate <- struct{}{}
			b.relay.gate <- struct{}{}
			b.relay.gate <- struct{}{}
			b.ends(t, endBroken)
			if b.relay.asked != 3 || len(b.relay.gate) != 0 {
				t.Errorf("%d lines were taken, %d verdicts not waited for", b.relay.asked,
					len(b.relay.gate))
			}
		})
	}
	// What is no HTTP ends the stream too, and is never taken for the next request.
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		c.send(message(active, "") + "\n")
		go io.WriteString(c.conn, "zz\r\nGET /api/v1/profiles/"+active+" HTTP/1.1\r\n\r\n")
		c.next()
		c.ended(io.ErrUnexpectedEOF)
		b.ends(t, endBroken)
		if b.relay.asked != 1 {
			t.Errorf("%d calls", b.relay.asked)
		}
	})
}

func TestBulkIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		c.send(message(active, "") + "\n" + `{"half":`)
		c.next()
		began := time.Now()
		if a := c.next(); a.Line != 2 || a.StatusCode != 408 || a.kind() != "bulk-timeout" {
			t.Errorf("got %+v", a)
		}
		if took := time.Since(began); took != bulkIdle {
			t.Errorf("ended after %v, want %v", took, bulkIdle)
		}
		c.ended(io.ErrUnexpectedEOF)
		b.ends(t, endIdle)
	})
}

// A key that is revoked ends the stream, and so does a scope that is taken away.
func TestBulkRevoked(t *testing.T) {
	for want, change := range map[string]func(*bench){
		"401 unauthenticated": func(b *bench) { clear(b.relay.services) },
		"403 scope-missing":   func(b *bench) { b.service("full", "ApiMessageRead") },
		"503 unavailable":     func(b *bench) { b.relay.keyFail = wire.Errorf(wire.Unavailable, "x") },
	} {
		inBubble(t, func(t *testing.T, b *bench, m *memory) {
			c := m.converse(t, "full")
			c.send(message(active, "") + "\n")
			c.next()
			change(b)
			c.send(message(active, "") + "\n")
			if a := c.next(); a.StatusCode != 201 { // within bulkRecheck
				t.Errorf("got %+v", a)
			}
			time.Sleep(bulkRecheck)
			go c.send(strings.Repeat(message(active, "")+"\n", 2000))
			a := c.next()
			if got := fmt.Sprint(a.StatusCode, " ", a.kind()); a.Line != 3 || got != want {
				t.Errorf("got line %d %s, want %s", a.Line, got, want)
			}
			c.ended(io.ErrUnexpectedEOF)
			b.ends(t, endKey)
			if b.relay.asked != 2 {
				t.Errorf("%d lines were taken", b.relay.asked)
			}
		})
	}
}

// What a service may do is looked up anew while a stream goes on.
func TestBulkRecheck(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		b.service("full", everyScope...).Service.AuthorizedCIDRs = []string{"10.0.0.0/8"}
		time.Sleep(bulkRecheck)
		c.send(message(active, "") + "\n")
		if a := c.next(); a.kind() != "source-address-forbidden" {
			t.Errorf("got %+v", a)
		}
		b.service("full", everyScope...).Service.MaxAllowedPaymentAmount = 1
		time.Sleep(bulkRecheck)
		c.send(message(active, payFor(2, "")) + "\n")
		if a := c.next(); a.kind() != "payment-amount-exceeded" {
			t.Errorf("got %+v", a)
		}
		c.end()
		c.ended(nil)
		b.ends(t, endWhole)
	})
}

// A gateway that stops answers what it has taken, says where it stopped, and waits neither for
// clients that are silent nor for those that go on.
func TestBulkDrain(t *testing.T) {
	for _, silent := range []bool{true, false} {
		inBubble(t, func(t *testing.T, b *bench, m *memory) {
			b.relay.gate = make(chan struct{})
			c := m.converse(t, "full")
			c.send(strings.Repeat(message(active, "")+"\n", 3))
			synctest.Wait()
			b.api.Drain()
			if !silent {
				go func() {
					for c.send(message(active, "")+"\n") == nil {
					}
				}()
			}
			began := time.Now()
			time.AfterFunc(bulkLinger/2, func() { close(b.relay.gate) })
			for i := range 3 {
				if a := c.next(); a.Line != int64(i+1) || a.StatusCode != 201 {
					t.Fatalf("got %+v", a)
				}
			}
			if a := c.next(); a.Line != 4 || a.StatusCode != 503 || a.kind() != "not-ready" ||
				a.RetryAfter != 5 {
				t.Errorf("got %+v", a)
			}
			c.ended(io.ErrUnexpectedEOF)
			if took := time.Since(began); took > 2*bulkLinger {
				t.Errorf("the stream ended after %v", took)
			}
			b.ends(t, endDrain)
			if b.relay.asked != 3 {
				t.Errorf("%d lines were taken", b.relay.asked)
			}
			a := b.doc.DoAny(t, b.mux, bulkRequest("full", message(active, "")))
			if kind, _, _ := problemOf(t, a); a.Status != 503 || kind != "not-ready" {
				t.Errorf("a new request: %d %s", a.Status, kind)
			}
		})
	}
}

// A client that ends its request when it is told that the gateway stops keeps its connection.
func TestBulkDrainOrderly(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		c := m.converse(t, "full")
		b.api.Drain()
		c.send(message(active, "") + "\n" + message(active, "") + "\n")
		if a := c.next(); a.Line != 1 || a.StatusCode != 503 {
			t.Errorf("got %+v", a)
		}
		c.end()
		c.ended(nil)
		b.ends(t, endDrain)
	})
}

func TestBulkPlaces(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench, m *memory) {
		var all []*conversation
		for i := range streamsMax / streamsOfOneMax {
			name := fmt.Sprint("s", i)
			b.service(name, everyScope...)
			for range streamsOfOneMax {
				all = append(all, m.converse(t, name))
			}
		}
		a := b.doc.Do(t, b.mux, bulkRequest("s0", message(active, "")))
		if a.Status != 429 || a.Header.Get("Retry-After") != "5" {
			t.Errorf("one more of an institution: %d %v", a.Status, a.Header)
		}
		a = b.doc.Do(t, b.mux, bulkRequest("full", message(active, "")))
		if kind, _, _ := problemOf(t, a); a.Status != 503 || kind != "overloaded" {
			t.Errorf("one more of another: %d %s", a.Status, kind)
		}
		for _, c := range all {
			c.end()
			c.ended(nil)
		}
		b.ends(t, endWhole)
		a = b.doc.Do(t, b.mux, bulkRequest("s0", message(active, "")))
		if a.Status != 200 {
			t.Errorf("places are not given back: %d", a.Status)
		}
	})
}

// Errors of the relay are those of POST /messages; ours are logged without a word of the line.
func TestBulkRelayFaults(t *testing.T) {
	for _, c := range []struct {
		err   error
		want  string
		retry int
	}{
		{wire.Errorf(wire.Unavailable, "no leader at lazio-1"), "503 unavailable", 5},
		{wire.Errorf(wire.OutcomeUnknown, "x"), "503 outcome-unknown", 5},
		{wire.Errorf(wire.Overloaded, "x"), "503 overloaded", 1},
		{wire.Errorf(wire.TooLarge, "x"), "413 too-large", 0},
		{errors.New("a text that names " + active), "500 internal", 0},
	} {
		b := newBench(t)
		b.relay.fail = c.err
		a := b.doc.Do(t, b.mux, bulkRequest("full", message(active, "")))
		got := readLines(t, a.Body)
		if g := fmt.Sprint(got[0].StatusCode, " ", got[0].kind()); g != c.want ||
			got[0].RetryAfter != c.retry {
			t.Errorf("%v: got %s after %d, want %s after %d", c.err, g, got[0].RetryAfter, c.want,
				c.retry)
		}
		if strings.Contains(string(a.Body), "lazio") || strings.Contains(b.log.String(), active) ||
			strings.Contains(string(a.Body), active) {
			t.Errorf("%s and %s tell too much", a.Body, b.log)
		}
		if got := strings.Contains(b.log.String(), "call failed"); got != (c.want[:3] == "500") {
			t.Errorf("%v: logged %v", c.err, got)
		}
	}
}

// A line of 100 MB costs the buffer of an allowed one; what follows it is read.
func TestBulkLongLine(t *testing.T) {
	const size = 100 << 20
	in := io.MultiReader(strings.NewReader("a\n"), io.LimitReader(endless{}, size),
		strings.NewReader("\nb\n"))
	l := newLines(in)
	for _, want := range []string{"a", "", "b"} {
		line, err := l.next()
		if string(line) != want || (err == errLongLine) != (want == "") {
			t.Errorf("got %q, %v, want %q", line, err, want)
		}
	}
	if _, err := l.next(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if got := cap(l.buf); got > 2*lineBytesMax {
		t.Errorf("a buffer of %d bytes", got)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// FuzzLines: whatever pieces a stream comes in, its lines are those of the text.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\nb"), 1, 0)
	f.Add([]byte("\n"), 3, lineBytesMax)
	f.Add([]byte("x"), 70000, lineBytesMax+1)
	f.Fuzz(func(t *testing.T, text []byte, piece, padding int) {
		if padding < 0 || padding > 2*lineBytesMax || piece < 1 {
			return
		}
		text = append(text, bytes.Repeat([]byte("y"), padding)...)
		var want []string
		for line := range bytes.Lines(text) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if len(line) > lineBytesMax {
				line = []byte("long")
			}
			want = append(want, string(line))
		}
		l := newLines(&pieces{text, piece})
		for i := 0; ; i++ {
			line, err := l.next()
			if err == io.EOF {
				if i != len(want) {
					t.Errorf("%d lines, want %d", i, len(want))
				}
				return
			}
			if err == errLongLine {
				line = []byte("long")
			}
			if i >= len(want) || string(line) != want[i] {
				t.Fatalf("line %d of %d: %d bytes, %v", i, len(want), len(line), err)
			}
		}
	})
}

// pieces reads in pieces of a size.
type pieces struct {
	text []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(p.size, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}
