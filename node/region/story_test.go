package region

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func (s *story) citizen(f *fixture, w words) {
	name := w.arg(1)
	code, _ := s.who(name)
	token := tokenOf(name)
	switch w.arg(0) {
	case "login":
		l := f.loginAs(code, token)
		if w.has("for") {
			d, err := time.ParseDuration(w.arg(3))
			if err != nil {
				s.t.Fatal(err)
			}
			l.Session.ExpiresAt = f.now.Add(d)
		}
		s.result(f.do(wire.CmdLogin, &l), "logged in")
	case "logout":
		s.result(f.do(wire.CmdLogout, &wire.Logout{Token: token}), "logged out")
	case "accept":
		s.setProfile(f, token, w, wire.ProfileUpdate{AcceptedTos: 1})
	case "set":
		u := wire.ProfileUpdate{}
		switch w.options["inbox"] {
		case "on":
			u.Inbox = wire.Yes
		case "off":
			u.Inbox = wire.No
		}
		if mode, ok := w.options["mode"]; ok {
			u.SetMode = true
			for u.Mode.String() != mode {
				u.Mode++
			}
		}
		if service, ok := w.options["block"]; ok {
			u.SetBlocked = true
			u.Blocked = []wire.Blocked{{Service: wire.ServiceID(service), Channels: wire.ChannelInbox}}
		}
		u.SetBlocked = u.SetBlocked || w.has("unblock")
		s.setProfile(f, token, w, u)
	case "prefer":
		p := wire.Preference{Service: wire.ServiceID(w.arg(2)), Inbox: w.arg(3) == "on"}
		if stored, err := f.Profile(token, f.now); err == nil {
			p.SettingsVersion = stored.SettingsVersion
		}
		if v, ok := w.options["version"]; ok {
			p.SettingsVersion, _ = strconv.ParseInt(v, 10, 64)
		}
		s.result(f.do(wire.CmdSetPreference, &wire.SetPreference{Token: token, Preference: p}),
			"%s", onOff(p.Inbox))
	}
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func (s *story) setProfile(f *fixture, token wire.TokenHash, w words, u wire.ProfileUpdate) {
	if p, err := f.Profile(token, f.now); err == nil {
		u.Version = p.Version
	}
	if v, ok := w.options["version"]; ok {
		u.Version, _ = strconv.ParseUint(v, 10, 64)
	}
	res := f.do(wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: u})
	var p wire.Profile
	if res.Err == nil {
		if err := wire.Decode(res.Body, &p); err != nil {
			s.t.Fatal(err)
		}
	}
	s.result(res, "%s", profileLine(&p))
}

func profileLine(p *wire.Profile) string {
	line := fmt.Sprintf("version %d, inbox %s, %v", p.Version, onOff(p.InboxEnabled), p.Mode)
	if p.Mode != wire.Legacy {
		line += fmt.Sprintf(" settings %d", p.SettingsVersion)
	}
	for _, b := range p.Blocked {
		line += ", blocks " + string(b.Service)
	}
	return line
}

// submit sends one block. A line that only names a message sends the same record again.
func (s *story) submit(f *fixture, lines []string) {
	var block []wire.Record
	var names []string
	for _, line := range lines {
		head, text, _ := strings.Cut(line, `"`)
		text, tail, _ := strings.Cut(text, `"`)
		w := parseWords(head + " " + tail)
		name := w.arg(0)
		m, sent := s.messages[name]
		if !sent {
			code, _ := s.who(w.arg(3))
			m = f.message(code, wire.ServiceID(w.arg(1)), text)
			if key, ok := w.options["key"]; ok {
				m = f.keyed(m, key)
			}
			s.messages[name] = m
		}
		if w.has("digest") {
			m = f.redact(m)
		}
		block, names = append(block, m), append(names, name)
	}
	for i, o := range f.submit(block...) {
		text := map[wire.OutcomeKind]string{wire.KeyConflict: "the key was used for something else",
			wire.NeedContent: "send the content", wire.NotOwner: "not ours"}[o.Kind]
		switch {
		case o.Kind == wire.Decided:
			text = verdictText(o.Verdict)
			if o.ID != block[i].ID {
				text += ", as " + s.nameOf(o.ID)
			}
		case o.Region != "":
			text += fmt.Sprintf(": %s owns it at epoch %d", o.Region, o.Epoch)
		}
		s.say("%s %s", names[i], text)
	}
}

func verdictText(v wire.Verdict) string {
	return strings.TrimSpace(v.Status.String() + " " + v.Reason.String())
}

func (s *story) nameOf(id wire.MessageID) string {
	for name, m := range s.messages {
		if m.ID == id {
			return name
		}
	}
	return "a message nobody sent"
}

func (s *story) read(f *fixture, w words) {
	code, r := s.who(w.arg(1))
	token := tokenOf(w.arg(1))
	var text string
	var err error
	switch w.arg(0) {
	case "inbox":
		text, err = s.inbox(f, w, token)
	case "read":
		var m *wire.InboxMessage
		m, err = f.GetInbox(wire.GetInbox{Token: token, ID: s.messages[w.arg(2)].ID}, f.now)
		if err == nil {
			text = fmt.Sprintf("%s from %s", m.Content.Subject, m.Item.Service)
			if m.FiscalCode != code {
				s.t.Error("a message names another citizen")
			}
		}
	case "find":
		rec := s.messages[w.arg(1)]
		var v *wire.MessageView
		v, err = f.FindMessage(wire.FindMessage{Recipient: rec.RecipientUnder(f.hasher), ID: rec.ID})
		if err == nil {
			text = verdictText(v.Verdict)
			if v.Content != nil {
				text += ": " + v.Content.Subject
			}
		}
	case "allowed":
		var p *wire.SenderProfile
		p, err = f.SenderProfile(wire.SenderProfileQuery{Recipient: r,
			Service: wire.ServiceID(w.arg(2))})
		if err == nil {
			text = map[bool]string{true: "yes", false: "no"}[p.Allowed]
		}
	case "profile":
		var p *wire.Profile
		if p, err = f.Profile(token, f.now); err == nil {
			text = profileLine(p)
		}
	case "preference":
		var p *wire.Preference
		p, err = f.Preference(wire.GetPreference{Token: token, Service: wire.ServiceID(w.arg(2))},
			f.now)
		if err == nil {
			text = fmt.Sprintf("%s, settings %d", onOff(p.Inbox), p.SettingsVersion)
		}
	default:
		s.t.Fatalf("unknown step %q", w.args)
	}
	if err != nil {
		s.refused(err)
		return
	}
	s.say("%s", text)
}

func (s *story) inbox(f *fixture, w words, token wire.TokenHash) (string, error) {
	q := wire.ListInbox{Token: token, Size: 10}
	if n, ok := w.options["size"]; ok {
		size, _ := strconv.ParseUint(n, 10, 32)
		q.Size = uint32(size)
	}
	q.Before, q.After = s.messages[w.options["before"]].ID, s.messages[w.options["after"]].ID
	page, err := f.ListInbox(q, f.now)
	if err != nil {
		return "", err
	}
	var names []string
	for _, item := range page.Items {
		names = append(names, s.nameOf(item.ID))
	}
	if len(names) == 0 {
		names = []string{"empty"}
	}
	if page.More {
		names = append(names, "and more")
	}
	return strings.Join(names, ", "), nil
}

func (s *story) upkeep(f *fixture, w words) {
	switch w.arg(0) {
	case "pending":
		list, err := f.Pending(math.MaxInt)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, p := range list {
			switch {
			case p.State == wire.Claiming:
				s.say("%s: drive the claim", s.people[p.Recipient])
			default:
				s.say("%s: tell the directory, active %v", s.people[p.Recipient], p.Active)
			}
			f.must(wire.CmdPendingDone, &wire.PendingDone{Recipient: p.Recipient, Seq: p.Seq})
		}
	case "expire":
		n := 0
		for before := f.count(sessionPrefix) + f.count(rejectedPrefix); f.Due(f.now); {
			e, _ := f.DueExpiry(f.now)
			f.must(wire.CmdExpire, &e)
			n = before - f.count(sessionPrefix) - f.count(rejectedPrefix)
		}
		s.say("%d sessions and rejections went", n)
	case "erase":
		list, err := f.DueErasures(f.now.Add(EraseAfterMax), 10)
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range list {
			s.result(f.do(wire.CmdErase, &list[i]), "block rewritten")
		}
	case "texts":
		for _, word := range w.args[1:] {
			n := 0
			for k, v := range f.rows() {
				if k[0] != blockPrefix {
					continue
				}
				b, err := f.coder.Decode([]byte(v))
				if err != nil {
					s.t.Fatal(err)
				}
				for i := range b.Records {
					if bytes.Contains(b.Records[i].Content, []byte(word)) {
						n++
					}
				}
			}
			s.say("%q stands in %d records", word, n)
		}
	}
}
