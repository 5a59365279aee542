package citizen

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
)

const homePath = "/api/identity/v1/home-region"

// TestMove: the session that asked for the move goes on, wherever the citizen went.
func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		token := b.login(codeA)
		b.want(b.do("GET", homePath, token, "", 200),
			map[string]any{"region": "lazio", "state": "SETTLED", "to": nil})
		b.want(b.do("POST", homePath, token, `{"region":"lazio"}`, 202),
			map[string]any{"region": "lazio", "state": "SETTLED", "to": nil})
		moving := map[string]any{"region": "lazio", "state": "MOVING", "to": "sicilia"}
		for range 2 {
			b.want(b.do("POST", homePath, token, `{"region":"sicilia"}`, 202), moving)
			b.want(b.do("GET", homePath, token, "", 200), moving)
		}
		got := b.do("POST", homePath, token, `{"region":"veneto"}`, 409)
		b.want(got, map[string]any{"detail": "A move to sicilia is under way."})
		b.want(b.do("POST", homePath, token, `{"region":"umbria"}`, 400),
			map[string]any{"type": problemRegion.Type.URN()})
		for _, bad := range []string{``, `{}`, `{"region":1}`, `{"region":"Sicilia"}`,
			`{"region":null}`, `[]`} {
			b.doInvalid("POST", homePath, token, bad, 400)
		}

		// While the citizen is being handed over requests wait, and do not fail.
		b.fed.fence(codeA)
		began := time.Now()
		go func() {
			time.Sleep(2 * time.Second)
			b.fed.arrive(codeA, "lazio", "sicilia", 2)
		}()
		b.do("GET", profilePath, token, "", 200)
		if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("took %v of virtual time, want 2-3 s", took)
		}
		b.want(b.do("GET", homePath, token, "", 200),
			map[string]any{"region": "sicilia", "state": "SETTLED"})

		// A hand-over that has no end is not waited for longer than for any other answer.
		b.fed.fence(codeA)
		began = time.Now()
		b.do("GET", profilePath, token, "", 500)
		if took := time.Since(began); took < wire.OwnerWait || took > wire.OwnerWait+time.Second {
			t.Errorf("took %v of virtual time, want %v", took, wire.OwnerWait)
		}
		b.fed.arrive(codeA, "sicilia", "veneto", 3)
		got = b.do("POST", profilePath, token, `{"version":0,"accepted_tos_version":1}`, 200)
		b.want(got, map[string]any{"is_inbox_enabled": true})
		b.do("POST", "/api/auth/v1/logout", token, "", 200)
		b.do("GET", profilePath, token, "", 401)
	})
}

// TestMovesInCircles: regions that send a citizen around are not believed for long.
func TestMovesInCircles(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	for name, left := range map[string]map[wire.RegionID]next{
		"to an older owner": {"lazio": {"sicilia", 3}, "sicilia": {"lazio", 2}},
		"round and round":   {"lazio": {"sicilia", 1}, "sicilia": {"lazio", 1}},
		"off the map":       {"lazio": {"umbria", 2}},
	} {
		b.fed.citizens[codeA].owner = ""
		b.fed.citizens[codeA].left = left
		got := b.do("GET", profilePath, token, "", 500)
		if got["type"] != problemUnavailable.Type.URN() {
			t.Errorf("%s: got %v", name, got)
		}
		if calls := b.fed.calls[wire.MethodGetProfile]; calls > 2 {
			t.Errorf("%s: %d calls", name, calls)
		}
		clear(b.fed.calls)
	}
	if strings.Contains(b.log.String(), string(codeA)) {
		t.Error("the log names the citizen")
	}
}

// TestTrail: a session's call and a login go the same ways. Both begin at lazio.
func TestTrail(t *testing.T) {
	moved := func(region wire.RegionID, epoch wire.Epoch) error {
		return &wire.Error{Code: wire.Moved, Region: region, Epoch: epoch}
	}
	var forever []error
	for i := range wire.Epoch(2 * trail.HopsMax) {
		forever = append(forever, moved([]wire.RegionID{"sicilia", "veneto"}[i%2], i+1))
	}
	for name, c := range map[string]struct {
		says   []error // what the regions answer, before the owner, sicilia, does
		status int
		calls  int // 0: as often as there is time
	}{
		"moved once":        {[]error{moved("sicilia", 5)}, 200, 2},
		"moved twice":       {[]error{moved("veneto", 5), moved("sicilia", 6)}, 200, 3},
		"moved in a circle": {[]error{moved("sicilia", 5), moved("lazio", 5)}, 500, 2},
		"owner away":        {[]error{moved("sicilia", 5), wire.Unavailable}, 500, 0},
		"stale epoch":       {[]error{moved("sicilia", 0)}, 500, 1},
		"off the map":       {[]error{moved("umbria", 5)}, 500, 1},
		"sent on for ever":  {forever, 500, 1 + trail.HopsMax},
	} {
		for method, search := range map[wire.Method]func(b *bench, token string, want int){
			wire.MethodGetProfile: func(b *bench, token string, want int) {
				b.do("GET", profilePath, token, "", want)
			},
			wire.MethodOpenSession: func(b *bench, _ string, want int) {
				b.do("POST", "/test-login", "",
					`{"username":"`+string(codeA)+`","password":"test"}`, want)
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				token := b.login(codeA)
				b.fed.citizens[codeA].owner, b.fed.deaf = "sicilia", wire.Unavailable
				clear(b.fed.calls)
				b.fed.fault = func(m wire.Method, done bool) error {
					n := b.fed.calls[m] - 1
					switch last := len(c.says) - 1; {
					case m != method || done:
						return nil
					case c.calls == 0:
						n = min(n, last)
					case n > last:
						return nil
					}
					return c.says[n]
				}
				search(b, token, c.status)
				if got := b.fed.calls[method]; c.calls != 0 && got != c.calls || got < 1 {
					t.Errorf("%s, method %d: %d calls, want %d", name, method, got, c.calls)
				}
			})
		}
	}
}
