package region

import (
	"testing"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// TestVerdict goes through every row of the contract's rules (institutions §2.6, citizens §2.4).
func TestVerdict(t *testing.T) {
	const other wire.ServiceID = "01OTHERSERVICE000000000000"
	tos := wire.ProfileUpdate{AcceptedTos: 4.91}
	mode := func(m wire.Mode) wire.ProfileUpdate { return wire.ProfileUpdate{SetMode: true, Mode: m} }
	block := func(s wire.ServiceID, c wire.Channel) wire.ProfileUpdate {
		return wire.ProfileUpdate{SetBlocked: true, Blocked: []wire.Blocked{{Service: s, Channels: c}}}
	}
	prefer := func(s wire.ServiceID, inbox bool) wire.Preference {
		return wire.Preference{Service: s, Inbox: inbox}
	}
	type steps []any // wire.ProfileUpdate or wire.Preference, made with the current version
	for _, tt := range []struct {
		name    string
		steps   steps // nil: not even claimed
		login   bool
		want    wire.Verdict
		allowed bool
	}{
		{"unclaimed", nil, false, userNotFound, false},
		{"claimed, never logged in", steps{}, false, userNotFound, false},
		{"terms not accepted", steps{}, true, serviceNotAllowed, false},
		{"inbox on without terms", steps{wire.ProfileUpdate{Inbox: wire.Yes}}, true,
			serviceNotAllowed, false},
		{"inbox off", steps{tos, wire.ProfileUpdate{Inbox: wire.No}}, true, serviceNotAllowed, false},
		{"inbox off and on again", steps{tos, wire.ProfileUpdate{Inbox: wire.No},
			wire.ProfileUpdate{Inbox: wire.Yes}}, true, processed, true},
		{"legacy", steps{tos}, true, processed, true},
		{"legacy, inbox blocked", steps{tos, block(someService, wire.ChannelInbox)}, true,
			serviceNotAllowed, false},
		{"legacy, all blocked", steps{tos, block(someService,
			wire.ChannelInbox|wire.ChannelEmail|wire.ChannelWebhook)}, true, serviceNotAllowed, false},
		{"legacy, email blocked", steps{tos, block(someService, wire.ChannelEmail)}, true,
			processed, true},
		{"legacy, other service blocked", steps{tos, block(other, wire.ChannelInbox)}, true,
			processed, true},
		{"legacy, unblocked", steps{tos, block(someService, wire.ChannelInbox),
			wire.ProfileUpdate{SetBlocked: true}}, true, processed, true},
		{"auto", steps{tos, mode(wire.Auto)}, true, processed, true},
		{"auto, no", steps{tos, mode(wire.Auto), prefer(someService, false)}, true,
			serviceNotAllowed, false},
		{"auto, yes", steps{tos, mode(wire.Auto), prefer(someService, true)}, true, processed, true},
		{"auto, no, then yes", steps{tos, mode(wire.Auto), prefer(someService, false),
			prefer(someService, true)}, true, processed, true},
		{"auto, no to another", steps{tos, mode(wire.Auto), prefer(other, false)}, true,
			processed, true},
		{"manual", steps{tos, mode(wire.Manual)}, true, serviceNotAllowed, false},
		{"manual, no", steps{tos, mode(wire.Manual), prefer(someService, false)}, true,
			serviceNotAllowed, false},
		{"manual, yes", steps{tos, mode(wire.Manual), prefer(someService, true)}, true,
			processed, true},
		{"manual, yes to another", steps{tos, mode(wire.Manual), prefer(other, true)}, true,
			serviceNotAllowed, false},
		{"manual, yes, inbox off", steps{tos, mode(wire.Manual), prefer(someService, true),
			wire.ProfileUpdate{Inbox: wire.No}}, true, serviceNotAllowed, false},
		{"auto, no; choices end with the mode", steps{tos, mode(wire.Auto),
			prefer(someService, false), mode(wire.Manual), mode(wire.Auto)}, true, processed, true},
		{"manual, yes; choices end with the mode", steps{tos, mode(wire.Manual),
			prefer(someService, true), mode(wire.Auto), mode(wire.Manual)}, true,
			serviceNotAllowed, false},
		{"legacy blocked moves to auto", steps{tos, block(someService, wire.ChannelInbox),
			mode(wire.Auto)}, true, serviceNotAllowed, false},
		{"legacy email blocked moves to auto", steps{tos, block(someService, wire.ChannelEmail),
			mode(wire.Auto)}, true, processed, true},
		{"legacy blocked is forgotten in manual", steps{tos, block(other, wire.ChannelInbox),
			mode(wire.Manual), mode(wire.Auto)}, true, processed, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, "lazio")
			f.must(wire.CmdGrantSlots, allSlots())
			code := codeOf("maria")
			if tt.steps != nil {
				f.own(code)
			}
			var token wire.TokenHash
			if tt.login {
				token = f.login(code)
			}
			for _, step := range tt.steps {
				switch step := step.(type) {
				case wire.ProfileUpdate:
					f.update(token, step)
				case wire.Preference:
					p, err := f.Profile(token, f.now)
					if err != nil {
						t.Fatal(err)
					}
					step.SettingsVersion = p.SettingsVersion
					f.must(wire.CmdSetPreference, &wire.SetPreference{Token: token, Preference: step})
				}
				f.submitOne(f.message(codeOf("other"), other, "fills the cache")) // of the verdicts
				f.submitOne(f.message(code, "01NOBODYSSERVICE0000000000", "and the citizen's"))
			}
			f.checkVerdict(code, tt.want, tt.allowed)
			f.restart() // and now with cold caches
			f.checkVerdict(code, tt.want, tt.allowed)
			f.checkCaches()
		})
	}
}

func (f *fixture) checkVerdict(code fiscalcode.Code, want wire.Verdict, wantAllowed bool) {
	f.t.Helper()
	m := f.message(code, someService, "corpo")
	redacted := m.Redact(f.hasher)
	redacted.ID = f.id()
	outs := f.submit(redacted, m)
	if want == processed {
		if outs[0].Kind != wire.NeedContent {
			f.t.Errorf("redacted: got %+v, want NeedContent", outs[0])
		}
	} else if outs[0] != (wire.Outcome{Kind: wire.Decided, ID: redacted.ID, Verdict: want}) {
		f.t.Errorf("redacted: got %+v, want %v", outs[0], want)
	}
	if outs[1] != (wire.Outcome{Kind: wire.Decided, ID: m.ID, Verdict: want}) {
		f.t.Errorf("message: got %+v, want %v", outs[1], want)
	}
	p, err := f.SenderProfile(wire.SenderProfileQuery{Recipient: f.hasher.Recipient(code),
		Service: someService})
	if got := err == nil && p.Allowed; got != wantAllowed {
		f.t.Errorf("sender allowed: got %v (%v), want %v", got, err, wantAllowed)
	}
	view, err := f.FindMessage(wire.FindMessage{Recipient: f.hasher.Recipient(code), ID: m.ID})
	if err != nil || view.Verdict != want || (view.Content != nil) != (want == processed) {
		f.t.Errorf("find: got %+v, %v, want verdict %v", view, err, want)
	}
}
