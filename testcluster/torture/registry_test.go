package torture

import (
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// story is a citizen's log, made of operations one after the other, or at once.
type story struct {
	log  []porcupine.Operation
	time int64
}

// then adds an operation after all others.
func (s *story) then(op operation, a saw) *story {
	s.time += 2
	return s.at(op, a, s.time-1, s.time)
}

func (s *story) at(op operation, a saw, began, ended int64) *story {
	if a.outcome == unknown {
		ended = int64(forever)
	}
	s.log = append(s.log, porcupine.Operation{ClientId: len(s.log), Input: op, Output: a,
		Call: began, Return: ended})
	return s
}

var (
	ok      = saw{outcome: done}
	session = saw{outcome: refused, status: statusSession}
	newer   = saw{outcome: refused, status: statusNewer}
	missing = saw{outcome: refused, status: statusMissing}
	lost    = saw{outcome: unknown}
	login   = operation{kind: opLogin, session: 1}
	again   = operation{kind: opLogin, session: 2}
	accept  = operation{kind: opUpdate, session: 1, accept: true, mode: modeAuto}
	agreed  = saw{outcome: done, version: 1, mode: modeAuto, accepted: true}
	profile = operation{kind: opProfile, session: 1}
	write   = operation{kind: opSubmit}
)

func mark(message int, read bool, archive choice) operation {
	return operation{kind: opMark, session: 1, message: message, read: read, archive: archive}
}

func look(message int) operation { return operation{kind: opLook, session: 1, message: message} }

func seen(read, archived bool) saw {
	return saw{outcome: done, mark: status{Read: read, Archived: archived}}
}

func verdict(v string) saw { return saw{outcome: done, verdict: v} }

// active is the beginning of a life.
func active() *story { return new(story).then(login, ok).then(accept, agreed) }

func TestRegistryModel(t *testing.T) {
	manual := operation{kind: opUpdate, session: 1, version: 1, mode: modeManual}
	manualSaw := saw{outcome: done, version: 2, mode: modeManual, accepted: true}
	want := func(setting int64, inbox bool) operation {
		return operation{kind: opPreference, session: 1, setting: setting, inbox: inbox}
	}
	choice := operation{kind: opChoice, session: 1}
	asks := operation{kind: opSenderAsks}
	for name, tt := range map[string]struct {
		log  *story
		want porcupine.CheckResult
	}{
		"before the first login": {new(story).then(write, verdict(userNotFound)).
			then(asks, missing).then(login, ok).then(write, verdict(notAllowed)).
			then(asks, missing).then(accept, agreed).then(write, verdict(processed)).
			then(asks, saw{outcome: done, inbox: true}), porcupine.Ok},
		"delivered before anybody logged in": {new(story).then(write, verdict(processed)),
			porcupine.Illegal},
		"refused when active":      {active().then(write, verdict(userNotFound)), porcupine.Illegal},
		"asked too early":          {active().then(asks, missing), porcupine.Illegal},
		"profile":                  {active().then(profile, agreed), porcupine.Ok},
		"profile of before":        {active().then(profile, saw{outcome: done, mode: modeLegacy}), porcupine.Illegal},
		"update":                   {active().then(manual, manualSaw).then(manual, newer), porcupine.Ok},
		"two updates of a version": {active().then(manual, manualSaw).then(manual, manualSaw), porcupine.Illegal},
		"refused for no reason":    {active().then(manual, newer), porcupine.Illegal},
		"by choice alone": {active().then(manual, manualSaw).then(write, verdict(notAllowed)).
			then(want(1, true), ok).then(write, verdict(processed)), porcupine.Ok},
		"against the choice": {active().then(want(0, false), ok).then(write, verdict(processed)),
			porcupine.Illegal},
		"choice": {active().then(want(0, false), ok).
			then(choice, saw{outcome: done, inbox: false}), porcupine.Ok},
		"old choice": {active().then(want(0, false), ok).
			then(choice, saw{outcome: done, inbox: true}), porcupine.Illegal},
		"choice of an old mode": {active().then(manual, manualSaw).then(want(0, true), newer),
			porcupine.Ok},
		"another session": {active().then(again, ok).then(profile, session), porcupine.Ok},
		"a session that ended": {active().then(again, ok).then(profile, agreed),
			porcupine.Illegal},
		"a session that did not": {active().then(profile, session), porcupine.Illegal},
		"logged out": {active().then(operation{kind: opLogout, session: 1}, ok).
			then(profile, session), porcupine.Ok},
		"used after logging out": {active().then(operation{kind: opLogout, session: 1}, ok).
			then(profile, agreed), porcupine.Illegal},
		"an unknown update that happened": {active().then(manual, lost).then(profile, manualSaw),
			porcupine.Ok},
		"an unknown update that did not": {active().then(manual, lost).then(profile, agreed),
			porcupine.Ok},
		"an unknown update that is undone": {active().then(manual, lost).then(profile, manualSaw).
			then(profile, agreed), porcupine.Illegal},
		"marks": {active().then(mark(0, true, yes), seen(true, true)).then(look(0), seen(true, true)).
			then(look(1), seen(false, false)).then(mark(0, false, no), seen(true, false)).
			then(mark(0, false, no), seen(true, false)).then(look(0), seen(true, false)), porcupine.Ok},
		"a mark that is lost": {active().then(mark(0, false, yes), seen(false, true)).
			then(look(0), seen(false, false)), porcupine.Illegal},
		"read, and not read": {active().then(mark(0, true, unset), seen(true, false)).
			then(mark(0, false, yes), seen(false, true)), porcupine.Illegal},
		"another message's mark": {active().then(mark(0, true, unset), seen(true, false)).
			then(look(1), seen(true, false)), porcupine.Illegal},
		"an unknown mark that is undone": {active().then(mark(0, true, unset), lost).
			then(look(0), seen(true, false)).then(look(0), seen(false, false)), porcupine.Illegal},
		"a mark after logging out": {active().then(operation{kind: opLogout, session: 1}, ok).
			then(mark(0, true, yes), seen(true, true)), porcupine.Illegal},
		"a mark that is refused": {active().then(operation{kind: opLogout, session: 1}, ok).
			then(mark(0, true, yes), session), porcupine.Ok},
		"an unknown login": {active().then(again, lost).then(profile, agreed).
			then(profile, session), porcupine.Ok},
	} {
		result, why := linearizable(tt.log.log, time.Minute)
		if result != tt.want {
			t.Errorf("%s: got %s %s, want %s", name, result, why, tt.want)
		}
		if (why != "") != (result == porcupine.Illegal) {
			t.Errorf("%s: the reason is %q", name, why)
		}
	}
}

// TestParts: a mark of unknown outcome leaves the registry nothing to think of.
func TestParts(t *testing.T) {
	log := active().then(mark(2, true, yes), lost).then(look(2), seen(true, true)).
		then(profile, agreed).log
	all := parts(log)
	if got, want := len(all[0].log), len(log)-1; got != want || len(all[1+2].log) != 2 {
		t.Errorf("%d operations of the registry, want %d; %d of the message, want 2", got, want,
			len(all[1+2].log))
	}
}

// TestFirstWithout: a violation is told by the operation that has no place.
func TestFirstWithout(t *testing.T) {
	_, why := linearizable(active().then(write, verdict(processed)).
		then(write, verdict(userNotFound)).then(write, verdict(processed)).log, time.Minute)
	if !strings.Contains(why, "verdict:USER_NOT_FOUND") {
		t.Errorf("got %q, want the wrong verdict", why)
	}
}

// TestBounded: operations of unknown outcome end where others saw that they cannot happen later,
// and what is linearizable stays so.
func TestBounded(t *testing.T) {
	update := operation{kind: opUpdate, session: 1, version: 1, mode: modeManual}
	prefer := operation{kind: opPreference, session: 1, setting: 0, inbox: false}
	logout := operation{kind: opLogout, session: 1}
	manual := saw{outcome: done, version: 2, mode: modeManual, accepted: true}
	other := operation{kind: opProfile, session: 2}
	for name, tt := range map[string]struct {
		open operation
		then *story // after which the open one is over
		want bool
	}{
		"version passed":   {update, new(story).then(profile, manual), true},
		"version stands":   {update, new(story).then(profile, agreed), false},
		"setting passed":   {prefer, new(story).then(operation{kind: opChoice, session: 1}, saw{outcome: done, setting: 1}), true},
		"setting stands":   {prefer, new(story).then(operation{kind: opChoice, session: 1}, ok), false},
		"session replaced": {logout, new(story).then(other, agreed), true},
		"session stands":   {logout, new(story).then(profile, agreed), false},
		"read":             {mark(1, true, unset), new(story).then(look(1), seen(true, false)), true},
		"not read":         {mark(1, true, unset), new(story).then(look(1), seen(false, true)), false},
		"another is read":  {mark(1, true, unset), new(story).then(look(2), seen(true, false)), false},
		"archived":         {mark(1, false, yes), new(story).then(look(1), seen(true, true)), false},
		"mark's session":   {mark(1, false, yes), new(story).then(other, agreed), true},
		"refused":          {logout, new(story).then(other, session), false},
		"login never ends": {again, new(story).then(other, manual), false},
	} {
		s := new(story).then(tt.open, lost)
		last := tt.then.log[0]
		s.then(last.Input.(operation), last.Output.(saw))
		got := bounded(s.log)[0].Return
		if (got == s.log[1].Return) != tt.want || (got == int64(forever)) == tt.want {
			t.Errorf("%s: it ends at %d, the other one at %d", name, got, s.log[1].Return)
		}
		if s.log[0].Return != int64(forever) {
			t.Errorf("%s: the log itself was changed", name)
		}
	}
}
