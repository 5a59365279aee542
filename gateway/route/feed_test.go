package route

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

var (
	keyA, keyB = wire.KeyHash{1}, wire.KeyHash{2}
)

// offer puts a service with a key into the federation.
func (w *world) offer(id wire.ServiceID, key wire.KeyHash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := wire.ServiceAccess{Service: wire.Service{ID: id, Institution: "12345678901",
		Keys: [2]wire.KeyHash{key}}, Institution: wire.Institution{ID: "12345678901"}}
	old := w.services[id].Service.Keys[0]
	w.services[id] = s
	w.sayLocked(wire.FeedEvent{Service: id, Keys: []wire.KeyHash{old, key}})
}

func (w *world) count(m wire.Method) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[m]
}

func TestRevokedKeyIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.offer("01A", keyA)
		r := w.router()
		for range 3 {
			if a, err := r.ServiceByKey(t.Context(), keyA); err != nil || a.Service.ID != "01A" {
				t.Fatalf("got %v, %v, want the service", a, err)
			}
		}
		if got := w.count(wire.MethodServiceByKey); got != 1 {
			t.Errorf("asked %d times, want once", got)
		}
		w.offer("01A", keyB) // rotated
		synctest.Wait()
		if a, err := r.ServiceByKey(t.Context(), keyA); !errors.Is(err, wire.NotFound) {
			t.Errorf("old key: got %v, %v, want not found", a, err)
		}
		if _, err := r.ServiceByKey(t.Context(), keyB); err != nil {
			t.Errorf("new key: %v", err)
		}
		if _, err := r.ServiceByKey(t.Context(), wire.KeyHash{}); !errors.Is(err, wire.NotFound) {
			t.Errorf("zero key: got %v, want not found", err)
		}
	})
}

func TestLateAnswerDoesNotOverwriteTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.offer("01A", keyA)
		r := w.router()
		old := w.services["01A"]
		old.Index = w.index
		late := make(chan struct{})
		w.set(func() {
			w.hook = func(_ context.Context, _ link.Peer, m wire.Method, _ []byte) ([]byte, error,
				bool) {
				if m != wire.MethodServiceByKey {
					return nil, nil, false
				}
				<-late
				return wire.Encode(&old), nil, true
			}
		})
		first := make(chan error, 1)
		go func() {
			_, err := r.ServiceByKey(t.Context(), keyA)
			first <- err
		}()
		synctest.Wait()
		w.offer("01A", keyB) // keyA is revoked while its look-up is under way
		synctest.Wait()
		close(late)
		// An answer that is older than the feed is not believed, whoever gives it.
		if err := <-first; !errors.Is(err, wire.Unavailable) {
			t.Errorf("late answer: got %v, want unavailable", err)
		}
		w.set(func() { w.hook = nil })
		if _, err := r.ServiceByKey(t.Context(), keyA); !errors.Is(err, wire.NotFound) {
			t.Errorf("revoked key: got %v, want not found", err)
		}
	})
}

func TestUnknownKeyIsRememberedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		ask := func() error { _, err := r.ServiceByKey(t.Context(), keyA); return err }
		for range 5 {
			if err := ask(); !errors.Is(err, wire.NotFound) {
				t.Fatalf("got %v, want not found", err)
			}
		}
		if got := w.count(wire.MethodServiceByKey); got != 1 {
			t.Errorf("asked %d times for a key that nobody has, want once", got)
		}
		time.Sleep(notFoundKeep)
		ask()
		if got := w.count(wire.MethodServiceByKey); got != 2 {
			t.Errorf("asked %d times after %s, want again", got, notFoundKeep)
		}
		w.offer("01A", keyA) // the feed ends the memory at once
		synctest.Wait()
		if err := ask(); err != nil {
			t.Errorf("key that exists since: %v", err)
		}
		if _, err := r.ServiceByID(t.Context(), "01A"); err != nil {
			t.Error(err)
		}
		if _, err := r.ServiceByID(t.Context(), "01B"); !errors.Is(err, wire.NotFound) {
			t.Errorf("unknown id: got %v, want not found", err)
		}
		if _, err := r.ServiceByID(t.Context(), ""); !errors.Is(err, wire.NotFound) {
			t.Errorf("empty id: got %v, want not found", err)
		}
	})
}

func TestInstitutionChangeDropsItsServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.offer("01A", keyA)
		r := w.router()
		r.ServiceByKey(t.Context(), keyA)
		r.ServiceByID(t.Context(), "01A")
		w.set(func() {
			s := w.services["01A"]
			s.Institution.Scopes = []string{"ApiMessageWrite"}
			w.services["01A"] = s
			w.sayLocked(wire.FeedEvent{Institution: "12345678901"})
		})
		synctest.Wait()
		a, err := r.ServiceByKey(t.Context(), keyA)
		b, errID := r.ServiceByID(t.Context(), "01A")
		if err != nil || errID != nil || !a.Institution.HasScope("ApiMessageWrite") ||
			!b.Institution.HasScope("ApiMessageWrite") {
			t.Errorf("got %v %v, %v %v, want the new scopes", a, err, b, errID)
		}
	})
}

func TestKeyGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.offer("01A", keyA)
		r := w.router(func(c *Config) { c.KeyGrace = time.Hour })
		ask := func() error { _, err := r.ServiceByKey(t.Context(), keyA); return err }
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		if d := r.Degraded(); len(d) != 0 {
			t.Errorf("degraded %q in normal operation", d)
		}
		// The region is alone: its nodes answer, but hear nothing from the federation's leader.
		began := time.Now()
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				w.set(func() {
					for n := 1; n <= 3; n++ {
						w.contact[addr("lazio", n)] = time.Since(began)
					}
				})
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
				}
			}
		}()
		time.Sleep(59 * time.Minute)
		if err := ask(); err != nil {
			t.Errorf("within the grace: %v", err)
		}
		if err := r.Ready(); err != nil {
			t.Errorf("within the grace: %v", err)
		}
		if d := r.Degraded(); len(d) != 1 || !strings.Contains(d[0], "leader for 58m59s") {
			t.Errorf("within the grace: degraded %q, want it told", d)
		}
		time.Sleep(2 * time.Minute)
		if err := ask(); !errors.Is(err, wire.Unavailable) {
			t.Errorf("after the grace: got %v, want unavailable", err)
		}
		if err := r.Ready(); !errors.Is(err, wire.NotReady) {
			t.Errorf("after the grace: got %v, want not ready", err)
		}
		close(stop)
		<-stopped
		w.set(func() { clear(w.contact) })
		time.Sleep(2 * time.Second)
		if err := ask(); err != nil {
			t.Errorf("after contact came back: %v", err)
		}
	})
}

func TestFeedMovesToAnotherNode(t *testing.T) {
	for _, state := range []fault{silent, refusing} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "lazio")
			w.offer("01A", keyA)
			r := w.router()
			r.ServiceByKey(t.Context(), keyA)
			w.set(func() { w.down[addr("lazio", 1)] = state })
			w.offer("01A", keyB) // said by nobody whom the gateway hears, yet
			time.Sleep(frameWait + helloWait)
			if got := r.Status().FeedNode; got != "lazio-2" {
				t.Errorf("feed of %q, want of lazio-2", got)
			}
			if _, err := r.ServiceByKey(t.Context(), keyA); !errors.Is(err, wire.NotFound) {
				t.Errorf("key revoked in the gap: got %v, want not found", err)
			}
			if err := r.Ready(); err != nil {
				t.Error(err)
			}
			// All away: not ready, known keys are served on.
			w.set(func() { w.down[addr("lazio", 2)], w.down[addr("lazio", 3)] = state, state })
			if _, err := r.ServiceByKey(t.Context(), keyB); !errors.Is(err, wire.Unavailable) {
				t.Errorf("unknown key with all nodes away: got %v, want unavailable", err)
			}
			time.Sleep(frameLate + frameWait)
			if err := r.Ready(); !errors.Is(err, wire.NotReady) {
				t.Errorf("all nodes away: got %v, want not ready", err)
			}
			w.set(func() { clear(w.down) })
			time.Sleep(2 * time.Second)
			if err := r.Ready(); err != nil {
				t.Errorf("after they came back: %v", err)
			}
		})
	}
}

func TestFeedLeavesANodeThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		w.set(func() { w.contact[addr("lazio", 1)] = time.Minute })
		time.Sleep(2 * time.Second)
		if got := r.Status().FeedNode; got != "lazio-2" {
			t.Errorf("feed of %q, want of a node in contact", got)
		}
		// All cut off: one is kept, and the others are tried now and then.
		w.set(func() {
			for n := 1; n <= 3; n++ {
				w.contact[addr("lazio", n)] = time.Minute
			}
			w.feeds = nil
		})
		time.Sleep(5 * time.Minute)
		var n int
		w.set(func() { n = len(w.feeds) })
		if n < 10 || n > 60 {
			t.Errorf("%d sessions in five minutes of being cut off, want a few", n)
		}
	})
}

func TestFeedReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		w.offer("01A", keyA)
		r := w.router()
		code := w.citizen(1, "sicilia", true)
		r.ServiceByKey(t.Context(), keyA)
		r.RegionOf(t.Context(), code)
		if s := r.Status(); s.CachedKeys != 1 || s.CachedOwners != 1 {
			t.Fatalf("cached %d keys, %d owners, want one each", s.CachedKeys, s.CachedOwners)
		}
		w.set(func() {
			for n := 1; n <= 3; n++ {
				w.down[addr("lazio", n)] = refusing
			}
		})
		time.Sleep(frameWait)
		w.set(func() { // too much happens for the nodes to remember
			w.index += 1000
			w.compacted = w.index
			clear(w.down)
			delete(w.services, "01A")
		})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := r.Status(); s.CachedKeys != 0 || s.CachedOwners != 0 || s.FeedIndex != w.index {
			t.Errorf("after a reset: %+v, want empty caches at index %d", s, w.index)
		}
		if _, err := r.ServiceByKey(t.Context(), keyA); !errors.Is(err, wire.NotFound) {
			t.Errorf("key gone in the gap: got %v, want not found", err)
		}
	})
}

func TestFeedChangesTheMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		code := codeOf(1)
		w.set(func() {
			fresh := newWorld(t, "lazio", "sicilia")
			fresh.m.Version = 2
			w.m, w.regions["sicilia"] = fresh.m, fresh.regions["sicilia"]
			w.own(w.hash.Recipient(code), "sicilia", 1, true)
			m := w.m
			w.sayLocked(wire.FeedEvent{Map: &m})
			old := w.m
			old.Version = 1
			old.Regions = old.Regions[:1]
			w.sayLocked(wire.FeedEvent{Map: &old}) // late: not taken
		})
		synctest.Wait()
		if _, ok := r.RegionByID("sicilia"); !ok {
			t.Fatal("the new region is not known")
		}
		if tag, ok := r.RegionByTag(2); !ok || tag.ID != "sicilia" {
			t.Errorf("tag 2: got %v, want sicilia", tag)
		}
		if o, err := r.Submit(t.Context(), record(r, code), sender); err != nil ||
			o.Verdict.Status != wire.Processed {
			t.Errorf("to the new region: got %v, %v", o, err)
		}
	})
}

func TestFeedKeepsHintsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		r := w.router()
		code := codeOf(1)
		to := w.hash.Recipient(code)
		if owner, claimed, err := r.RegionOf(t.Context(), code); owner != "lazio" || claimed ||
			err != nil {
			t.Errorf("unclaimed: got %s %v %v, want its anchor", owner, claimed, err)
		}
		change := func(e wire.DirectoryEntry) {
			w.set(func() {
				w.directory[to] = e
				w.sayLocked(wire.FeedEvent{Recipient: to, Entry: &e})
			})
			synctest.Wait()
		}
		change(wire.DirectoryEntry{Region: "sicilia", Epoch: 1, State: wire.ClaimPending})
		if owner, claimed, _ := r.RegionOf(t.Context(), code); owner != "lazio" || claimed {
			t.Errorf("pending: got %s %v, want its anchor still", owner, claimed)
		}
		change(wire.DirectoryEntry{Region: "sicilia", Epoch: 1, State: wire.Claimed})
		if owner, claimed, _ := r.RegionOf(t.Context(), code); owner != "sicilia" || !claimed {
			t.Errorf("claimed: got %s %v, want sicilia", owner, claimed)
		}
		if got := w.count(wire.MethodResolve); got != 1 {
			t.Errorf("resolved %d times, want once: the feed says the rest", got)
		}
		change(wire.DirectoryEntry{Region: "lazio", Epoch: 0, State: wire.Unclaimed}) // out of order
		if owner, _, _ := r.RegionOf(t.Context(), code); owner != "sicilia" {
			t.Errorf("an older epoch of the feed won: %s", owner)
		}
	})
}

func TestWrongNodes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world, *Config)
		want   string
	}{
		"of another region": {func(_ *world, c *Config) { c.Nodes = []string{addr("sicilia", 1)} },
			`the node is of region "sicilia"`},
		"home not in the map": {func(w *world, _ *Config) {
			w.m.Regions = w.m.Regions[1:]
		}, `no region "lazio"`},
		"nobody there": {func(_ *world, c *Config) { c.Nodes = []string{"nowhere:1"} },
			"nobody there"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "lazio", "sicilia")
			cfg := Config{Caller: w, Region: "lazio", Nodes: []string{addr("lazio", 1)},
				Coder: w.coder}
			c.change(w, &cfg)
			r, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			time.Sleep(5 * time.Second)
			if err := r.Ready(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
			if n := w.count(wire.MethodHello); n > 60 {
				t.Errorf("%s: greeted %d times in five seconds, want a paced search", name, n)
			}
			cancel()
			<-done
		})
	}
}

func TestOtherDirectoryKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		r := w.router()
		w.set(func() {
			w.helloKey = wire.DirectoryKey{9}
			w.down[addr("lazio", 1)] = refusing
		})
		time.Sleep(20 * time.Second)
		if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "directory key") {
			t.Errorf("got %v, want the other key told", err)
		}
		if r.Hasher().Key() == w.helloKey {
			t.Error("the other key was taken over")
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	_, err := New(Config{Limits: Limits{WaitingBytes: -1}})
	for _, want := range []string{"Caller", "home nodes", "home region", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %q", err, want)
		}
	}
}

func TestResolveIsBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio", "sicilia")
		w.delay = 10 * time.Millisecond
		r := w.router(func(c *Config) {
			c.Limits.ResolveCalls = 1
			c.Limits.ResolveWaiting = 1600
		})
		results := make(chan error, 4000)
		ask := func(n int) {
			code := codeOf(n)
			go func() {
				_, _, err := r.RegionOf(t.Context(), code)
				results <- err
			}()
		}
		ask(0)
		synctest.Wait()
		for i := range 1500 {
			ask(1 + i)
			ask(1 + i) // twice the same: one look-up
		}
		synctest.Wait()
		time.Sleep(time.Second)
		for range 3001 {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if want := []int{1, wire.ResolveMax, 1500 - wire.ResolveMax}; !slices.Equal(w.resolves, want) {
			t.Errorf("resolve calls of %v recipients, want %v", w.resolves, want)
		}
		for i := range 2000 {
			ask(2000 + i)
		}
		refused := 0
		for range 2000 {
			if err := <-results; errors.Is(err, wire.Overloaded) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused != 400 {
			t.Errorf("%d look-ups refused, want the 400 beyond the bound", refused)
		}
	})
}

// TestKeyIsAskedAnew: a gateway without news for some seconds, as after it was stopped, asks before
// it accepts a key that it knows. Where nobody answers what it knows stands.
func TestKeyIsAskedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lazio")
		w.offer("01A", keyA)
		var suspended atomic.Int64 // which only the machine's uptime counts
		began := time.Now()
		r := w.router(func(c *Config) {
			c.Uptime = func() time.Duration {
				return time.Since(began) + time.Duration(suspended.Load())
			}
		})
		ask := func() error { _, err := r.ServiceByKey(t.Context(), keyA); return err }
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		asked := w.count(wire.MethodServiceByKey)
		for range 3 {
			if err := ask(); err != nil || w.count(wire.MethodServiceByKey) != asked {
				t.Errorf("with news: %v, asked %d times", err, w.count(wire.MethodServiceByKey)-asked)
			}
		}
		suspended.Store(int64(2 * time.Minute))
		w.set(func() { delete(w.services, "01A") }) // and the feed has not said so yet
		if err := ask(); !errors.Is(err, wire.NotFound) {
			t.Errorf("a revoked key after two minutes without news: %v, want not found", err)
		}
	})
}
