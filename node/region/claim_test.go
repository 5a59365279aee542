package region

import (
	"errors"
	"slices"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// TestOwnership sends every command in every state, twice: each arrow of claim.go, and nothing
// else.
func TestOwnership(t *testing.T) {
	code := codeOf("maria")
	r := wire.NewHasher(testKey).Recipient(code)
	intent := command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	abort := command(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: r, Region: "sicilia", Epoch: 1})
	release := func(to wire.RegionID, epoch wire.Epoch) wire.Command {
		return command(wire.CmdRelease, &wire.Release{Recipient: r, To: to, Epoch: epoch})
	}
	imports := func(epoch wire.Epoch) wire.Command {
		return command(wire.CmdImport, &wire.Import{Recipient: r, Epoch: epoch})
	}
	slots := command(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{r.Slot()}, SlotEpoch: 4})
	none := wire.Ownership{}
	claiming := wire.Ownership{State: wire.Claiming, Epoch: 1}
	owned := wire.Ownership{State: wire.Owned, Epoch: 1}
	released := wire.Ownership{State: wire.Released, Epoch: 1, Region: "sicilia"}
	for _, tt := range []struct {
		name   string
		before []wire.Command
		do     wire.Command
		want   wire.Code // 0: succeeds
		after  wire.Ownership
		again  wire.Code // of the same command a second time
	}{
		{"intent", nil, intent, 0, claiming, 0},
		{"abort of nothing", nil, abort, 0, none, 0},
		{"release, not the anchor", nil, release("sicilia", 1), wire.Conflict, none, wire.Conflict},
		{"import of nothing", nil, imports(1), wire.Conflict, none, wire.Conflict},
		{"anchor: intent", []wire.Command{slots}, intent, 0, claiming, 0},
		{"anchor: release", []wire.Command{slots}, release("sicilia", 1), 0, released, 0},
		{"anchor: release to itself", []wire.Command{slots}, release("lazio", 1), wire.Conflict, none,
			wire.Conflict},
		{"anchor: release at epoch 0", []wire.Command{slots}, release("sicilia", 0), wire.Malformed,
			none, wire.Malformed},
		{"claiming: intent", []wire.Command{intent}, intent, 0, claiming, 0},
		{"claiming: abort", []wire.Command{intent}, abort, 0, none, 0},
		{"claiming: import", []wire.Command{intent}, imports(1), 0, owned, 0},
		{"claiming: import of epoch 0", []wire.Command{intent}, imports(0), wire.Malformed, claiming,
			wire.Malformed},
		{"claiming: release, not the anchor", []wire.Command{intent}, release("sicilia", 1),
			wire.Conflict, claiming, wire.Conflict},
		{"claiming anchor: release", []wire.Command{slots, intent}, release("sicilia", 1), 0,
			released, 0},
		{"owned: intent", []wire.Command{intent, imports(1)}, intent, 0, owned, 0},
		{"owned: abort", []wire.Command{intent, imports(1)}, abort, wire.Conflict, owned,
			wire.Conflict},
		{"owned: import again", []wire.Command{intent, imports(1)}, imports(1), 0, owned, 0},
		{"owned: import of another epoch", []wire.Command{intent, imports(1)}, imports(2),
			wire.Conflict, owned, wire.Conflict},
		{"owned: import of a lower epoch", []wire.Command{intent, imports(2)}, imports(1),
			wire.Conflict, wire.Ownership{State: wire.Owned, Epoch: 2}, wire.Conflict},
		{"owned anchor: release", []wire.Command{slots, intent, imports(1)}, release("sicilia", 2),
			wire.Conflict, owned, wire.Conflict},
		{"released: intent", []wire.Command{slots, release("sicilia", 1)}, intent, wire.Moved, released,
			wire.Moved},
		{"released: abort", []wire.Command{slots, release("sicilia", 1)}, abort, 0, released, 0},
		{"released: import", []wire.Command{slots, release("sicilia", 1)}, imports(1), wire.Conflict,
			released, wire.Conflict},
		{"released: to another", []wire.Command{slots, release("sicilia", 1)}, release("umbria", 1),
			wire.Conflict, released, wire.Conflict},
		{"released: another epoch", []wire.Command{slots, release("sicilia", 1)}, release("sicilia", 2),
			wire.Conflict, released, wire.Conflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, "lazio")
			for _, c := range tt.before {
				if res := f.doAll(c)[0]; res.Err != nil {
					t.Fatal(res.Err)
				}
			}
			for i, want := range []wire.Code{tt.want, tt.again} {
				res := f.doAll(tt.do)[0]
				if got := codeIn(res.Err); got != want {
					t.Errorf("delivery %d: got %v, want %v", i+1, res.Err, want)
				}
				own, anchored, err := f.Ownership(r)
				if err != nil || own != tt.after {
					t.Errorf("delivery %d: got %+v, %v, want %+v", i+1, own, err, tt.after)
				}
				if want := len(tt.before) > 0 && tt.before[0].Kind == wire.CmdGrantSlots; anchored != want {
					t.Errorf("anchored: got %v, want %v", anchored, want)
				}
				f.checkCaches()
				f.restart()
			}
		})
	}
}

func codeIn(err *wire.Error) wire.Code {
	if err == nil {
		return 0
	}
	return err.Code
}

// TestHandover: what an anchor decided for a code moves with it, so that every retry meets the
// first verdict at the new owner.
func TestHandover(t *testing.T) {
	anchor, owner := newFixture(t, "lazio"), newFixture(t, "sicilia")
	owner.minted = 1000 // ids of its own
	anchor.must(wire.CmdGrantSlots, allSlots())
	code, neighbour := codeOf("maria"), codeOf("mario")
	r := anchor.hasher.Recipient(code)
	plain := anchor.redact(anchor.message(code, someService, "uno"))
	keyed := anchor.redact(anchor.keyed(anchor.message(code, someService, "due"), "k"))
	anchor.submit(plain, keyed, anchor.message(neighbour, someService, "tre"))

	owner.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	rel := &wire.Release{Recipient: r, To: "sicilia", Epoch: 1}
	body := anchor.must(wire.CmdRelease, rel)
	if again := anchor.must(wire.CmdRelease, rel); !slices.Equal(again, body) {
		t.Error("a second release hands over something else")
	}
	moved := wire.Outcome{Kind: wire.NotOwner, Region: "sicilia", Epoch: 1}
	anchor.wantOutcomes("released", anchor.submit(plain, anchor.message(code, someService, "x")),
		moved, moved)
	found, err := anchor.FindMessage(wire.FindMessage{Recipient: r, ID: plain.ID})
	if err != nil || found.Verdict.Reason != wire.UserNotFound {
		t.Errorf("find at the anchor: got %+v, %v, want what it rejected", found, err)
	}
	_, err = anchor.FindMessage(wire.FindMessage{Recipient: r, ID: wire.MessageID{1, 2, 3}})
	if e := wire.AsError(err); !errors.Is(err, wire.Moved) || e.Region != "sicilia" || e.Epoch != 1 {
		t.Errorf("find another at the anchor: got %v, want moved to sicilia", err)
	}

	var h wire.RowPage
	if err := wire.Decode(body, &h); err != nil {
		t.Fatal(err)
	}
	if len(h.Rows) != 3 {
		t.Errorf("handover of %d rows, want two rejections and a key", len(h.Rows))
	}
	imp := &wire.Import{Recipient: r, Epoch: 1, Page: h}
	owner.must(wire.CmdImport, imp)
	rows := owner.rows()
	owner.must(wire.CmdImport, imp)
	rows[string(clockKey())] = owner.rows()[string(clockKey())]
	if diff := diffRows(owner.rows(), rows); diff != "" {
		t.Errorf("a second import changed rows: %s", diff)
	}
	owner.checkCaches()
	owner.restart()
	token := owner.login(code)
	owner.update(token, wire.ProfileUpdate{AcceptedTos: 1})
	again := keyed
	again.ID = owner.id()
	owner.wantOutcomes("retries at the owner", owner.submit(plain, keyed, again),
		decided(plain.ID, userNotFound), decided(keyed.ID, userNotFound),
		decided(keyed.ID, userNotFound))
	view, err := owner.FindMessage(wire.FindMessage{Recipient: r, ID: plain.ID})
	if err != nil || view.Verdict != userNotFound || view.Service != someService {
		t.Errorf("find at the owner: got %+v, %v", view, err)
	}
	fresh := owner.message(code, someService, "quattro")
	owner.wantOutcomes("fresh", owner.submit(fresh), decided(fresh.ID, processed))
}

// An anchor that claims a code of its own keeps what it decided.
func TestAnchorClaimsItsOwn(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("maria")
	early := f.keyed(f.message(code, someService, "uno"), "k")
	f.submit(early)
	r := f.hasher.Recipient(code)
	f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	during := f.message(code, someService, "due")
	f.wantOutcomes("while claiming the anchor decides", f.submit(during),
		decided(during.ID, userNotFound))
	f.must(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1})
	f.update(f.login(code), wire.ProfileUpdate{AcceptedTos: 1})
	again := early
	again.ID = f.id()
	f.wantOutcomes("retries", f.submit(early, again, during), decided(early.ID, userNotFound),
		decided(early.ID, userNotFound), decided(during.ID, userNotFound))
}

// TestHandoverIsPaged: an anchor that rejected more than a page holds hands over every one, and
// the claim succeeds with the last page only.
func TestHandoverIsPaged(t *testing.T) {
	f, owner := newFixture(t, "lazio"), newFixture(t, "sicilia")
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("maria")
	r := f.hasher.Recipient(code)
	var sent []wire.Record
	for range wire.RowPageMax/wire.BlockRecordsMax + 1 {
		var block []wire.Record
		for i := range wire.BlockRecordsMax {
			m := f.message(code, someService, "x")
			if i%2 == 0 {
				m = f.keyed(m, m.ID.String())
			}
			block = append(block, m.Redact(f.hasher))
		}
		f.submit(block...)
		sent = append(sent, block...)
	}
	owner.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	pages := 0
	for rel := (wire.Release{Recipient: r, To: "sicilia", Epoch: 1}); ; pages++ {
		imp := &wire.Import{Recipient: r, Epoch: 1}
		if err := wire.Decode(f.must(wire.CmdRelease, &rel), &imp.Page); err != nil {
			t.Fatal(err)
		}
		if n := len(imp.Page.Rows); n > wire.RowPageMax {
			t.Errorf("a page of %d rows, %d allowed", n, wire.RowPageMax)
		}
		if n := len(wire.Encode(imp)); n > wire.CommandBytesMax {
			t.Errorf("import of %d bytes, %d allowed", n, wire.CommandBytesMax)
		}
		if own, _, err := owner.Ownership(r); err != nil || own.State != wire.Claiming {
			t.Fatalf("before page %d: %+v, %v, want claiming", pages, own, err)
		}
		owner.must(wire.CmdImport, imp)
		if rel.After = imp.Page.Last; !imp.Page.More {
			break
		}
	}
	if own, _, err := owner.Ownership(r); err != nil || own.State != wire.Owned || pages == 0 {
		t.Errorf("after page %d: %+v, %v, want owned after several", pages, own, err)
	}
	owner.minted = 1 << 20
	for i := range sent { // a retry of any of them, under its key or id, meets the first verdict
		again := sent[i]
		if !again.Idempotency.IsZero() {
			again.ID = owner.id()
		}
		owner.wantOutcomes("retry", owner.submit(again), decided(sent[i].ID, userNotFound))
	}
}

func TestImportRefusesForeignRows(t *testing.T) {
	f := newFixture(t, "lazio")
	code, other := codeOf("maria"), codeOf("mario")
	r, o := f.hasher.Recipient(code), f.hasher.Recipient(other)
	f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	id, use := f.id(), wire.Idempotency{1}
	rej := rejectedRow{Service: someService, Reason: wire.UserNotFound, Idempotency: use, At: f.now}
	key, value := idempotencyKey(r, use), newIdempotencyRow(id, wire.Digest{1})
	row := func(k wideKey, v []byte) wire.Row { return wire.Row{Key: k[:], Value: v} }
	bad := func(change func(*rejectedRow)) []byte {
		row := rej
		change(&row)
		return wire.Encode(&row)
	}
	for name, rows := range map[string][]wire.Row{
		"another citizen": {row(rejectedKey(o, id), wire.Encode(&rej))},
		"inbox row":       {row(inboxKey(r, id), wire.Encode(&inboxRow{placeRow: placeRow{Block: 1}}))},
		"profile":         {{Key: recipientKey(profilePrefix, r), Value: []byte{}}},
		"short key":       {{Key: []byte{rejectedPrefix}, Value: wire.Encode(&rej)}},
		"empty key":       {{}},
		"garbage":         {row(rejectedKey(r, id), []byte{0xff})},
		"not canonical":   {row(rejectedKey(r, id), append(wire.Encode(&rej), 0x78, 1))},
		"no service": {row(rejectedKey(r, id), bad(func(r *rejectedRow) {
			r.Service = ""
		}))},
		"no reason": {row(rejectedKey(r, id), bad(func(r *rejectedRow) { r.Reason = 0 }))},
		"no such level": {row(rejectedKey(r, id), bad(func(r *rejectedRow) {
			r.FeatureLevel = 2
		}))},
		"key alone": {row(key, value[:])},
		"short use": {row(rejectedKey(r, id), wire.Encode(&rej)), row(key, value[:20])},
		"key of another": {row(rejectedKey(r, f.id()), wire.Encode(&rej)),
			row(key, value[:])},
		"too many": make([]wire.Row, wire.RowPageMax+1),
	} {
		t.Run(name, func(t *testing.T) {
			code := wire.Malformed
			if name == "too many" {
				code = wire.TooLarge
			}
			f.t = t
			f.refuse(code, wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1,
				Page: wire.RowPage{Rows: rows}})
		})
	}
	f.t = t
	f.must(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1, Page: wire.RowPage{
		Rows: []wire.Row{row(rejectedKey(r, id), wire.Encode(&rej)), row(key, value[:])}}})
}

func TestSlots(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{3, 5, 3}, SlotEpoch: 2})
	f.refuse(wire.Malformed, wire.CmdGrantSlots,
		&wire.GrantSlots{Slots: []wire.Slot{1, wire.Slots}, SlotEpoch: 2})
	f.refuse(wire.TooLarge, wire.CmdGrantSlots,
		&wire.GrantSlots{Slots: make([]wire.Slot, wire.Slots+1)})
	f.must(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{5}, SlotEpoch: 1}) // older
	for range 2 {
		if got := f.Slots(); got != 2 {
			t.Errorf("got %d slots, want 2", got)
		}
		if got := f.slots.Load().next[5]; got != 2+1 {
			t.Errorf("slot 5: got epoch %d, want 2", got-1)
		}
		f.restart()
	}
}

// TestPending: work is there until it is noted, newer work is not noted away, and whoever waits
// is woken.
func TestPending(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	r := f.hasher.Recipient(code)
	want := func(want ...wire.Pending) {
		t.Helper()
		got, err := f.Pending(10)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	}
	woken := func(do func()) {
		t.Helper()
		changed := f.PendingChanged()
		do()
		select {
		case <-changed:
		default:
			t.Fatal("nobody was woken")
		}
	}
	last := func() uint64 { return f.log[len(f.log)-1].Index }
	woken(func() { f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r}) })
	want(wire.Pending{Recipient: r, State: wire.Claiming, Epoch: 1, Seq: last()})
	woken(func() { f.must(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1}) })
	owned := wire.Pending{Recipient: r, State: wire.Owned, Epoch: 1, Seq: last()}
	want(owned)
	token := f.login(code)
	want(owned)
	woken(func() { f.update(token, wire.ProfileUpdate{AcceptedTos: 1}) })
	active := wire.Pending{Recipient: r, State: wire.Owned, Epoch: 1, Active: true, Seq: last()}
	want(active)
	f.must(wire.CmdPendingDone, &wire.PendingDone{Recipient: r, Seq: owned.Seq})
	want(active)
	f.update(token, wire.ProfileUpdate{EmailOn: wire.Yes}) // changes nothing for the directory
	want(active)
	f.must(wire.CmdPendingDone, &wire.PendingDone{Recipient: r, Seq: active.Seq})
	want()
	f.must(wire.CmdPendingDone, &wire.PendingDone{Recipient: r, Seq: active.Seq})
	f.update(token, wire.ProfileUpdate{Inbox: wire.No})
	want(wire.Pending{Recipient: r, State: wire.Owned, Epoch: 1, Seq: last()})

	other := f.hasher.Recipient(codeOf("mario"))
	f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: other})
	if got, err := f.Pending(1); err != nil || len(got) != 1 {
		t.Errorf("limit 1: got %d items, %v", len(got), err)
	}
	f.must(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: other, Region: "sicilia", Epoch: 1})
	if got, _ := f.Pending(10); len(got) != 1 {
		t.Errorf("an aborted claim is still pending")
	}
}
