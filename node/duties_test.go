package node

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// soleGroup is a group of one: what is proposed is applied at once.
type soleGroup struct {
	state *region.State
	index uint64
}

func (g *soleGroup) Propose(_ context.Context, data []byte) (any, error) {
	g.index++
	results, err := g.state.Apply([]wire.LogEntry{{Index: g.index, Term: 1, Data: data}})
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

// TestEraseDue has more blocks with refused content than one batch holds: one look erases all.
func TestEraseDue(t *testing.T) {
	key := wire.DirectoryKey{7}
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	state, err := region.Open(region.Config{Region: "lazio", Hasher: wire.NewHasher(key),
		Coder: coder, Store: store.Config{Dir: "state", FS: vfs.NewMem(),
			Identity: store.Identity{Federation: "italia"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	group := &soleGroup{state: state}
	now := wire.TimeOf(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
	clock := func() wire.Time { return now }
	q := seat.NewQueue(group, stampAt(clock))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	n := &citizens{Seat: &seat.Seat{Region: state, RegionQueue: q}}

	code, token := fiscalcode.Code("RSSMRA80A01H501U"), wire.TokenHash{1}
	to := wire.NewHasher(key).Recipient(code)
	for _, step := range []error{
		q.Do(ctx, wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{to.Slot()}}, nil),
		q.Do(ctx, wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: to}, nil),
		q.Do(ctx, wire.CmdImport, &wire.Import{Recipient: to, Epoch: 1}, nil),
		q.Do(ctx, wire.CmdLogin, &wire.Login{Session: wire.Session{Token: token,
			FiscalCode: code, ExpiresAt: now.Add(time.Hour)}}, nil),
		q.Do(ctx, wire.CmdSetProfile, &wire.SetProfile{Token: token,
			Update: wire.ProfileUpdate{AcceptedTos: 1}}, nil),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	record := func() *wire.Record {
		return &wire.Record{ID: wire.NewMessageID(now, 1), Service: "SERVICE", FiscalCode: code,
			Content: wire.Encode(&wire.Content{Subject: "Un avviso di prova"})}
	}
	last := record()
	for range 3*erasuresBatch + 1 { // each with a second copy of the one before
		next := record()
		var b wire.Builder
		b.Add(last)
		b.Add(next)
		last = next
		_, err := group.Propose(ctx, wire.EncodeEntry(wire.BlockEntry, now, b.Seal(coder)))
		if err != nil {
			t.Fatal(err)
		}
	}
	later := now.Add(25 * time.Hour)
	if due, err := state.DueErasures(later, 1); err != nil || len(due) != 1 {
		t.Fatalf("%d blocks are due, %v: want one of many", len(due), err)
	}
	if err := n.eraseDue(ctx, later); err != nil {
		t.Fatal(err)
	}
	if due, err := state.DueErasures(later, 1); err != nil || len(due) != 0 {
		t.Errorf("%d blocks are still due, %v", len(due), err)
	}
}

func stampAt(now func() wire.Time) func(context.Context, wire.EntryKind, []byte) ([]byte, error) {
	return func(_ context.Context, kind wire.EntryKind, body []byte) ([]byte, error) {
		return wire.EncodeEntry(kind, now(), body), nil
	}
}
