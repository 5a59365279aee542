package synthetic

import (
	"crypto/rand"
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

func upper(s string) string { return strings.ToUpper(s) }

var (
	timestamp = regexp.MustCompile(
		`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?$`)
	notice = regexp.MustCompile(`^[0123][0-9]{17}$`)
)

// check holds a message to the contract's rules.
func check(t *testing.T, m *Message) {
	t.Helper()
	length := func(s string) int { return len(utf16.Encode([]rune(s))) }
	c := &m.Content
	switch n := length(c.Subject); {
	case n < 10 || n > 120:
		t.Fatalf("subject of %d units: %q", n, c.Subject)
	case strings.ContainsAny(c.Subject, "{}[]|"):
		t.Fatalf("a subject with gaps: %q", c.Subject)
	}
	if n := length(c.Markdown); n < 80 || n > 10000 {
		t.Fatalf("markdown of %d units: %q", n, c.Markdown)
	}
	if strings.ContainsAny(c.Markdown, "{}[]|") || strings.Contains(c.Markdown, "%!") {
		t.Fatalf("a markdown with gaps: %q", c.Markdown)
	}
	if !utf8.ValidString(c.Subject) || !utf8.ValidString(c.Markdown) {
		t.Fatalf("not UTF-8: %q", c.Subject)
	}
	if m.TimeToLive != 0 && (m.TimeToLive < 3600 || m.TimeToLive > 604800) {
		t.Fatalf("time to live %d", m.TimeToLive)
	}
	if c.DueDate != "" && !timestamp.MatchString(c.DueDate) {
		t.Fatalf("due date %q", c.DueDate)
	}
	if p := c.Payment; p != nil && (p.Amount < 1 || p.Amount > 9_999_999_999 ||
		!notice.MatchString(p.NoticeNumber)) {
		t.Fatalf("payment %+v", p)
	}
}

func TestMessages(t *testing.T) {
	const n = 50_000
	messages := NewMessages(1)
	var sizes []int
	var payments, dues, buttons, wide int
	for range n {
		m := messages.Next()
		check(t, &m)
		body := m.AppendJSON(nil, "AAAAAA00A00A000A")
		sizes = append(sizes, len(body))
		if m.Content.Payment != nil {
			payments++
		}
		if m.Content.DueDate != "" {
			dues++
		}
		if strings.HasPrefix(m.Content.Markdown, "---\n") {
			buttons++
		}
		if strings.ContainsRune(m.Content.Subject, '🗓') {
			wide++
		}
	}
	slices.Sort(sizes)
	at := func(q float64) int { return sizes[int(math.Ceil(q*n))-1] }
	t.Logf("bytes: min %d, p10 %d, median %d, p90 %d, p99 %d, max %d", sizes[0], at(.1),
		at(.5), at(.9), at(.99), sizes[n-1])
	t.Logf("payments %d%%, due dates %d%%, buttons %d%%", payments*100/n, dues*100/n, buttons*100/n)
	if sizes[0] < 200 || sizes[n-1] > 10<<10 {
		t.Errorf("sizes %d-%d, want 200-10240", sizes[0], sizes[n-1])
	}
	if m := at(.5); m < 1200 || m > 1600 {
		t.Errorf("median %d, want about 1,400", m)
	}
	for name, share := range map[string]int{"payments": payments, "due dates": dues} {
		if share < n/10 || share > n/2 {
			t.Errorf("%d %s of %d", share, name, n)
		}
	}
	if buttons == 0 || wide == 0 {
		t.Errorf("%d messages with buttons, %d with wide runes", buttons, wide)
	}
}

func TestMessagesOf(t *testing.T) {
	for _, want := range []int{500, 2500, 4000} {
		messages := NewMessagesOf(1, want)
		var sizes []int
		for range 5000 {
			m := messages.Next()
			check(t, &m)
			sizes = append(sizes, len(m.AppendJSON(nil, "AAAAAA00A00A000A")))
		}
		slices.Sort(sizes)
		if got := sizes[len(sizes)/2]; got < want*3/4 || got > want*5/4 {
			t.Errorf("median %d, want about %d", got, want)
		}
		if got := sizes[len(sizes)-1]; got > 10<<10 {
			t.Errorf("a message of %d bytes", got)
		}
	}
}

func TestMessagesDeterministic(t *testing.T) {
	a, b, other := NewMessages(3), NewMessages(3), NewMessages(4)
	same := 0
	for range 1000 {
		x, y, z := a.Next(), b.Next(), other.Next()
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("one seed gave %+v and %+v", x, y)
		}
		if x.Content.Markdown == z.Content.Markdown {
			same++
		}
	}
	if same > 0 {
		t.Errorf("two seeds share %d of 1000 messages", same)
	}
}

func TestAppendJSON(t *testing.T) {
	messages := NewMessages(5)
	for range 2000 {
		m := messages.Next()
		var got struct {
			FiscalCode string `json:"fiscal_code"`
			Message
		}
		if err := json.Unmarshal(m.AppendJSON(nil, "AAAAAA00A00A000A"), &got); err != nil {
			t.Fatal(err)
		}
		if got.FiscalCode != "AAAAAA00A00A000A" || !reflect.DeepEqual(got.Message, m) {
			t.Fatalf("got %+v, want %+v", got, m)
		}
		if got := string(m.AppendJSON(nil, "")); strings.Contains(got, "fiscal_code") {
			t.Fatalf("a recipient in %s", got)
		}
	}
	odd := Message{Content: Content{Subject: "\"\\\x00\x1f\n\té🗓", Markdown: "\u2028<&>"}}
	var got Message
	if err := json.Unmarshal(odd.AppendJSON(nil, ""), &got); err != nil || got.Content != odd.Content {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The languages' texts name only gaps that exist, and can all be drawn.
func TestTexts(t *testing.T) {
	total := 0
	for _, l := range languages {
		total += l.weight
		for _, list := range [][]string{l.subjects, l.greetings, l.openings, l.sentences, l.items,
			l.asides, l.closings, l.headings} {
			for _, text := range list {
				for _, gap := range regexp.MustCompile(`\{[^}]*\}`).FindAllString(text, -1) {
					if slots[strings.Trim(gap, "{}")] == none {
						t.Errorf("unknown gap %s in %q", gap, text)
					}
				}
				if strings.Count(text, "[") != strings.Count(text, "]") {
					t.Errorf("open choice in %q", text)
				}
			}
		}
	}
	if total != 100 {
		t.Errorf("the weights sum to %d, want 100", total)
	}
}

// How well the corpus compresses, as the system does it, framing and leaves included. The bounds
// say that it must not become an easier one: design figures rest on it.
func TestCompression(t *testing.T) {
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	for perBlock, most := range map[int]float64{1: 1.6, 16: 3, 128: 4.3} {
		messages, citizens := NewMessages(1), NewCitizens(1)
		var builder wire.Builder
		plain, sealed := 0, 0
		for range 4096 {
			m := messages.Next()
			r := recordOf(&m, citizens.Next().FiscalCode)
			plain += len(r.Content)
			for !builder.Add(&r) {
				sealed += len(builder.Seal(coder))
			}
			if builder.Len() == perBlock {
				sealed += len(builder.Seal(coder))
			}
		}
		if builder.Len() > 0 {
			sealed += len(builder.Seal(coder))
		}
		ratio := float64(plain) / float64(sealed)
		t.Logf("blocks of %3d: ratio %.2f, %d bytes a message of %d", perBlock, ratio,
			sealed/4096, plain/4096)
		if ratio > most {
			t.Errorf("blocks of %d compress %.1f times: too easy a corpus", perBlock, ratio)
		}
	}
}

func recordOf(m *Message, code fiscalcode.Code) wire.Record {
	c := wire.Content{Subject: m.Content.Subject, Markdown: m.Content.Markdown}
	if p := m.Content.Payment; p != nil {
		c.Payment = &wire.Payment{Amount: p.Amount, NoticeNumber: p.NoticeNumber,
			Payee: "00000000000"}
	}
	r := wire.Record{Service: "01J00000000000000000000000", FiscalCode: code, TimeToLive: 3600,
		Content: wire.Encode(&c)}
	rand.Read(r.ID[:]) // as hard to compress as real ids
	return r
}

func BenchmarkNext(b *testing.B) {
	messages, code := NewMessages(1), NewCitizens(1).Next().FiscalCode
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		m := messages.Next()
		dst = m.AppendJSON(dst[:0], code)
	}
}
