package region

import "github.com/staffetta/staffetta/wire"

// A message that waits in the spool is offered when some owner may have it. Its owner may decide it
// long before the spool learns of that, and may tell others: so the spool's THROTTLED is a status
// only for what is not offered. The mark is logged before a block leaves for its owner, and stays,
// also on what is sealed anew for another one, until the message is decided.

// spoolOffer marks blocks that go to their owner.
func (s *State) spoolOffer(c *change, m *wire.SpoolOffer) (wire.Result, error) {
	if len(m.Blocks) > wire.RelayBlocksMax {
		return failf(wire.TooLarge, "%d blocks, %d allowed", len(m.Blocks), wire.RelayBlocksMax)
	}
	for _, seq := range m.Blocks {
		var row spoolQueueRow
		key := spoolQueueKey(m.Owner, seq)
		ok, err := c.getRow(key, &row)
		if err != nil {
			return wire.Result{}, err
		}
		if !ok || row.Offered {
			continue // not ok: it was done meanwhile
		}
		row.Offered = true
		if err := c.setRow(key, &row); err != nil {
			return wire.Result{}, err
		}
	}
	return wire.OK(nil), nil
}

// offered are the positions that a gateway named, in a group whose programs all know of them.
func (c *change) offered(list []uint8) (p positions) {
	if c.version < wire.VersionOffered {
		return p
	}
	for _, at := range list {
		if int(at) < wire.BlockRecordsMax {
			p.add(int(at))
		}
	}
	return p
}

// offerAll marks whatever waits, where the log does not say what went to its owner: in a group that
// just came to the marks, and in a region that was restored.
func offerAll(c *change) error {
	var n spoolCounter
	ok, err := c.getRow(spoolCounterKey(), &n)
	if err != nil || !ok || c.version < wire.VersionOffered {
		return err
	}
	n.Offered = n.Seq
	return c.setRow(spoolCounterKey(), &n)
}

// blockOffered reports whether an owner may have a block that waits. One that does not wait any
// more was with its owner. Below VersionOffered there are no marks, and the answer is no.
func blockOffered(get func(key []byte) ([]byte, bool, error), version uint32,
	owner wire.RegionID, seq uint64) (bool, error) {
	if version < wire.VersionOffered {
		return false, nil
	}
	var n spoolCounter
	var row spoolQueueRow
	key := spoolCounterKey()
	value, ok, err := get(key)
	if err != nil || !ok {
		return true, err
	}
	if err := decodeRow(key, value, &n); err != nil || seq <= n.Offered {
		return true, err
	}
	key = spoolQueueKey(owner, seq)
	if value, ok, err = get(key); err != nil || !ok {
		return true, err
	}
	err = decodeRow(key, value, &row)
	return row.Offered, err
}
