package region

import (
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func decided(id wire.MessageID, v wire.Verdict) wire.Outcome {
	return wire.Outcome{Kind: wire.Decided, ID: id, Verdict: v}
}

func (f *fixture) wantOutcomes(what string, got []wire.Outcome, want ...wire.Outcome) {
	f.t.Helper()
	if !slices.Equal(got, want) {
		f.t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// inbox lists the ids in the citizen's inbox, newest first.
func (f *fixture) inbox(token wire.TokenHash) []wire.MessageID {
	f.t.Helper()
	page, err := f.ListInbox(wire.ListInbox{Token: token, Size: wire.PageMax}, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	ids := []wire.MessageID{}
	for _, item := range page.Items {
		ids = append(ids, item.ID)
	}
	return ids
}

func TestRetries(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	maria, mario := codeOf("maria"), codeOf("mario") // mario never logs in
	token := f.activate(maria)
	ok, no := f.message(maria, someService, "uno"), f.message(mario, someService, "due")

	f.wantOutcomes("twice in one block", f.submit(ok, no, ok, no),
		decided(ok.ID, processed), decided(no.ID, userNotFound),
		decided(ok.ID, processed), decided(no.ID, userNotFound))
	f.wantOutcomes("in a later block", f.submit(no, ok),
		decided(no.ID, userNotFound), decided(ok.ID, processed))
	f.restart()
	f.wantOutcomes("after a restart", f.submit(no, ok),
		decided(no.ID, userNotFound), decided(ok.ID, processed))

	// The verdict is final: what the citizen does later changes nothing.
	f.activate(mario)
	f.update(token, wire.ProfileUpdate{Inbox: wire.No})
	f.now = f.now.Add(time.Hour)
	f.wantOutcomes("when the answer would be another", f.submit(no, ok),
		decided(no.ID, userNotFound), decided(ok.ID, processed))
	if got, want := f.inbox(token), []wire.MessageID{ok.ID}; !slices.Equal(got, want) {
		t.Errorf("inbox: got %v, want %v", got, want)
	}
}

func TestIdempotencyKey(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	maria, mario := codeOf("maria"), codeOf("mario")
	token := f.activate(maria)
	first := f.keyed(f.message(maria, someService, "uno"), "ordine-1")
	again, other := first, f.keyed(f.message(maria, someService, "un altro testo"), "ordine-1")
	again.ID = f.id()
	refused := f.keyed(f.message(mario, someService, "uno"), "ordine-1")
	refusedAgain := refused.Redact(f.hasher)
	refusedAgain.ID = f.id()

	f.wantOutcomes("in one block", f.submit(first, again, other, refused, refusedAgain),
		decided(first.ID, processed), decided(first.ID, processed),
		wire.Outcome{Kind: wire.KeyConflict},
		decided(refused.ID, userNotFound), decided(refused.ID, userNotFound))
	for _, step := range []string{"later", "after a restart"} {
		f.wantOutcomes(step, f.submit(other, again, refusedAgain),
			wire.Outcome{Kind: wire.KeyConflict}, decided(first.ID, processed),
			decided(refused.ID, userNotFound))
		f.restart()
	}
	elsewhere := f.message(maria, "01OTHERSERVICE", "uno")
	elsewhere = f.keyed(elsewhere, "ordine-1")
	f.wantOutcomes("another service's key", f.submit(elsewhere), decided(elsewhere.ID, processed))

	// A key of a digest that was sent back for its content is not used up.
	pending := f.keyed(f.message(maria, someService, "tre"), "ordine-3")
	f.wantOutcomes("digest", f.submit(pending.Redact(f.hasher)),
		wire.Outcome{Kind: wire.NeedContent})
	f.wantOutcomes("whole", f.submit(pending), decided(pending.ID, processed))
	got, want := f.inbox(token), []wire.MessageID{pending.ID, elsewhere.ID, first.ID}
	if !slices.Equal(got, want) {
		t.Errorf("inbox: got %v, want %v", got, want)
	}
}

// A verdict sees what earlier entries and records of the same Apply changed.
func TestBatchSeesItself(t *testing.T) {
	f := newFixture(t, "lazio")
	maria := codeOf("maria")
	r := f.hasher.Recipient(maria)
	login := f.loginAs(maria, tokenOf("maria"))
	m := f.keyed(f.message(maria, someService, "uno"), "k")
	again := m
	again.ID = f.id()
	entries := []wire.LogEntry{
		f.entry(wire.CommandsEntry, wire.Encode(&wire.Commands{List: []wire.Command{
			command(wire.CmdGrantSlots, allSlots()),
			command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r}),
			command(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1}),
			command(wire.CmdLogin, &login),
			command(wire.CmdSetProfile, &wire.SetProfile{Token: tokenOf("maria"),
				Update: wire.ProfileUpdate{AcceptedTos: 1}}),
		}})),
		f.entry(wire.BlockEntry, f.seal(m)),
		f.entry(wire.BlockEntry, f.seal(m, again)),
	}
	results := f.apply(entries...)
	for i, res := range results[0].(*wire.Results).List {
		if res.Err != nil {
			t.Fatalf("command %d: %v", i, res.Err)
		}
	}
	f.wantOutcomes("first block", results[1].(*wire.Outcomes).List, decided(m.ID, processed))
	f.wantOutcomes("second block", results[2].(*wire.Outcomes).List, decided(m.ID, processed),
		decided(m.ID, processed))
	if n := f.count(blockPrefix); n != 1 {
		t.Errorf("%d blocks stored, want the one that delivered something", n)
	}
}

func (f *fixture) count(prefix byte) (n int) {
	for k := range f.rows() {
		if k[0] == prefix {
			n++
		}
	}
	return n
}

func TestRefusedBlockIsNotStored(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	m := f.message(codeOf("nessuno"), someService, "uno")
	f.wantOutcomes("refused", f.submit(m), decided(m.ID, userNotFound))
	if n := f.count(blockPrefix) + f.count(inboxPrefix); n != 0 {
		t.Errorf("%d blocks and inbox rows of a refused message", n)
	}
}

func TestApplyIgnoresWhatIsApplied(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	f.submit(f.message(codeOf("a"), someService, "uno"))
	index, sum := f.Digest()
	results := f.apply(f.log...)
	if i, s := f.Digest(); i != index || s != sum {
		t.Error("replayed entries changed the state")
	}
	if slices.ContainsFunc(results, func(r any) bool { return r != nil }) {
		t.Errorf("replayed entries have results: %v", results)
	}
}

// The digest covers the whole log: an entry that was different long ago shows for ever.
func TestDigestIsAChain(t *testing.T) {
	a, b := newFixture(t, "lazio"), newFixture(t, "lazio")
	a.must(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{1}})
	b.must(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{2}})
	for _, f := range []*fixture{a, b} {
		f.must(wire.CmdLogout, &wire.Logout{})
	}
	_, x := a.Digest()
	if _, y := b.Digest(); x == y {
		t.Error("two different logs have one digest")
	}
}

func TestApplyRefuses(t *testing.T) {
	block := func(f *fixture) []byte { return f.seal(f.message(codeOf("a"), someService, "x")) }
	flip := func(b []byte, i int) []byte { b[i] ^= 1; return b }
	for name, data := range map[string]func(f *fixture) []byte{
		"empty":   func(f *fixture) []byte { return nil },
		"garbage": func(f *fixture) []byte { return []byte("what is this, certainly no entry") },
		"bad sum": func(f *fixture) []byte {
			return flip(wire.EncodeEntry(wire.BlockEntry, 1, block(f)), 40)
		},
		"bad kind": func(f *fixture) []byte { return wire.EncodeEntry(9, 1, nil) },
		"bad block": func(f *fixture) []byte {
			return wire.EncodeEntry(wire.BlockEntry, 1, flip(block(f), 30))
		},
		"erased block": func(f *fixture) []byte {
			b, err := f.coder.Decode(block(f))
			if err != nil {
				f.t.Fatal(err)
			}
			return wire.EncodeEntry(wire.BlockEntry, 1, b.Erase(f.coder, 0))
		},
		"record without id": func(f *fixture) []byte {
			return wire.EncodeEntry(wire.BlockEntry, 1, f.seal(wire.Record{Service: someService,
				FiscalCode: codeOf("a"), Content: content("x")}))
		},
		"unknown command": func(f *fixture) []byte {
			return wire.EncodeEntry(wire.CommandsEntry, 1, wire.Encode(&wire.Commands{
				List: []wire.Command{{Kind: 77}}}))
		},
		"federation's command": func(f *fixture) []byte {
			return wire.EncodeEntry(wire.CommandsEntry, 1, wire.Encode(&wire.Commands{
				List: []wire.Command{{Kind: wire.CmdFound}}}))
		},
		"too many commands": func(f *fixture) []byte {
			list := make([]wire.Command, wire.CommandsMax+1)
			for i := range list {
				list[i].Kind = wire.CmdLogout
			}
			return wire.EncodeEntry(wire.CommandsEntry, 1, wire.Encode(&wire.Commands{List: list}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "lazio")
			f.must(wire.CmdGrantSlots, allSlots())
			before := f.rows()
			bad := wire.LogEntry{Index: 100, Term: 1, Data: data(f)}
			good := f.entry(wire.CommandsEntry, wire.Encode(&wire.Commands{}))
			if _, err := f.Apply([]wire.LogEntry{good, bad}); err == nil {
				t.Fatal("applied")
			}
			if diff := diffRows(f.rows(), before); diff != "" {
				t.Errorf("a refused entry changed the state: %s", diff)
			}
			if _, err := f.Apply([]wire.LogEntry{good}); err == nil {
				t.Error("a stopped state went on")
			}
		})
	}
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	e := f.entry(wire.CommandsEntry, nil)
	if _, err := f.Apply([]wire.LogEntry{e, e}); err == nil {
		t.Error("the same entry twice in one Apply was applied")
	}
}

// A command whose body does not decode is its sender's fault and fails alone.
func TestMalformedCommandFailsAlone(t *testing.T) {
	f := newFixture(t, "lazio")
	for kind := wire.CmdLogin; kind <= wire.CmdExpire; kind++ {
		results := f.doAll(wire.Command{Kind: kind, Body: []byte{0xff}},
			command(wire.CmdGrantSlots, allSlots()))
		if results[0].Err == nil || results[0].Err.Code != wire.Malformed {
			t.Errorf("kind %d: got %v, want malformed", kind, results[0].Err)
		}
		if results[1].Err != nil {
			t.Errorf("kind %d: the next command failed: %v", kind, results[1].Err)
		}
	}
}

func TestAdmit(t *testing.T) {
	f := newFixture(t, "lazio")
	maria, gone, stranger := codeOf("maria"), codeOf("gone"), codeOf("stranger")
	f.activate(maria)
	grant := &wire.GrantSlots{SlotEpoch: 1, Slots: []wire.Slot{f.hasher.Recipient(gone).Slot()}}
	f.must(wire.CmdGrantSlots, grant)
	f.must(wire.CmdRelease, &wire.Release{Recipient: f.hasher.Recipient(gone), To: "sicilia",
		Epoch: 3})
	decode := func(records ...wire.Record) *wire.Block {
		b, err := f.coder.Decode(f.seal(records...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := f.message(maria, someService, "vecchio")
	f.submit(old)
	f.now = f.now.Add(wire.SkewMax + time.Minute)
	fresh := f.message(maria, someService, "nuovo")
	if out := f.Admit(decode(fresh, old), f.now); out != nil {
		t.Errorf("fresh message and late retry: got %+v, want nil", out)
	}
	late, early := fresh, fresh
	late.ID = wire.NewMessageID(f.now.Add(-wire.SkewMax-time.Second), testTag)
	early.ID = wire.NewMessageID(f.now.Add(wire.SkewMax+time.Second), testTag)
	moved := f.redact(f.message(gone, someService, "x"))
	foreign := f.message(stranger, someService, "x")
	f.wantOutcomes("in the way", f.Admit(decode(late, fresh, moved, early, foreign), f.now),
		wire.Outcome{Kind: wire.OutOfTime}, wire.Outcome{Kind: wire.Undecided},
		wire.Outcome{Kind: wire.NotOwner, Region: "sicilia", Epoch: 3},
		wire.Outcome{Kind: wire.OutOfTime}, wire.Outcome{Kind: wire.NotOwner})

	// Apply knows nothing of the time of ids: what was proposed is decided.
	f.wantOutcomes("applied", f.submit(late, moved, foreign), decided(late.ID, processed),
		wire.Outcome{Kind: wire.NotOwner, Region: "sicilia", Epoch: 3},
		wire.Outcome{Kind: wire.NotOwner})
}

// The filter of recent ids never denies an id that is there, whatever the order of times.
func TestRecent(t *testing.T) {
	cfg := testConfig(vfs.NewMem(), "lazio", newCoder(t))
	f := openFixture(t, cfg)
	f.recent.max = 40
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("maria")
	f.activate(code)
	var all []wire.Record
	for i := range 300 {
		f.now = start.Add(time.Duration(i) * time.Second)
		m := f.message(code, someService, "x")
		m.ID = wire.NewMessageID(f.now.Add(time.Duration(i*7919%600-300)*time.Second), testTag)
		all = append(all, m)
		f.submit(m)
	}
	f.checkCaches()
	for _, m := range all {
		f.wantOutcomes("retry", f.submit(m), decided(m.ID, processed))
	}
	if f.recent.since <= start {
		t.Errorf("the filter never forgot: it was not tested")
	}
	if got := len(f.recent.young) + len(f.recent.old); got > 40 {
		t.Errorf("the filter holds %d ids, 40 allowed", got)
	}
	fresh := wire.NewMessageID(f.now.Add(wire.SkewMax*2), testTag)
	if !f.recent.unknown(f.hasher.Recipient(code), fresh) {
		t.Error("the filter does not know that a fresh id is unknown")
	}
}
