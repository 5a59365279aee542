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
