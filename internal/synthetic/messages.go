package synthetic

import (
	"math"
	"math/rand/v2"
	"time"
	"unicode/utf8"
)

// templatesMax is how many templates a seed has. They are drawn by Zipf's law, so most are rare;
// composed when first drawn, all of them take some 6 MB.
const templatesMax = 2048

// The exponent and offset of the law: the most frequent template has about a twentieth of the
// messages, the hundred most frequent ones half.
const (
	zipfExponent = 1.1
	zipfOffset   = 4
)

// The contract's lower bounds, in UTF-16 units; the upper ones are far away.
const (
	subjectUnitsMin  = 10
	markdownUnitsMin = 80
)

// Message is a message as the contract's NewMessage has it, without its recipient.
type Message struct {
	TimeToLive int     `json:"time_to_live,omitempty"` // seconds
	Content    Content `json:"content"`
}

// Content is what the citizen reads.
type Content struct {
	Subject               string   `json:"subject"`
	Markdown              string   `json:"markdown"`
	RequireSecureChannels bool     `json:"require_secure_channels,omitempty"`
	DueDate               string   `json:"due_date,omitempty"`
	Payment               *Payment `json:"payment_data,omitempty"`
}

// Payment is a notice of payment.
type Payment struct {
	Amount              uint64 `json:"amount"` // eurocent
	NoticeNumber        string `json:"notice_number"`
	InvalidAfterDueDate bool   `json:"invalid_after_due_date,omitempty"`
}

// Messages invents messages, one after the other. It is not safe for concurrent use.
type Messages struct {
	seed      uint64
	median    int
	rng       *rand.Rand
	zipf      *rand.Zipf
	templates [templatesMax]*template
	text      []byte // of the message being written
	extra     []segment

	// What the message being written says wherever it is asked.
	due    time.Time
	sum    uint64
	notice [18]byte
}

// MedianBytes is the median size of a message as JSON, as institutions' messages have it.
const MedianBytes = 1400

// NewMessages returns the generator of a seed.
func NewMessages(seed uint64) *Messages { return NewMessagesOf(seed, MedianBytes) }

// NewMessagesOf returns a generator of messages whose median size is about medianBytes, from
// 500 to 4,000; outside of these the bounds of a single message bend it.
func NewMessagesOf(seed uint64, medianBytes int) *Messages {
	m := &Messages{seed: seed, median: max(medianBytes, around+100),
		rng: newRand("messages", seed, 0)}
	m.zipf = rand.NewZipf(m.rng, zipfExponent, zipfOffset, templatesMax-1)
	return m
}

// Next invents a message: valid by the contract, of 200 bytes to 10 KB as JSON.
func (m *Messages) Next() Message {
	n := m.zipf.Uint64()
	if m.templates[n] == nil {
		m.templates[n] = compose(m.seed, n, m.median)
	}
	t, r := m.templates[n], m.rng
	m.due = eraFirst.Add(time.Duration(r.IntN(eraDays)) * 24 * time.Hour)
	m.sum = uint64(min(max(8000*math.Exp(1.3*r.NormFloat64()), 1), 9_999_999_999))
	m.notice[0] = '3'
	for i := 1; i < len(m.notice); i++ {
		m.notice[i] = byte('0' + r.IntN(10))
	}

	var out Message
	if r.IntN(10) == 0 {
		out.TimeToLive = 3600 * (1 + r.IntN(168))
	}
	out.Content.RequireSecureChannels = t.secure
	if r.Float64() < t.due {
		out.Content.DueDate = m.dueDate()
	}
	if r.Float64() < t.payment {
		out.Content.Payment = &Payment{Amount: m.sum, NoticeNumber: string(m.notice[:]),
			InvalidAfterDueDate: out.Content.DueDate != "" && r.IntN(4) == 0}
	}
	out.Content.Subject = m.subject(t)
	out.Content.Markdown = m.markdown(t)
	return out
}

// dueDate writes the due date in one of the ways that institutions do.
func (m *Messages) dueDate() string {
	switch m.rng.IntN(4) {
	case 0:
		return m.due.Format("2006-01-02T15:04:05.000Z")
	case 1:
		return m.due.Add(22*time.Hour + 59*time.Minute + 59*time.Second).Format(time.RFC3339)
	case 2:
		return m.due.Format("2006-01-02T15:04:05+01:00")
	}
	return m.due.Add(22 * time.Hour).Format(time.RFC3339)
}

func (m *Messages) subject(t *template) string {
	m.text = m.text[:0]
	m.fill(t, t.subject)
	if c := m.text[0]; c >= 'a' && c <= 'z' {
		m.text[0] = c - 'a' + 'A'
	}
	for units(m.text) < subjectUnitsMin {
		m.text = append(m.text, " — "...)
		m.fill(t, []segment{{slot: slotRef}})
	}
	return string(m.text)
}

func (m *Messages) markdown(t *template) string {
	r, l := m.rng, t.lang
	m.text = m.text[:0]
	if t.button {
		m.text = append(m.text, "---\nit:\n  cta_1:\n    text: \""...)
		m.text = append(m.text, l.action...)
		m.text = append(m.text, "\"\n    action: \"iohandledlink://"...)
		m.fill(t, []segment{{slot: slotURL}})
		m.text = append(m.text, "\"\n---\n\n"...)
	}
	m.fill(t, t.body)
	// What this message alone says: in a third of them, seldom much.
	m.extra = m.extra[:0]
	for r.IntN(3) == 0 && len(m.extra) < 64 {
		m.extra = settle(m.extra, r, " "+pick(r, l.sentences))
	}
	for first := true; r.IntN(5) < 2 && len(m.extra) < 64; first = false {
		lead := " "
		if first {
			lead = "\n\n"
		}
		m.extra = settle(m.extra, r, lead+pick(r, l.asides))
	}
	for {
		m.fill(t, m.extra)
		// A unit takes up to three bytes; only short texts are counted.
		if len(m.text) >= 3*markdownUnitsMin || units(m.text) >= markdownUnitsMin {
			break
		}
		m.extra = settle(m.extra[:0], r, " "+pick(r, l.sentences))
	}
	m.fill(t, t.closing)
	return string(m.text)
}

// units counts UTF-16 code units, as the contract does.
func units[T string | []byte](s T) int {
	n := utf8.RuneCountInString(string(s))
	for i := range len(s) {
		if s[i] >= 0xF0 { // begins a rune of two units
			n++
		}
	}
	return n
}
