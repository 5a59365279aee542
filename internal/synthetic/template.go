package synthetic

import (
	"math"
	"math/rand/v2"
	"strings"
)

// language is the material of one language. Texts have gaps, {slot}, that every message fills
// anew, and choices, [a|b] or [a ], that each template settles once for all its messages.
type language struct {
	weight            int // share of the templates, in percent
	months            [12]string
	dayDot            bool // 5. Mai rather than 5 mai
	decimal, thousand rune

	offices, topics, greetings, subjects, openings []string
	sentences, items, headings, closings           []string
	asides                                         []string // settled anew in every message
	action                                         string   // the text of a button
}

var languages = []*language{&italian, &german, &french, &english, &slovene}

type slot uint8

const (
	none slot = iota
	slotName
	slotFamily
	slotPerson
	slotStreet
	slotTown
	slotOffice
	slotTopic
	slotDate
	slotDue
	slotTime
	slotAmount
	slotSum
	slotNotice
	slotRef
	slotCase
	slotNumber
	slotPercent
	slotPlate
	slotPhone
	slotEmail
	slotURL
	slotYear
)

var slots = map[string]slot{"name": slotName, "family": slotFamily, "person": slotPerson,
	"street": slotStreet, "town": slotTown, "office": slotOffice, "topic": slotTopic,
	"date": slotDate, "due": slotDue, "time": slotTime, "amount": slotAmount, "sum": slotSum,
	"notice": slotNotice, "ref": slotRef, "case": slotCase, "number": slotNumber,
	"percent": slotPercent, "plate": slotPlate, "phone": slotPhone, "email": slotEmail,
	"url": slotURL, "year": slotYear}

// segment is a literal and the gap after it.
type segment struct {
	literal string
	slot    slot
}

// settle appends text to p, its choices made by r. A choice without alternatives, [a], is
// present half of the time.
func settle(p []segment, r *rand.Rand, text string) []segment {
	for text != "" {
		at := strings.IndexAny(text, "{[")
		if at < 0 {
			return append(p, segment{literal: text})
		}
		if text[at] == '{' {
			end := at + strings.IndexByte(text[at:], '}')
			p = append(p, segment{text[:at], slots[text[at+1:end]]})
			text = text[end+1:]
			continue
		}
		p = append(p, segment{literal: text[:at]})
		end := at + strings.IndexByte(text[at:], ']')
		choices := text[at+1 : end]
		if n := strings.Count(choices, "|"); n > 0 {
			for range r.IntN(n + 1) {
				_, choices, _ = strings.Cut(choices, "|")
			}
			choices, _, _ = strings.Cut(choices, "|")
			p = settle(p, r, choices)
		} else if r.IntN(2) == 0 {
			p = settle(p, r, choices)
		}
		text = text[end+1:]
	}
	return p
}

// template is a text that many messages share, gaps apart.
type template struct {
	lang                   *language
	topic, office          string
	subject, body, closing []segment
	payment, due           float64 // the share of its messages that have them
	button                 bool
	secure                 bool
}

// Lengths of template bodies, in bytes: a log-normal distribution, cut at both ends so that the
// whole message stays between 200 bytes and 10 KB. What is around a body adds some 400 bytes.
const (
	around     = 400
	bodySpread = 0.8
	bodyMin    = 80
	bodyMax    = 6500
)

// compose writes template number n of a seed, its messages of about median bytes.
func compose(seed uint64, n uint64, median int) *template {
	r := newRand("template", seed, n)
	l := languageAt(r.IntN(100))
	t := &template{lang: l, topic: pick(r, l.topics), office: pick(r, l.offices),
		button: r.IntN(18) == 0, secure: r.IntN(20) == 0}
	switch r.IntN(4) {
	case 0: // mostly notices of payment
		t.payment, t.due = 0.95, 0.9
	case 1: // deadlines and appointments
		t.due = 0.7
	default:
		t.payment, t.due = 0.05, 0.08
	}
	t.subject = settle(nil, r, pick(r, l.subjects))
	target := int(float64(median-around) * math.Exp(r.NormFloat64()*bodySpread))
	target = min(max(target, bodyMin), bodyMax)
	if target > 150 || r.IntN(2) == 0 {
		t.body = settle(t.body, r, pick(r, l.greetings)+"\n")
		target -= 20
	}
	t.body = settle(t.body, r, pick(r, l.openings))
	used := make(map[int]bool)
	for size(t.body) < target {
		t.paragraph(r, used, target)
	}
	if target > 150 {
		t.closing = settle(nil, r, "\n\n"+pick(r, l.closings))
	}
	return t
}

// paragraph adds a list or some sentences, up to the target size.
func (t *template) paragraph(r *rand.Rand, used map[int]bool, target int) {
	t.body = append(t.body, segment{literal: "\n\n"})
	l := t.lang
	if r.IntN(5) == 0 {
		t.body = settle(t.body, r, "### "+pick(r, l.headings)+"\n")
		from := r.IntN(len(l.items))
		for i := range 2 + r.IntN(len(l.items)/2) {
			t.body = settle(t.body, r, "\n* "+l.items[(from+i)%len(l.items)])
		}
		return
	}
	for i := range 1 + r.IntN(4) {
		if i > 0 {
			if size(t.body) >= target {
				return
			}
			t.body = append(t.body, segment{literal: " "})
		}
		n := r.IntN(len(l.sentences))
		for len(used) < len(l.sentences) && used[n] { // long texts repeat, short ones do not
			n = (n + 1) % len(l.sentences)
		}
		used[n] = true
		t.body = settle(t.body, r, l.sentences[n])
	}
}

func languageAt(percent int) *language {
	for _, l := range languages {
		if percent -= l.weight; percent < 0 {
			return l
		}
	}
	return languages[0]
}

// size estimates the bytes of a filled text.
func size(p []segment) int {
	n := 0
	for _, s := range p {
		n += len(s.literal)
		if s.slot != none {
			n += 12
		}
	}
	return n
}
