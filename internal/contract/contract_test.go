package contract

import (
	"net/http"
	"strings"
	"testing"
)

// The counts are the public documents' own: what is listed here is all of them.
func TestOperations(t *testing.T) {
	mux := http.NewServeMux()
	for name, list := range map[string][]Operation{"institutions": Institutions,
		"citizens": Citizens} {
		if len(list) != 34 {
			t.Errorf("%d operations of %s, want the documents' 34", len(list), name)
		}
		for i := range list {
			o := &list[i]
			mux.HandleFunc(o.Pattern(), func(http.ResponseWriter, *http.Request) {})
			path := strings.NewReplacer("{", "x", "}", "x", "...", "/y").Replace(o.Path)
			if got := Find(o.Method, path); got != o {
				t.Errorf("%s finds %v, want %v", path, got, o)
			}
		}
	}
	for _, path := range []string{"/", "", "/api/v1", "/api/v1/messages/a/b/c",
		"/api/v1/messages/bulk/x/y"} {
		if got := Find("GET", path); got != nil {
			t.Errorf("%q finds %v, want nothing", path, got)
		}
	}
}

func TestStrict(t *testing.T) {
	o := &Operation{"GET", "/x", "a list{b c{d}} any* e"}
	for answer, want := range map[string]string{
		`{}`:                                 "",
		`{"a":1,"e":[],"any":{"q":[1]}}`:     "",
		`{"list":[{"b":1},{"c":{"d":"x"}}]}`: "",
		`{"status":1}`:                       "answer.status is no member",
		`{"a":{"b":1}}`:                      "answer.a.b is no member",
		`{"list":[{"b":1},{"c":{"x":"d"}}]}`: "answer.list.c.x is no member",
		`{"e":[{"x":1}]}`:                    "answer.e.x is no member",
		`{"a":1`:                             "unexpected EOF",
	} {
		err := o.Strict([]byte(answer))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", answer, err, want)
		}
	}
}
