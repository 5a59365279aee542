package region

import (
	"errors"
	"reflect"
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
		e, _ := f.DueExpiry(end)
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
