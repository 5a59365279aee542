package citizen

import (
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

var (
	appVersionPattern = regexp.MustCompile(
		`^((0|[1-9][0-9]*)\.){2}(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))?$`)
	// languagePattern is wider than the contract's list, which is open by its own word.
	languagePattern = regexp.MustCompile(`^[a-z]{2}_[A-Z]{2}$`)
)

// The region's bounds on what the contract leaves open: the length of last_app_version, and the
// number of the accepted terms.
const (
	appVersionMax = 32
	tosVersionMax = 1 << 20
)

// parseProfile reads the contract's Profile. Only version is required; null is no value for
// anything. Members that are not the citizen's to change (name, fiscal_code, …) are ignored, as
// the app sends the whole profile back.
func parseProfile(o *strictjson.Object) (*wire.ProfileUpdate, error) {
	u := &wire.ProfileUpdate{
		Version:     o.Integer("version", versionMax),
		Email:       o.Text("email", "EmailAddress", false, validEmail),
		Inbox:       tri(o.Bool("is_inbox_enabled", false)),
		Webhook:     tri(o.Bool("is_webhook_enabled", false)),
		EmailOn:     tri(o.Bool("is_email_enabled", false)),
		AcceptedTos: parseTos(o),
		PushContent: o.Text("push_notifications_content_type", "FULL or ANONYMOUS", false,
			oneOf(pushFull, pushAnonymous)),
		LastAppVersion: o.Text("last_app_version", "AppVersion", false, func(s string) bool {
			return len(s) <= appVersionMax && appVersionPattern.MatchString(s)
		}),
	}
	switch o.Text("reminder_status", "ENABLED or DISABLED", false,
		oneOf(reminderOn, reminderOff)) {
	case reminderOn:
		u.Reminder = wire.Yes
	case reminderOff:
		u.Reminder = wire.No
	}
	u.Languages, u.SetLanguages = o.Strings("preferred_languages", "PreferredLanguage",
		languagesMax, languagePattern.MatchString)
	if s := o.Child("service_preferences_settings", "ServicePreferencesSettings"); s != nil {
		u.Mode, u.SetMode = parseMode(s)
	}
	parseBlocked(o, u)
	if err := bodyProblem(o.Err()); err != nil {
		return nil, err
	}
	return u, nil
}

// parseTos reads accepted_tos_version, a number that may have decimals.
func parseTos(o *strictjson.Object) float64 {
	const name, want = "accepted_tos_version", "number >= 1 and <= 1048576"
	v, ok := o.Get(name, want, false, "0")
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f < 1 || f > tosVersionMax {
		o.Fault(name, want)
		return 0
	}
	return f
}

func parseMode(o *strictjson.Object) (wire.Mode, bool) {
	switch o.Text("mode", "LEGACY, AUTO or MANUAL", true,
		oneOf(wire.Legacy.String(), wire.Auto.String(), wire.Manual.String())) {
	case wire.Auto.String():
		return wire.Auto, true
	case wire.Manual.String():
		return wire.Manual, true
	}
	return wire.Legacy, true
}

// parseBlocked reads blocked_inbox_or_channels: service ids with lists of channels. Services are
// not looked up, since one may stay blocked after it is gone.
func parseBlocked(o *strictjson.Object, u *wire.ProfileUpdate) {
	const name = "blocked_inbox_or_channels"
	v, ok := o.Get(name, "BlockedInboxOrChannels", false, "{")
	if !ok {
		return
	}
	u.SetBlocked = true
	count := 0
	strictjson.Each(v, func(service string, list jsontext.Value) {
		place := name + "." + strconv.Itoa(count) // a key may be anything: not repeated
		if count++; count > blockedMax {
			return
		}
		set, ok := parseChannels(list)
		switch id := wire.ServiceID(service); {
		case !id.Valid():
			o.Fault(place, "ServiceId as a name")
		case !ok:
			o.Fault(place, "array of EMAIL, INBOX or WEBHOOK")
		case set != 0:
			u.Blocked = append(u.Blocked, wire.Blocked{Service: id, Channels: set})
		}
	})
	if count > blockedMax {
		o.Fault(name, "object of at most "+strconv.Itoa(blockedMax)+" services")
	}
	// One order whatever the client's: equal updates have equal bytes.
	slices.SortFunc(u.Blocked, func(a, b wire.Blocked) int {
		return strings.Compare(string(a.Service), string(b.Service))
	})
}

func parseChannels(list jsontext.Value) (set wire.Channel, ok bool) {
	if list.Kind() != '[' {
		return 0, false
	}
	ok = true
	strictjson.Each(list, func(_ string, v jsontext.Value) {
		bit, known := channelOf(strictjson.Unquote(v))
		set, ok = set|bit, ok && known
	})
	return set, ok
}

func oneOf(words ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(words, s) }
}

// validEmail reports whether s is one plain address, local@domain, with a dot in the domain.
func validEmail(s string) bool {
	if len(s) > emailBytesMax || !utf8.ValidString(s) || strings.ContainsAny(s, " \t\r\n<>\"") {
		return false
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s {
		return false
	}
	local, domain, _ := strings.Cut(s, "@")
	last := domain[strings.LastIndexByte(domain, '.')+1:]
	return len(local) <= 64 && len(last) >= 2 && len(last) < len(domain)
}
