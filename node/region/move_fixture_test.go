package region

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// newRegions opens states that mint different ids.
func newRegions(t testing.TB, names ...wire.RegionID) (list []*fixture) {
	t.Helper()
	coder := newCoder(t)
	for i, name := range names {
		f := openFixture(t, testConfig(vfs.NewMem(), name, coder))
		f.minted = uint64(i) << 32
		list = append(list, f)
	}
	return list
}

// moveOf reads the answer of a command about a move.
func (f *fixture) moveOf(body []byte) wire.Move {
	f.t.Helper()
	var m wire.Move
	if err := wire.Decode(body, &m); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// intend logs that a citizen moves, as an operator does.
func (f *fixture) intend(code fiscalcode.Code, to wire.RegionID) wire.Move {
	f.t.Helper()
	return f.moveOf(f.must(wire.CmdMoveIntent,
		&wire.MoveIntent{Recipient: f.hasher.Recipient(code), To: to}))
}

// leaving and coming are the steps of a move in the old owner's and the new one's log.
func leaving(m wire.Move) *wire.MoveStep {
	return &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch, Region: m.To}
}

func coming(m wire.Move) *wire.MoveStep {
	return &wire.MoveStep{Recipient: m.Recipient, Epoch: m.Epoch, Region: m.Region}
}

// fence intends and fences.
func (f *fixture) fence(code fiscalcode.Code, to wire.RegionID) wire.Move {
	f.t.Helper()
	m := f.intend(code, to)
	f.must(wire.CmdMoveFence, leaving(m))
	return m
}

// page exports what comes after a cursor.
func (f *fixture) page(m wire.Move, at []byte) *wire.MovePage {
	f.t.Helper()
	page, err := f.ExportMove(m.Recipient, at)
	if err != nil {
		f.t.Fatal(err)
	}
	page.Epoch, page.From = m.Epoch, m.Region
	return page
}

// take logs a page at the new owner.
func (f *fixture) take(page *wire.MovePage) (p wire.MoveProgress) {
	f.t.Helper()
	if err := wire.Decode(f.must(wire.CmdMovePage, page), &p); err != nil {
		f.t.Fatal(err)
	}
	return p
}

// moveAll takes pages until the new owner has everything, and returns how many there were.
func moveAll(from, to *fixture, m wire.Move) (pages int) {
	from.t.Helper()
	var p wire.MoveProgress
	for !p.Owned {
		p = to.take(from.page(m, p.Next))
		if pages++; pages > 1000 {
			from.t.Fatal("the pages have no end")
		}
	}
	return pages
}

// move moves a citizen.
func move(from, to *fixture, code fiscalcode.Code) wire.Move {
	from.t.Helper()
	m := from.fence(code, to.cfg.Region)
	to.now = from.now
	moveAll(from, to, m)
	from.must(wire.CmdMoveDone, leaving(m))
	return m
}

// eraseRemains does what is due of citizens who moved away.
func (f *fixture) eraseRemains() {
	f.t.Helper()
	list, err := f.DueRemains(f.now, 100)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range list {
		for more := true; more; {
			var e wire.MoveErased
			err := wire.Decode(f.must(wire.CmdMoveErase, &wire.MoveErase{Recipient: r}), &e)
			if err != nil {
				f.t.Fatal(err)
			}
			more = e.More
		}
	}
	blocks, err := f.DueErasures(f.now, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range blocks {
		f.must(wire.CmdErase, &blocks[i])
	}
}

func (f *fixture) wantMoved(err error, to wire.RegionID, epoch wire.Epoch) {
	f.t.Helper()
	if e := wire.AsError(err); err == nil || e.Code != wire.Moved || e.Region != to ||
		e.Epoch != epoch {
		f.t.Errorf("got %+v, want moved to %q at epoch %d", e, to, epoch)
	}
}

// settler is a citizen with something of every kind, who shares blocks with a neighbour.
type settler struct {
	code      fiscalcode.Code
	token     wire.TokenHash
	more      []wire.TokenHash // of the set
	delivered []wire.Record    // in log order
	rejected  []wire.Record
	neighbour []wire.Record
	deleted   []wire.Record
}

const otherService wire.ServiceID = "01ARZ3NDEKTSV4RRFFQ69G5FAW"

func settle(f *fixture, name string, blocks int) *settler {
	f.t.Helper()
	p := &settler{code: codeOf(name)}
	next := codeOf(name + "'s neighbour")
	f.activate(next)
	f.own(p.code)
	p.token = f.login(p.code)
	f.update(p.token, wire.ProfileUpdate{AcceptedTos: 1, SetMode: true, Mode: wire.Auto})
	f.must(wire.CmdSetPreference, &wire.SetPreference{Token: p.token,
		Preference: wire.Preference{Service: otherService, Email: true, ReadStatus: wire.No}})
	for i := range blocks {
		one := f.keyed(f.message(p.code, someService, fmt.Sprintf("%s-%d", name, i)),
			fmt.Sprintf("key-%d", i))
		two := f.message(p.code, someService, fmt.Sprintf("%s-%d bis", name, i))
		if i == 0 && f.ActiveVersion() >= wire.VersionArrivals {
			two = aged(two, 20*time.Minute) // has waited in a spool
		}
		no := f.keyed(f.message(p.code, otherService, marker), fmt.Sprintf("no-%d", i))
		near := f.message(next, someService, fmt.Sprintf("neighbour-%d", i))
		near.Content = content(fmt.Sprintf("VICINO %d", i))
		// The later id comes first: log order is not the order of ids.
		f.wantOutcomes("settling", f.submit(near, two, no, one), decided(near.ID, processed),
			decided(two.ID, processed), decided(no.ID, serviceNotAllowed),
			decided(one.ID, processed))
		p.delivered = append(p.delivered, two, one)
		p.rejected = append(p.rejected, no)
		p.neighbour = append(p.neighbour, near)
	}
	if f.ActiveVersion() >= wire.CmdSetMessageStatus.Since() && blocks > 0 {
		f.mark(p.token, p.delivered[0], true, wire.Yes)
		f.mark(p.token, p.delivered[1], false, wire.Yes)
		f.mark(p.token, p.delivered[1], false, wire.No)
		gone := f.keyed(f.message(p.code, someService, "deleted"), "deleted")
		f.submit(gone)
		f.must(wire.CmdDeleteMessage, &wire.DeleteMessage{Token: p.token, ID: gone.ID})
		p.deleted = append(p.deleted, gone)
	}
	if f.ActiveVersion() >= wire.CmdOpenSession.Since() {
		for i := range 3 {
			p.more = append(p.more, f.open(p.code, fmt.Sprint(name, " device ", i)))
		}
	}
	return p
}

func (f *fixture) wholeInbox(token wire.TokenHash) (list []wire.InboxItem) {
	f.t.Helper()
	q := wire.ListInbox{Token: token, Size: wire.PageMax}
	for {
		page, err := f.ListInbox(q, f.now)
		if err != nil {
			f.t.Fatal(err)
		}
		list = append(list, page.Items...)
		if !page.More {
			return list
		}
		q.Before = list[len(list)-1].ID
	}
}

// checkAllThere reads everything of a citizen at the owner.
func (f *fixture) checkAllThere(p *settler) {
	f.t.Helper()
	r := f.hasher.Recipient(p.code)
	for _, m := range p.delivered {
		f.checkReadable(p.token, m)
		f.wantOutcomes("a retry", f.submit(m), decided(m.ID, processed))
		again := m
		if !m.Idempotency.IsZero() {
			again.ID = f.id()
			f.wantOutcomes("the same key", f.submit(again), decided(m.ID, processed))
			again.Digest[0]++
			f.wantOutcomes("another body", f.submit(again), wire.Outcome{Kind: wire.KeyConflict})
		}
		view, err := f.FindMessage(wire.FindMessage{Recipient: r, ID: m.ID})
		if err != nil || view.Verdict != processed || view.Content == nil {
			f.t.Errorf("the sender of %v finds %+v, %v", m.ID, view, err)
		}
	}
	for _, m := range p.rejected {
		f.wantOutcomes("a retry", f.submit(f.redact(m)), decided(m.ID, serviceNotAllowed))
		again := f.redact(m)
		again.ID = f.id()
		f.wantOutcomes("the same key", f.submit(again), decided(m.ID, serviceNotAllowed))
		view, err := f.FindMessage(wire.FindMessage{Recipient: r, ID: m.ID})
		if err != nil || view.Verdict != serviceNotAllowed {
			f.t.Errorf("the sender of %v finds %+v, %v", m.ID, view, err)
		}
	}
	for _, m := range p.deleted {
		f.checkDeleted(p.token, m)
	}
	placed, err := f.Messages(r)
	if err != nil || len(placed) != len(p.delivered) {
		f.t.Fatalf("%d messages, %v; want %d", len(placed), err, len(p.delivered))
	}
	for i := range placed {
		if placed[i].ID != p.delivered[i].ID {
			f.t.Errorf("message %d in log order is %v, want %v", i, placed[i].ID,
				p.delivered[i].ID)
		}
	}
	f.checkCaches()
}

// leavesOf are the leaves of a citizen's messages, by id.
func leavesOf(f *fixture, r wire.Recipient) map[wire.MessageID]wire.Leaf {
	f.t.Helper()
	placed, err := f.Messages(r)
	if err != nil {
		f.t.Fatal(err)
	}
	leaves := map[wire.MessageID]wire.Leaf{}
	for _, p := range placed {
		leaves[p.ID] = f.block(p.Block).Leaf(p.Position)
	}
	return leaves
}

// holds counts the rows and the records that hold a text, blocks as a reader sees them.
func (f *fixture) holds(text string) (n int) {
	f.t.Helper()
	for k, v := range f.rows() {
		if k[0] != blockPrefix {
			if strings.Contains(k, text) || strings.Contains(v, text) {
				n++
			}
			continue
		}
		b, err := f.coder.Decode([]byte(v))
		if err != nil {
			f.t.Fatal(err)
		}
		for i := range b.Records {
			rec := &b.Records[i]
			if bytes.Contains(rec.Content, []byte(text)) || string(rec.FiscalCode) == text {
				n++
			}
		}
	}
	return n
}
