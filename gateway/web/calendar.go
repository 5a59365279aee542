package web

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/staffetta/staffetta/wire"
)

// dueDate gives the due date of a message to a calendar (RFC 5545): the day in Rome, the whole of
// it, with a reminder on the day before. The title is the message's: the file is the citizen's own.
func (c *call) dueDate() error {
	got, err := c.getMessage()
	if err != nil {
		return err
	}
	if got.Content.DueDate == nil {
		return errAbsent
	}
	text := calendarOf(&got.Item, plain(got.Content.Subject), got.Content.DueDate.At)
	h := c.W.Header()
	h.Set("Content-Type", "text/calendar; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="staffetta.ics"`)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	c.W.WriteHeader(http.StatusOK)
	c.W.Write([]byte(text))
	return nil
}

// calendarOf writes an event. Its UID is the message's, so a second download is the same event;
// its stamp is when the message was made, so that equal messages have equal bytes.
func calendarOf(item *wire.InboxItem, subject string, due wire.Time) string {
	day := due.Std().In(rome)
	var b strings.Builder
	for _, line := range []string{
		"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Staffetta//Staffetta//IT", "METHOD:PUBLISH",
		"BEGIN:VEVENT",
		"UID:" + item.ID.String() + "@staffetta",
		"DTSTAMP:" + item.ID.Time().Std().Format("20060102T150405Z"),
		"DTSTART;VALUE=DATE:" + day.Format("20060102"),
		"DTEND;VALUE=DATE:" + day.AddDate(0, 0, 1).Format("20060102"),
		"SUMMARY:" + escapeText(subject),
		"TRANSP:TRANSPARENT",
		"BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-P1D", "DESCRIPTION:" + escapeText(subject),
		"END:VALARM",
		"END:VEVENT", "END:VCALENDAR",
	} {
		fold(&b, line)
	}
	return b.String()
}

// escapeText is a TEXT value (RFC 5545, 3.3.11). Line ends within it are escaped, so that no text
// adds a property.
func escapeText(s string) string {
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r\n", `\n`, "\n", `\n`,
		"\r", `\n`).Replace(s)
}

// lineBytesMax is the longest line, without its end (RFC 5545, 3.1).
const lineBytesMax = 75

// fold writes a line in pieces of at most lineBytesMax bytes, no character torn apart.
func fold(b *strings.Builder, line string) {
	for limit := lineBytesMax; len(line) > limit; limit = lineBytesMax - 1 {
		cut := limit
		for cut > 0 && !utf8.RuneStart(line[cut]) {
			cut--
		}
		b.WriteString(line[:cut] + "\r\n ")
		line = line[cut:]
	}
	b.WriteString(line + "\r\n")
}
