package region

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/wire"
)

func TestLogin(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	r := f.hasher.Recipient(code)
	l := f.loginAs(code, tokenOf("one"))
	f.refuse(wire.Conflict, wire.CmdLogin, &l)
	f.must(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
	f.refuse(wire.Conflict, wire.CmdLogin, &l)
	f.must(wire.CmdImport, &wire.Import{Recipient: r, Epoch: 1})

	var got wire.Session
	for range 2 { // a retry answers the same
		got = wire.Session{}
		if err := wire.Decode(f.must(wire.CmdLogin, &l), &got); err != nil || got != l.Session {
			t.Errorf("got %+v, %v, want %+v", got, err, l.Session)
		}
	}
	p, err := f.Profile(l.Session.Token, f.now)
	if err != nil {
		t.Fatal(err)
	}
	want := &wire.Profile{FiscalCode: code, Name: "Nome", FamilyName: "Cognome",
		Email: "mail@example.it", SpidEmail: "mail@example.it", DateOfBirth: "1983-11-18",
		Mode: wire.Legacy, SettingsVersion: -1, UpdatedAt: f.now}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("first profile:\n got %+v\nwant %+v", p, want)
	}

	// A second login ends the first session and leaves the profile alone.
	f.now = f.now.Add(time.Hour)
	second := f.loginAs(code, tokenOf("two"))
	second.Email = "another@example.it"
	f.must(wire.CmdLogin, &second)
	if _, err := f.Session(tokenOf("one"), f.now); !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("first session after the second login: got %v, want unauthenticated", err)
	}
	if p, err := f.Profile(tokenOf("two"), f.now); err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("profile after the second login: got %+v, %v", p, err)
	}
	if n := f.count(sessionPrefix) + f.count(currentPrefix) + f.count(duePrefix); n != 3 {
		t.Errorf("%d rows of sessions, want 3 of the one session", n)
	}

	other := codeOf("mario")
	f.own(other)
	thief := f.loginAs(other, tokenOf("two"))
	f.refuse(wire.Conflict, wire.CmdLogin, &thief)

	for range 2 {
		f.must(wire.CmdLogout, &wire.Logout{Token: tokenOf("two")})
	}
	f.must(wire.CmdLogout, &wire.Logout{Token: tokenOf("one")})
	if n := f.count(sessionPrefix) + f.count(currentPrefix) + f.count(duePrefix); n != 0 {
		t.Errorf("%d rows of sessions after the logout", n)
	}
	f.refuse(wire.Unauthenticated, wire.CmdSetProfile, &wire.SetProfile{Token: tokenOf("two")})
	f.refuse(wire.Unauthenticated, wire.CmdSetPreference, &wire.SetPreference{
		Token: tokenOf("two"), Preference: wire.Preference{Service: someService}})
}

func TestLoginAtReleasedCode(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("maria")
	f.must(wire.CmdRelease, &wire.Release{Recipient: f.hasher.Recipient(code), To: "sicilia",
		Epoch: 4})
	l := f.loginAs(code, tokenOf("one"))
	err := f.refuse(wire.Moved, wire.CmdLogin, &l)
	if err.Region != "sicilia" || err.Epoch != 4 {
		t.Errorf("got %+v, want moved to sicilia at epoch 4", err)
	}
}

func TestLoginRefuses(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	f.own(code)
	long := strings.Repeat("a", 400)
	for name, change := range map[string]func(*wire.Login){
		"no token":   func(l *wire.Login) { l.Session.Token = wire.TokenHash{} },
		"no code":    func(l *wire.Login) { l.Session.FiscalCode = "" },
		"lower case": func(l *wire.Login) { l.Session.FiscalCode = "rccmnl83s18d969h" },
		"name":       func(l *wire.Login) { l.Session.Name = long },
		"not text":   func(l *wire.Login) { l.Session.FamilyName = "\xff" },
		"email":      func(l *wire.Login) { l.Email = long },
		"birth":      func(l *wire.Login) { l.DateOfBirth = "the first of May" },
		"over":       func(l *wire.Login) { l.Session.ExpiresAt = f.now },
		"too long":   func(l *wire.Login) { l.Session.ExpiresAt = f.now.Add(SessionMax) + 1 },
	} {
		l := f.loginAs(code, tokenOf("one"))
		change(&l)
		if err := f.refuse(wire.Malformed, wire.CmdLogin, &l); strings.Contains(err.Detail, long) {
			t.Errorf("%s: the error repeats the input", name)
		}
	}
}

func TestSessionExpires(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	f.own(code)
	l := f.loginAs(code, tokenOf("one"))
	l.Session.ExpiresAt = f.now.Add(90 * time.Minute)
	f.must(wire.CmdLogin, &l)
	end := l.Session.ExpiresAt
	if _, err := f.Session(tokenOf("one"), end-1); err != nil {
		t.Errorf("before the end: %v", err)
	}
	if _, err := f.Session(tokenOf("one"), end); !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("at the end: got %v, want unauthenticated", err)
	}
	if f.Due(end - 1) {
		t.Error("work is due before the end")
	}
	if !f.Due(end) {
		t.Error("no work is due at the end")
	}
	// Commands are refused at the entry's time, even before anything was removed.
	f.now = end
	f.refuse(wire.Unauthenticated, wire.CmdSetProfile, &wire.SetProfile{Token: tokenOf("one")})
	for f.Due(end) {
		e, _ := f.Expire(end)
		f.must(wire.CmdExpire, &e)
	}
	if n := f.count(sessionPrefix) + f.count(currentPrefix) + f.count(duePrefix); n != 0 {
		t.Errorf("%d rows of an expired session", n)
	}
	// A renewed session is not ended by the due row of the one before.
	f.must(wire.CmdLogin, &wire.Login{Session: wire.Session{Token: tokenOf("two"),
		FiscalCode: code, ExpiresAt: f.now.Add(time.Hour)}})
	if f.Due(f.now.Add(time.Hour) - 1) {
		t.Error("something is due of a session that was replaced")
	}
}

// One entry with a wrong clock expires an hour's worth, not everything.
func TestExpiryStep(t *testing.T) {
	f := newFixture(t, "lazio")
	for i := range 5 {
		code := codeOf(strings.Repeat("x", i+1))
		f.own(code)
		l := f.loginAs(code, tokenOf(string(code)))
		l.Session.ExpiresAt = f.now.Add(time.Duration(i+1)*time.Hour - time.Minute)
		f.must(wire.CmdLogin, &l)
	}
	f.now = f.now.Add(SessionMax) // the leader's clock leaps
	for left := 5; left > 0; left-- {
		if got := f.count(sessionPrefix); got != left {
			t.Fatalf("%d sessions left, want %d", got, left)
		}
		e, due := f.Expire(f.now)
		if !due {
			t.Fatal("nothing is due")
		}
		f.must(wire.CmdExpire, &e)
	}
	if f.Due(f.now) {
		t.Error("work is due when nothing is left")
	}
	// The state's clock does not go back with the leader's.
	high := f.Now()
	f.now = start
	f.must(wire.CmdExpire, &wire.Expire{})
	if got := f.Now(); got != high {
		t.Errorf("time went from %v to %v", high, got)
	}
}

func TestRejectionsExpire(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("nessuno")
	r := f.hasher.Recipient(code)
	m := f.keyed(f.message(code, someService, "uno"), "k")
	f.submit(m, f.message(code, someService, "due"))
	retention := RejectionRetention
	end := f.now.Add(retention)
	f.now = end - 1
	if f.Due(f.now) {
		t.Error("work is due before the retention ends")
	}
	// A leader with a shorter retention asks for more: its setting counts, on every replica.
	f.cfg.RejectionRetention = time.Hour
	f.now = start.Add(time.Hour)
	f.restart()
	if !f.Due(f.now) {
		t.Error("no work is due after the shorter retention")
	}
	e, _ := f.Expire(f.now)
	f.must(wire.CmdExpire, &e)
	if n := f.count(rejectedPrefix) + f.count(idempotencyPrefix) + f.count(duePrefix); n != 0 {
		t.Errorf("%d rows of expired rejections", n)
	}
	_, err := f.FindMessage(wire.FindMessage{Recipient: r, ID: m.ID})
	if !errors.Is(err, wire.NotFound) {
		t.Errorf("find: got %v, want not found", err)
	}
	f.checkCaches()

	// An Expire that names no time keeps to the contract's.
	f.submit(f.message(code, someService, "tre"))
	f.now = f.now.Add(retention - time.Hour)
	f.must(wire.CmdExpire, &wire.Expire{})
	if n := f.count(rejectedPrefix); n != 1 {
		t.Errorf("%d rejections, want 1: it was removed early", n)
	}
}

func TestExpireIsBounded(t *testing.T) {
	f := newFixture(t, "lazio")
	f.must(wire.CmdGrantSlots, allSlots())
	code := codeOf("nessuno")
	for range expireRowsMax/wire.BlockRecordsMax + 4 {
		var block []wire.Record
		for range wire.BlockRecordsMax {
			block = append(block, f.digest(f.message(code, someService, "x")))
		}
		f.submit(block...)
	}
	all := f.count(rejectedPrefix)
	e := wire.Expire{RejectionsBefore: f.now}
	f.must(wire.CmdExpire, &e)
	if left := f.count(rejectedPrefix); left == 0 || left > all-expireRowsMax+2*wire.BlockRecordsMax {
		t.Errorf("%d of %d rejections left after one command", left, all)
	}
	f.must(wire.CmdExpire, &e)
	if left := f.count(rejectedPrefix) + f.count(duePrefix); left != 0 {
		t.Errorf("%d rows left after the second", left)
	}
}

func TestSetProfile(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	f.own(code)
	token := f.login(code)
	set := func(u wire.ProfileUpdate) *wire.SetProfile {
		return &wire.SetProfile{Token: token, Update: u}
	}
	err := f.refuse(wire.Conflict, wire.CmdSetProfile, set(wire.ProfileUpdate{Version: 5}))
	if err.Detail != "Version 5 is not the latest version." {
		t.Errorf("got %q", err.Detail)
	}

	if p := f.update(token, wire.ProfileUpdate{Inbox: wire.Yes}); p.InboxEnabled || p.Version != 1 {
		t.Errorf("without the terms: got inbox %v, version %d, want off, 1", p.InboxEnabled, p.Version)
	}
	f.now = f.now.Add(time.Minute)
	got := f.update(token, wire.ProfileUpdate{AcceptedTos: 4.91, Inbox: wire.No, Webhook: wire.No,
		SetLanguages: true, Languages: []string{"it_IT"}, Reminder: wire.Yes, PushContent: "FULL",
		LastAppVersion: "3.38.0"})
	want := &wire.Profile{FiscalCode: code, Version: 2, Name: "Nome", FamilyName: "Cognome",
		Email: "mail@example.it", SpidEmail: "mail@example.it", DateOfBirth: "1983-11-18",
		InboxEnabled: true, WebhookEnabled: true, // the activation forces both
		AcceptedTos: 4.91, Languages: []string{"it_IT"}, SettingsVersion: -1, Reminder: wire.Yes,
		PushContent: "FULL", LastAppVersion: "3.38.0", UpdatedAt: f.now}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("activation:\n got %+v\nwant %+v", got, want)
	}
	f.refuse(wire.Conflict, wire.CmdSetProfile, set(wire.ProfileUpdate{Version: 0}))

	// Absent fields keep their values, but for three.
	got = f.update(token, wire.ProfileUpdate{})
	want.Version, want.Reminder, want.PushContent, want.LastAppVersion = 3, wire.Unset, "", ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("empty update:\n got %+v\nwant %+v", got, want)
	}
	got = f.update(token, wire.ProfileUpdate{AcceptedTos: 5.4, Webhook: wire.No,
		EmailOn: wire.Yes, Email: "nuova@example.it"})
	want.Version, want.AcceptedTos, want.WebhookEnabled, want.EmailEnabled = 4, 5.4, false, true
	want.Email = "nuova@example.it"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("newer terms:\n got %+v\nwant %+v", got, want)
	}

	// Modes: a change makes a new settings version, the same mode does not, none leads back.
	block := []wire.Blocked{{Service: "B", Channels: wire.ChannelEmail},
		{Service: "A", Channels: wire.ChannelInbox | wire.ChannelWebhook}}
	got = f.update(token, wire.ProfileUpdate{SetBlocked: true, Blocked: block})
	if want := []wire.Blocked{block[1], block[0]}; !reflect.DeepEqual(got.Blocked, want) {
		t.Errorf("blocked: got %+v, want %+v, in order", got.Blocked, want)
	}
	for i, m := range []wire.Mode{wire.Auto, wire.Manual, wire.Auto} {
		got = f.update(token, wire.ProfileUpdate{SetMode: true, Mode: m})
		same := f.update(token, wire.ProfileUpdate{SetMode: true, Mode: m})
		if got.Mode != m || got.SettingsVersion != int64(i) || same.SettingsVersion != int64(i) {
			t.Errorf("got mode %v version %d, then %d, want %v %d twice", got.Mode,
				got.SettingsVersion, same.SettingsVersion, m, i)
		}
		if got.Blocked != nil {
			t.Errorf("%v: still blocks %v", m, got.Blocked)
		}
		f.refuse(wire.Conflict, wire.CmdSetProfile, set(wire.ProfileUpdate{Version: same.Version,
			SetMode: true, Mode: wire.Legacy}))
		if i > 0 {
			continue
		}
		for service, want := range map[wire.ServiceID]wire.Preference{
			"A": {Service: "A", Email: true},
			"B": {Service: "B", Inbox: true, Webhook: true},
			"C": {Service: "C", Inbox: true, Email: true, Webhook: true},
		} {
			got, err := f.Preference(wire.GetPreference{Token: token, Service: service}, f.now)
			if err != nil || *got != want {
				t.Errorf("migrated: got %+v, %v, want %+v", got, err, want)
			}
		}
	}
	if n := f.count(preferencePrefix); n != 0 {
		t.Errorf("%d preferences of settings versions that ended", n)
	}
	f.checkCaches()
}

func TestSetProfileRefuses(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	f.own(code)
	token := f.login(code)
	many := make([]wire.Blocked, blockedMax+1)
	nan := 0.0
	nan /= nan
	for name, u := range map[string]wire.ProfileUpdate{
		"email":            {Email: strings.Repeat("a", emailBytesMax+1)},
		"switch":           {Inbox: 3},
		"terms":            {AcceptedTos: -1},
		"terms below one":  {AcceptedTos: 0.5},
		"terms no number":  {AcceptedTos: nan},
		"languages":        {Languages: make([]string, languagesMax+1)},
		"language":         {Languages: []string{strings.Repeat("a", 20)}},
		"empty language":   {Languages: []string{""}},
		"mode":             {SetMode: true, Mode: 3},
		"blocked":          {Blocked: many},
		"blocked service":  {Blocked: []wire.Blocked{{Service: "no spaces"}}},
		"blocked channels": {Blocked: []wire.Blocked{{Service: "A", Channels: 8}}},
		"blocked twice":    {Blocked: []wire.Blocked{{Service: "A"}, {Service: "B"}, {Service: "A"}}},
		"push":             {PushContent: "LOUD"},
		"app version":      {LastAppVersion: strings.Repeat("1", 50)},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			f.refuse(wire.Malformed, wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: u})
		})
	}
}

func TestPreferences(t *testing.T) {
	f := newFixture(t, "lazio")
	token := f.activate(codeOf("maria"))
	get := wire.GetPreference{Token: token, Service: someService}
	pref := wire.Preference{Service: someService, Inbox: true, ReadStatus: wire.No}
	set := &wire.SetPreference{Token: token, Preference: pref}
	if _, err := f.Preference(get, f.now); !errors.Is(err, wire.Conflict) {
		t.Errorf("LEGACY: got %v, want conflict", err)
	}
	f.refuse(wire.Conflict, wire.CmdSetPreference, set)

	f.update(token, wire.ProfileUpdate{SetMode: true, Mode: wire.Manual})
	want := wire.Preference{Service: someService}
	if got, err := f.Preference(get, f.now); err != nil || *got != want {
		t.Errorf("default of MANUAL: got %+v, %v", got, err)
	}
	for range 2 {
		f.must(wire.CmdSetPreference, set)
		if got, err := f.Preference(get, f.now); err != nil || *got != pref {
			t.Errorf("stored: got %+v, %v, want %+v", got, err, pref)
		}
	}
	f.update(token, wire.ProfileUpdate{SetMode: true, Mode: wire.Auto})
	want = wire.Preference{Service: someService, SettingsVersion: 1, Inbox: true, Email: true,
		Webhook: true}
	if got, err := f.Preference(get, f.now); err != nil || *got != want {
		t.Errorf("default of AUTO: got %+v, %v", got, err)
	}
	f.refuse(wire.Conflict, wire.CmdSetPreference, set) // of the version before
	set.Preference.Service = "no spaces"
	f.refuse(wire.Malformed, wire.CmdSetPreference, set)
	_, err := f.Preference(wire.GetPreference{Token: token}, f.now)
	if !errors.Is(err, wire.Malformed) {
		t.Errorf("no service: got %v, want malformed", err)
	}
	_, err = f.Preference(wire.GetPreference{Service: someService}, f.now)
	if !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("no session: got %v, want unauthenticated", err)
	}
}

func TestPreferencesAreBounded(t *testing.T) {
	f := newFixture(t, "lazio")
	token := f.activate(codeOf("maria"))
	f.update(token, wire.ProfileUpdate{SetMode: true, Mode: wire.Auto})
	set := func(i int) wire.Command {
		return command(wire.CmdSetPreference, &wire.SetPreference{Token: token,
			Preference: wire.Preference{Service: wire.ServiceID("S" + strconv.Itoa(i))}})
	}
	for i := 0; i < preferencesMax; {
		var list []wire.Command
		for ; len(list) < wire.CommandsMax && i < preferencesMax; i++ {
			list = append(list, set(i))
		}
		for _, r := range f.doAll(list...) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	results := f.doAll(set(preferencesMax), set(0))
	if got := codeIn(results[0].Err); got != wire.Conflict {
		t.Errorf("one too many: got %v, want conflict", results[0].Err)
	}
	if results[1].Err != nil {
		t.Errorf("one that is there: %v", results[1].Err)
	}
	f.update(token, wire.ProfileUpdate{SetMode: true, Mode: wire.Manual})
	if n := f.count(preferencePrefix); n != 0 {
		t.Errorf("%d preferences survived their settings version", n)
	}
}
