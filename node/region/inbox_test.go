package region

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// TestListInbox compares pages with a naive model, for random bounds.
func TestListInbox(t *testing.T) {
	f := newFixture(t, "lazio")
	rng := rand.New(rand.NewPCG(1, 2))
	maria, mario := codeOf("maria"), codeOf("mario")
	token := f.activate(maria)
	f.activate(mario)
	var model []wire.MessageID // newest first
	for range 150 {
		f.now = f.now.Add(time.Duration(rng.IntN(3)) * time.Millisecond)
		m := f.message(maria, someService, "x")
		m.ID = wire.NewMessageID(f.now.Add(time.Duration(rng.IntN(200)-100)*time.Millisecond), testTag)
		f.submit(f.message(mario, someService, "y"), m)
		model = append(model, m.ID)
	}
	slices.SortFunc(model, func(a, b wire.MessageID) int { return slices.Compare(b[:], a[:]) })
	bound := func() wire.MessageID {
		switch rng.IntN(4) {
		case 0:
			return wire.MessageID{}
		case 1:
			return wire.NewMessageID(start.Add(time.Duration(rng.IntN(400))*time.Millisecond), 1)
		}
		return model[rng.IntN(len(model))]
	}
	for range 500 {
		q := wire.ListInbox{Token: token, Size: 1 + rng.Uint32N(wire.PageMax), Before: bound(),
			After: bound()}
		var want []wire.MessageID
		for _, id := range model {
			if (q.Before.IsZero() || slices.Compare(id[:], q.Before[:]) < 0) &&
				(q.After.IsZero() || slices.Compare(id[:], q.After[:]) > 0) {
				want = append(want, id)
			}
		}
		more := len(want) > int(q.Size)
		want = want[:min(len(want), int(q.Size))]
		page, err := f.ListInbox(q, f.now)
		if err != nil {
			t.Fatal(err)
		}
		var got []wire.MessageID
		for _, item := range page.Items {
			got = append(got, item.ID)
		}
		if !slices.Equal(got, want) || page.More != more || page.FiscalCode != maria {
			t.Fatalf("%+v:\n got %v more %v\nwant %v more %v", q, got, page.More, want, more)
		}
	}
	// Walking the pages meets every message once.
	var walked []wire.MessageID
	for q := (wire.ListInbox{Token: token, Size: 7}); ; {
		page, err := f.ListInbox(q, f.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			walked = append(walked, item.ID)
		}
		if !page.More {
			break
		}
		q.Before = walked[len(walked)-1]
	}
	if !slices.Equal(walked, model) {
		t.Errorf("walked %d messages, want %d in order", len(walked), len(model))
	}
}

func TestListInboxRefuses(t *testing.T) {
	f := newFixture(t, "lazio")
	token := f.activate(codeOf("maria"))
	f.submit(f.message(codeOf("maria"), someService, "x"))
	for _, size := range []uint32{0, wire.PageMax + 1} {
		_, err := f.ListInbox(wire.ListInbox{Token: token, Size: size}, f.now)
		if !errors.Is(err, wire.Malformed) {
			t.Errorf("page of %d: got %v, want malformed", size, err)
		}
	}
	if _, err := f.ListInbox(wire.ListInbox{Size: 1}, f.now); !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("no session: got %v, want unauthenticated", err)
	}
	page, err := f.ListInbox(wire.ListInbox{Token: token, Size: 1, Archived: true}, f.now)
	if err != nil || len(page.Items) != 0 {
		t.Errorf("archived: got %+v, %v, want none", page, err)
	}
}

// TestInboxItem: what a list shows is what the message says.
func TestInboxItem(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	token := f.activate(code)
	payment := &wire.Payment{Amount: 5000, NoticeNumber: "302032002700000251", Payee: "80012345678"}
	third := &wire.ThirdParty{ID: "x", HasAttachments: true, HasPrecondition: "ONCE"}
	for name, tt := range map[string]struct {
		content wire.Content
		want    wire.InboxItem
	}{
		"generic": {wire.Content{}, wire.InboxItem{}},
		"payment": {wire.Content{Payment: payment}, wire.InboxItem{Category: wire.PaymentCategory,
			Notice: payment.NoticeNumber, Payee: payment.Payee}},
		"third party": {wire.Content{ThirdParty: third}, wire.InboxItem{Attachments: true,
			Precondition: "ONCE"}},
		"third party with payment": {wire.Content{ThirdParty: third, Payment: payment},
			wire.InboxItem{Attachments: true, Precondition: "ONCE", Notice: payment.NoticeNumber,
				Payee: payment.Payee}},
		"certificate": {wire.Content{EUCovidCert: &wire.EUCovidCert{AuthCode: "a"},
			Payment: payment}, wire.InboxItem{Category: wire.EUCovidCertCategory,
			Notice: payment.NoticeNumber, Payee: payment.Payee}},
	} {
		c, want := tt.content, tt.want
		c.Subject, c.Markdown = "Oggetto "+name, "corpo"
		m := wire.Record{ID: f.id(), Service: someService, FiscalCode: code, TimeToLive: 7200,
			FeatureLevel: wire.Advanced, Content: wire.Encode(&c)}
		f.submit(m)
		want.ID, want.Service, want.Subject = m.ID, m.Service, c.Subject
		want.TimeToLive, want.FeatureLevel = 7200, wire.Advanced
		page, err := f.ListInbox(wire.ListInbox{Token: token, Size: 1}, f.now)
		if err != nil || len(page.Items) != 1 || page.Items[0] != want {
			t.Errorf("%s: listed\n got %+v, %v\nwant %+v", name, page, err, want)
		}
		got, err := f.GetInbox(wire.GetInbox{Token: token, ID: m.ID}, f.now)
		if err != nil || got.Item != want || !reflect.DeepEqual(got.Content, c) ||
			got.FiscalCode != code {
			t.Errorf("%s: read\n got %+v, %v", name, got, err)
		}
	}
	list, err := f.Messages(f.hasher.Recipient(code))
	if err != nil || len(list) != 5 {
		t.Errorf("got %d messages, %v, want 5", len(list), err)
	}
	if !slices.IsSortedFunc(list, func(a, b Placed) int { return int(a.Block) - int(b.Block) }) {
		t.Error("messages are not in log order")
	}
}

// Nobody reads another citizen's message, nor one that was refused.
func TestGetInboxIsPrivate(t *testing.T) {
	f := newFixture(t, "lazio")
	maria, mario := codeOf("maria"), codeOf("mario")
	token, other := f.activate(maria), f.activate(mario)
	m := f.message(maria, someService, "x")
	f.submit(m)
	f.update(token, wire.ProfileUpdate{Inbox: wire.No})
	no := f.message(maria, someService, "y")
	f.submit(no)
	for name, q := range map[string]wire.GetInbox{"another's": {Token: other, ID: m.ID},
		"refused": {Token: token, ID: no.ID}, "unknown": {Token: token, ID: f.id()}} {
		if _, err := f.GetInbox(q, f.now); !errors.Is(err, wire.NotFound) {
			t.Errorf("%s: got %v, want not found", name, err)
		}
	}
	if _, err := f.GetInbox(wire.GetInbox{Token: token, ID: m.ID}, f.now); err != nil {
		t.Errorf("one's own: %v", err)
	}
}

func TestReadsOfForeignCodes(t *testing.T) {
	f := newFixture(t, "lazio")
	r := f.hasher.Recipient(codeOf("maria"))
	_, err := f.FindMessage(wire.FindMessage{Recipient: r, ID: f.id()})
	if !errors.Is(err, wire.Moved) || wire.AsError(err).Region != "" {
		t.Errorf("find: got %v, want moved to nobody known", err)
	}
	if _, err = f.SenderProfile(wire.SenderProfileQuery{Recipient: r}); !errors.Is(err, wire.Moved) {
		t.Errorf("sender's profile: got %v, want moved", err)
	}
	f.must(wire.CmdGrantSlots, allSlots())
	_, err = f.FindMessage(wire.FindMessage{Recipient: r, ID: f.id()})
	if !errors.Is(err, wire.NotFound) {
		t.Errorf("find at the anchor: got %v, want not found", err)
	}
	_, err = f.SenderProfile(wire.SenderProfileQuery{Recipient: r})
	if !errors.Is(err, wire.NotFound) {
		t.Errorf("sender's profile at the anchor: got %v, want not found", err)
	}
}
