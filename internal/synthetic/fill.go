package synthetic

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Dates lie in these years, whatever the clock says: a seed means the same messages for ever.
var eraFirst = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const eraDays = 3 * 365

// fill appends p to the text, its gaps filled.
func (m *Messages) fill(t *template, p []segment) {
	for _, s := range p {
		m.text = append(m.text, s.literal...)
		if s.slot != none {
			m.fillSlot(t, s.slot)
		}
	}
}

func (m *Messages) fillSlot(t *template, s slot) {
	r := m.rng
	switch s {
	case slotName:
		m.text = append(m.text, pickRanked(r, m.givenNames())...)
	case slotFamily:
		m.text = append(m.text, pickRanked(r, families)...)
	case slotPerson:
		m.text = append(m.text, pickRanked(r, m.givenNames())...)
		m.text = append(m.text, ' ')
		m.text = append(m.text, pickRanked(r, families)...)
	case slotStreet:
		m.text = append(m.text, pickRanked(r, streets)...)
		m.text = append(m.text, ' ')
		m.number(1, 240)
	case slotTown:
		m.text = append(m.text, pickRanked(r, towns)...)
	case slotOffice:
		m.text = append(m.text, t.office...)
	case slotTopic:
		m.text = append(m.text, t.topic...)
	case slotDate:
		m.date(t.lang, eraFirst.Add(time.Duration(r.IntN(eraDays))*24*time.Hour))
	case slotDue:
		m.date(t.lang, m.due)
	case slotTime:
		m.number(7, 20)
		m.text = append(m.text, ":00"...)
		m.text[len(m.text)-2] += byte(r.IntN(6))
		m.text[len(m.text)-1] += byte(r.IntN(2) * 5)
	case slotAmount:
		m.amount(t.lang, 100+r.Uint64N(1<<(8+r.IntN(16))))
	case slotSum:
		m.amount(t.lang, m.sum)
	default:
		m.fillCode(s)
	}
}

// fillCode fills the gaps that read the same in every language.
func (m *Messages) fillCode(s slot) {
	r := m.rng
	switch s {
	case slotNotice:
		m.text = append(m.text, m.notice[:]...)
	case slotRef:
		m.number(1, 99999)
		m.text = append(m.text, '/')
		m.number(2024, 2029)
	case slotCase:
		const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
		for range 8 {
			m.text = append(m.text, alphabet[r.IntN(len(alphabet))])
		}
	case slotNumber:
		m.number(2, 2+1<<(3+r.IntN(8)))
	case slotPercent:
		m.number(1, 61)
		m.text = append(m.text, '%')
	case slotPlate:
		for _, class := range "AA000AA" {
			if class == '0' {
				m.text = append(m.text, byte('0'+r.IntN(10)))
			} else {
				m.text = append(m.text, "ABCDEFGHJKLMNPRSTVWXYZ"[r.IntN(22)])
			}
		}
	case slotPhone:
		m.text = append(m.text, "0"...)
		m.number(10, 999)
		m.text = append(m.text, " 555 "...) // not a prefix that is given out
		m.number(1000, 10000)
	case slotEmail:
		m.text = append(m.text, "ufficio"...)
		m.number(1, 90)
		m.text = append(m.text, '@')
		m.text = append(m.text, pickRanked(r, sites)...)
	case slotURL:
		m.text = append(m.text, "https://"...)
		m.text = append(m.text, pickRanked(r, sites)...)
		m.text = append(m.text, "/p/"...)
		m.number(100, 1_000_000)
	case slotYear:
		m.number(2023, 2029)
	}
}

func (m *Messages) givenNames() []string {
	if m.rng.IntN(2) == 0 {
		return men
	}
	return women
}

// number appends a number of [from, end).
func (m *Messages) number(from, end int) {
	m.text = strconv.AppendInt(m.text, int64(from+m.rng.IntN(end-from)), 10)
}

func (m *Messages) date(l *language, day time.Time) {
	year, month, d := day.Date()
	m.text = strconv.AppendInt(m.text, int64(d), 10)
	if l.dayDot {
		m.text = append(m.text, '.')
	}
	m.text = append(m.text, ' ')
	m.text = append(m.text, l.months[month-1]...)
	m.text = append(m.text, ' ')
	m.text = strconv.AppendInt(m.text, int64(year), 10)
}

func (m *Messages) amount(l *language, cents uint64) {
	var digits [20]byte
	euros := strconv.AppendUint(digits[:0], cents/100, 10)
	for i, d := range euros {
		if i > 0 && (len(euros)-i)%3 == 0 {
			m.text = utf8.AppendRune(m.text, l.thousand)
		}
		m.text = append(m.text, d)
	}
	m.text = utf8.AppendRune(m.text, l.decimal)
	m.text = append(m.text, byte('0'+cents/10%10), byte('0'+cents%10))
	m.text = append(m.text, " €"...)
}
