package sender_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/staffetta/staffetta/internal/sender"
)

// A file of messages, one a line: each is sent once, however often the run is begun again.
func ExampleSender() {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Staffetta-Status", "PROCESSED")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"01KZZZZZZZ0000000000000001"}`)
	}))
	defer gateway.Close()
	lines := `{"fiscal_code":"RSSMRA85T10A562S","content":{"subject":"Carta pronta","markdown":"…"}}`
	s, err := sender.New(sender.Config{Gateway: gateway.URL, Key: "key", In: strings.NewReader(lines),
		OneByOne: true})
	if err != nil {
		panic(err)
	}
	summary, err := s.Run(context.Background())
	fmt.Println(summary.Lines, "line,", summary.Processed, "processed,", err)
	// Output: 1 line, 1 processed, <nil>
}
