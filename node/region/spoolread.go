package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

// AdmitSpool is the leader's check before it proposes a block for the spool, at its clock's now.
// Nil: propose it. Otherwise the answer: records that the spool knows, or whose ids are out of
// time, have their outcome and the others are undecided.
func (s *State) AdmitSpool(stubs []wire.Record, now wire.Time) ([]wire.Outcome, error) {
	outcomes, answered, broken, err := spoolKnown(s.db.Get, s.ActiveVersion(), stubs)
	s.broken.Add(broken)
	if err != nil {
		return nil, err
	}
	for i := range stubs {
		if outcomes[i].Kind == wire.Undecided && apart(stubs[i].ID.Time(), now) > wire.SkewMax {
			answered, outcomes[i].Kind = true, wire.OutOfTime
		}
	}
	if !answered {
		return nil, nil
	}
	return outcomes, nil
}

// AdmitRelayed says NotOwner of a relayed record that this region surely does not own, with the
// owner as far as known; Undecided means that it may be proposed. Ids may be of any time: when
// they were spooled they were checked.
//
// What this region rejected before the code left is answered as it was: the handover may have left
// it behind, and the new owner would decide it anew.
func (s *State) AdmitRelayed(rec *wire.Record) wire.Outcome {
	o := s.admit(rec, rec.ID.Time())
	if o.Kind != wire.NotOwner {
		return o
	}
	view, err := s.findRejected(wire.FindMessage{Recipient: rec.RecipientUnder(s.cfg.Hasher),
		ID: rec.ID})
	if err != nil {
		return o
	}
	return wire.Outcome{Kind: wire.Decided, ID: rec.ID, Verdict: view.Verdict}
}

// FindSpooled answers what the spool knows of a message. NotFound when it never had it, or has
// forgotten it after the retention of rejections.
func (s *State) FindSpooled(q wire.FindMessage) (*wire.SpooledView, error) {
	stub, ok, err := getStub(s.db.Get, stubKey(q.Recipient, q.ID))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Errorf(wire.NotFound, "no such message in the spool")
	}
	v := &wire.SpooledView{ID: q.ID, Service: stub.Service, TimeToLive: stub.TimeToLive,
		FeatureLevel: stub.FeatureLevel, Verdict: stub.Verdict, Owner: stub.Owner,
		Alias: stub.Alias, SpooledAt: stub.SpooledAt, RelayedAt: stub.RelayedAt,
		KeyID: stub.KeyID}
	if stub.RelayedAt == 0 {
		v.Seq = stub.Seq
		if v.Offered = stub.Offered; !v.Offered {
			v.Offered, err = blockOffered(s.db.Get, s.ActiveVersion(), stub.Owner, stub.Seq)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// SpoolTotals says what waits, by owner, in the order of their names.
func (s *State) SpoolTotals() ([]wire.SpoolStatus, error) {
	var list []wire.SpoolStatus
	var first []uint64
	lower := spoolTotalKey("")
	err := s.db.Iterate(lower, after(lower), false, func(k, v []byte) (bool, error) {
		var row spoolTotalRow
		if err := decodeRow(k, v, &row); err != nil {
			return false, err
		}
		list = append(list, wire.SpoolStatus{Owner: wire.RegionID(k[len(lower):]),
			Blocks: row.Blocks, Records: row.Records, Bytes: row.Bytes})
		first = append(first, row.First)
		return true, nil
	})
	for i := range list {
		if err != nil {
			return nil, err
		}
		err = s.scanQueue(list[i].Owner, first[i], func(_ uint64, row *spoolQueueRow) bool {
			list[i].Oldest = row.At
			return false
		})
	}
	return list, err
}

// scanQueue calls f for an owner's blocks from seq on, until it reports no more.
func (s *State) scanQueue(owner wire.RegionID, seq uint64,
	f func(seq uint64, row *spoolQueueRow) (more bool)) error {
	prefix := spoolQueue(owner)
	return s.db.Iterate(spoolQueueKey(owner, seq), after(prefix), false,
		func(k, v []byte) (bool, error) {
			var row spoolQueueRow
			if len(k) != len(prefix)+8 {
				return false, errDamaged(k)
			}
			if err := decodeRow(k, v, &row); err != nil {
				return false, err
			}
			return f(binary.BigEndian.Uint64(k[len(prefix):]), &row), nil
		})
}

// SpooledBlock is a block that waits for its owner.
type SpooledBlock struct {
	Seq    uint64
	Sealed wire.SealedBlock
	IDs    []wire.MessageID // of its records, in order
	// Offered: it is logged that its owner may have it.
	Offered bool
}

// SpooledFor returns the owner's blocks that have waited longest and are not left out, as many as
// one relay takes, in order of arrival.
func (s *State) SpooledFor(owner wire.RegionID, leftOut func(seq uint64) bool) ([]SpooledBlock,
	error) {
	var total spoolTotalRow
	if ok, err := s.getRow(spoolTotalKey(owner), &total); err != nil || !ok {
		return nil, err
	}
	var seqs []uint64
	size := uint64(0)
	err := s.scanQueue(owner, total.First, func(seq uint64, row *spoolQueueRow) bool {
		if leftOut(seq) {
			return true
		}
		if size += row.Bytes; len(seqs) > 0 && size > wire.RelayBytesMax {
			return false
		}
		seqs = append(seqs, seq)
		return len(seqs) < wire.RelayBlocksMax
	})
	if err != nil {
		return nil, err
	}
	blocks := make([]SpooledBlock, 0, len(seqs))
	for _, seq := range seqs {
		var row spoolBlockRow
		ok, err := s.getRow(spoolBlockKey(seq), &row)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // it was done meanwhile
		}
		b := SpooledBlock{Seq: seq, Sealed: row.Sealed, IDs: make([]wire.MessageID, row.records())}
		for i := range b.IDs {
			k := row.message(i)
			b.IDs[i] = k.tail()
		}
		if b.Offered, err = blockOffered(s.db.Get, s.ActiveVersion(), owner, seq); err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// SpooledRecords is the number of records of a block that waits for an owner; 0 when it does not
// wait, any more.
func (s *State) SpooledRecords(owner wire.RegionID, seq uint64) (int, error) {
	var row spoolBlockRow
	if ok, err := s.getRow(spoolBlockKey(seq), &row); err != nil || !ok ||
		row.Sealed.Owner != owner {
		return 0, err
	}
	return row.records(), nil
}

// SpoolChanged returns a channel that is closed when a block or a region key is added after the
// call. Take it before looking.
func (s *State) SpoolChanged() <-chan struct{} {
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	return s.spoolAdded
}

func (s *State) wakeSpool() {
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	close(s.spoolAdded)
	s.spoolAdded = make(chan struct{})
}
