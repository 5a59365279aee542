package backup

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bucket is as much of an S3-compatible store as the client needs for whole objects of one bucket:
// put, get, head, delete, and lists in pages. It checks no signature, knows no versions and no
// other bucket, and does not answer with redirects.
type bucket struct {
	mu      sync.Mutex
	objects map[string]stored
	busy    int // so many requests are answered 503 first
	asked   map[string]int
}

const (
	bucketName = "copie"
	pageKeys   = 3 // small, so that every list has several pages
)

func (b *bucket) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[req.Method]++
	if b.busy > 0 {
		b.busy--
		fail(w, http.StatusServiceUnavailable, "SlowDown")
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	query := req.URL.Query()
	switch {
	case !strings.HasPrefix(req.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=anna/"):
		fail(w, http.StatusForbidden, "AccessDenied")
	case name != bucketName:
		fail(w, http.StatusNotFound, "NoSuchBucket")
	case query.Has("location"):
		fmt.Fprint(w, `<LocationConstraint></LocationConstraint>`)
	case key == "" && req.Method == http.MethodGet:
		b.list(w, query.Get("prefix"), query.Get("continuation-token"))
	case req.Method == http.MethodPut:
		body, err := payload(req)
		if err != nil {
			fail(w, http.StatusBadRequest, "IncompleteBody")
			return
		}
		b.objects[key] = stored{body, time.Now()}
		w.Header().Set("ETag", etag(body))
	case req.Method == http.MethodDelete:
		delete(b.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		o, ok := b.objects[key]
		if !ok {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(o.content))
		http.ServeContent(w, req, "", o.changed, bytes.NewReader(o.content))
	}
}

func etag(b []byte) string {
	sum := md5.Sum(b)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func (b *bucket) list(w http.ResponseWriter, prefix, after string) {
	type content struct {
		Key, LastModified, ETag string
		Size                    int
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
	}
	var names []string
	for name := range b.objects {
		if strings.HasPrefix(name, prefix) && name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if result.IsTruncated = len(names) > pageKeys; result.IsTruncated {
		names = names[:pageKeys]
		result.NextContinuationToken = names[pageKeys-1]
	}
	for _, name := range names {
		o := b.objects[name]
		result.Contents = append(result.Contents, content{name,
			o.changed.UTC().Format("2006-01-02T15:04:05.000Z"), etag(o.content), len(o.content)})
	}
	xml.NewEncoder(w).Encode(result)
}

// payload reads a body, which the client sends in signed chunks over clear HTTP.
func payload(req *http.Request) ([]byte, error) {
	if !strings.HasPrefix(req.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(req.Body)
	}
	var out []byte
	r := bufio.NewReader(req.Body)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			_, err := io.Copy(io.Discard, r)
			return out, err
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, err
		}
		out = append(out, chunk[:n]...)
	}
}

func newBucket(t *testing.T) (*bucket, S3Config) {
	t.Helper()
	b := &bucket{objects: map[string]stored{}, asked: map[string]int{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return b, S3Config{Endpoint: server.URL, AccessKey: "anna", SecretKey: "segreto",
		Transport: transport}
}

// TestS3 keeps copies in a bucket, beside what is none of ours.
func TestS3(t *testing.T) {
	b, cfg := newBucket(t)
	b.objects["altro/file"] = stored{content: []byte("x"), changed: time.Now()}
	target, err := OpenTarget("s3://"+bucketName+"/staffetta/lazio", cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := newRepository(t, target)
	want := map[uint64]map[string][]byte{}
	for at := range 2 {
		src := newSource(at, invented(at))
		want[src.head.Index] = src.content
		b.mu.Lock()
		b.busy = 2 // a request or two has to be made again
		b.mu.Unlock()
		if _, err := r.Backup(t.Context(), src, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := check(t, r, want); n != 2 {
		t.Errorf("%d copies, want 2", n)
	}
	p, err := r.Prune(t.Context(), Retention{Last: 1}, false)
	if err != nil || len(p.Removed) != 1 || p.Pieces != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if n := check(t, r, want); n != 1 {
		t.Errorf("%d copies, want 1", n)
	}
	for name := range b.objects {
		if name != "altro/file" && !strings.HasPrefix(name, "staffetta/lazio/") {
			t.Errorf("%s lies outside of the prefix", name)
		}
		if strings.Contains(name, "/"+locksPrefix) {
			t.Errorf("%s stayed", name)
		}
	}
	if _, err := target.Get(t.Context(), "objects/none", 10); !isNotExist(err) {
		t.Errorf("an object that is not there: %v", err)
	}
	if err := target.Delete(t.Context(), "objects/none"); err != nil {
		t.Error(err)
	}
}

func TestS3Refuses(t *testing.T) {
	b, cfg := newBucket(t)
	wrongKey, noKey, noHost := cfg, cfg, cfg
	wrongKey.AccessKey = "bruno"
	noKey.SecretKey, noHost.Endpoint = "", "s3.example.it"
	for name, c := range map[string]struct {
		spec string
		cfg  S3Config
	}{
		"no such bucket":  {"s3://altro/x", cfg},
		"wrong account":   {"s3://" + bucketName, wrongKey},
		"no secret":       {"s3://" + bucketName, noKey},
		"no scheme":       {"s3://" + bucketName, noHost},
		"no bucket":       {"s3://", cfg},
		"a query":         {"s3://" + bucketName + "?x=1", cfg},
		"another scheme":  {"ftp://" + bucketName, cfg},
		"nothing":         {"", cfg},
		"a key in target": {"s3://anna:segreto@" + bucketName, cfg},
	} {
		target, err := OpenTarget(c.spec, c.cfg)
		if err == nil {
			_, err = Init(t.Context(), target, testKey)
		}
		if err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), "segreto") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	if len(b.objects) > 0 {
		t.Errorf("%d objects were put", len(b.objects))
	}
}
