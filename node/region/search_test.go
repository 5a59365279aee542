package region

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func senderOf(id wire.ServiceID) string {
	return map[wire.ServiceID]string{someService: "Anagrafe\nComune di Forlì"}[id]
}

// find searches, page by page.
func (f *fixture) find(token wire.TokenHash, query string, size uint32) (found []wire.MessageID) {
	f.t.Helper()
	q := wire.SearchInbox{Token: token, Query: query, Size: size}
	for range 1000 {
		page, err := f.SearchInbox(q, f.now, senderOf)
		if err != nil || len(page.Items) > int(size) || page.More == page.Next().IsZero() {
			f.t.Fatalf("%q: %d items of %d, more %v, %v", query, len(page.Items), size, page.More, err)
		}
		for i := range page.Items {
			found = append(found, page.Items[i].ID)
		}
		if !page.More {
			return found
		}
		q.Before = page.Next()
	}
	f.t.Fatal("the search has no end")
	return nil
}

// TestSearch: each word in any case and without accents, in title, text and sender; of this citizen
// only, archived ones too, and not what was deleted.
func TestSearch(t *testing.T) {
	f := newFixture(t, "lazio")
	f.raise()
	maria, mario := codeOf("maria"), codeOf("mario")
	token := f.activate(maria)
	f.activate(mario)
	rifiuti := f.message(maria, someService, "La tassa sui rifiuti è dovuta in città")
	scuola := f.message(maria, "OTHER", "Iscrizione alla scuola")
	f.submit(rifiuti, scuola, f.message(mario, someService, "rifiuti di un altro"))
	f.mark(token, scuola, true, wire.Yes)
	both := []wire.MessageID{scuola.ID, rifiuti.ID}
	for query, want := range map[string][]wire.MessageID{
		"rifiuti": {rifiuti.ID}, "RIFIUTI  tassa": {rifiuti.ID}, "rifiuti scuola": nil, "citta dovuta": {rifiuti.ID},
		"DOVUTA CITTÀ": {rifiuti.ID}, "scuol": {scuola.ID}, "forli": {rifiuti.ID}, "forlì scuola": nil,
		"anagrafe TASSA": {rifiuti.ID}, "gentile": both, "assente": nil, "%": nil,
	} {
		if got := f.find(token, query, 12); !slices.Equal(got, want) {
			t.Errorf("%q: found %d messages, want %d", query, len(got), len(want))
		}
	}
	page, err := f.SearchInbox(wire.SearchInbox{Token: token, Query: "scuola", Size: 1}, f.now, senderOf)
	if err != nil || !page.Items[0].Archived || !page.Items[0].Read {
		t.Errorf("without its status: %+v, %v", page, err)
	}
	f.must(wire.CmdDeleteMessage, deletion(token, rifiuti))
	if got := f.find(token, "rifiuti", 12); len(got) != 0 {
		t.Error("a deleted message is found")
	}
	for name, q := range map[string]wire.SearchInbox{
		"no word": {Token: token, Query: " \n", Size: 1}, "no size": {Token: token, Query: "x"},
		"size":  {Token: token, Query: "x", Size: wire.PageMax + 1},
		"words": {Token: token, Query: strings.Repeat("x ", wire.SearchWordsMax+1), Size: 1},
		"bytes": {Token: token, Query: strings.Repeat("x", wire.SearchBytesMax+1), Size: 1},
	} {
		if _, err := f.SearchInbox(q, f.now, senderOf); !errors.Is(err, wire.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = f.SearchInbox(wire.SearchInbox{Query: "x", Size: 1}, f.now, senderOf)
	if !errors.Is(err, wire.Unauthenticated) {
		t.Errorf("without a session: %v", err)
	}
}

// TestSearchIsBounded: a page reads a bounded number of texts, and pages meet every message once,
// whatever is in memory.
func TestSearchIsBounded(t *testing.T) {
	f := newFixture(t, "lazio")
	code := codeOf("maria")
	token := f.activate(code)
	var want []wire.MessageID
	for i := range 3*searchReadsMax + 7 {
		text := "avviso"
		if i%100 == 3 {
			text = "multa"
		}
		m := f.message(code, someService, text)
		f.submit(m)
		if text == "multa" {
			want = slices.Insert(want, 0, m.ID)
		}
	}
	page, err := f.SearchInbox(wire.SearchInbox{Token: token, Query: "assente", Size: 12}, f.now,
		senderOf)
	if err != nil || !page.More || len(page.Items) != 0 {
		t.Errorf("the first page looks at everything: %+v, %v", page, err)
	}
	for _, size := range []uint32{1, 5, 100, 100} {
		if got := f.find(token, "multa", size); !slices.Equal(got, want) {
			t.Errorf("pages of %d: found %d, want %d", size, len(got), len(want))
		}
	}
}

// BenchmarkSearch looks through 10,000 letters for a word that none has, as far as one page does.
func BenchmarkSearch(b *testing.B) {
	cfg := testConfig(vfs.NewMem(), "lazio", newCoder(b))
	cfg.Store.MemTableBytes, cfg.CacheBytes = 8<<20, 0
	f := openFixture(b, cfg)
	code := codeOf("maria")
	token := f.activate(code)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		var block []wire.Record
		for range 10 {
			m := f.message(code, someService, "")
			m.Content = wire.Encode(&wire.Content{Subject: letter(rng, 60), Markdown: letter(rng, 1300)})
			block = append(block, m)
		}
		f.submit(block...)
		f.log = f.log[len(f.log)-1:]
	}
	for _, memory := range []bool{false, true} {
		b.Run(fmt.Sprintf("in memory %v", memory), func(b *testing.B) {
			f.find(token, "assente", 12)
			for b.Loop() {
				if !memory {
					f.texts.clear()
					f.contents.clear()
				}
				q := wire.SearchInbox{Token: token, Query: "assente", Size: 12}
				if page, err := f.SearchInbox(q, f.now, senderOf); err != nil || page.More == memory {
					b.Fatal(page.More, err)
				}
			}
		})
	}
}
