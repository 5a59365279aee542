package region

import (
	"encoding/binary"

	"github.com/staffetta/staffetta/wire"
)

// The first byte of a key says what it holds. All numbers are big endian, so keys sort as they
// count. No key holds a fiscal code. What becomes of each kind of row is in rowkinds.go.
//
//	D <recipient 16> <id 16>             message that its citizen deleted
//	a <slot 2>                           anchor slot: epoch, and whether it is held
//	b <index 8>                          block: its frame, as it travelled
//	c                                    what copies of the state are sealed with
//	d j <time 8> <index 8>               due: the rejections that an entry decided
//	d m <time 8> <recipient 16>          due: what remains of a citizen who moved away
//	d s <time 8> <token hash 32>         due: the end of a session
//	d x <index 8>                        due: what to erase from a block, in order of time
//	e, e <number 8>                      what operators read, see reads.go
//	f <recipient 16> <id 16>             message that arrived late: when
//	g                                    comparison with the directory, of a restored region
//	h <recipient 16> <session id 16>     a session of the citizen's set: its token hash
//	i <recipient 16> <id 16>             inbox row of a delivered message
//	j <recipient 16> <id 16>             rejected message
//	k <recipient 16> <idempotency 16>    idempotency key: message id and request digest
//	l <recipient 16>                     the citizen has locked access
//	m c <recipient 16>                   what was fetched from an earlier owner: how far it is
//	m i <recipient 16>                   a move to here: how far it is, or that it was refused
//	m o <recipient 16>                   a move away from here: how far it is
//	m r <recipient 16>                   what remains of a citizen who moved away: since when
//	m t <token hash 32>                  session that left with its citizen
//	n                                    the clock
//	o <recipient 16>                     ownership, and the standing of its citizen
//	p <recipient 16> <version 8> <service>  preference under a settings version
//	r <recipient 16>                     registry: the profile
//	s <token hash 32>                    session
//	t <recipient 16>                     the session that a Login opened: its token hash
//	u <recipient 16> <id 16>             a message's status: read, archived
//	v                                    the group's active version
//	w <recipient 16>                     work pending for the leader
//	x, y, z                              the spool and region keys, see spool.go
const (
	deletedPrefix     = 'D'
	slotPrefix        = 'a'
	blockPrefix       = 'b'
	copyKeyPrefix     = 'c'
	duePrefix         = 'd'
	latePrefix        = 'f'
	restorePrefix     = 'g'
	memberPrefix      = 'h'
	inboxPrefix       = 'i'
	rejectedPrefix    = 'j'
	idempotencyPrefix = 'k'
	lockPrefix        = 'l'
	movePrefix        = 'm'
	clockPrefix       = 'n'
	ownerPrefix       = 'o'
	preferencePrefix  = 'p'
	profilePrefix     = 'r'
	sessionPrefix     = 's'
	currentPrefix     = 't'
	statusPrefix      = 'u'
	versionPrefix     = 'v'
	pendingPrefix     = 'w'

	dueRejected = 'j'
	dueRemains  = 'm'
	dueSession  = 's'
	dueErasure  = 'x'
)

// wideKey is a key of one byte and twice sixteen: rows of messages and idempotency keys, which
// are looked up for every record and must not cost an allocation each.
type wideKey [33]byte

func newWideKey(prefix byte, r wire.Recipient, tail [16]byte) (k wideKey) {
	k[0] = prefix
	copy(k[1:], r[:])
	copy(k[17:], tail[:])
	return k
}

func inboxKey(r wire.Recipient, id wire.MessageID) wideKey {
	return newWideKey(inboxPrefix, r, id)
}

func rejectedKey(r wire.Recipient, id wire.MessageID) wideKey {
	return newWideKey(rejectedPrefix, r, id)
}

func statusKey(r wire.Recipient, id wire.MessageID) []byte {
	k := newWideKey(statusPrefix, r, id)
	return k[:]
}

func idempotencyKey(r wire.Recipient, i wire.Idempotency) wideKey {
	return newWideKey(idempotencyPrefix, r, i)
}

// tail is the id or idempotency key that the key ends with.
func (k *wideKey) tail() [16]byte { return [16]byte(k[17:]) }

// isWide reports whether key has the form of a wideKey of messages.
func isWide(key []byte) bool {
	return len(key) == len(wideKey{}) && wideKinds[key[0]]
}

func recipientKey(prefix byte, r wire.Recipient) []byte {
	return append(append(make([]byte, 0, 17), prefix), r[:]...)
}

func slotKey(s wire.Slot) []byte {
	return binary.BigEndian.AppendUint16([]byte{slotPrefix}, uint16(s))
}

func blockKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), blockPrefix), index)
}

func clockKey() []byte { return []byte{clockPrefix} }

func versionKey() []byte { return []byte{versionPrefix} }

func sessionKey(t wire.TokenHash) []byte {
	return append(append(make([]byte, 0, 33), sessionPrefix), t[:]...)
}

// preferencesKey begins every preference of a citizen under one settings version.
func preferencesKey(r wire.Recipient, version int64) []byte {
	k := append(append(make([]byte, 0, 64), preferencePrefix), r[:]...)
	return binary.BigEndian.AppendUint64(k, uint64(version))
}

func preferenceKey(r wire.Recipient, version int64, service wire.ServiceID) []byte {
	return append(preferencesKey(r, version), service...)
}

// dueKey begins with kind and time; tail makes it unique.
func dueKey(kind byte, at wire.Time, tail []byte) []byte {
	k := append(make([]byte, 0, 10+len(tail)), duePrefix, kind)
	return append(binary.BigEndian.AppendUint64(k, uint64(at)), tail...)
}

func dueRejectedKey(at wire.Time, index uint64) []byte {
	return dueKey(dueRejected, at, binary.BigEndian.AppendUint64(nil, index))
}

func dueSessionKey(at wire.Time, t wire.TokenHash) []byte { return dueKey(dueSession, at, t[:]) }

// dueRange holds everything of a kind that is due at now or before.
func dueRange(kind byte, now wire.Time) (lower, upper []byte) {
	return []byte{duePrefix, kind}, dueKey(kind, max(now, 0)+1, nil)
}

// erasureKey has no time: a block's index grows with it.
func erasureKey(block uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{duePrefix, dueErasure}, block)
}

// after is the smallest key above every key that begins with prefix, whose last byte is not 255.
func after(prefix []byte) []byte {
	k := append([]byte(nil), prefix...)
	for i := len(k) - 1; i >= 0; i-- {
		if k[i]++; k[i] != 0 {
			return k[:i+1]
		}
	}
	return nil // all bytes were 255: no upper bound; printable prefixes never are
}
