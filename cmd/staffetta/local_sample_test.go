package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"testing"
)

// TestSamplePDF: every object is where the table of the document says it is.
func TestSamplePDF(t *testing.T) {
	b := makePDF("Una riga (prima)", `altra \ riga`)
	at := bytes.LastIndex(b, []byte("startxref\n"))
	var start, count int
	if _, err := fmt.Sscanf(string(b[at:]), "startxref\n%d", &start); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(b[start:]), "xref\n0 %d", &count); err != nil || count != 6 {
		t.Fatalf("%d objects, %v", count, err)
	}
	rows := b[bytes.IndexByte(b[start+5:], '\n')+start+6:]
	for n := 1; n < count; n++ {
		var offset int
		fmt.Sscanf(string(rows[20*n:]), "%010d", &offset)
		if want := fmt.Sprintf("%d 0 obj\n", n); !bytes.HasPrefix(b[offset:], []byte(want)) {
			t.Errorf("object %d is not at %d", n, offset)
		}
	}
	if !bytes.HasPrefix(b, []byte("%PDF-1.4")) ||
		!bytes.Contains(b, []byte(`(Una riga \(prima\)) Tj`)) {
		t.Errorf("got %s", b)
	}
}

// TestSampleAnswers: nobody without the key is answered, and everything else as the contract says.
func TestSampleAnswers(t *testing.T) {
	s := &sample{key: "key", receipt: []byte("%PDF-")}
	for _, c := range []struct {
		path, key string
		want      int
	}{{"/messages/1", "", 401}, {"/messages/1", "other", 401}, {"/messages/1", "key", 200},
		{"/messages/1/precondition", "key", 200}, {"/messages/1/documenti/ricevuta.pdf", "key", 200},
		{"/messages/1/other.pdf", "key", 404}} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("X-Api-Key", c.key)
		r.Header.Set("fiscal_code", "AAAAAA00A00A000A")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s under %q: %d, want %d", c.path, c.key, w.Code, c.want)
		}
	}
}
