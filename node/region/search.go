package region

import (
	"strings"
	"sync"

	"github.com/staffetta/staffetta/internal/cache"
	"github.com/staffetta/staffetta/internal/fold"
	"github.com/staffetta/staffetta/wire"
)

// A search reads the citizen's messages, newest first. There is no index: a row for every word of
// every message would cost each submission what few ever ask. What is read is kept in memory as it
// is compared, so that a second search, or the next page, does not decode blocks again.

const (
	// searchRowsMax bounds the messages that a page looks at, searchReadsMax those of them whose text
	// is not in memory: each may have a block decoded for it, which takes some 0.3 ms.
	searchRowsMax  = 1 << 14
	searchReadsMax = 256
	// searchCacheBytes is room for the texts of those who search: of 12,000 letters, whoever comes
	// next to them. Half of it is sure to be kept.
	searchCacheBytes = 40 << 20
	// textBytes is what a text costs besides its bytes.
	textBytes = 128
)

// texts are folded titles and bodies of messages, by the key of their inbox row. Only who searches
// fills it.
type texts struct {
	mu   sync.Mutex
	kept *cache.Generations[wideKey, string] // guarded by mu
}

func newTexts() *texts {
	return &texts{kept: cache.New[wideKey](searchCacheBytes,
		func(text string) int { return len(text) + textBytes })}
}

func (t *texts) get(k wideKey) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept.Get(k)
}

func (t *texts) put(k wideKey, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Put(k, text)
}

func (t *texts) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Clear()
}

// SearchInbox returns a page of the messages that have every word of the query in their title,
// their text, or what sender says of their service. It is not full when it has looked at as many
// messages as it may; then it says where the next one begins, as a list does.
func (s *State) SearchInbox(q wire.SearchInbox, now wire.Time,
	sender func(wire.ServiceID) string) (*wire.InboxPage, error) {
	if q.Size < 1 || q.Size > wire.PageMax {
		return nil, wire.Malformedf("page of %d messages, 1-%d allowed", q.Size, wire.PageMax)
	}
	f := finder{s: s, sender: sender, senders: map[wire.ServiceID]string{}}
	f.words = strings.Fields(fold.Text(q.Query))
	if len(q.Query) > wire.SearchBytesMax || len(f.words) < 1 || len(f.words) > wire.SearchWordsMax {
		return nil, wire.Malformedf("a search has 1-%d words, in %d bytes", wire.SearchWordsMax,
			wire.SearchBytesMax)
	}
	t, r, err := s.sessionCitizen(q.Token, now)
	if err != nil {
		return nil, err
	}
	page := &wire.InboxPage{FiscalCode: t.FiscalCode}
	lower := recipientKey(inboxPrefix, r)
	upper := after(lower)
	if !q.Before.IsZero() {
		k := inboxKey(r, q.Before)
		upper = k[:]
	}
	rows, last := 0, wire.MessageID{}
	err = s.db.Iterate(lower, upper, true, func(k, v []byte) (bool, error) {
		if !isWide(k) {
			return false, errDamaged(k)
		}
		if len(page.Items) == int(q.Size) || rows == searchRowsMax || f.reads == searchReadsMax {
			page.More, page.Before = true, last
			return false, nil
		}
		rows++
		last = wire.MessageID(k[17:])
		var row inboxRow
		if err := decodeRow(k, v, &row); err != nil {
			return false, err
		}
		found, err := f.has(wideKey(k), &row)
		if err != nil || !found {
			return true, err
		}
		var status wire.MessageStatus
		if _, err := s.getRow(statusKey(r, last), &status); err != nil {
			return false, err
		}
		page.Items = append(page.Items, row.itemAs(last, status))
		return true, nil
	})
	return page, err
}

// finder is one search.
type finder struct {
	s       *State
	words   []string
	sender  func(wire.ServiceID) string
	senders map[wire.ServiceID]string // folded
	reads   int                       // texts that were not in memory
}

// has reports whether a message has all words.
func (f *finder) has(k wideKey, row *inboxRow) (bool, error) {
	from, known := f.senders[row.Service]
	if !known {
		from = fold.Text(f.sender(row.Service))
		f.senders[row.Service] = from
	}
	text, known := f.s.texts.get(k)
	if !known {
		f.reads++
		content, err := f.s.content(row)
		if err != nil {
			return false, err
		}
		text = fold.Text(content.Subject + "\n" + content.Markdown)
		f.s.texts.put(k, text)
	}
	for _, word := range f.words {
		if !strings.Contains(text, word) && !strings.Contains(from, word) {
			return false, nil
		}
	}
	return true, nil
}
