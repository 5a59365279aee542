package virtual

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// The registry's operations on one citizen, as porcupine judges them.
type operation struct {
	kind    string // "profile", "preference", "read", "submit", "mark"
	version uint64 // of the profile update
	mode    wire.Mode
	setting int64 // settings version of the preference
	inbox   bool
	mark    wire.SetMessageStatus // without token and id
}

type answer struct {
	outcome  string // "done", "conflict", "unknown"
	version  uint64
	mode     wire.Mode
	setting  int64
	accepted bool // of a submission
	status   wire.MessageStatus
}

// registry is what the model knows of one citizen who accepted the terms.
type registry struct {
	version uint64
	mode    wire.Mode
	setting int64
	choice  wire.Tri // for the one service, under the current setting
	status  wire.MessageStatus
}

func (r registry) accepts() bool {
	switch r.mode {
	case wire.Auto:
		return r.choice != wire.No
	case wire.Manual:
		return r.choice == wire.Yes
	}
	return true
}

// apply returns the state after op, and what must be answered.
func (r registry) apply(op operation) (registry, string) {
	switch op.kind {
	case "profile":
		if op.version != r.version {
			return r, "conflict"
		}
		if r.version++; op.mode != r.mode {
			r.mode, r.setting, r.choice = op.mode, r.setting+1, wire.Unset
		}
	case "preference":
		if op.setting != r.setting {
			return r, "conflict"
		}
		r.choice = wire.TriOf(op.inbox)
	case "mark":
		r.status.Read = r.status.Read || op.mark.Read
		if op.mark.Archived != wire.Unset {
			r.status.Archived = op.mark.Archived == wire.Yes
		}
	}
	return r, "done"
}

func registryModel(start registry) porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{start} },
		Step: func(state, in, out any) []any {
			r, op, a := state.(registry), in.(operation), out.(answer)
			next, want := r.apply(op)
			switch {
			case a.outcome == "unknown": // it happened, or never will
				return []any{r, next}
			case a.outcome != want:
				return nil
			case op.kind == "read" &&
				(a.version != r.version || a.mode != r.mode || a.setting != r.setting):
				return nil
			case op.kind == "mark" && a.status != next.status:
				return nil
			case op.kind == "submit" && a.accepted != r.accepts():
				return nil
			}
			return []any{next}
		},
		Equal: func(a, b any) bool { return a == b },
	}).ToModel()
}

// registryLog is the history of one citizen.
type registryLog struct {
	mu  sync.Mutex
	ops []porcupine.Operation
}

// do runs one operation of a client and notes it; one of unknown outcome never ends.
func (l *registryLog) do(client int, op operation, f func() (answer, error)) answer {
	call := time.Now().UnixNano()
	a, err := f()
	end := time.Now().UnixNano()
	switch {
	case errors.Is(err, wire.Conflict):
		a.outcome = "conflict"
	case err != nil:
		a.outcome, end = "unknown", math.MaxInt64
	default:
		a.outcome = "done"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// An operation that never ends keeps its client busy for ever: it gets one of its own.
	if a.outcome == "unknown" {
		client = 1000 + len(l.ops)
	}
	l.ops = append(l.ops, porcupine.Operation{ClientId: client, Input: op, Call: call, Output: a,
		Return: end})
	return a
}

// act does one random operation on a citizen, who has a message.
func (s *scene) act(ctx context.Context, l *registryLog, client int, code fiscalcode.Code,
	id wire.MessageID) {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	read := func() (answer, error) {
		p := new(wire.Profile)
		err := s.CallRegion(ctx, "lazio", wire.MethodGetProfile,
			&wire.SessionRef{Token: Token(code)}, p)
		return answer{version: p.Version, mode: p.Mode, setting: p.SettingsVersion}, err
	}
	seen := l.do(client, operation{kind: "read"}, read)
	switch rand.IntN(5) {
	case 0:
		mode := []wire.Mode{wire.Auto, wire.Manual}[rand.IntN(2)]
		op := operation{kind: "profile", version: seen.version, mode: mode}
		l.do(client, op, func() (answer, error) {
			return answer{}, s.SetProfile(ctx, "lazio", code, wire.ProfileUpdate{
				Version: op.version, SetMode: true, Mode: mode})
		})
	case 1, 2:
		op := operation{kind: "preference", setting: seen.setting, inbox: rand.IntN(2) == 0}
		l.do(client, op, func() (answer, error) {
			return answer{}, s.CallRegion(ctx, "lazio", wire.MethodSetPreference,
				&wire.SetPreference{Token: Token(code), Preference: wire.Preference{
					Service: "SERVICE", SettingsVersion: op.setting, Inbox: op.inbox}},
				new(wire.Preference))
		})
	case 3:
		op := operation{kind: "mark", mark: wire.SetMessageStatus{Read: rand.IntN(20) == 0,
			Archived: wire.TriOf(rand.IntN(2) == 0)}}
		l.do(client, op, func() (a answer, err error) {
			q := op.mark
			q.Token, q.ID = Token(code), id
			err = s.CallRegion(ctx, "lazio", wire.MethodSetMessageStatus, &q, &a.status)
			return a, err
		})
	case 4:
		l.do(client, operation{kind: "submit"}, func() (answer, error) {
			rec := s.Message(code)
			sub := s.h.Begin(rec.ID, s.Hasher().Recipient(code))
			o, err := s.Submit(ctx, rec, Institution)
			if err == nil {
				s.h.Acknowledge(sub, o.Verdict)
			}
			return answer{accepted: o.Verdict.Status == wire.Processed}, err
		})
	}
}

// TestRegistryIsLinearizable judges the histories of profiles, preferences and verdicts, per
// citizen, while leaders crash and are cut off.
func TestRegistryIsLinearizable(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		const clients, citizens = 6, 3
		logs := make([]registryLog, citizens)
		codes := make([]fiscalcode.Code, citizens)
		ids := make([]wire.MessageID, citizens)
		invent := synthetic.NewCitizens(99)
		for i := range codes {
			codes[i] = invent.Next().FiscalCode
			if err := s.Activate(t.Context(), "lazio", codes[i]); err != nil {
				t.Fatal(err)
			}
			rec := s.Message(codes[i])
			ids[i] = rec.ID
			sub := s.h.Begin(rec.ID, s.Hasher().Recipient(codes[i]))
			o, err := s.Submit(t.Context(), rec, Institution)
			if err != nil {
				t.Fatal(err)
			}
			s.h.Acknowledge(sub, o.Verdict)
		}
		start := registry{version: 1, mode: wire.Auto}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for client := range clients {
			all.Go(func() {
				for n := client; ctx.Err() == nil; n++ {
					s.act(ctx, &logs[n%citizens], client, codes[n%citizens], ids[n%citizens])
					time.Sleep(40 * time.Millisecond)
				}
			})
		}
		for i := range 4 {
			time.Sleep(3 * time.Second)
			leader := s.Leader("lazio")
			if i%2 == 0 {
				leader.Crash()
				leader.Start()
			} else {
				leader.Isolate()
				time.Sleep(4 * time.Second)
				s.Mend()
			}
		}
		time.Sleep(2 * time.Second)
		cancel()
		all.Wait()
		for i := range logs {
			l := logs[i].ops
			result := porcupine.CheckOperationsTimeout(registryModel(start), l, 0)
			if result != porcupine.Ok {
				t.Errorf("the history of citizen %d (%d operations) is not linearizable: %v", i,
					len(l), result)
			}
			if len(l) < 100 {
				t.Errorf("citizen %d: only %d operations", i, len(l))
			}
		}
	})
}

// TestRegistryModelCanFail: a judge that accepts everything proves nothing.
func TestRegistryModelCanFail(t *testing.T) {
	start := registry{version: 1, mode: wire.Auto}
	op := func(client int, in operation, out answer, call, end int64) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: end}
	}
	update := operation{kind: "profile", version: 1, mode: wire.Manual}
	for name, ops := range map[string][]porcupine.Operation{
		"two updates of one version": {
			op(1, update, answer{outcome: "done"}, 0, 1), op(2, update, answer{outcome: "done"}, 0, 1)},
		"a stale read": {op(1, update, answer{outcome: "done"}, 0, 1),
			op(2, operation{kind: "read"},
				answer{outcome: "done", version: 1, mode: wire.Auto}, 2, 3)},
		"a message against the mode": {op(1, update, answer{outcome: "done"}, 0, 1),
			op(2, operation{kind: "submit"}, answer{outcome: "done", accepted: true}, 2, 3)},
		"a reading that is undone": {op(1, operation{kind: "mark",
			mark: wire.SetMessageStatus{Read: true}}, answer{outcome: "done",
			status: wire.MessageStatus{Read: true}}, 0, 1),
			op(2, operation{kind: "mark", mark: wire.SetMessageStatus{Archived: wire.Yes}},
				answer{outcome: "done", status: wire.MessageStatus{Archived: true}}, 2, 3)},
	} {
		if porcupine.CheckOperations(registryModel(start), ops) {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestStatusNeedsItsVersion: in a log of before its command a change of a status is refused, and is
// none.
func TestStatusNeedsItsVersion(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := NewAt(t, 2, nil, 3, "lazio").Gateway("lazio")
		code := synthetic.NewCitizens(7).Next().FiscalCode
		if err := w.Activate(t.Context(), "lazio", code); err != nil {
			t.Fatal(err)
		}
		rec := w.Message(code)
		if _, err := w.Submit(t.Context(), rec, Institution); err != nil {
			t.Fatal(err)
		}
		err := w.CallRegion(t.Context(), "lazio", wire.MethodSetMessageStatus,
			&wire.SetMessageStatus{Token: Token(code), ID: rec.ID, Read: true},
			new(wire.MessageStatus))
		if !errors.Is(err, wire.UnknownKind) {
			t.Errorf("got %v, want an unknown kind", err)
		}
		var got wire.InboxMessage
		err = w.CallRegion(t.Context(), "lazio", wire.MethodGetInbox,
			&wire.GetInbox{Token: Token(code), ID: rec.ID}, &got)
		if err != nil || got.Item.Read {
			t.Errorf("the message is read: %v, %v", got.Item.Read, err)
		}
	})
}
