package remote

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Precondition is what a citizen accepts before the message opens.
type Precondition struct {
	Title    string `json:"title"`
	Markdown string `json:"markdown"`
}

// Content is what the institution keeps of a message.
type Content struct {
	Attachments []Attachment `json:"attachments,omitzero"`
	Details     *Details     `json:"details,omitzero"`
}

// Details are the message's text.
type Details struct {
	Subject  string `json:"subject"`
	Markdown string `json:"markdown"`
}

// Attachment is a document of the message. URL is what the attachment is asked for by, below the
// message's own.
type Attachment struct {
	ID          string `json:"id"`
	URL         string `json:"url"`
	ContentType string `json:"content_type,omitzero"`
	Name        string `json:"name,omitzero"`
	Category    string `json:"category,omitzero"`
}

// Promise is what a message says that the institution keeps of it.
type Promise struct{ Attachments, Details bool }

// attachmentsMax bounds the attachments of a message.
const attachmentsMax = 256

// Keep holds an answer against what the message promised: what was not promised is left out.
func (c *Content) Keep(p Promise) *Fault {
	switch {
	case !p.Attachments:
		c.Attachments = nil
	case len(c.Attachments) == 0:
		return faultf(NoAttachments, "the message has attachments, the answer none")
	case len(c.Attachments) > attachmentsMax:
		return faultf(Failed, "the answer has more attachments than a message may")
	}
	for i := range c.Attachments {
		a := &c.Attachments[i]
		if a.ID == "" || a.URL == "" {
			return faultf(Failed, "an attachment without id or url")
		}
		if !category(a.Category) {
			a.Category = "DOCUMENT"
		}
	}
	switch d := c.Details; {
	case !p.Details:
		c.Details = nil
	case d == nil:
		return faultf(NoContent, "the message has a text there, the answer none")
	case !within(d.Subject, 10, 120):
		return faultf(BadSubject, "the subject of the answer is too short or too long")
	case !within(d.Markdown, 80, 10000):
		return faultf(BadMarkdown, "the text of the answer is too short or too long")
	}
	return nil
}

// category is the contract's rule.
func category(s string) bool {
	if len(s) < 2 || len(s) > 30 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// within reports whether a text has from min to max UTF-16 code units, the contract's measure.
func within(s string, min, max int) bool {
	if !utf8.ValidString(s) {
		return false
	}
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n >= min && n <= max
}
