package region

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestMoveIntents: who may be moved, and what each order that cannot be followed is told.
func TestMoveIntents(t *testing.T) {
	f := newFixture(t, "lazio")
	p := settle(f, "anna", 1)
	r := f.hasher.Recipient(p.code)
	claimed := f.hasher.Recipient(codeOf("bruno"))
	f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: claimed})
	unknown := f.hasher.Recipient(codeOf("carla"))
	intent := func(r wire.Recipient, token wire.TokenHash, to wire.RegionID) *wire.MoveIntent {
		return &wire.MoveIntent{Recipient: r, Token: token, To: to}
	}
	none := wire.TokenHash{}
	for _, tc := range []struct {
		name string
		m    *wire.MoveIntent
		want wire.Code
	}{
		{"no citizen", intent(wire.Recipient{}, none, "sicilia"), wire.Malformed},
		{"session and recipient", intent(r, p.token, "sicilia"), wire.Malformed},
		{"no region", intent(r, none, ""), wire.Malformed},
		{"no name of a region", intent(r, none, "Sicilia!"), wire.Malformed},
		{"claim pending", intent(claimed, none, "sicilia"), wire.Conflict},
		{"unclaimed", intent(unknown, none, "sicilia"), wire.Conflict},
		{"no session", intent(wire.Recipient{}, tokenOf("x"), "sicilia"), wire.Unauthenticated},
	} {
		t.Run(tc.name, func(t *testing.T) { f.refuse(tc.want, wire.CmdMoveIntent, tc.m) })
	}
	f.refuse(wire.Conflict, wire.CmdMoveAbort, &wire.MoveRef{Recipient: r})
	f.refuse(wire.Conflict, wire.CmdMoveFence, &wire.MoveStep{Recipient: r, Epoch: 2,
		Region: "sicilia"})

	before := f.rows()
	got := f.moveOf(f.must(wire.CmdMoveIntent, intent(r, none, "lazio")))
	if want := (wire.Move{Recipient: r, Region: "lazio", Epoch: 1}); got != want {
		t.Errorf("to where the citizen is: %+v, want %+v", got, want)
	}
	if diff := diffRows(f.rows(), before); diff != "" {
		t.Errorf("a move to where the citizen is changed: %s", diff)
	}
	// By the citizen's session; again and by an operator, it is the same move.
	first := f.moveOf(f.must(wire.CmdMoveIntent, intent(wire.Recipient{}, p.token, "sicilia")))
	f.now = f.now.Add(time.Hour)
	if again := f.intend(p.code, "sicilia"); again != first {
		t.Errorf("the same order again: %+v, want %+v", again, first)
	}
	for _, ref := range []wire.MoveRef{{Token: p.token}, {Recipient: r}} {
		if got, err := f.Move(ref, f.now); err != nil || *got != first {
			t.Errorf("how it stands: %+v, %v; want %+v", got, err, first)
		}
	}
	f.refuse(wire.Conflict, wire.CmdMoveIntent, intent(r, none, "veneto"))
	f.refuse(wire.Conflict, wire.CmdMoveFence, &wire.MoveStep{Recipient: r, Epoch: 3,
		Region: "sicilia"})
	f.refuse(wire.Conflict, wire.CmdMoveFence, &wire.MoveStep{Recipient: r, Epoch: 2,
		Region: "veneto"})
	f.refuse(wire.Conflict, wire.CmdMoveDone, leaving(first)) // not fenced
	f.must(wire.CmdMoveFence, leaving(first))
	if got, err := f.Move(wire.MoveRef{Token: p.token}, f.now); err != nil ||
		got.State != wire.MoveFenced {
		t.Errorf("how it stands behind the fence: %+v, %v", got, err)
	}
	f.wantMoved(f.refuse(wire.Moved, wire.CmdMoveIntent,
		intent(wire.Recipient{}, p.token, "sicilia")), "", 0)
	f.must(wire.CmdMoveAbort, &wire.MoveRef{Recipient: r})
	f.refuse(wire.Conflict, wire.CmdMoveIntent, intent(r, none, "sicilia"))
	if list, err := f.Moves(10); err != nil || len(list) != 1 || !list[0].Aborting {
		t.Errorf("moves to drive: %+v, %v", list, err)
	}
}

// TestTokenOfAnother: a session that is handed over takes nobody else's place.
func TestTokenOfAnother(t *testing.T) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	p := settle(lazio, "anna", 1)
	other := codeOf("bruno")
	sicilia.own(other)
	login := sicilia.loginAs(other, p.token)
	sicilia.must(wire.CmdLogin, &login)
	move(lazio, sicilia, p.code)
	got, err := sicilia.Session(p.token, sicilia.now)
	if err != nil || got.FiscalCode != other {
		t.Errorf("the session of a token that was taken: %+v, %v", got, err)
	}
	second := sicilia.loginAs(p.code, tokenOf("another"))
	sicilia.must(wire.CmdLogin, &second)
	p.token = second.Session.Token
	sicilia.checkAllThere(p)
}

// TestPagesAreChecked hands over what no honest region would: a page may write the citizen's rows
// only, and nothing that would stop a replica later.
func TestPagesAreChecked(t *testing.T) {
	for _, raised := range []bool{false, true} {
		t.Run("raised "+strconv.FormatBool(raised), func(t *testing.T) { pagesAreChecked(t, raised) })
	}
}

func pagesAreChecked(t *testing.T, raised bool) {
	regions := newRegions(t, "lazio", "sicilia")
	lazio, sicilia := regions[0], regions[1]
	if raised {
		lazio.raise()
		sicilia.raise()
	}
	p := settle(lazio, "anna", 2)
	m := lazio.fence(p.code, "sicilia")
	whole := lazio.page(m, nil)
	if raised { // a lock, under which there would be less
		whole.Rows = append(whole.Rows, wire.Row{Key: recipientKey(lockPrefix, m.Recipient),
			Value: wire.Encode(&lockRow{Proof: wire.Proof{1}})})
	}
	good := wire.Encode(whole)
	other := lazio.hasher.Recipient(codeOf("anna's neighbour"))
	excerpt := func(records ...wire.Record) []byte {
		b, err := lazio.coder.Decode(lazio.seal(records...))
		if err != nil {
			t.Fatal(err)
		}
		var x wire.Excerpt
		for i := range records {
			if !x.Add(b, i) {
				t.Fatal("the excerpt is full")
			}
		}
		return x.Seal(lazio.coder)
	}
	all := func(bad wire.Record) []byte { // the bad one is the last of many good ones
		return excerpt(append(slices.Clone(p.delivered), bad)...)
	}
	one := p.delivered[0]
	row := func(p *wire.MovePage, kind byte) *wire.Row {
		for i := range p.Rows {
			if p.Rows[i].Key[0] == kind {
				return &p.Rows[i]
			}
		}
		t.Fatalf("the page has no row of kind %q", kind)
		return nil
	}
	spoilt := map[string]func(p *wire.MovePage){
		"no recipient":           func(p *wire.MovePage) { p.Recipient = wire.Recipient{} },
		"an anchor's epoch":      func(p *wire.MovePage) { p.Epoch = 1 },
		"from nowhere":           func(p *wire.MovePage) { p.From = "" },
		"from here":              func(p *wire.MovePage) { p.From = "sicilia" },
		"last, and more":         func(p *wire.MovePage) { p.Next = []byte{'j'} },
		"neither":                func(p *wire.MovePage) { p.Last = false },
		"a long cursor":          func(p *wire.MovePage) { p.At = make([]byte, 200) },
		"no block":               func(p *wire.MovePage) { p.Frame = []byte("no block") },
		"a block, not rewritten": func(p *wire.MovePage) { p.Frame = lazio.seal(one) },
		"another's message": func(p *wire.MovePage) {
			p.Frame = all(lazio.message(codeOf("bruno"), someService, "x"))
		},
		"a digest": func(p *wire.MovePage) {
			p.Frame = all(lazio.redact(lazio.message(one.FiscalCode, someService, "x")))
		},
		"one message twice": func(p *wire.MovePage) { p.Frame = all(one) },
		"a short key":       func(p *wire.MovePage) { row(p, 'r').Key = []byte{'r'} },
		"key of no message": func(p *wire.MovePage) { row(p, 'k').Value[3]++ },
		"key of a rejection that has another": func(p *wire.MovePage) {
			row(p, 'k').Key[32]++
			value := newIdempotencyRow(wire.MessageID(row(p, 'j').Key[17:]), wire.Digest{})
			row(p, 'k').Value = value[:]
		},
		"preference elsewhere": func(p *wire.MovePage) { row(p, 'p').Key[24]++ },
		"profile of another": func(p *wire.MovePage) {
			row(p, 'r').Value = wire.Encode(&profileRow{
				Profile: wire.Profile{FiscalCode: codeOf("bruno")}})
		},
		"session of another": func(p *wire.MovePage) {
			row(p, 's').Value = wire.Encode(&wire.Session{
				Token: wire.TokenHash(row(p, 's').Key[1:]), FiscalCode: codeOf("bruno")})
		},
		"session without end": func(p *wire.MovePage) {
			var s wire.Session
			wire.Decode(row(p, 's').Value, &s)
			s.ExpiresAt = lazio.now.Add(2 * SessionMax)
			row(p, 's').Value = wire.Encode(&s)
		},
		"too many rows": func(p *wire.MovePage) {
			for len(p.Rows) <= wire.MoveRowsMax {
				p.Rows = append(p.Rows, *row(p, 'p'))
			}
		},
	}
	if raised { // what has no place is left out, a session is cut short
		delete(spoilt, "key of no message")
		delete(spoilt, "key of a rejection that has another")
		delete(spoilt, "session without end")
	}
	for i := range rowKinds {
		k := &rowKinds[i]
		if k.since > sicilia.ActiveVersion() {
			continue
		}
		name := fmt.Sprintf("kind %q ", k.begins())
		if k.check == nil { // in place of one that may come
			spoilt[name+"at all"] = func(p *wire.MovePage) { row(p, 'r').Key = k.key(p.Recipient) }
			continue
		}
		row(whole, k.prefix) // there is one to spoil
		spoilt[name+"of another"] = func(p *wire.MovePage) { copy(row(p, k.prefix).Key[1:], other[:]) }
		spoilt[name+"with a long key"] = func(p *wire.MovePage) {
			row(p, k.prefix).Key = append(row(p, k.prefix).Key, 0)
		}
		spoilt[name+"with another value"] = func(p *wire.MovePage) { row(p, k.prefix).Value = []byte{1} }
	}
	for name, spoil := range spoilt {
		t.Run(name, func(t *testing.T) {
			page := new(wire.MovePage)
			if err := wire.Decode(append([]byte(nil), good...), page); err != nil {
				t.Fatal(err)
			}
			spoil(page)
			before := sicilia.rows()
			err := sicilia.do(wire.CmdMovePage, page).Err
			if err == nil || err.Code != wire.Malformed && err.Code != wire.TooLarge {
				t.Errorf("got %v, want it refused as malformed", err)
			}
			after := sicilia.rows()
			delete(before, string(clockKey()))
			delete(after, string(clockKey()))
			if diff := diffRows(after, before); diff != "" {
				t.Errorf("the refused page changed: %s", diff)
			}
		})
	}
	sicilia.refuse(wire.Malformed, wire.CmdMoveRefuse, &wire.MoveStep{Epoch: 2, Region: "lazio"})
	for _, cursor := range []string{"x", "i", "ishort", "m\x00"} {
		if _, err := lazio.ExportMove(m.Recipient, []byte(cursor)); cursor != "i" &&
			wire.AsError(err).Code != wire.Malformed {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	// Two pages with messages in one entry would be one block.
	page := lazio.page(m, nil)
	elsewhere := *page
	elsewhere.Recipient = other
	results := sicilia.doAll(command(wire.CmdMovePage, page), command(wire.CmdMovePage, page),
		command(wire.CmdMovePage, &elsewhere))
	if results[0].Err != nil || results[1].Err != nil || results[2].Err == nil ||
		results[2].Err.Code != wire.Unavailable {
		t.Errorf("pages of one entry: %v, %v, %v", results[0].Err, results[1].Err, results[2].Err)
	}
	sicilia.checkAllThere(p)
}
