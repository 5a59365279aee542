package web

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// BenchmarkInbox is a page of the list, of a citizen with 5,000 messages, but for the region's part,
// which is the same whoever asks.
func BenchmarkInbox(b *testing.B) {
	benchmark(b, "/inbox")
}

// BenchmarkMessage is the page of one message with a body of 4 KB.
func BenchmarkMessage(b *testing.B) {
	benchmark(b, "/inbox/")
}

func benchmark(b *testing.B, path string) {
	pages := entered(b)
	var id wire.MessageID
	text := ""
	for i := range 60 {
		text += fmt.Sprintf("Capoverso **%d** con un [collegamento](https://www.comune.prova.it/%d).\n\n", i, i)
	}
	for i := range 5000 {
		id = pages.fed.deliver(wire.Content{Subject: fmt.Sprintf("Avviso numero %d", i), Markdown: text})
	}
	if path == "/inbox/" {
		path += id.String()
	}
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Cookie", cookieName+"="+pages.jar[cookieName])
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		pages.mux.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
