package measure

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/staffetta/staffetta/internal/synthetic"
)

func TestBodies(t *testing.T) {
	codes := Codes(3)
	known := map[string]bool{}
	for _, c := range codes {
		known[string(c)] = true
	}
	const texts = 10
	bodies := NewBodies(7, texts, codes).Next(2 * texts)
	messages := synthetic.NewMessages(7)
	for i, body := range bodies {
		var got struct {
			Code string `json:"fiscal_code"`
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if !known[got.Code] {
			t.Errorf("body %d is for somebody else", i)
		}
		code := []byte(`"fiscal_code":"` + got.Code + `",`)
		text := bytes.Replace(body, code, nil, 1)
		if i >= texts {
			before := bytes.Replace(bodies[i-texts], recipientOf(t, bodies[i-texts]), nil, 1)
			if !bytes.Equal(text, before) {
				t.Errorf("text %d is not that of %d again", i, i-texts)
			}
			continue
		}
		m := messages.Next()
		if want := m.AppendJSON(nil, ""); !bytes.Equal(text, want) {
			t.Errorf("text %d: got %s, want %s", i, text, want)
		}
	}
	again := NewBodies(7, texts, codes).Next(2 * texts)
	for i := range bodies {
		if !bytes.Equal(bodies[i], again[i]) {
			t.Errorf("body %d differs for the same seed", i)
		}
	}
}

func recipientOf(t *testing.T, body []byte) []byte {
	t.Helper()
	end := bytes.IndexByte(body, ',')
	if end < 0 {
		t.Fatal("a body without a recipient")
	}
	return body[1 : end+1]
}

func TestBodiesAreBounded(t *testing.T) {
	codes := Codes(1)
	if n := len(NewBodies(1, 0, codes).texts); n != textsMax {
		t.Errorf("%d texts for any number of messages, want %d", n, textsMax)
	}
	if n := len(NewBodies(1, textsMax+1, codes).texts); n != textsMax {
		t.Errorf("%d texts for more messages, want %d", n, textsMax)
	}
}
