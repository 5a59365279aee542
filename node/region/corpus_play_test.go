package region

import (
	"flag"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

var writeCorpus = flag.Bool("write-corpus", false, "write the logs of the corpus that are missing")

// corpusKinds are the kinds of commands that logs of the corpus have to hold: every one that a region
// knows.
var corpusKinds = func() (list []wire.CommandKind) {
	for k, kind := range wire.CommandKinds() {
		if kind.Group == wire.OfRegion {
			list = append(list, k)
		}
	}
	return list
}()

// commands adds an entry of commands.
func (c *writer) commands(list ...wire.Command) []wire.Result {
	body := wire.Encode(&wire.Commands{List: list})
	return c.add(c.entry(wire.CommandsEntry, body)).(*wire.Results).List
}

func (c *writer) command(kind wire.CommandKind, m codec.Message) wire.Result {
	return c.commands(command(kind, m))[0]
}

// block adds an entry with a block.
func (c *writer) block(records ...wire.Record) {
	c.add(c.entry(wire.BlockEntry, c.seal(records...)))
}

// membership adds a configuration, whose bytes the state keeps and does not read.
func (c *writer) membership(text string) {
	e := c.entry(wire.CommandsEntry, nil)
	e.Configuration, e.Data = true, []byte(text)
	c.log[len(c.log)-1] = e
	c.add(e)
}

func (c *writer) someone() fiscalcode.Code { return codeOf(fmt.Sprint("citizen ", c.rng.IntN(12))) }

func (c *writer) service() wire.ServiceID {
	return []wire.ServiceID{someService, "01ARZ3NDEKTSV4RRFFQ69G5FAW",
		"01ARZ3NDEKTSV4RRFFQ69G5FAX"}[c.rng.IntN(3)]
}

// version1 is what version 1 could log: the edges one by one, then days of everything.
func (c *writer) version1() {
	c.membership("members of the beginning")
	c.edges()
	for i := range 12 {
		c.citizen(codeOf(fmt.Sprint("citizen ", i)), i)
	}
	for range 160 {
		c.now = c.now.Add([]time.Duration{0, time.Second, time.Minute, 20 * time.Minute,
			time.Hour, -time.Minute, 2 * time.Hour}[c.rng.IntN(7)])
		c.step()
	}
	for range 30 { // each moves expiry on by an hour at most
		c.now = c.now.Add(time.Hour)
		c.command(wire.CmdExpire, &wire.Expire{RejectionsBefore: c.now.Add(-24 * time.Hour)})
		c.erasures()
	}
	c.membership("members of the end")
}

// version2 is what the kinds of version 2 do on the edge; what they do as a rule is in the run.
func (c *writer) version2() {
	c.membership("members of the beginning")
	c.command(wire.CmdGrantSlots, allSlots())
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 1}) // it is
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 2})
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 2})
	for _, kind := range corpusKinds {
		if kind.Since() == 2 {
			c.commands(wire.Command{Kind: kind, Body: []byte{0xff}}) // cannot be decoded
			c.commands(wire.Command{Kind: kind})                     // says nothing
		}
	}
	c.command(wire.CmdFenceSlot, &wire.FenceSlot{Slot: 7, Epoch: 2})
	c.command(wire.CmdFenceSlot, &wire.FenceSlot{Slot: 7, Epoch: 2})
	c.command(wire.CmdFenceSlot, &wire.FenceSlot{Slot: wire.Slots, Epoch: 2})
	code := codeOf("a citizen")
	c.citizen(code, 4)
	c.block(c.message(code, someService, "as in version 1"))
}

// version2Restored is what a restored region logs: what the directory knows better, and what an
// earlier owner still has.
func (c *writer) version2Restored() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: 2})
	sicilia := openFixture(c.t, testConfig(vfs.NewMem(), "sicilia", c.coder))
	sicilia.minted = 1 << 32
	p := settle(sicilia, "a citizen", 70)
	m := sicilia.fence(p.code, "lazio")
	sicilia.must(wire.CmdMoveDone, leaving(m))
	gone := codeOf("citizen 1")
	c.citizen(gone, 4)
	away := c.hasher.Recipient(gone)
	c.command(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: away, To: "umbria"})
	if r := c.command(wire.CmdMoveFence, &wire.MoveStep{Recipient: away, Epoch: 2,
		Region: "umbria"}); r.Err != nil {
		c.t.Fatal(r.Err)
	}
	c.command(wire.CmdReconcile, &wire.Reconcile{Incarnation: 1, Done: true, List: []wire.Standing{
		{Recipient: m.Recipient, Region: "lazio", Epoch: 2},
		{Recipient: away, Region: "sicilia", Epoch: 3}}})
	c.block(p.delivered[1], c.redact(p.rejected[0])) // to who has no profile
	var at wire.MoveProgress
	for !at.Owned {
		page := sicilia.copyPage(m, at.Next)
		late := *page
		late.Epoch = 3
		c.command(wire.CmdMoveCopy, &late)
		for range 2 {
			r := c.command(wire.CmdMoveCopy, page)
			if at = (wire.MoveProgress{}); r.Err != nil || wire.Decode(r.Body, &at) != nil {
				c.t.Fatal(r.Err)
			}
		}
	}
	c.block(p.delivered[0], p.delivered[1], c.message(p.code, otherService, "no"))
	c.erasures()
	c.command(wire.CmdMoveErase, &wire.MoveErase{Recipient: away})
	c.erasures()
}

// edges are what hardly ever happens.
func (c *writer) edges() {
	anchored := codeOf("nobody's")
	c.block(c.message(anchored, someService, "before any slot was granted"))
	c.command(wire.CmdGrantSlots, allSlots())
	c.command(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{3}}) // an earlier epoch
	c.command(wire.CmdGrantSlots, &wire.GrantSlots{Slots: []wire.Slot{wire.Slots}})
	c.commands() // an entry that only tells followers what is committed
	for kind := wire.CmdLogin; kind <= wire.CmdExpire; kind++ {
		c.commands(wire.Command{Kind: kind, Body: []byte{0xff}}) // cannot be decoded
		c.commands(wire.Command{Kind: kind})                     // says nothing
	}
	first := c.keyed(c.message(anchored, someService, "to nobody"), "one")
	again := c.keyed(c.message(anchored, someService, "to nobody"), "one")
	other := c.keyed(c.message(anchored, someService, "something else"), "one")
	c.block(c.redact(first), c.redact(first), first, again, other)
	c.now = c.now.Add(-time.Hour) // the leader's clock went back
	c.block(c.redact(c.message(anchored, someService, "in the past")))
	r := c.hasher.Recipient(anchored)
	c.command(wire.CmdRelease, &wire.Release{Recipient: r, To: "lazio", Epoch: 1})
	c.command(wire.CmdRelease, &wire.Release{Recipient: r, To: "sicilia", Epoch: 1})
	c.command(wire.CmdRelease, &wire.Release{Recipient: r, To: "sicilia", Epoch: 1, After: first.ID})
	c.command(wire.CmdRelease, &wire.Release{Recipient: r, To: "veneto", Epoch: 1})
	c.command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	c.block(first, c.message(anchored, someService, "after the release"))
	c.imported()
}

// imported claims a code whose anchor hands rejections over.
func (c *writer) imported() {
	code := codeOf("from another anchor")
	r := c.hasher.Recipient(code)
	row := rejectedRow{Service: someService, Reason: wire.UserNotFound, TimeToLive: 3600,
		Idempotency: wire.IdempotencyOf(someService, "far"), At: c.now}
	id := c.id()
	key, used := rejectedKey(r, id), idempotencyKey(r, row.Idempotency)
	value := newIdempotencyRow(id, wire.Digest{7})
	page := wire.RowPage{Rows: []wire.Row{{Key: key[:], Value: wire.Encode(&row)},
		{Key: used[:], Value: value[:]}}}
	in := wire.Import{Recipient: r, Epoch: 1, Page: page}
	c.command(wire.CmdImport, &in) // nobody claims
	c.command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	c.command(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: r, Region: "sicilia", Epoch: 1})
	c.command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	in.Page.More, in.Page.Last = true, id
	c.command(wire.CmdImport, &in)
	in.Page.More, in.Page.Rows = false, nil
	c.command(wire.CmdImport, &in)
	c.command(wire.CmdImport, &in)
	c.command(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: r})
	c.block(c.keyed(c.message(code, someService, "a retry after the claim"), "far"))
}

// citizen takes a code as far as number says: unclaimed, claimed, logged in, or active in one of
// the modes.
func (c *writer) citizen(code fiscalcode.Code, number int) {
	r, token := c.hasher.Recipient(code), tokenOf(string(code))
	if number == 0 {
		return
	}
	c.commands(command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r}),
		command(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1}))
	if number == 1 {
		return
	}
	l := c.loginAs(code, token)
	c.command(wire.CmdLogin, &l)
	if number == 2 {
		return
	}
	u := wire.ProfileUpdate{AcceptedTos: 1, SetMode: number > 5, Mode: wire.Mode(number % 4)}
	c.command(wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: u})
}

// step adds one entry of the everyday, or a few that belong together.
func (c *writer) step() {
	code := c.someone()
	token := tokenOf(string(code))
	switch c.rng.IntN(12) {
	case 0:
		l := c.loginAs(code, token)
		switch c.rng.IntN(6) {
		case 0:
			l.Session.ExpiresAt = c.now.Add(2 * SessionMax)
		case 1:
			l.Session.Token = tokenOf(fmt.Sprint("another one", c.minted))
		case 2:
			l.Session.ExpiresAt = c.now.Add(time.Hour)
		}
		c.command(wire.CmdLogin, &l)
	case 1:
		if c.rng.IntN(4) == 0 {
			c.command(wire.CmdLogout, &wire.Logout{Token: token})
		}
	case 2, 3:
		c.profile(token)
	case 4, 5:
		c.preference(token)
	case 6:
		pending, err := c.Pending(3)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, p := range pending {
			c.command(wire.CmdPendingDone, &wire.PendingDone{Recipient: p.Recipient,
				Seq: p.Seq + uint64(c.rng.IntN(2))})
		}
	case 7:
		c.erasures()
		if e, ok := c.DueExpiry(c.now); ok {
			c.command(wire.CmdExpire, &e)
		}
	default:
		c.records()
	}
}

// erasures rewrites blocks of which content was refused.
func (c *writer) erasures() {
	due, err := c.DueErasures(c.now, 2)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range due {
		c.command(wire.CmdErase, &due[i])
		c.command(wire.CmdErase, &due[i]) // was done
	}
}

// profile updates a citizen's profile, now and then at a version that is not the present one.
func (c *writer) profile(token wire.TokenHash) {
	u := wire.ProfileUpdate{AcceptedTos: float64(c.rng.IntN(3)), SetMode: c.rng.IntN(3) == 0,
		Mode: wire.Mode(c.rng.IntN(4))}
	if c.rng.IntN(4) == 0 {
		u.Inbox = wire.TriOf(c.rng.IntN(3) > 0)
	}
	if p, err := c.Profile(token, c.now); err == nil {
		u.Version = p.Version
	}
	if c.rng.IntN(5) == 0 {
		u.Version++
	}
	if c.rng.IntN(3) == 0 {
		u.Email = "someone@example.it"
	}
	if c.rng.IntN(4) == 0 {
		u.SetBlocked, u.Blocked = true, []wire.Blocked{{Service: c.service(), Channels: 1}}
		u.SetLanguages, u.Languages = true, []string{"it_IT"}
	}
	c.command(wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: u})
}

func (c *writer) preference(token wire.TokenHash) {
	p := wire.SetPreference{Token: token}
	p.Preference.Service, p.Preference.Inbox = c.service(), c.rng.IntN(2) == 0
	if have, err := c.Preference(wire.GetPreference{Token: token,
		Service: p.Preference.Service}, c.now); err == nil {
		p.Preference.SettingsVersion = have.SettingsVersion
	}
	c.command(wire.CmdSetPreference, &p)
}

// records adds a block of some, to people of every standing, a few of them twice.
func (c *writer) records() {
	var list []wire.Record
	for range 1 + c.rng.IntN(4) {
		rec := c.message(c.someone(), c.service(), fmt.Sprint("number ", c.minted))
		if c.rng.IntN(4) == 0 {
			rec.Content = c.rich()
		}
		switch c.rng.IntN(5) {
		case 0:
			rec = c.redact(rec)
		case 1:
			rec = c.keyed(rec, fmt.Sprint("key ", c.rng.IntN(4)))
		case 2:
			list = append(list, rec)
		}
		list = append(list, rec)
	}
	c.block(list...)
}

// rich is a content with more than a text.
func (c *writer) rich() []byte {
	m := wire.Content{Subject: "Avviso di pagamento", Markdown: "Il testo."}
	if c.rng.IntN(2) == 0 {
		m.Payment = &wire.Payment{Amount: 1, NoticeNumber: "301000000000000001",
			Payee: "00000000018"}
	}
	if c.rng.IntN(3) == 0 {
		m.ThirdParty = &wire.ThirdParty{ID: "7", HasAttachments: true, HasPrecondition: "ONCE"}
	}
	if c.rng.IntN(6) == 0 {
		m.EUCovidCert = &wire.EUCovidCert{AuthCode: "code"}
	}
	return wire.Encode(&m)
}
