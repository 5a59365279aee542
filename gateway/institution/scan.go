package institution

import (
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

// What is read here is read by message.go as well, to the same values: this is the short way for
// the message that nearly all institutions send, a notice with or without a payment. Members of
// rarer messages, null for a default, and everything that is wrong are left to the other.

// scanMessage reads the decoder's body into m, or gives up and reports false; m is of no use then.
func (d *decoder) scanMessage(m *newMessage) bool {
	*m = newMessage{timeToLive: timeToLiveDefault}
	s := &d.scanner
	s.Begin(d.body)
	const (
		code = iota
		ttl
		level
		content
		key
	)
	var seen strictjson.Seen
	for s.Enter(); s.Member(); {
		switch string(s.Name) {
		case "fiscal_code":
			s.Once(&seen, code)
			m.fiscalCode = scanCode(s)
		case "time_to_live":
			s.Once(&seen, ttl)
			m.timeToLive = uint32(s.Integer(3600, 604800))
		case "feature_level_type":
			s.Once(&seen, level)
			m.level = scanLevel(s)
		case "content":
			s.Once(&seen, content)
			scanContent(s, m)
		case idempotencyMember:
			s.Once(&seen, key)
			m.key = scanKey(s)
		default:
			s.GiveUp()
		}
	}
	s.Need(seen, content)
	return s.End()
}

// scanCode reads a fiscal code. A record keeps it, so it is not one string with the content's.
func scanCode(s *strictjson.Scanner) fiscalcode.Code {
	code, err := fiscalcode.Parse(s.Value())
	if err != nil {
		s.GiveUp()
	}
	return code
}

func scanLevel(s *strictjson.Scanner) wire.FeatureLevel {
	switch string(s.Value()) {
	case "ADVANCED":
		return wire.Advanced
	case "STANDARD":
	default:
		s.GiveUp()
	}
	return wire.Standard
}

func scanKey(s *strictjson.Scanner) string {
	key, ok := parseKey(string(s.Value()))
	if !ok {
		s.GiveUp()
	}
	return key
}

func scanContent(s *strictjson.Scanner, m *newMessage) {
	const (
		subject = iota
		markdown
		secure
		due
		payment
	)
	c := &m.content
	var seen strictjson.Seen
	for s.Enter(); s.Member(); {
		switch string(s.Name) {
		case "subject":
			s.Once(&seen, subject)
			s.Text(&c.Subject, &subjectRule)
		case "markdown":
			s.Once(&seen, markdown)
			s.Text(&c.Markdown, &markdownRule)
		case "require_secure_channels":
			s.Once(&seen, secure)
			m.secure.Set = s.Bool()
			c.RequireSecureChannels = &m.secure
		case "due_date":
			s.Once(&seen, due)
			m.due.At = scanTimestamp(s)
			c.DueDate = &m.due
		case "payment_data":
			s.Once(&seen, payment)
			scanPayment(s, m)
		default:
			s.GiveUp()
		}
	}
	s.Need(seen, subject, markdown)
}

func scanTimestamp(s *strictjson.Scanner) wire.Time {
	t, ok := parseTimestamp(s.Value())
	if !ok {
		s.GiveUp()
	}
	return t
}

func scanPayment(s *strictjson.Scanner, m *newMessage) {
	const (
		amount = iota
		notice
		invalid
	)
	p := &m.payment
	m.content.Payment = p
	var seen strictjson.Seen
	for s.Enter(); s.Member(); {
		switch string(s.Name) {
		case "amount":
			s.Once(&seen, amount)
			p.Amount = s.Integer(1, 9999999999)
		case "notice_number":
			s.Once(&seen, notice)
			s.Text(&p.NoticeNumber, &noticeRule)
		case "invalid_after_due_date":
			s.Once(&seen, invalid)
			p.InvalidAfterDueDate = s.Bool()
		default:
			s.GiveUp()
		}
	}
	s.Need(seen, amount, notice)
}
