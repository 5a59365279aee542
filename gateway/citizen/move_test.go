package citizen

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
