package region

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// away is a region that others seal blocks to.
type away struct {
	id      wire.RegionID
	key     wire.RegionKey
	private *wire.RegionPrivateKey
}

func newAway(t testing.TB, id wire.RegionID) *away {
	t.Helper()
	pair, err := wire.NewRegionKey(1)
	if err != nil {
		t.Fatal(err)
	}
	private, err := pair.Open()
	if err != nil {
		t.Fatal(err)
	}
	return &away{id: id, key: wire.RegionKey{ID: 1, Public: pair.Public}, private: private}
}

// sealed is a gateway's request to keep records for a region.
func (f *fixture) sealed(to *away, records ...wire.Record) wire.SpoolBlock {
	f.t.Helper()
	s, err := wire.Seal("test", f.cfg.Region, to.id, to.key, f.seal(records...))
	if err != nil {
		f.t.Fatal(err)
	}
	b := wire.SpoolBlock{Sealed: *s}
	for _, r := range records {
		b.Stubs = append(b.Stubs, f.redact(r))
	}
	return b
}

const plenty = 1 << 30

func (f *fixture) spool(to *away, records ...wire.Record) wire.Spooled {
	f.t.Helper()
	return f.spoolWithin(plenty, 0, to, records...)
}

func (f *fixture) spoolWithin(bytesMax uint64, oldest wire.Time, to *away,
	records ...wire.Record) (s wire.Spooled) {
	f.t.Helper()
	body := f.must(wire.CmdSpool, &wire.Spool{Block: f.sealed(to, records...),
		BytesMax: bytesMax, OldestAfter: oldest})
	if err := wire.Decode(body, &s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fixture) waiting(to *away) []SpooledBlock {
	f.t.Helper()
	blocks, err := f.SpooledFor(to.id, func(uint64) bool { return false })
	if err != nil {
		f.t.Fatal(err)
	}
	return blocks
}

func (f *fixture) spooledView(r wire.Record) *wire.SpooledView {
	f.t.Helper()
	v, err := f.FindSpooled(wire.FindMessage{Recipient: r.RecipientUnder(f.hasher), ID: r.ID})
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// checkSpool recounts the sums.
func (f *fixture) checkSpool() {
	f.t.Helper()
	sums := map[wire.RegionID]wire.SpoolStatus{}
	bytes := uint64(0)
	for k, v := range f.rows() {
		if !strings.HasPrefix(k, "xb") {
			continue
		}
		var row spoolBlockRow
		if err := wire.Decode([]byte(v), &row); err != nil {
			f.t.Fatal(err)
		}
		s := sums[row.Sealed.Owner]
		s.Owner = row.Sealed.Owner
		s.Blocks++
		s.Records += uint64(row.records())
		s.Bytes += row.size()
		bytes += row.size()
		if s.Oldest == 0 || row.At < s.Oldest {
			s.Oldest = row.At
		}
		sums[s.Owner] = s
	}
	totals, err := f.SpoolTotals()
	if err != nil || len(totals) != len(sums) {
		f.t.Fatalf("totals of %d owners, %v, want %d", len(totals), err, len(sums))
	}
	for _, got := range totals {
		if want := sums[got.Owner]; got != want {
			f.t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	var n spoolCounter
	if _, err := f.getRow(spoolCounterKey(), &n); err != nil || n.Bytes != bytes {
		f.t.Fatalf("the spool counts %d bytes, %v, want %d", n.Bytes, err, bytes)
	}
}

func throttledID(id wire.MessageID) wire.Outcome {
	return wire.Outcome{Kind: wire.Decided, ID: id, Verdict: throttled}
}

func TestSpoolKeepsAndDelivers(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia := newAway(t, "sicilia")
	code := codeOf("anna")
	a, b := f.message(code, someService, "uno"), f.message(code, someService, "due")
	got := f.spool(sicilia, a, b)
	if want := []wire.Outcome{throttledID(a.ID), throttledID(b.ID)}; fmt.Sprint(got.Outcomes) !=
		fmt.Sprint(want) {
		t.Fatalf("got %+v, want %+v", got.Outcomes, want)
	}
	f.checkSpool()
	if v := f.spooledView(a); v.Verdict != throttled || v.Owner != "sicilia" || v.Seq == 0 ||
		v.Service != someService || v.TimeToLive != a.TimeToLive {
		t.Errorf("while it waits: %+v", v)
	}
	f.restart()
	blocks := f.waiting(sicilia)
	if len(blocks) != 1 || len(blocks[0].IDs) != 2 {
		t.Fatalf("%d blocks wait, want 1 of 2 records", len(blocks))
	}
	frame, err := sicilia.private.Open("test", &blocks[0].Sealed)
	if err != nil {
		t.Fatal(err)
	}
	block, err := f.coder.Decode(frame)
	if err != nil || len(block.Records) != 2 || block.Records[1].ID != b.ID {
		t.Fatalf("the owner reads %+v, %v", block, err)
	}
	f.now = f.now.Add(time.Hour)
	done := &wire.SpoolDone{Owner: "sicilia", Seq: blocks[0].Seq, Outcomes: []wire.Outcome{
		{Kind: wire.Decided, ID: a.ID, Verdict: processed},
		{Kind: wire.Decided, ID: b.ID, Verdict: serviceNotAllowed}}}
	f.must(wire.CmdSpoolDone, done)
	f.checkSpool()
	if len(f.waiting(sicilia)) != 0 {
		t.Error("the block waits after it was done")
	}
	if v := f.spooledView(a); v.Verdict != processed || v.RelayedAt != f.now || v.Seq != 0 {
		t.Errorf("relayed: %+v", v)
	}
	if v := f.spooledView(b); v.Verdict != serviceNotAllowed {
		t.Errorf("relayed and refused: %+v", v)
	}
	before := f.rows()
	f.must(wire.CmdSpoolDone, done)
	delete(before, string(clockKey()))
	after := f.rows()
	delete(after, string(clockKey()))
	if diff := diffRows(after, before); diff != "" {
		t.Errorf("a second note of the same changed rows: %s", diff)
	}
}

// TestSpoolKnowsRetries: what was acknowledged is answered again, whatever else comes with it.
func TestSpoolKnowsRetries(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia := newAway(t, "sicilia")
	first := f.keyed(f.message(codeOf("anna"), someService, "uno"), "k")
	f.spool(sicilia, first)
	again := f.keyed(f.message(codeOf("anna"), someService, "uno"), "k")
	other := f.keyed(f.message(codeOf("anna"), someService, "altro"), "k")
	fresh := f.message(codeOf("anna"), someService, "tre")
	got := f.spool(sicilia, first, again, fresh, other)
	want := []wire.Outcome{throttledID(first.ID), throttledID(first.ID), {},
		{Kind: wire.KeyConflict}}
	if fmt.Sprint(got.Outcomes) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got.Outcomes, want)
	}
	if n := len(f.waiting(sicilia)); n != 1 {
		t.Errorf("%d blocks wait, want the first only", n)
	}
	if got := f.spoolWithin(1, 0, sicilia, first); len(got.Outcomes) != 1 ||
		got.Outcomes[0] != throttledID(first.ID) {
		t.Errorf("a retry at a full spool: %+v", got)
	}
	if o, err := f.AdmitSpool([]wire.Record{f.redact(first)}, f.now.Add(time.Hour)); err != nil ||
		o[0] != throttledID(first.ID) {
		t.Errorf("a late retry: %+v, %v", o, err)
	}
	if o, err := f.AdmitSpool([]wire.Record{f.redact(fresh)}, f.now.Add(time.Hour)); err != nil ||
		o[0].Kind != wire.OutOfTime {
		t.Errorf("an old id that is new here: %+v, %v", o, err)
	}
	if o, err := f.AdmitSpool([]wire.Record{f.redact(fresh)}, f.now); err != nil || o != nil {
		t.Errorf("a new record: %+v, %v, want nothing in its way", o, err)
	}
}

// TestSpoolKeyTwiceInOneBlock: the second record is the first one's alias, or conflicts with it.
func TestSpoolKeyTwiceInOneBlock(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia := newAway(t, "sicilia")
	first := f.keyed(f.message(codeOf("anna"), someService, "uno"), "k")
	again := f.keyed(f.message(codeOf("anna"), someService, "uno"), "k")
	other := f.keyed(f.message(codeOf("anna"), someService, "altro"), "k")
	got := f.spool(sicilia, first, again, other)
	want := []wire.Outcome{throttledID(first.ID), throttledID(first.ID), {Kind: wire.KeyConflict}}
	if fmt.Sprint(got.Outcomes) != fmt.Sprint(want) {
		t.Fatalf("got %+v, want %+v", got.Outcomes, want)
	}
	if v := f.spooledView(again); v.Alias != first.ID || v.Verdict != throttled {
		t.Errorf("the second under the key: %+v", v)
	}
	if _, err := f.FindSpooled(wire.FindMessage{Recipient: other.RecipientUnder(f.hasher),
		ID: other.ID}); !errors.Is(err, wire.NotFound) {
		t.Errorf("the one that was refused: %v, want not found", err)
	}
	f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "sicilia", Seq: f.waiting(sicilia)[0].Seq,
		Outcomes: []wire.Outcome{{Kind: wire.Decided, ID: first.ID, Verdict: processed},
			{Kind: wire.Decided, ID: first.ID, Verdict: processed}, {Kind: wire.KeyConflict}}})
	if v := f.spooledView(again); v.Alias != first.ID || v.Verdict != processed {
		t.Errorf("the second under the key, relayed: %+v", v)
	}
	f.checkSpool()
}

// TestSpoolAliasAndConflict: the owner knew the idempotency keys already.
func TestSpoolAliasAndConflict(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia := newAway(t, "sicilia")
	a := f.keyed(f.message(codeOf("anna"), someService, "uno"), "a")
	b := f.keyed(f.message(codeOf("anna"), someService, "due"), "b")
	f.spool(sicilia, a, b)
	earlier := f.id()
	f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "sicilia", Seq: f.waiting(sicilia)[0].Seq,
		Outcomes: []wire.Outcome{{Kind: wire.Decided, ID: earlier, Verdict: processed},
			{Kind: wire.KeyConflict}}})
	if v := f.spooledView(a); v.Alias != earlier || v.Verdict != processed {
		t.Errorf("an alias: %+v", v)
	}
	if v := f.spooledView(b); v.Verdict.Status != wire.Failed || !v.Alias.IsZero() {
		t.Errorf("a conflict: %+v", v)
	}
	// Whoever uses the keys again learns of the message that has them, or asks its owner.
	again := f.keyed(f.message(codeOf("anna"), someService, "uno"), "a")
	if got := f.spool(sicilia, again).Outcomes[0]; got.ID != earlier || got.Verdict != processed {
		t.Errorf("the aliased key again: %+v", got)
	}
	again = f.keyed(f.message(codeOf("anna"), someService, "due"), "b")
	if got := f.spool(sicilia, again).Outcomes[0]; got != throttledID(again.ID) {
		t.Errorf("the conflicting key again: %+v", got)
	}
}

func TestSpoolBounds(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia, puglia := newAway(t, "sicilia"), newAway(t, "puglia")
	f.spool(sicilia, f.message(codeOf("anna"), someService, "uno"))
	totals, err := f.SpoolTotals()
	if err != nil || len(totals) != 1 {
		t.Fatalf("%+v, %v", totals, err)
	}
	full := totals[0].Bytes + totals[0].Bytes/2
	before := f.rows()
	got := f.spoolWithin(full, 0, puglia, f.message(codeOf("bice"), someService, "due"))
	if got.Refused != wire.SpoolFull || len(got.Outcomes) != 0 {
		t.Errorf("beyond the bytes: %+v", got)
	}
	got = f.spoolWithin(plenty, f.now+1, sicilia, f.message(codeOf("anna"), someService, "tre"))
	if got.Refused != wire.SpoolTooOld {
		t.Errorf("beyond the age: %+v", got)
	}
	if diff := diffRows(f.rows(), before); diff != "" {
		t.Errorf("refused blocks changed rows: %s", diff)
	}
	got = f.spoolWithin(plenty, f.now+1, puglia, f.message(codeOf("bice"), someService, "due"))
	if got.Refused != wire.SpoolTook {
		t.Errorf("another owner's age: %+v", got)
	}
	f.checkSpool()
}

// TestSpoolResealed: a recipient that moved. The replacement is there when the old block goes.
func TestSpoolResealed(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia, puglia := newAway(t, "sicilia"), newAway(t, "puglia")
	a := f.message(codeOf("anna"), someService, "uno")
	b := f.message(codeOf("bice"), someService, "due")
	f.spool(sicilia, a, b)
	spooledAt := f.now
	f.now = f.now.Add(time.Hour)
	seq := f.waiting(sicilia)[0].Seq
	moved := f.sealed(puglia, b).Sealed
	outcomes := []wire.Outcome{{Kind: wire.Decided, ID: a.ID, Verdict: processed},
		{Kind: wire.NotOwner, Region: "puglia", Epoch: 2}}
	for name, bad := range map[string]wire.SpoolDone{
		"nothing sealed anew": {Outcomes: outcomes},
		"too few":             {Outcomes: outcomes[:1]},
		"a decided one sealed anew": {Outcomes: outcomes,
			Resealed: []wire.Resealed{{Sealed: moved, Positions: []uint8{0, 1}}}},
		"twice": {Outcomes: outcomes, Resealed: []wire.Resealed{
			{Sealed: moved, Positions: []uint8{1}}, {Sealed: moved, Positions: []uint8{1}}}},
		"a record that is not there": {Outcomes: outcomes,
			Resealed: []wire.Resealed{{Sealed: moved, Positions: []uint8{1, 2}}}},
		"undecided": {Outcomes: []wire.Outcome{outcomes[0], {}}},
	} {
		bad.Owner, bad.Seq = "sicilia", seq
		if err := f.refuse(wire.Malformed, wire.CmdSpoolDone, &bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "sicilia", Seq: seq, Outcomes: outcomes,
		Resealed: []wire.Resealed{{Sealed: moved, Positions: []uint8{1}}}})
	f.checkSpool()
	if v := f.spooledView(b); v.Verdict != throttled || v.Owner != "puglia" ||
		v.SpooledAt != spooledAt {
		t.Errorf("the one that moved: %+v", v)
	}
	blocks := f.waiting(puglia)
	if len(blocks) != 1 || len(f.waiting(sicilia)) != 0 {
		t.Fatalf("%d blocks wait for the new owner, %d for the old", len(blocks),
			len(f.waiting(sicilia)))
	}
	if _, err := puglia.private.Open("test", &blocks[0].Sealed); err != nil {
		t.Error(err)
	}
	totals, err := f.SpoolTotals()
	if err != nil || totals[0].Oldest != spooledAt {
		t.Errorf("the replacement is as old as what it replaces: %+v, %v", totals, err)
	}
	f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "puglia", Seq: blocks[0].Seq,
		Outcomes: []wire.Outcome{{Kind: wire.Decided, ID: b.ID, Verdict: processed}}})
	if v := f.spooledView(b); v.Verdict != processed || v.Owner != "puglia" {
		t.Errorf("relayed to the new owner: %+v", v)
	}
	f.checkSpool()
}

// TestSpoolTellsNothing (P4): what the home region stores and logs of a citizen of another region
// has neither the code nor a word of the message.
func TestSpoolTellsNothing(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia := newAway(t, "sicilia")
	code := codeOf("anna")
	const word = "segretissimo"
	f.spool(sicilia, f.message(code, someService, word))
	for k, v := range f.rows() {
		for _, secret := range []string{word, string(code)} {
			if strings.Contains(k+v, secret) {
				t.Errorf("row of kind %q shows %q", k[:1], secret)
			}
		}
	}
	for _, e := range f.log {
		if bytes.Contains(e.Data, []byte(code)) || bytes.Contains(e.Data, []byte(word)) {
			t.Errorf("entry %d shows the code or the text", e.Index)
		}
	}
}

func TestSpoolStubsExpire(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia := newAway(t, "sicilia")
	done := f.keyed(f.message(codeOf("anna"), someService, "uno"), "a")
	waits := f.keyed(f.message(codeOf("anna"), someService, "due"), "b")
	f.spool(sicilia, done)
	f.spool(sicilia, waits)
	f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "sicilia", Seq: f.waiting(sicilia)[0].Seq,
		Outcomes: []wire.Outcome{{Kind: wire.Decided, ID: done.ID, Verdict: processed}}})
	if _, due := f.DueSpoolExpiry(f.now.Add(RejectionRetention - time.Minute)); due {
		t.Error("stubs are due before their time")
	}
	f.now = f.now.Add(RejectionRetention + 2*time.Hour)
	e, due := f.DueSpoolExpiry(f.now)
	if !due {
		t.Fatal("no stub is due after its time")
	}
	for range 26285 { // the log's expiry follows by an hour per entry
		if f.clock.Load().Expiry >= e.Before {
			break
		}
		f.do(wire.CmdLogout, &wire.Logout{})
	}
	f.must(wire.CmdSpoolExpire, &e)
	for _, row := range []wideKey{stubKey(done.RecipientUnder(f.hasher), done.ID),
		stubIdempotencyKey(done.RecipientUnder(f.hasher), done.Idempotency)} {
		if _, ok := f.rows()[string(row[:])]; ok {
			t.Errorf("row of kind %q is there after its time", row[:1])
		}
	}
	if _, due := f.DueSpoolExpiry(f.now); due {
		t.Error("stubs are due after they went")
	}
	if v := f.spooledView(waits); v.Verdict != throttled {
		t.Errorf("one that waits: %+v", v)
	}
	if len(f.waiting(sicilia)) != 1 {
		t.Error("a block that waits has no age at which it goes")
	}
}

func TestRegionKeys(t *testing.T) {
	f := newFixture(t, "lazio")
	if k, err := f.NewestRegionKey(); k != nil || err != nil {
		t.Errorf("before the first: %v, %v", k, err)
	}
	pair := func(id uint32) *wire.PrivateRegionKey {
		k, err := wire.NewRegionKey(id)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	f.must(wire.CmdRegionKey, pair(1))
	f.must(wire.CmdRegionKey, pair(3))
	f.refuse(wire.Conflict, wire.CmdRegionKey, pair(3))
	f.refuse(wire.Conflict, wire.CmdRegionKey, pair(2))
	f.refuse(wire.Malformed, wire.CmdRegionKey, &wire.PrivateRegionKey{ID: 9})
	k, err := f.NewestRegionKey()
	if err != nil || k.ID != 3 || k.At != f.now {
		t.Errorf("the newest: %+v, %v", k, err)
	}
	for id := uint32(4); id < 4+wire.RegionKeysMax; id++ {
		f.must(wire.CmdRegionKey, pair(id))
	}
	if _, err := f.RegionKey(3); !errors.Is(err, wire.NotFound) {
		t.Errorf("the oldest of too many: %v, want not found", err)
	}
	if _, err := f.RegionKey(4); err != nil {
		t.Errorf("the oldest that is kept: %v", err)
	}
}

// TestSpoolReplays: the same log in other batches gives the same digest, see history_test.
func TestSpoolReplays(t *testing.T) {
	f := newFixture(t, "lazio")
	sicilia, puglia := newAway(t, "sicilia"), newAway(t, "puglia")
	var codes []fiscalcode.Code
	for i := range 5 {
		codes = append(codes, codeOf(fmt.Sprint(i)))
	}
	for i := range 40 {
		f.now = f.now.Add(time.Second)
		r := f.message(codes[i%5], someService, fmt.Sprint(i))
		if i%3 == 0 {
			r = f.keyed(r, fmt.Sprint(i%6))
		}
		f.spool(sicilia, r)
		if i%4 != 3 {
			continue
		}
		b := f.waiting(sicilia)[0]
		f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "sicilia", Seq: b.Seq,
			Outcomes: []wire.Outcome{{Kind: wire.NotOwner, Region: "puglia", Epoch: 2}},
			Resealed: []wire.Resealed{{Sealed: f.sealed(puglia, r).Sealed,
				Positions: []uint8{0}}}})
	}
	f.checkSpool()
	index, want := f.Digest()
	for _, size := range []int{1, 7, len(f.log)} {
		g := newFixture(t, "lazio")
		for at := 0; at < len(f.log); at += size {
			g.apply(f.log[at:min(at+size, len(f.log))]...)
		}
		if i, got := g.Digest(); i != index || got != want {
			t.Errorf("in batches of %d: digest %x at %d, want %x at %d", size, got, i, want, index)
		}
	}
}

// TestRelayedAfterTheMove: what a region rejected before the code left stays rejected when it is
// relayed there once more; the new owner might deliver it.
func TestRelayedAfterTheMove(t *testing.T) {
	f := newOwners(t, "sicilia")[0]
	code := codeOf("who moves")
	f.own(code)
	refused := f.message(code, someService, "uno")
	want := f.submitOne(refused)
	if want.Verdict.Status != wire.Rejected {
		t.Fatalf("%+v, want it rejected", want)
	}
	f.fence(code, "lazio")
	if o := f.AdmitRelayed(&refused); o != want {
		t.Errorf("relayed again: %+v, want %+v", o, want)
	}
	later := f.message(code, someService, "due")
	if o := f.AdmitRelayed(&later); o.Kind != wire.NotOwner || o.Region != "lazio" {
		t.Errorf("one that is new: %+v", o)
	}
}
