package region

import (
	"encoding/binary"
	"math/bits"

	"github.com/staffetta/staffetta/wire"
)

// recent answers for a fresh message id, without the disk, that it is not in the state. Message
// ids begin with their time, and all ids from some time on are held here, as fingerprints: who
// has none is certainly unknown. The opposite needs a look at the rows.
//
// It is owned by Apply.
type recent struct {
	max        int
	since      wire.Time // all ids of this time and later are held
	young, old map[uint64]struct{}
	newest     [2]wire.Time // of young and old
}

func newRecent(bytes int64) *recent {
	r := &recent{max: int(bytes / recentBytes)}
	r.reset(0)
	return r
}

// reset begins anew on a state whose ids have at most the time newest.
func (f *recent) reset(newest wire.Time) {
	f.since, f.newest = newest+1, [2]wire.Time{newest, newest}
	f.young, f.old = map[uint64]struct{}{}, map[uint64]struct{}{}
}

// unknown reports that no row of r has the id, for certain.
func (f *recent) unknown(r wire.Recipient, id wire.MessageID) bool {
	if id.Time() < f.since {
		return false
	}
	k := fingerprint(r, id)
	if _, ok := f.young[k]; ok {
		return false
	}
	_, ok := f.old[k]
	return !ok
}

// add notes a row for id.
func (f *recent) add(r wire.Recipient, id wire.MessageID) {
	at := id.Time()
	if at < f.since {
		return // such ids are looked up anyway
	}
	if len(f.young) >= max(f.max/2, 1) {
		f.since = max(f.since, f.newest[1]+1)
		f.young, f.old = f.old, f.young
		f.newest[0], f.newest[1] = 0, f.newest[0]
		clear(f.young)
	}
	f.young[fingerprint(r, id)] = struct{}{}
	f.newest[0] = max(f.newest[0], at)
}

// fingerprint mixes citizen and id. Two that collide cost a look-up, no more.
func fingerprint(r wire.Recipient, id wire.MessageID) uint64 {
	h, l := bits.Mul64(binary.LittleEndian.Uint64(id[8:])^0x9e3779b97f4a7c15,
		binary.LittleEndian.Uint64(id[:])^binary.LittleEndian.Uint64(r[:8]))
	return h ^ l ^ binary.LittleEndian.Uint64(r[8:])
}
