package gateway

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/gateway/institution"
)

// A bulk request through everything that a gateway puts around it: answers come while it is
// being sent, and a gateway that stops ends it with a line that says so.
func TestBulkStreamAndDrain(t *testing.T) {
	_, s := running(t)
	body, lines := io.Pipe()
	r, err := http.NewRequest("POST", s.url+"/api/v1/messages/bulk", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	r.Header.Set(institution.KeyHeader, testKey)
	resp, err := s.client.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	answers := bufio.NewReader(resp.Body)
	for range 3 {
		io.WriteString(lines, testBody+"\n")
		if got, err := answers.ReadString('\n'); !strings.Contains(got, `"status":"PROCESSED"`) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	s.stop()
	got, err := answers.ReadString('\n')
	if !strings.Contains(got, `{"line":4,"status_code":503,`) ||
		!strings.Contains(got, "problem:not-ready") {
		t.Errorf("the last line is %q, %v", got, err)
	}
	lines.Close()
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if strings.Contains(s.logs.String(), "cut off") {
		t.Error("the drain did not wait for the stream's end")
	}
}
