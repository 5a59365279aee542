package institution

import (
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

var (
	fiscalCodeRule = secret(typeFiscalCode, isFiscalCode)
	subjectRule    = secret("string of length >= 10 and < 121", isSubject)
	markdownRule   = secret("string of length >= 80 and < 10001", isMarkdown)
	nonEmptyRule   = secret("non empty string", isNonEmpty)
	textRule       = secret("string", isText)

	levelRule         = open(`"STANDARD" or "ADVANCED"`, isLevel)
	noticeRule        = open(`string that matches the pattern "^[0123][0-9]{17}$"`, isNotice)
	organizationRule  = open(`string that matches the pattern "^[0-9]{11}$"`, isOrganization)
	preconditionRule  = open(`"ALWAYS" or "ONCE" or "NEVER"`, isPrecondition)
	timestampRule     = open("UTCISODateFromString or ISO 8601 date with offset", isTimestamp)
	configurationRule = open(`string that matches the pattern `+
		`"^[0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{26}$"`, isULID)
)

// secret is the rule of what may be a person's, open of what a report may repeat.
func secret(name string, keeps func([]byte) bool) rule {
	return rule{Name: name, Secret: true, Keeps: keeps}
}

func open(name string, keeps func([]byte) bool) rule { return rule{Name: name, Keeps: keeps} }

func isFiscalCode(b []byte) bool {
	_, err := fiscalcode.Parse(b)
	return err == nil
}

func isLevel(b []byte) bool {
	return string(b) == "STANDARD" || string(b) == "ADVANCED"
}

func isPrecondition(b []byte) bool {
	return string(b) == "ALWAYS" || string(b) == "ONCE" || string(b) == "NEVER"
}

func isSubject(b []byte) bool  { return within(b, 10, 120) }
func isMarkdown(b []byte) bool { return within(b, 80, 10000) }
func isNonEmpty(b []byte) bool { return len(b) > 0 }
func isText([]byte) bool       { return true }

func isNotice(b []byte) bool       { return len(b) == 18 && b[0] <= '3' && digits(b) }
func isOrganization(b []byte) bool { return len(b) == 11 && digits(b) }

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isULID is the contract's looser rule: the alphabet, either case, no bound on the first letter.
func isULID(b []byte) bool {
	if len(b) != 26 {
		return false
	}
	for _, c := range b {
		switch lower := c | 0x20; {
		case c >= '0' && c <= '9':
		case lower < 'a' || lower > 'z', lower == 'i', lower == 'l', lower == 'o', lower == 'u':
			return false
		}
	}
	return true
}

// within reports whether b has from min to max UTF-16 code units, the contract's measure of
// length. b is UTF-8, so it has at most one unit per byte and at least one per three.
func within(b []byte, min, max int) bool {
	if len(b)/3 >= min && len(b) <= max {
		return true
	}
	units := 0
	for _, c := range b {
		if c < 0x80 || c >= 0xC0 { // the first byte of a character
			units++
		}
		if c >= 0xF0 { // of one beyond the basic plane: two units
			units++
		}
	}
	return units >= min && units <= max
}

// timestamp reads a timestamp; value has parsed it once to judge it, which is cheap.
func (d *decoder) timestamp(field string) wire.Time {
	t, _ := parseTimestamp(d.Value(field, &timestampRule))
	return t
}

func isTimestamp(b []byte) bool {
	_, ok := parseTimestamp(b)
	return ok
}

// parseTimestamp reads YYYY-MM-DDTHH:MM:SS, a fraction of any length or none, then Z, an offset
// [+-]HH:MM, or nothing, which means UTC. 24:00:00 is the next midnight, as the contract's readers
// take it. The instant must exist and fall into the years 0 to 9999, or it could not be told
// again. Beyond milliseconds it is truncated.
func parseTimestamp(b []byte) (wire.Time, bool) {
	const form = "0000-00-00T00:00:00"
	if len(b) < len(form) {
		return 0, false
	}
	for i, f := range []byte(form) {
		if f == '0' && (b[i] < '0' || b[i] > '9') || f != '0' && b[i] != f {
			return 0, false
		}
	}
	year, month, day := number(b[0:4]), number(b[5:7]), number(b[8:10])
	hour, minute, second := number(b[11:13]), number(b[14:16]), number(b[17:19])
	millis, rest, ok := fraction(b[len(form):])
	midnight := hour == 24 && minute == 0 && second == 0 && millis == 0
	if !ok || hour > 23 && !midnight || minute > 59 || second > 59 {
		return 0, false
	}
	offset, ok := zone(rest)
	if !ok {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, 0, minute, second, millis*1e6, time.UTC)
	if int(t.Month()) != month || t.Day() != day {
		return 0, false
	}
	t = t.Add(time.Duration(hour)*time.Hour - offset)
	if t.Year() < 0 || t.Year() > 9999 {
		return 0, false
	}
	return wire.TimeOf(t), true
}

func number(b []byte) int {
	n := 0
	for _, c := range b {
		n = 10*n + int(c-'0')
	}
	return n
}

// fraction reads the milliseconds of ".123456", or nothing.
func fraction(b []byte) (millis int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	i := 1
	for weight := 100; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		millis += int(b[i]-'0') * weight
		weight /= 10
	}
	return millis, b[i:], i > 1
}

// zone reads nothing, Z, or [+-]HH:MM.
func zone(b []byte) (time.Duration, bool) {
	switch {
	case len(b) == 0, len(b) == 1 && b[0] == 'Z':
		return 0, true
	case len(b) != 6, b[0] != '+' && b[0] != '-', b[3] != ':', !digits(b[1:3]), !digits(b[4:6]):
		return 0, false
	}
	hours, minutes := number(b[1:3]), number(b[4:6])
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}
