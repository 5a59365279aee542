package region

import (
	"bytes"
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// rowKind defines a kind of row: whose it is, and what becomes of it when its citizen moves, is
// fetched again after a restore, and is erased. Whatever walks over a citizen's rows loops over the
// table of these, so a kind that is new needs one entry. Where a step is nil the entry says why.
type rowKind struct {
	prefix, second byte // what its keys begin with, see keys.go; second 0: any byte
	of             rowOwner
	value          codec.Message // an empty row; nil where the value is bytes
	wide           bool          // its keys are wideKeys
	byToken        bool          // its keys have a session's token in place of the citizen
	// since is the version of the log from which on pages hold such rows; 0: any. What an older
	// program refused is refused below it.
	since uint32

	// export adds the citizen's rows above a key to a page of a move or a copy.
	export func(e *export, k *rowKind, above []byte) (full bool, err error)
	stays  string // export is nil: what the new owner has instead
	// asRecord: it travels as a record of the page's block, from which the new owner makes it anew.
	// It has no check, take and fill then.
	asRecord    bool
	copiedFirst bool // a copy begins with it

	// check accepts a row from another region. Its citizen is checked already, unless byToken.
	check func(p *pageCheck, row *wire.Row) (ok bool, err error)
	// take stores a row that was checked, on a move: the old owner's word is the newer one.
	take func(t *taking, row *wire.Row) error
	// fill stores a row that was checked, on a copy: what is here is the newer one, and stays.
	fill func(t *taking, row *wire.Row) error
	lost string // fill is nil: why it is not fetched after a restore

	// erase removes what remains of a citizen who moved away.
	erase       func(e *erasure, k *rowKind) error
	erasedFirst bool
	gone        string // erase is nil: what has removed it when the erasure ends
	kept        string // why a row may be there after the erasure
}

type rowOwner uint8

const (
	_         rowOwner = iota // forgotten
	ofCitizen                 // it is there because of one citizen
	ofRegion
)

// rowKinds is in the order of an export, which matters: the new owner takes an idempotency key only
// once it has its message, and the last page ends the move. It is the order of an erasure too: the
// forward of a session is found by the row of the current one, and goes before it.
var rowKinds = []rowKind{
	{prefix: inboxPrefix, of: ofCitizen, value: &inboxRow{}, wide: true,
		export: (*export).messages, asRecord: true, erase: (*erasure).messages},
	{prefix: rejectedPrefix, of: ofCitizen, value: &rejectedRow{}, wide: true,
		export: (*export).rows, check: (*pageCheck).rejection,
		take: (*taking).unlessHere, fill: (*taking).unlessKnown, erase: (*erasure).rows},
	{prefix: deletedPrefix, of: ofCitizen, value: &deletedRow{}, wide: true,
		since:  wire.CmdDeleteMessage.Since(),
		export: (*export).rows, check: (*pageCheck).deleted,
		take: (*taking).deleted, fill: (*taking).missingDeleted, erase: (*erasure).rows},
	{prefix: idempotencyPrefix, of: ofCitizen, wide: true,
		export: (*export).rows, check: (*pageCheck).idempotency,
		take: (*taking).idempotency, fill: (*taking).unlessHere,
		// Keys before what they lead to: a copy of the state that is made in the middle has none
		// that leads nowhere.
		erase: (*erasure).rows, erasedFirst: true},
	{prefix: statusPrefix, of: ofCitizen, value: &wire.MessageStatus{},
		since:  wire.CmdSetMessageStatus.Since(),
		export: (*export).rows, check: (*pageCheck).status,
		take: (*taking).ofMessage, fill: (*taking).missingOfMessage,
		erase: (*erasure).rows, erasedFirst: true}, // as of idempotency keys
	{prefix: latePrefix, of: ofCitizen, value: &lateRow{}, since: wire.VersionArrivals,
		export: (*export).rows, check: (*pageCheck).late,
		take: (*taking).ofMessage, fill: (*taking).missingOfMessage,
		erase: (*erasure).rows, erasedFirst: true}, // as of idempotency keys
	{prefix: preferencePrefix, of: ofCitizen, value: &wire.Preference{},
		export: (*export).rows, check: (*pageCheck).preference,
		take: (*taking).preference, fill: (*taking).missingPreference,
		erase: (*erasure).preferences},
	{prefix: movePrefix, second: moveToken, of: ofCitizen, value: &forwardRow{}, byToken: true,
		stays: "its session goes along", erase: (*erasure).forwards,
		kept: "until the session's time the token names this region; nothing in it names anybody"},
	{prefix: currentPrefix, of: ofCitizen,
		stays: "the new owner makes it with the session", erase: (*erasure).one},
	{prefix: movePrefix, second: moveCopied, of: ofCitizen, value: &copyRow{},
		stays: "it says what came to this region", erase: (*erasure).one},
	{prefix: profilePrefix, of: ofCitizen, value: &profileRow{},
		export: (*export).one, check: (*pageCheck).profile,
		// A preference is nothing without its profile, and whether that is taken is decided with
		// the first page of a copy.
		copiedFirst: true,
		take:        (*taking).asItIs, fill: (*taking).missingProfile, erase: (*erasure).one},
	{prefix: sessionPrefix, of: ofCitizen, value: &wire.Session{}, byToken: true,
		export: (*export).session, check: (*pageCheck).session, copiedFirst: true,
		take: (*taking).session, lost: "its citizen logs in again, as after any restore",
		gone: "the fence turns it into a forward"},
	// It travels as the session that it leads to.
	{prefix: memberPrefix, of: ofCitizen,
		since:  wire.CmdOpenSession.Since(),
		export: (*export).members, check: (*pageCheck).member, copiedFirst: true,
		take: (*taking).member, lost: "its citizen logs in again, as after any restore",
		erase: (*erasure).rows},

	{prefix: lockPrefix, of: ofCitizen, value: &lockRow{},
		since:  wire.CmdLockAccess.Since(),
		export: (*export).one, check: (*pageCheck).lock, copiedFirst: true,
		// Of a lock that was lost the citizen is to be on the safe side.
		take: (*taking).asItIs, fill: (*taking).missing, erase: (*erasure).one},

	{prefix: ownerPrefix, of: ofCitizen, value: &ownerRow{},
		stays: "the new owner makes its own", kept: "the mark says for ever who has the code"},
	{prefix: pendingPrefix, of: ofCitizen, value: &pendingRow{},
		stays: "it is work of this region's leader", gone: "the fence removes it"},
	{prefix: movePrefix, second: moveIn, of: ofCitizen, value: &moveInRow{},
		stays: "it says how far a move to here is",
		gone:  "the move's end, the erasure's last step, or moveForget removes it"},
	{prefix: movePrefix, second: moveOut, of: ofCitizen, value: &wire.Move{},
		stays: "it says how far the move from here is", gone: "the move's end removes it"},
	{prefix: movePrefix, second: moveRemains, of: ofCitizen, value: &remainsRow{},
		stays: "it has this region erase", gone: "the erasure's last step removes it"},
	{prefix: duePrefix, second: dueRemains, of: ofCitizen,
		stays: "it has this region erase", gone: "the erasure's last step removes it"},
	{prefix: duePrefix, second: dueSession, of: ofCitizen, byToken: true,
		stays: "the new owner makes it with the session", kept: "at its time the forward goes"},
	{prefix: stubPrefix, of: ofCitizen, value: &stubRow{},
		stays: "senders ask the region that spooled", kept: "for retries and reads, until its time"},
	{prefix: stubKeyPrefix, of: ofCitizen,
		stays: "senders ask the region that spooled", kept: "as long as its stub"},

	{prefix: slotPrefix, of: ofRegion},
	{prefix: blockPrefix, of: ofRegion}, // a record leaves with its inbox row, see erase.go
	{prefix: copyKeyPrefix, of: ofRegion, value: &wire.CopyKey{}},
	{prefix: duePrefix, second: dueRejected, of: ofRegion,
		kept: "at its time it goes; no row is where it leads"},
	{prefix: duePrefix, second: dueErasure, of: ofRegion, value: &erasureRow{}},
	{prefix: duePrefix, second: dueStub, of: ofRegion, kept: "at its time the stubs go"},
	{prefix: readsPrefix, of: ofRegion, value: &wire.AuditLine{}},
	{prefix: restorePrefix, of: ofRegion, value: &restoreRow{}},
	{prefix: clockPrefix, of: ofRegion, value: &clock{}},
	{prefix: versionPrefix, of: ofRegion},
	{prefix: spoolPrefix, second: spoolBlocks, of: ofRegion, value: &spoolBlockRow{},
		kept: "it is sealed for the owner, who decides"},
	{prefix: spoolPrefix, second: spoolQueues, of: ofRegion, value: &spoolQueueRow{}},
	{prefix: spoolPrefix, second: spoolTotals, of: ofRegion, value: &spoolTotalRow{}},
	{prefix: spoolPrefix, second: spoolCounterRow, of: ofRegion, value: &spoolCounter{}},
	{prefix: spoolPrefix, second: spoolRegionKeys, of: ofRegion, value: &wire.PrivateRegionKey{}},
}

// wideKinds are the prefixes of wide keys. It is filled by init, because what the table names
// writes rows, and whoever writes one looks here.
var wideKinds [256]bool

func init() {
	for i := range rowKinds {
		wideKinds[rowKinds[i].prefix] = rowKinds[i].wide
	}
}

// kindOf is the kind of a key's row; nil for none.
func kindOf(key []byte) *rowKind {
	for i := range rowKinds {
		if k := &rowKinds[i]; bytes.HasPrefix(key, k.begins()) {
			return k
		}
	}
	return nil
}

// begins is what the kind's keys begin with.
func (k *rowKind) begins() []byte {
	if k.second == 0 {
		return []byte{k.prefix}
	}
	return []byte{k.prefix, k.second}
}

// key begins the keys of a citizen's rows, or is the only one's.
func (k *rowKind) key(r wire.Recipient) []byte { return append(k.begins(), r[:]...) }

// moveStages and copyStages are the kinds that an export goes through.
var (
	moveStages = kindsWith(func(k *rowKind) bool { return k.export != nil }, nil)
	copyStages = kindsWith(func(k *rowKind) bool { return k.export != nil },
		func(k *rowKind) bool { return k.copiedFirst })
)

// eraseStages are the kinds that an erasure goes through.
func eraseStages(version uint32) []*rowKind {
	has := func(k *rowKind) bool { return k.erase != nil }
	if version < wire.VersionOwners {
		return kindsWith(has, nil)
	}
	return kindsWith(has, func(k *rowKind) bool { return k.erasedFirst })
}

// kindsWith are the kinds that have a step, in the table's order but for those that come first.
func kindsWith(has, first func(*rowKind) bool) (list []*rowKind) {
	for i := range rowKinds {
		if k := &rowKinds[i]; has(k) {
			list = append(list, k)
		}
	}
	if first != nil {
		slices.SortStableFunc(list, func(a, b *rowKind) int {
			switch {
			case first(a) == first(b):
				return 0
			case first(a):
				return -1
			}
			return 1
		})
	}
	return list
}
