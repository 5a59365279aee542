package region

import "github.com/staffetta/staffetta/wire"

// Idempotency keys that other regions hand over. Regions learn of rejections by different ways, and
// forget them at different times, so what one knows need not fit what the other does:
//
//   - A key whose message is not here is not taken. It would outlive it, and lead nowhere.
//   - Two rejections may have one key, each decided where the other was not known. The later one
//     has it: that is what its sender was told last, and what is kept for longer.
//   - A delivered message has its key before any rejection, as it stays for ever.
//
// The same comes of it in whatever order the rows arrive.

// names reports whether the row of an idempotency key is of a message.
func names(value []byte, id wire.MessageID) bool {
	return len(value) == len(idempotencyRow{}) && (*idempotencyRow)(value).id() == id
}

// keyed is the message that a key names.
type keyed struct {
	delivered bool
	rejected  bool
	at        wire.Time // of a rejection
	id        wire.MessageID
}

// beats reports whether a key is rather this message's than another one's.
func (k *keyed) beats(other *keyed) bool {
	switch {
	case k.delivered || other.delivered || !other.rejected:
		return !other.delivered
	case k.at != other.at:
		return k.at > other.at
	}
	return string(k.id[:]) > string(other.id[:])
}

// keyed looks at the message that a key's row names. A rejection that was made under another key is
// not the key's.
func (c *change) keyed(r wire.Recipient, key wire.Idempotency, value []byte) (k keyed, err error) {
	if len(value) != len(idempotencyRow{}) {
		return k, nil
	}
	k.id = (*idempotencyRow)(value).id()
	delivered := inboxKey(r, k.id)
	if _, k.delivered, err = c.getWide(&delivered); err != nil || k.delivered {
		return k, err
	}
	if k.delivered, err = c.isDeleted(r, k.id); err != nil || k.delivered {
		return k, err
	}
	rej, ok, err := c.rejection(r, k.id)
	k.rejected, k.at = ok && rej.Idempotency == key, rej.At
	return k, err
}

// importKey takes a key that has a message here, unless it is rather the message's that has it.
func (s *State) importKey(c *change, r wire.Recipient, row *wire.Row) error {
	key := wideKey(row.Key)
	comes, err := c.keyed(r, key.tail(), row.Value)
	if err != nil || !comes.delivered && !comes.rejected {
		return err
	}
	value, ok, err := c.getWide(&key)
	if err != nil {
		return err
	}
	if ok {
		has, err := c.keyed(r, key.tail(), append([]byte(nil), value...))
		if err != nil || !comes.beats(&has) {
			return err
		}
	}
	return c.set(row.Key, row.Value)
}
