package process_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const keyHeader = "Ocp-Apim-Subscription-Key"

// answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// decode reads the body as JSON.
func (a *answer) decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("answer %d %s: %v", a.status, a.body, err)
	}
}

// call makes one HTTP request. Header fields stand in pairs.
func call(method, url string, body []byte, header ...string) (*answer, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Prefer", "return=representation")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return &answer{status: resp.StatusCode, header: resp.Header, body: b}, err
}

// insist repeats a request until it has the wanted status. Anything else than want and an answer
// that says "not now" fails the test at once.
func insist(t *testing.T, want int, method, url string, body []byte, header ...string) *answer {
	t.Helper()
	var last *answer
	await(t, fmt.Sprintf("%s answers %d", method, want), func() bool {
		a, err := call(method, url, body, header...)
		if err != nil {
			return false
		}
		last = a
		if a.status != want && a.status != http.StatusTooManyRequests && a.status < 500 {
			t.Fatalf("%s: got %d %s, want %d", method, a.status, a.body, want)
		}
		return a.status == want
	})
	return last
}

// login opens a session, which ends an older one of the citizen.
func login(t *testing.T, gateway, code string) (token string) {
	t.Helper()
	body := fmt.Sprintf(`{"username":%q,"password":"test"}`, code)
	var answer struct{ Token string }
	insist(t, http.StatusOK, http.MethodPost, gateway+"/test-login", []byte(body)).
		decode(t, &answer)
	return answer.Token
}

// inbox lists the citizen's messages, page by page, newest first.
func inbox(t *testing.T, gateway, code string) (ids []string) {
	t.Helper()
	token := login(t, gateway, code)
	query := "?page_size=100"
	for {
		var page struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
			Next string `json:"next"`
		}
		insist(t, http.StatusOK, http.MethodGet, gateway+"/api/communication/v1/messages"+query,
			nil, "Authorization", "Bearer "+token).decode(t, &page)
		for _, item := range page.Items {
			ids = append(ids, item.ID)
		}
		if page.Next == "" {
			return ids
		}
		query = "?page_size=100&maximum_id=" + page.Next
	}
}

// messageTo is a valid message.
func messageTo(code, text string) []byte {
	body, _ := json.Marshal(map[string]any{"fiscal_code": code, "content": map[string]any{
		"subject":  "Prova: " + text,
		"markdown": text + " " + strings.Repeat("una frase come tante altre. ", 5)}})
	return body
}

// submitted is the answer to a submission.
type submitted struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Reason string `json:"rejection_reason"`
}

// submit sends a message until it has a verdict, always under the same idempotency key.
func submit(t *testing.T, gateway, key, code, text string) (s submitted) {
	t.Helper()
	insist(t, http.StatusCreated, http.MethodPost, gateway+"/api/v1/messages",
		messageTo(code, text), keyHeader, key, "Idempotency-Key",
		"test-"+strings.ReplaceAll(text, " ", "-")).decode(t, &s)
	return s
}
