package backup

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestS3Signatures holds signatures against the examples of AWS's documentation of Signature
// Version 4 for S3 ("Authenticating Requests: Using the Authorization Header").
func TestS3Signatures(t *testing.T) {
	signer := s3Signer{accessKey: "AKIAIOSFODNN7EXAMPLE",
		secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	at := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		method, target, content string
		header                  http.Header
		signature               string
	}{
		{"GET", "/test.txt", "", http.Header{"Range": {"bytes=0-9"}},
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"PUT", "/test$file.text", "Welcome to Amazon S3.", http.Header{
			"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}},
			"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{"GET", "/?max-keys=2&prefix=J", "", http.Header{},
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		{"GET", "/?lifecycle=", "", http.Header{},
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
	} {
		req, err := http.NewRequest(c.method, "https://examplebucket.s3.amazonaws.com"+c.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = c.header
		signer.sign(req, "us-east-1", []byte(c.content), at)
		if got := req.Header.Get("Authorization"); !strings.HasSuffix(got, "="+c.signature) {
			t.Errorf("%s %s: got %s, want the signature %s", c.method, c.target, got, c.signature)
		}
	}
}

// TestS3Odd: a prefix and a session token that have to be escaped and signed, a bucket in a region
// that the store names, a store that refuses to say, and a redirect that is not followed.
func TestS3Odd(t *testing.T) {
	b, cfg := newBucket(t)
	odd, err := OpenTarget("s3://"+bucketName+"/città + c*/x", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := odd.Put(t.Context(), "a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	var names []string
	list := func(o Object) error { names = append(names, o.Name); return nil }
	if err := odd.List(t.Context(), "a", list); err != nil || len(names) != 1 || names[0] != "a/b" {
		t.Errorf("%v, %v; stored %v", names, err, b.objects)
	}
	if got, err := odd.Get(t.Context(), "a/b", 1); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if err := odd.Put(t.Context(), "a/b", []byte("xy")); err != nil {
		t.Fatal(err)
	}
	if _, err := odd.Get(t.Context(), "a/b", 1); err == nil || isNotExist(err) {
		t.Errorf("an object over its bound: %v", err)
	}

	for name, answer := range map[string]func(http.ResponseWriter){
		"milano": func(w http.ResponseWriter) {
			w.Write([]byte("<LocationConstraint>milano</LocationConstraint>"))
		},
		"eu-south-1": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte("<Error><Code>AuthorizationHeaderMalformed</Code>" +
				"<Region>eu-south-1</Region></Error>"))
		},
		"us-east-1": func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
	} {
		var scopes []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Query().Has("location") {
				answer(w)
				return
			}
			scopes = append(scopes, strings.Split(req.Header.Get("Authorization"), "/")[2])
			http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
		}))
		target, err := OpenTarget("s3://copie", S3Config{Endpoint: server.URL, AccessKey: "a",
			SecretKey: "s", SessionToken: "token", Transport: cfg.Transport})
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Put(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), "307") {
			t.Errorf("a redirect: %v", err)
		}
		if len(scopes) != 1 || scopes[0] != name {
			t.Errorf("signed for %v, want %s", scopes, name)
		}
		server.Close()
	}
}
