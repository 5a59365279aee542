package route

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// TestCatalogueFollows: a change is in the list within five seconds, however often services change;
// while nothing does, nobody is asked, and while no node answers, the list stays.
func TestCatalogueFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		for i := range 5 {
			w.offer(wire.ServiceID(fmt.Sprintf("01%d", i)), wire.KeyHash{byte(i + 1)})
		}
		r := w.router()
		list := func() *wire.CataloguePage {
			t.Helper()
			page, err := r.Catalogue(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return page
		}
		first := list()
		if len(first.Services) != 5 || len(first.Institutions) != 1 ||
			first.Services[4].ID != "014" {
			t.Fatalf("got %+v, want five services of one institution", first)
		}
		asked := w.count(wire.MethodCatalogue)
		time.Sleep(time.Minute)
		if list() != first || w.count(wire.MethodCatalogue) != asked || asked != 3 {
			t.Errorf("asked %d times for three pages, then %d", asked, w.count(wire.MethodCatalogue))
		}
		for i := range 20 { // changes all the time
			w.offer("01A", wire.KeyHash{99, byte(i)})
			time.Sleep(time.Second)
			list()
		}
		if n := w.count(wire.MethodCatalogue) - asked; n > 3*12 {
			t.Errorf("twenty changes in twenty seconds: asked %d times", n)
		}
		w.offer("01B", keyB)
		time.Sleep(catalogueEvery + time.Millisecond)
		if n := len(list().Services); n != 7 {
			t.Errorf("got %d services after a change, want 7", n)
		}
		for n := range 3 {
			w.set(func() { w.down[addr("lazio", n+1)] = refusing })
		}
		w.offer("01C", wire.KeyHash{77})
		time.Sleep(time.Minute)
		if n := len(list().Services); n != 7 {
			t.Errorf("got %d services while no node answers, want those of before", n)
		}
	})
}

// TestCatalogueIsFetchedOnce: who asks while it is being fetched waits for it; a first fetch that
// fails is everybody's.
func TestCatalogueIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.offer("01A", keyA)
		r := w.router()
		fail := true
		w.hook = func(_ context.Context, _ link.Peer, m wire.Method, _ []byte) ([]byte, error, bool) {
			if m != wire.MethodCatalogue {
				return nil, nil, false
			}
			time.Sleep(100 * time.Millisecond)
			return nil, wire.Errorf(wire.Internal, "injected"), fail
		}
		ask := func() (failed int) {
			var all sync.WaitGroup
			var mu sync.Mutex
			for range 10 {
				all.Go(func() {
					if _, err := r.Catalogue(t.Context()); fail && errors.Is(err, wire.Unavailable) {
						mu.Lock()
						failed++
						mu.Unlock()
					} else if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			return failed
		}
		if failed := ask(); failed != 10 {
			t.Errorf("%d of 10 failed with the fetch", failed)
		}
		fail = false
		before := w.count(wire.MethodCatalogue)
		if failed := ask(); failed != 0 || w.count(wire.MethodCatalogue) != before+1 {
			t.Errorf("%d failed, asked %d times, want once", failed,
				w.count(wire.MethodCatalogue)-before)
		}
	})
}
