package citizen

import (
	"strings"
	"testing"
)

// TestDeleteMessage: what was deleted is gone from reads, lists and counts, and deleting again is no
// fault.
func TestDeleteMessage(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	for i := range 3 {
		b.fed.deliver(codeA, plain(i+1, false))
	}
	const counts = "/api/communication/v1/message-counts"
	want := func(inbox, unread, archived int) {
		t.Helper()
		b.want(b.do("GET", counts, token, "", 200), map[string]any{"inbox": float64(inbox),
			"unread": float64(unread), "archived": float64(archived), "more": false})
	}
	want(3, 3, 0)
	path := inboxPath + "/" + idOf(2).String()
	b.do("PUT", path+"/status", token, `{"change_type":"reading","is_read":true}`, 200)
	want(3, 2, 0)
	if got := items(t, b.do("GET", inboxPath+"?unread=true", token, "", 200)); len(got) != 2 {
		t.Errorf("got %d unread messages, want 2", len(got))
	}
	for range 2 {
		a := b.checker.Do(t, b.mux, request("DELETE", path, token, ""))
		if a.Status != 204 || len(a.Body) != 0 {
			t.Errorf("got %d %q, want 204", a.Status, a.Body)
		}
		want(2, 2, 0)
		b.do("GET", path, token, "", 404)
	}
	b.do("DELETE", inboxPath+"/"+idOf(9).String(), token, "", 404)
	b.doInvalid("DELETE", inboxPath+"/x", token, "", 400)
	b.do("DELETE", path, "", "", 401)
}

// TestSearchMessages: the query is in the body, and its bounds are told.
func TestSearchMessages(t *testing.T) {
	b := newBench(t)
	token := b.login(codeA)
	for i := range 3 {
		b.fed.deliver(codeA, plain(i+1, false))
	}
	const path = "/api/communication/v1/message-search"
	subject := items(t, b.do("GET", inboxPath+"?enrich_result_data=true", token, "",
		200))[0]["message_title"].(string)
	got := b.do("POST", path, token, `{"query":"`+subject+`","page_size":2}`, 200)
	found := items(t, got)
	if len(found) == 0 || found[0]["message_title"] != subject || found[0]["service_name"] == nil {
		t.Errorf("found %v", found)
	}
	b.do("POST", path, token, `{"query":"`+subject+`","maximum_id":"`+idOf(2).String()+`"}`, 200)
	for _, body := range []string{`{}`, `{"query":""}`, `{"query":" "}`, `{"query":1}`,
		`{"query":"a b c d e f g h i"}`, `{"query":"` + strings.Repeat("x", 257) + `"}`,
		`{"query":"x","page_size":0}`, `{"query":"x","page_size":101}`,
		`{"query":"x","page_size":"1"}`, `{"query":"x","maximum_id":"1"}`, `[]`} {
		a := b.checker.DoAny(t, b.mux, request("POST", path, token, body))
		if a.Status != 400 {
			t.Errorf("%s: got %d, want 400", body, a.Status)
		}
	}
	b.do("POST", path, "", `{"query":"x"}`, 401)
}
