package transfer

import (
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

// What gateways send, and what home regions keep for owners that are away, as submit.go, spool.go,
// spoolrelay.go and spoolowner.go do it.

const exploredService wire.ServiceID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

// record is a new message for a code, or, often, one that was sent before.
func (w *explored) record(p *exploredPlot, home *exploredRegion) wire.Record {
	if len(p.sent) > 0 && w.chance(2) {
		return p.sent[w.rng.IntN(len(p.sent))]
	}
	home.mint++
	id := wire.NewMessageID(w.now, home.tag)
	for i := range 8 { // the same in every run
		id[6+i] = byte(home.mint >> (8 * (7 - i)))
	}
	id[14], id[15] = byte(home.tag>>8), byte(home.tag)
	rec := wire.Record{ID: id, Service: exploredService,
		FiscalCode: p.codes[w.rng.IntN(len(p.codes))], TimeToLive: 3600}
	text := fmt.Sprintf("text %d", w.rng.IntN(2))
	rec.Content = wire.Encode(&wire.Content{Subject: "Avviso: una prova di consegna",
		Markdown: text + " Gentile cittadino, la informiamo che la pratica e' stata accolta e " +
			"che la risposta Le sara' inviata."})
	if key := w.rng.IntN(3); key > 0 {
		rec.Idempotency = wire.IdempotencyOf(rec.Service, fmt.Sprintf("key %d", key))
		rec.Digest = rec.Canonical(rec.RecipientUnder(w.hasher), "key")
	}
	p.sent = append(p.sent, rec)
	return rec
}

// admit is Node.admit of one record.
func (r *exploredRegion) admit(rec *wire.Record) bool {
	if out := r.state.Admit(&wire.Block{Records: []wire.Record{*rec}}, r.w.now); out != nil {
		return false
	}
	code := rec.RecipientUnder(r.w.hasher)
	own, _, err := r.state.Ownership(code)
	if err != nil {
		r.w.t.Fatal(err)
	}
	return own.State != wire.NotOwned && own.State != wire.Claiming || r.anchors(code.Slot())
}

// submit sends a record to a region, which may not own the code.
func (w *explored) submit(p *exploredPlot) {
	r := w.someRegion()
	rec := w.record(p, w.someRegion())
	if !r.serves() || !r.admit(&rec) || p.kept[rec.ID] {
		return
	}
	p.tried[rec.ID] = true
	sent := rec
	if w.chance(2) {
		sent = rec.Redact(w.hasher)
	}
	for {
		o := r.decide(sent)
		p.note("%s: %s for %s under key %x: %d %v %v", r.id, rec.ID, short(rec.RecipientUnder(
			w.hasher)), rec.Idempotency[:1], o.Kind, o.Verdict, o.ID)
		if o.Kind != wire.NeedContent {
			return
		}
		sent = rec
	}
}

// decide logs a block of one record.
func (r *exploredRegion) decide(rec wire.Record) wire.Outcome {
	var b wire.Builder
	if !b.Add(&rec) {
		r.w.t.Fatal("a record fits no block")
	}
	return r.entry(wire.BlockEntry, b.Seal(r.w.coder)).(*wire.Outcomes).List[0]
}

// spool has a home region keep a record for the owner that the directory names.
func (w *explored) spool(p *exploredPlot) {
	home := w.someRegion()
	rec := w.record(p, home)
	code := rec.RecipientUnder(w.hasher)
	owner, err := w.owner(code)
	if w.directory(code).State != wire.Claimed {
		return // content goes to nobody who has not claimed the code
	}
	if err != nil || owner == home || !home.serves() || rec.ID.Tag() != home.tag {
		return
	}
	var b wire.Builder
	b.Add(&rec)
	sealed, err := wire.Seal("test", home.id, owner.id,
		wire.RegionKey{ID: owner.key.ID, Public: owner.key.Public}, b.Seal(w.coder))
	if err != nil {
		w.t.Fatal(err)
	}
	m := wire.Spool{BytesMax: 1 << 30, Block: wire.SpoolBlock{Sealed: *sealed,
		Stubs: []wire.Record{rec.Redact(w.hasher)}}}
	p.kept[rec.ID] = true
	if p.tried[rec.ID] {
		m.Block.Offered = []uint8{0}
	}
	if outcomes, err := home.state.AdmitSpool(m.Block.Stubs, w.now); err != nil {
		w.t.Fatal(err)
	} else if outcomes != nil {
		return
	}
	home.step(p, fmt.Sprintf("%s for %s in the spool for %s", rec.ID, short(code), owner.id),
		wire.CmdSpool, &m, nil)
}

// owner is who a gateway takes for the owner.
func (w *explored) owner(code wire.Recipient) (*exploredRegion, error) {
	_, entries, err := w.federation.Resolve(nil, []wire.Recipient{code})
	if err != nil {
		return nil, err
	}
	return w.region(entries[0].Region), nil
}

// relay brings what waits in a spool to an owner.
func (r *exploredRegion) relay(owner *exploredRegion) {
	if !r.serves() || !owner.serves() {
		return
	}
	blocks, err := r.state.SpooledFor(owner.id, func(uint64) bool { return false })
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, b := range blocks {
		if !b.Offered {
			r.must(wire.CmdSpoolOffer, &wire.SpoolOffer{Owner: owner.id,
				Blocks: []uint64{b.Seq}}, nil)
		}
		frame, err := owner.private.Open("test", &b.Sealed)
		if err != nil {
			r.w.t.Fatal(err)
		}
		block, err := r.w.coder.Decode(frame)
		if err != nil {
			r.w.t.Fatal(err)
		}
		r.relayed(owner, b.Seq, block.Records[0])
	}
}

func (r *exploredRegion) relayed(owner *exploredRegion, seq uint64, rec wire.Record) {
	w, code := r.w, rec.RecipientUnder(r.w.hasher)
	p := w.plotOf(code)
	o := owner.state.AdmitRelayed(&rec)
	if o.Kind == wire.Undecided {
		o = owner.decide(rec)
	}
	if w.chance(5) {
		return
	}
	done := wire.SpoolDone{Owner: owner.id, Seq: seq, Outcomes: []wire.Outcome{o}}
	if o.Kind == wire.NotOwner {
		next := w.region(newestOwner(&o, w.directory(code), owner.id))
		if next == nil || next == owner {
			return
		}
		var b wire.Builder
		b.Add(&rec)
		sealed, err := wire.Seal("test", r.id, next.id,
			wire.RegionKey{ID: next.key.ID, Public: next.key.Public}, b.Seal(w.coder))
		if err != nil {
			w.t.Fatal(err)
		}
		done.Outcomes[0].Region = next.id
		done.Resealed = []wire.Resealed{{Sealed: *sealed, Positions: []uint8{0}}}
	}
	r.step(p, fmt.Sprintf("%s relayed to %s: %d %v", rec.ID, owner.id, o.Kind, o.Verdict),
		wire.CmdSpoolDone, &done, nil)
}
