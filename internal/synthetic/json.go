package synthetic

import (
	"strconv"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// AppendJSON appends the message as the body of a submission to code; an empty code leaves the
// recipient out, for the path variant.
func (m *Message) AppendJSON(dst []byte, code fiscalcode.Code) []byte {
	dst = append(dst, '{')
	if code != "" {
		dst = append(dst, `"fiscal_code":"`...)
		dst = append(dst, code...)
		dst = append(dst, `",`...)
	}
	if m.TimeToLive != 0 {
		dst = append(dst, `"time_to_live":`...)
		dst = strconv.AppendInt(dst, int64(m.TimeToLive), 10)
		dst = append(dst, ',')
	}
	c := &m.Content
	dst = append(dst, `"content":{"subject":`...)
	dst = appendString(dst, c.Subject)
	dst = append(dst, `,"markdown":`...)
	dst = appendString(dst, c.Markdown)
	if c.RequireSecureChannels {
		dst = append(dst, `,"require_secure_channels":true`...)
	}
	if c.DueDate != "" {
		dst = append(dst, `,"due_date":`...)
		dst = appendString(dst, c.DueDate)
	}
	if p := c.Payment; p != nil {
		dst = append(dst, `,"payment_data":{"amount":`...)
		dst = strconv.AppendUint(dst, p.Amount, 10)
		dst = append(dst, `,"notice_number":`...)
		dst = appendString(dst, p.NoticeNumber)
		if p.InvalidAfterDueDate {
			dst = append(dst, `,"invalid_after_due_date":true`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, "}}"...)
}

// appendString appends s, which is valid UTF-8, as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
