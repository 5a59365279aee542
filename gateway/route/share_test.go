package route

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/wire"
)

// bench is a lane of which the test is the only carrier.
type bench struct {
	*lane
	t       *testing.T
	metrics *prometheus.Registry
}

func newBench(t *testing.T, change ...func(*Config)) *bench {
	w := newWorld(t, "lazio")
	reg := prometheus.NewRegistry()
	cfg := Config{Caller: w, Region: "lazio", Coder: w.coder, Nodes: []string{addr("lazio", 1)},
		Registerer: reg}
	for _, c := range change {
		c(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{lane: newLane(&r.cfg, r.stats), t: t, metrics: reg}
}

// roomy takes bounds away that a test is not about.
func roomy(c *Config) {
	c.Limits = Limits{WaitingRecords: 1 << 20, WaitingBytes: 1 << 30, InstitutionRecords: 1 << 20,
		InstitutionBytes: 1 << 30, BulkRecords: 1 << 20, BulkBytes: 1 << 30}
}

// put lets n records of an institution, of size bytes of content each, join the lane, and returns
// the items.
func (b *bench) put(from wire.InstitutionID, c class, n, size int) (list []*item) {
	b.t.Helper()
	for range n {
		it, err := b.try(from, c, size)
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, it)
	}
	return list
}

func (b *bench) try(from wire.InstitutionID, c class, size int) (*item, error) {
	it := &item{rec: &wire.Record{Content: make([]byte, size)}, from: from, class: c,
		deadline: time.Now().Add(time.Hour), done: make(chan struct{}, 1),
		room: make(chan struct{}, 1)}
	_, err := b.join(it)
	return it, err
}

// block fills the next block; as always several may be under way, the lane does not wait.
func (b *bench) block() []*item {
	b.mu.Lock()
	b.leftAt = time.Time{}
	b.mu.Unlock()
	batch, _ := b.fill(new(wire.Builder), nil)
	return batch
}

// land answers a block.
func (b *bench) land(batch []*item) {
	outcomes := make([]wire.Outcome, len(batch))
	for i := range outcomes {
		outcomes[i] = processed
	}
	b.landed(batch, outcomes, false, nil, true)
}

// count says how many records and bytes of each institution are in a batch.
func count(into map[wire.InstitutionID]load, batch []*item) map[wire.InstitutionID]load {
	for _, it := range batch {
		l := into[it.from]
		into[it.from] = load{l.records + 1, l.bytes + it.size}
	}
	return into
}

func institution(n int) wire.InstitutionID { return wire.InstitutionID(fmt.Sprintf("%011d", n)) }

func TestFreshRecordIsInTheNextBlock(t *testing.T) {
	b := newBench(t, roomy)
	b.put("A", bulk, 10_000, 1300)
	for range 3 {
		b.land(b.block())
	}
	for i := range 20 {
		one := b.put("B", interactive, 1, 1300)[0]
		next := b.block()
		if !slices.Contains(next, one) || next[0] != one {
			t.Fatalf("message %d of B is not the first of the next block beside the bulk of A", i)
		}
		if got := len(next); got != wire.BlockRecordsMax {
			t.Errorf("the block has %d records, want it filled with bulk", got)
		}
		b.land(next)
	}
	// Many streams, and other institutions with more interactive records than fit.
	for i := range 30 {
		b.put(institution(i), bulk, 500, 1300)
		b.put(institution(i), interactive, 50, 1300)
	}
	for range 3 {
		b.land(b.block())
	}
	for i := range 20 {
		one := b.put("B", interactive, 1, 1300)[0]
		next := b.block()
		if !slices.Contains(next, one) {
			t.Fatalf("message %d of B is not in the next block beside 30 institutions", i)
		}
		b.land(next)
	}
}

// TestOneCarrierIsKept: while somebody sends one at a time, bulk is in one block at most, and the
// next record leaves beside it at once, in a block of its own kind.
func TestOneCarrierIsKept(t *testing.T) {
	b := newBench(t, roomy)
	b.put("A", bulk, 10_000, 1300)
	first, second := b.block(), b.block()
	if len(first) != wire.BlockRecordsMax || len(second) != wire.BlockRecordsMax {
		t.Fatalf("bulk alone has blocks of %d and %d, want two full ones", len(first), len(second))
	}
	b.land(first)
	b.land(second)

	b.put("B", interactive, 1, 1300)
	mixed := b.block()
	if len(mixed) != wire.BlockRecordsMax {
		t.Fatalf("%d records leave when nothing is under way, want a full block", len(mixed))
	}
	if batch, wait := b.fill(new(wire.Builder), nil); len(batch) > 0 || wait <= 0 {
		t.Errorf("beside a block with bulk: %d bulk records, %v to wait", len(batch), wait)
	}
	ones := b.put("B", interactive, 2, 1300)
	if batch, _ := b.fill(new(wire.Builder), nil); !slices.Equal(batch, ones) {
		t.Errorf("beside a block with bulk: %d records, want the two interactive ones", len(batch))
	} else {
		b.land(mixed)
		if got := len(b.block()); got != wire.BlockRecordsMax {
			t.Errorf("beside a block without bulk: %d records, want a full block", got)
		}
	}
	b.mu.Lock()
	b.reserve = time.Time{} // as after a second
	b.mu.Unlock()
	if got := len(b.block()); got != wire.BlockRecordsMax {
		t.Errorf("once nobody sends one at a time: %d records, want a full block", got)
	}
}

// TestOwnBulkHoldsUpNothing: what an institution streams has used its credit, and its interactive
// record is in the next block all the same.
func TestOwnBulkHoldsUpNothing(t *testing.T) {
	b := newBench(t, roomy)
	for i := range 30 {
		b.put(institution(i), bulk, 2000, 300)
	}
	b.put(institution(7), bulk, 100, 45_000) // a few of which are all its credit
	for range 30 {
		b.land(b.block())
		one := b.put(institution(7), interactive, 1, 1300)[0]
		next := b.block()
		if !slices.Contains(next, one) {
			t.Fatal("an institution's record waits behind its own bulk")
		}
		b.land(next)
	}
}

// TestSharesAreEqual: whatever the institutions send, as long as they have something waiting they
// get the same bytes, within a quantum and a record.
func TestSharesAreEqual(t *testing.T) {
	b := newBench(t, roomy, func(c *Config) {
		c.Weights = map[wire.InstitutionID]int{"heavy": 3}
	})
	type sender struct {
		from    wire.InstitutionID
		class   class
		size    int
		waiting int // kept so many
	}
	senders := []sender{{"small", bulk, 200, 1000}, {"large", bulk, 45_000, 100},
		{"urgent", interactive, 1300, 1000}, {"heavy", bulk, 1300, 1000},
		{"both", interactive, 1300, 500}, {"both", bulk, 1300, 500},
		{"huge", bulk, 200_000, 20}}
	queued := make([]int, len(senders))
	got := map[wire.InstitutionID]load{}
	for range 1000 {
		for i, s := range senders {
			b.put(s.from, s.class, s.waiting-queued[i], s.size)
			queued[i] = s.waiting
		}
		batch := b.block()
		for _, it := range batch {
			for i, s := range senders {
				if it.from == s.from && it.class == s.class {
					queued[i]--
				}
			}
		}
		count(got, batch)
		b.land(batch)
	}
	want := got["urgent"].bytes
	slack := 3*quantumBytes + 200_000 + itemBytes
	for from, l := range got {
		parts := 1
		if from == "heavy" {
			parts = 3
		}
		if off := l.bytes - parts*want; off < -parts*slack || off > parts*slack {
			t.Errorf("%s has sent %d bytes, want %d within %d", from, l.bytes, parts*want, slack)
		}
	}
	if want < 30*slack {
		t.Errorf("%d bytes each: too few to tell", want)
	}
}

// TestManyAtOnceIsNotMore: an institution that has a hundred records in each block, and none
// waiting in between, does not get fresh credit each time.
func TestManyAtOnceIsNotMore(t *testing.T) {
	const crowd = 60 // of 128: within one round's credit, and more than a fourth of a block
	b := newBench(t, roomy)
	for _, from := range []wire.InstitutionID{"X", "Y", "Z"} {
		b.put(from, bulk, 10_000, 1300)
	}
	got := map[wire.InstitutionID]load{}
	waiting := 0
	for range 200 {
		b.put("crowd", interactive, crowd-waiting, 1300)
		batch := b.block()
		waiting = crowd - count(map[wire.InstitutionID]load{}, batch)["crowd"].records
		count(got, batch)
		b.land(batch)
	}
	c, x := got["crowd"].bytes, got["X"].bytes
	if off := c - x; off < -3*quantumBytes || off > 3*quantumBytes {
		t.Errorf("a crowd has sent %d bytes, a stream beside it %d: want equal parts", c, x)
	}
}

// TestNobodyHoardsCredit: who was away for long gets no more than the others when it is back.
func TestNobodyHoardsCredit(t *testing.T) {
	b := newBench(t, roomy)
	b.put("stream", bulk, 20_000, 1300)
	b.put("late", bulk, 1, 1300)
	for range 50 {
		b.land(b.block())
	}
	b.put("late", bulk, 2_000, 1300)
	got := map[wire.InstitutionID]load{}
	for range 10 {
		batch := b.block()
		count(got, batch)
		b.land(batch)
	}
	l, s := got["late"].bytes, got["stream"].bytes
	if off := l - s; off < -2*quantumBytes || off > 2*quantumBytes {
		t.Errorf("sent %d bytes after a pause, a stream beside it %d: want equal parts", l, s)
	}
}

func TestBoundsOfAnInstitution(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Limits = Limits{WaitingRecords: 100, InstitutionRecords: 20, BulkRecords: 10,
			InstitutionBytes: 30 * (100 + itemBytes)}
	})
	b.put("A", interactive, 20, 100)
	if _, err := b.try("A", interactive, 100); !errors.Is(err, wire.Overloaded) {
		t.Errorf("A beyond its bound: got %v, want overloaded", err)
	}
	b.put("B", interactive, 1, 29*(100+itemBytes)-itemBytes)
	if _, err := b.try("B", interactive, 101); !errors.Is(err, wire.Overloaded) {
		t.Errorf("B beyond its bytes: got %v, want overloaded", err)
	}
	b.put("B", interactive, 1, 100)
	if got := b.refusals(refusedInstitution); got != 2 {
		t.Errorf("%v refusals of institutions counted, want 2", got)
	}

	all := b.put("A", bulk, 30, 100)
	all = append(all, b.put("B", bulk, 30, 100)...)
	all = append(all, b.put("C", bulk, 30, 100)...)
	all = append(all, b.put("D", bulk, 30, 100)...)
	if got := b.held[bulk].records; got != 10+10+5+1 {
		t.Errorf("%d bulk records have room, want a quarter of the lane and one of whoever has "+
			"none", got)
	}
	for _, c := range []wire.InstitutionID{"C", "D", "E"} {
		b.put(c, interactive, 10, 100)
	}
	for range 24 {
		if batch := b.block(); len(batch) > 0 {
			b.land(batch)
		}
	}
	for i, it := range all {
		if it.place != answered {
			t.Fatalf("bulk record %d was not let in when there was room", i)
		}
	}
	if held := b.held; held != [classes]load{} || b.blockedItems != 0 || len(b.blocked) > 0 {
		t.Errorf("the lane holds %v after all were answered", held)
	}

	b.put("A", interactive, 20, 100)
	for i := range 80 {
		b.put(institution(i), interactive, 1, 100)
	}
	if _, err := b.try("Z", interactive, 100); !errors.Is(err, wire.Overloaded) ||
		b.refusals(refusedRegion) != 1 {
		t.Errorf("beyond the lane's bound: got %v, want overloaded", err)
	}
}

func TestWaitingForRoomIsBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits = Limits{WaitingRecords: 50, BulkRecords: 5} })
	b.put("A", bulk, 55, 100)
	if _, err := b.try("A", bulk, 100); !errors.Is(err, wire.Overloaded) {
		t.Errorf("blocked beyond the bound: got %v, want overloaded", err)
	}
}

// TestRoomGoesRound: institutions that are blocked enter one after the other.
func TestRoomGoesRound(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits = Limits{WaitingRecords: 80, BulkRecords: 100} })
	b.put("A", bulk, 60, 100) // takes all the room there is
	b.put("B", bulk, 20, 100)
	b.put("C", bulk, 20, 100)
	got := map[wire.InstitutionID]load{}
	for range 2 {
		batch := b.block()
		count(got, batch)
		b.land(batch)
	}
	for _, from := range []wire.InstitutionID{"B", "C"} {
		if n := got[from].records; n < 6 {
			t.Errorf("%s has sent %d records in two blocks, want it let in as often as others",
				from, n)
		}
	}
}

// TestWhoLeavesMakesRoom: without waiting for a block, and with the whole time of who enters.
func TestWhoLeavesMakesRoom(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits.BulkRecords = 1 })
	first, second := b.put("A", bulk, 1, 100)[0], b.put("A", bulk, 1, 100)[0]
	second.patient = true
	second.deadline = time.Now()
	if had, sent := first.leave(); had || sent || second.place != waiting {
		t.Errorf("left: had %v, sent %v; who waits for room is at place %d, want it to wait for "+
			"its turn", had, sent, second.place)
	}
	if !slices.Contains(b.block(), second) {
		t.Error("the time without room counted against a record")
	}
}

// TestAbandonedIsNotSentAgain: of a refused block, only those go again that somebody waits for.
func TestAbandonedIsNotSentAgain(t *testing.T) {
	b := newBench(t, roomy)
	left, stays := b.put("A", bulk, 1, 100)[0], b.put("A", bulk, 1, 100)[0]
	batch := b.block()
	if had, sent := left.leave(); had || !sent {
		t.Errorf("left a block: had %v, sent %v, want its doubt", had, sent)
	}
	b.landed(batch, nil, false, wire.Malformedf("one of them"), true)
	for range 2 {
		if batch = b.block(); slices.Contains(batch, left) {
			t.Error("a record was read after its caller had left")
		} else if len(batch) > 0 {
			b.land(batch)
		}
	}
	if stays.place != answered || b.held != [classes]load{} {
		t.Errorf("the other record is at place %d, the lane holds %v", stays.place, b.held)
	}
}

// TestOneFindsOut: while a region does not answer one bulk record is let in, and when it does the
// others are.
func TestOneFindsOut(t *testing.T) {
	b := newBench(t, roomy)
	b.silent = time.Now().Add(-wire.OwnerWait)
	b.put("A", bulk, 5, 100)
	b.put("B", bulk, 5, 100)
	batch := b.block()
	if len(batch) != 1 || b.held[bulk].records != 1 {
		t.Errorf("%d records were sent, %d let in, want one to find out", len(batch),
			b.held[bulk].records)
	}
	b.land(batch)
	if batch = b.block(); len(batch) != 9 {
		t.Errorf("%d records sent after an answer, want the others", len(batch))
	}
}

func TestTooOldIsNotSent(t *testing.T) {
	b := newBench(t, roomy)
	old, fresh := b.put("A", bulk, 1, 100)[0], b.put("A", bulk, 1, 100)[0]
	b.mu.Lock()
	old.deadline = time.Now()
	b.mu.Unlock()
	if batch := b.block(); slices.Contains(batch, old) || !slices.Contains(batch, fresh) {
		t.Error("a record was sent after its deadline")
	}
	if <-old.done; !errors.Is(old.err, wire.Unavailable) || b.refusals(refusedAge) != 1 {
		t.Errorf("too old: got %v, want unavailable, and counted", old.err)
	}
}

// TestSeparatedTakeTurns: the records of a refused block go one by one, and neither they nor the
// others wait for the other kind to end.
func TestSeparatedTakeTurns(t *testing.T) {
	b := newBench(t, roomy)
	b.put("A", bulk, 3, 100)
	refused := b.block()
	b.landed(refused, nil, false, wire.Malformedf("one of them"), true)
	var got []int
	for range 3 {
		b.put("B", interactive, 5, 100)
		for range 2 {
			batch := b.block()
			got = append(got, len(batch))
			b.land(batch)
		}
	}
	if want := "[1 5 1 5 1 5]"; fmt.Sprint(got) != want {
		t.Errorf("blocks of %v, want %s", got, want)
	}
}

func TestIdleInstitutionsAreForgotten(t *testing.T) {
	b := newBench(t, roomy)
	busy := b.put(institution(0), bulk, 1, 100)[0]
	for i := range 5 * sharesKept {
		b.put(institution(i+1), interactive, 1, 100)
		for batch := b.block(); len(batch) > 0; batch = b.block() {
			b.land(slices.DeleteFunc(batch, func(it *item) bool { return it == busy }))
		}
	}
	if n := len(b.shares); n > sharesKept+1 {
		t.Errorf("the lane remembers %d institutions, want at most %d idle ones", n, sharesKept)
	}
	if s := b.shares[institution(0)]; s == nil || s.queues[bulk].records != 1 {
		t.Error("an institution was forgotten that has a record under way")
	}
}

// refusals is what the metric says of a reason.
func (b *bench) refusals(why string) (n float64) {
	families, err := b.metrics.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "staffetta_route_refused_total" && m.GetLabel()[0].GetValue() == why {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestCloseAnswersEverybody: wherever they wait; and nobody enters afterwards.
func TestCloseAnswersEverybody(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits.BulkRecords = 2 })
	all := b.put("B", bulk, 2, 100)
	b.landed(b.block(), nil, false, wire.Malformedf("one of them"), true) // each alone from here
	all = append(all, b.put("A", interactive, 2, 100)...)
	all = append(all, b.put("A", bulk, 4, 100)...)
	b.close()
	for i, it := range all {
		if it.place != answered || !errors.Is(it.err, wire.Unavailable) {
			t.Errorf("record %d is at place %d with %v, want unavailable", i, it.place, it.err)
		}
	}
	for c := range classes {
		if _, err := b.try("A", c, 100); !errors.Is(err, wire.Unavailable) {
			t.Errorf("%s after close: got %v, want unavailable", c, err)
		}
	}
	if b.held != [classes]load{} || b.blockedItems != 0 || b.waitingLocked() != 0 {
		t.Errorf("the closed lane holds %v", b.held)
	}
}
