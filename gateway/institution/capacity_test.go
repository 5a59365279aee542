package institution

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func TestCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCapacity(1000)
		passed := func(from wire.InstitutionID) (n int) {
			for range 1000 {
				if _, ok := c.take(from, 0); ok {
					n++
				}
			}
			return n
		}
		if got := passed("a"); got != 100 {
			t.Errorf("%d passed at once, want a burst of 100", got)
		}
		time.Sleep(50 * time.Millisecond)
		if got := passed("a"); got != 50 {
			t.Errorf("%d passed after 50 ms, want 50", got)
		}
		if after, ok := c.take("a", 0); ok || after != time.Millisecond {
			t.Errorf("an empty bucket: %v, room after %s, want after 1ms", ok, after)
		}
		time.Sleep(time.Hour)
		if got := passed("a"); got != 100 {
			t.Errorf("%d passed after an hour, want a burst of 100", got)
		}
	})
}

// Two institutions ask for more than there is, a third for less than its share, and a fourth now
// and then: those below their share get all they ask for, the others the rest in equal parts.
func TestCapacityIsShared(t *testing.T) {
	for _, perSecond := range []int{100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			c := newCapacity(perSecond)
			got, asked := map[wire.InstitutionID]int{}, map[wire.InstitutionID]int{}
			ask := func(from wire.InstitutionID, n int) {
				for range n {
					asked[from]++
					if _, ok := c.take(from, 0); ok {
						got[from]++
					}
				}
			}
			const seconds = 20
			for ms := range seconds * 1000 {
				ask("greedy", perSecond/100)
				ask("hungry", perSecond/100)
				if ms%(10_000/perSecond) == 0 {
					ask("modest", 1)
				}
				if ms%3000 == 1500 {
					ask("rare", 3)
				}
				time.Sleep(time.Millisecond)
			}
			all := 0
			for _, n := range got {
				all += n
			}
			most := float64(seconds*perSecond) + 2*c.burst
			if all < seconds*perSecond || float64(all) > most {
				t.Errorf("%d a second: %d passed in %d s, want at most %.0f", perSecond, all,
					seconds, most)
			}
			for _, from := range []wire.InstitutionID{"modest", "rare"} {
				if got[from] != asked[from] {
					t.Errorf("%d a second: %s got %d of %d", perSecond, from, got[from],
						asked[from])
				}
			}
			if a, b := got["greedy"], got["hungry"]; min(a, b) < perSecond*seconds/3 {
				t.Errorf("%d a second: of two who asked for too much one got %d, the other %d",
					perSecond, a, b)
			}
		})
	}
}

// However many come at once, no more than one burst is owed.
func TestCapacityOwesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCapacity(1000)
		passed := 0
		for i := range 10_000 {
			if _, ok := c.take(wire.InstitutionID(strconv.Itoa(i)), 0); ok {
				passed++
			}
		}
		if passed != 200 || c.tokens < -100 {
			t.Errorf("%d passed, %.0f tokens, want two bursts and one owed", passed, c.tokens)
		}
		for i := range ratesMax + 10 {
			c.take(wire.InstitutionID(strconv.Itoa(i)), 0)
		}
		if got := len(c.taken); got != ratesMax {
			t.Errorf("%d institutions counted, want at most %d", got, ratesMax)
		}
	})
}

// unread fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestOverCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.Capacity = 10 })
		for range burstMin {
			a := b.doc.Do(t, b.mux, request("full", "POST", "/messages", message(active, "")))
			if a.Status != http.StatusCreated {
				t.Fatalf("within the burst: %d %s", a.Status, a.Body)
			}
		}
		for path, size := range map[string]int64{"/messages": 1000, "/messages/" + active: 200_000} {
			r := request("full", "POST", path, "")
			r.Body, r.ContentLength = io.NopCloser(unread{t}), size
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			b.mux.ServeHTTP(w, r)
			if w.Code != 503 || w.Header().Get("Retry-After") != "1" ||
				!strings.Contains(w.Body.String(), `"urn:staffetta:problem:overloaded"`) {
				t.Errorf("above: %d %v %s", w.Code, w.Header(), w.Body)
			}
		}
		if a := b.doc.Do(t, b.mux, request("full", "GET", "/profiles/"+active, "")); a.Status != 200 {
			t.Errorf("a read is no submission: %d", a.Status)
		}
		time.Sleep(100 * time.Millisecond)
		a := b.doc.Do(t, b.mux, request("full", "POST", "/messages", message(active, "")))
		if a.Status != http.StatusCreated {
			t.Errorf("after the time of one: %d %s", a.Status, a.Body)
		}
	})
}

func TestWaitCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &API{}
		if err := a.waitCapacity(t.Context(), "bulk"); err != nil {
			t.Errorf("without a limit: %v", err)
		}
		a.capacity = newCapacity(1000)
		began := time.Now()
		for range 1050 {
			if err := a.waitCapacity(t.Context(), "bulk"); err != nil {
				t.Fatal(err)
			}
		}
		// The upper half of a burst at once, then what comes in.
		if took := time.Since(began); took != time.Second {
			t.Errorf("1,050 at 1,000 a second took %s, want 1s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		for {
			if _, ok := a.capacity.take("other", 0); !ok {
				break
			}
		}
		began = time.Now()
		var err error
		for err == nil {
			err = a.waitCapacity(ctx, "bulk")
		}
		if err != overCapacity || time.Since(began) != 5*time.Millisecond {
			t.Errorf("no room: %v after %s, want a refusal after 5ms", err, time.Since(began))
		}
	})
}

// A bulk request waits for the capacity between its lines, and a line that found none in time is
// refused alone.
func TestBulkWithinCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.Capacity = 10 })
		send := func(lines int) (answers []string) {
			r := request("full", "POST", "/messages/bulk",
				strings.Repeat(message(active, "")+"\n", lines))
			r.Header.Set("Content-Type", bulkType)
			w := httptest.NewRecorder()
			b.mux.ServeHTTP(w, r)
			return strings.Split(strings.TrimSpace(w.Body.String()), "\n")
		}
		began := time.Now()
		answers := send(burstMin/2 + 10)
		if took := time.Since(began); took != time.Second {
			t.Errorf("ten lines beyond half of a burst took %s, want 1s", took)
		}
		for _, a := range answers {
			if !strings.Contains(a, "PROCESSED") {
				t.Errorf("answered %s", a)
			}
		}
		done := make(chan struct{})
		go func() { // who takes all there is
			for {
				b.api.capacity.take("inst-full", 0)
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		}()
		began = time.Now()
		answers = send(2)
		close(done)
		if took := time.Since(began); took < 2*wire.OwnerWait ||
			took > 2*wire.OwnerWait+2*pauseMax {
			t.Errorf("two lines without capacity took %s, want %s", took, 2*wire.OwnerWait)
		}
		for _, a := range answers {
			if !strings.Contains(a, `"urn:staffetta:problem:overloaded"`) {
				t.Errorf("answered %s", a)
			}
		}
	})
}

// Single submissions find tokens when a bulk stream takes all that it can get.
func TestBulkLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &API{capacity: newCapacity(1000)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int)
		go func() {
			n := 0
			for a.waitCapacity(ctx, "one") == nil {
				n++
			}
			done <- n
		}()
		time.Sleep(time.Second)
		refused := 0
		for range 10 {
			for range 40 {
				if _, ok := a.capacity.take("one", 0); !ok {
					refused++
				}
			}
			time.Sleep(time.Second)
		}
		cancel()
		if n := <-done; n < 10_000 {
			t.Errorf("the bulk stream got %d of 11,000 but for 400", n)
		}
		if refused > 0 {
			t.Errorf("%d of 400 single submissions were refused while bulk ones passed", refused)
		}
	})
}
