package region

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// history drives a state with a random log of everything that a region's log can hold: most of
// it is accepted, some refused, some sent twice.
type history struct {
	*fixture
	rng      *rand.Rand
	codes    []fiscalcode.Code
	services []wire.ServiceID
	sent     []wire.Record
	commands []wire.Command // sent before, to be sent again
	logins   int
}

func newHistory(f *fixture, seed uint64) *history {
	h := &history{fixture: f, rng: rand.New(rand.NewPCG(seed, seed))}
	for i := range 10 {
		h.codes = append(h.codes, codeOf(fmt.Sprint("citizen ", i)))
	}
	for i := range 4 {
		h.services = append(h.services, wire.ServiceID(fmt.Sprintf("SERVICE%d", i)))
	}
	half := &wire.GrantSlots{SlotEpoch: 1}
	for s := range wire.Slot(wire.Slots / 2) {
		half.Slots = append(half.Slots, s)
	}
	f.must(wire.CmdGrantSlots, half)
	return h
}

func (h *history) code() fiscalcode.Code { return h.codes[h.rng.IntN(len(h.codes))] }

func (h *history) recipient() wire.Recipient { return h.hasher.Recipient(h.code()) }

// token is a stored session's, mostly.
func (h *history) token() wire.TokenHash {
	var stored []wire.TokenHash
	h.db.Iterate([]byte{sessionPrefix}, []byte{sessionPrefix + 1}, false,
		func(k, _ []byte) (bool, error) {
			stored = append(stored, wire.TokenHash(k[1:]))
			return true, nil
		})
	if len(stored) == 0 || h.rng.IntN(8) == 0 {
		return tokenOf(fmt.Sprint(h.logins - h.rng.IntN(12)))
	}
	return stored[h.rng.IntN(len(stored))]
}

// step appends one entry to the log and applies it.
func (h *history) step() {
	h.t.Helper()
	h.now = h.now.Add(time.Duration(h.rng.IntN(2000)) * time.Millisecond)
	if h.rng.IntN(40) == 0 {
		h.now = h.now.Add(40 * time.Minute)
	}
	switch n := h.rng.IntN(100); {
	case n < 3:
		e := wire.LogEntry{Index: h.log[len(h.log)-1].Index + 1, Term: h.log[len(h.log)-1].Term,
			Configuration: true, Data: fmt.Appendf(nil, "configuration %d", n)}
		h.log = append(h.log, e)
		h.apply(e)
	case n < 55:
		h.submit(h.records()...)
	case n < 56:
		h.raise() // from here on the log is of the version that is being made
	default:
		var list []wire.Command
		for range 1 + h.rng.IntN(5) {
			list = append(list, h.command())
		}
		h.commands = append(h.commands, list...)
		h.doAll(list...)
	}
}

func (h *history) records() []wire.Record {
	var list []wire.Record
	for range 1 + h.rng.IntN(12) {
		if len(h.sent) > 0 && h.rng.IntN(5) == 0 { // a retry
			list = append(list, h.sent[h.rng.IntN(len(h.sent))])
			continue
		}
		m := h.message(h.code(), h.services[h.rng.IntN(len(h.services))], fmt.Sprint(h.rng.IntN(9)))
		if h.rng.IntN(16) == 0 {
			m = aged(m, time.Duration(h.rng.IntN(120))*time.Minute)
		}
		if h.rng.IntN(3) == 0 {
			m = h.keyed(m, fmt.Sprint("key ", h.rng.IntN(6)))
		}
		if h.rng.IntN(4) == 0 {
			m = h.redact(m)
		}
		h.sent = append(h.sent, m)
		list = append(list, m)
	}
	return list
}

func (h *history) command() wire.Command {
	if len(h.commands) > 0 && h.rng.IntN(6) == 0 { // delivered twice
		return h.commands[h.rng.IntN(len(h.commands))]
	}
	r := h.recipient()
	switch h.rng.IntN(18) {
	case 0, 1:
		return command(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	case 2, 3:
		return command(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1})
	case 4:
		return command(wire.CmdRelease, &wire.Release{Recipient: r, To: "sicilia", Epoch: 1})
	case 5:
		return command(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: r, Region: "sicilia", Epoch: 1})
	case 6, 7:
		h.logins++
		l := h.loginAs(h.code(), tokenOf(fmt.Sprint(h.logins)))
		l.Session.ExpiresAt = h.now.Add(time.Duration(1+h.rng.IntN(180)) * time.Minute)
		return command(wire.CmdLogin, &l)
	case 15, 16:
		return h.sessionCommand()
	case 8:
		if list, err := h.Pending(50); err == nil && len(list) > 0 {
			p := list[h.rng.IntN(len(list))]
			return command(wire.CmdPendingDone, &wire.PendingDone{Recipient: p.Recipient,
				Seq: p.Seq - uint64(h.rng.IntN(2))})
		}
	case 9, 10, 11:
		return h.profileCommand()
	case 12, 13:
		token := h.token()
		p := &wire.Profile{}
		if stored, err := h.Profile(token, h.now); err == nil {
			p = stored
		}
		return command(wire.CmdSetPreference, &wire.SetPreference{Token: token,
			Preference: wire.Preference{SettingsVersion: p.SettingsVersion,
				Service: h.services[h.rng.IntN(len(h.services))], Inbox: h.rng.IntN(2) == 0}})
	case 14:
		return h.statusCommand()
	}
	if list, err := h.DueErasures(h.now.Add(EraseAfterMax), 3); err == nil && len(list) > 0 &&
		h.rng.IntN(2) == 0 {
		return command(wire.CmdErase, &list[h.rng.IntN(len(list))])
	}
	return command(wire.CmdExpire, &wire.Expire{RejectionsBefore: h.now.Add(-time.Hour)})
}

func (h *history) profileCommand() wire.Command {
	token := h.token()
	if h.rng.IntN(8) == 0 {
		return command(wire.CmdLogout, &wire.Logout{Token: token})
	}
	u := wire.ProfileUpdate{AcceptedTos: 1}
	if p, err := h.Profile(token, h.now); err == nil {
		u.Version = p.Version
	}
	switch h.rng.IntN(5) {
	case 0:
		u.Inbox = wire.Tri(h.rng.IntN(3))
	case 1:
		u.SetMode, u.Mode = true, wire.Mode(h.rng.IntN(3))
	case 2:
		u.SetBlocked = true
		u.Blocked = []wire.Blocked{{Service: h.services[h.rng.IntN(len(h.services))],
			Channels: wire.Channel(h.rng.IntN(8))}}
	}
	return command(wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: u})
}

// sessionCommand is about a citizen's set of sessions.
func (h *history) sessionCommand() wire.Command {
	if h.rng.IntN(4) == 0 {
		m := &wire.EndSessions{Token: h.token(), KeepOwn: h.rng.IntN(3) > 0}
		if list, err := h.Sessions(m.Token, h.now); err == nil && h.rng.IntN(2) == 0 {
			m.ID = list.List[h.rng.IntN(len(list.List))].ID
		}
		return command(wire.CmdEndSessions, m)
	}
	switch h.rng.IntN(12) {
	case 0:
		return command(wire.CmdLockAccess, &wire.LockAccess{Token: h.token(), Proof: wire.Proof{1}})
	case 1, 2:
		return command(wire.CmdUnlockAccess, &wire.UnlockAccess{Recipient: h.recipient(),
			Proof: wire.Proof{byte(h.rng.IntN(2))}})
	case 3:
		return command(wire.CmdEndSessionsOf, &wire.EndSessionsOf{Recipient: h.recipient()})
	}
	h.logins++
	o := h.openAs(h.codes[h.rng.IntN(3)], fmt.Sprint(h.logins))
	o.Session.Level = wire.Level(2 + h.rng.IntN(2))
	o.Session.ExpiresAt = h.now.Add(time.Duration(1+h.rng.IntN(180)) * time.Minute)
	if o.One = h.rng.IntN(20) == 0; h.rng.IntN(3) == 0 {
		o.Session.EndsAt = o.Session.ExpiresAt.Add(time.Hour)
	}
	return command(wire.CmdOpenSession, &o)
}

// statusCommand is about a message of the session's citizen, mostly, or of another one.
func (h *history) statusCommand() wire.Command {
	token := h.token()
	m := &wire.SetMessageStatus{Token: token, Read: h.rng.IntN(2) == 0,
		Archived: wire.Tri(h.rng.IntN(3))}
	if page, err := h.ListInbox(wire.ListInbox{Token: token, Size: 20,
		Archived: h.rng.IntN(4) == 0}, h.now); err == nil && len(page.Items) > 0 {
		m.ID = page.Items[h.rng.IntN(len(page.Items))].ID
	} else if len(h.sent) > 0 {
		m.ID = h.sent[h.rng.IntN(len(h.sent))].ID
	}
	if h.rng.IntN(5) == 0 {
		return command(wire.CmdDeleteMessage, &wire.DeleteMessage{Token: token, ID: m.ID})
	}
	return command(wire.CmdSetMessageStatus, m)
}
