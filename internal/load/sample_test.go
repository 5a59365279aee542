package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/localfile"
)

func TestParseStat(t *testing.T) {
	stat := "42 (a) b( c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 777 1000 5 18\n"
	u, err := parseStat([]byte(stat))
	if err != nil || u.cpu != 3*time.Second || u.started != 777 {
		t.Errorf("got %+v, %v", u, err)
	}
	for _, bad := range []string{"", "42 (x)", "42 (x) " + strings.Repeat("x ", 30)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestSumMetric(t *testing.T) {
	text := `# HELP m bytes
# TYPE m counter
m{direction="in",protocol="a"} 5
m{direction="out",protocol="a"} 7
m{protocol="b",direction="out"} 1.5e+06
m{direction="outer"} 100
mm{direction="out"} 100
m 9
`
	if got := sumMetric([]byte(text), "m", `direction="out"`); got != 1_500_007 {
		t.Errorf("got %d, want 1500007", got)
	}
}

func TestDiskBytes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sub", "a")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700),
		os.WriteFile(file, make([]byte, 100_000), 0o600)); err != nil {
		t.Fatal(err)
	}
	one, err := diskBytes(dir)
	if err != nil || one < 100_000 {
		t.Fatalf("got %d, %v", one, err)
	}
	if err := os.Link(file, filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if two, err := diskBytes(dir); runtime.GOOS == "linux" && (err != nil || two != one) {
		t.Errorf("a second name made %d of %d, %v", two, one, err)
	}
	if _, err := diskBytes(filepath.Join(dir, "none")); err == nil {
		t.Error("no error for a directory that is not there")
	}
}

// A course has the means of equal stretches, however long it was watched.
func TestCourse(t *testing.T) {
	for _, samples := range []int{0, 1, 5, courseMax - 1, courseMax, 100, 7200} {
		var c course
		for i := range samples {
			c.add(int64(i))
		}
		n := len(c.means)
		if n >= courseMax || n < min(samples, courseMax/2) {
			t.Fatalf("%d samples: %d means", samples, n)
		}
		for i, mean := range c.means {
			// Half a sample is lost whenever two means become one.
			middle := float64(i)*float64(c.length) + float64(c.length-1)/2
			if off := middle - float64(mean); off < 0 || off > 10 {
				t.Errorf("%d samples: mean %d of %d is %d, middle %v", samples, i, n, mean, middle)
			}
		}
	}
}

// federationFake is a federation whose one node is the test itself.
type federationFake struct {
	dir  string
	sent atomic.Int64
	http *httptest.Server
}

func newFederation(t *testing.T) *federationFake {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	f := &federationFake{dir: t.TempDir()}
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s{%s,protocol=\"x\"} %d\n", wireMetric, wireDirection, f.sent.Load())
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"id":"lazio-1","groups":[{"group":"region/lazio","role":"leader"},`+
			`{"group":"federation","role":"follower"}]}`)
	})
	mux.HandleFunc("POST /api/v1/messages", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.sent.Add(100)
		out, err := os.OpenFile(filepath.Join(f.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY,
			0o600)
		if err == nil {
			out.Write(body)
			out.Close()
		}
		w.WriteHeader(201)
		io.WriteString(w, `{"id":"01","status":"PROCESSED"}`)
	})
	f.http = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.http.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return f
}

// describe writes the local file, and returns its path.
func (f *federationFake) describe(t *testing.T, pid int) string {
	path := filepath.Join(t.TempDir(), localfile.Name)
	err := localfile.Write(path, &localfile.File{Nodes: []localfile.Node{{ID: "lazio-1",
		Region: "lazio", Admin: f.http.URL, PID: pid, Dir: f.dir}}})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCosts(t *testing.T) {
	f := newFederation(t)
	r, err := Run(t.Context(), Config{Gateways: []string{f.http.URL}, Key: "K", Count: 2000,
		Codes:      []fiscalcode.Code{"AAAAAA00A00A000A"},
		Federation: Local(f.describe(t, os.Getpid()))})
	if err != nil || r.Messages != 2000 || len(r.Processes) != 1 || len(r.Incomplete) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	p := r.Processes[0]
	if p.ID != "lazio-1" || p.Kind != "node" || p.Region != "lazio" || p.PID != os.Getpid() {
		t.Errorf("process %+v", p)
	}
	if p.WireBytes != 100 {
		t.Errorf("%v bytes on the wire a message, want 100", p.WireBytes)
	}
	if p.DiskBytes < r.BodyBytes*9/10 || p.DiskBytes > r.BodyBytes*12/10 {
		t.Errorf("%v bytes on disk a message of %v", p.DiskBytes, r.BodyBytes)
	}
	if p.RSSBytes < 1<<20 || p.RSSPeakBytes < p.RSSBytes || p.CPUSeconds <= 0 {
		t.Errorf("costs %+v", p.Costs)
	}
	if r.Federation.CPUSeconds != p.CPUSeconds || r.Generator.CPUSeconds <= 0 {
		t.Errorf("federation %+v, generator %+v", r.Federation, r.Generator)
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "lazio-1") {
		t.Errorf("%v:\n%s", err, text.String())
	}
}

// Without processes at hand there is a report all the same, and it says what it lacks.
func TestProcessGone(t *testing.T) {
	f := newFederation(t)
	r, err := Run(t.Context(), Config{Gateways: []string{f.http.URL}, Key: "K", Count: 10,
		Codes:      []fiscalcode.Code{"AAAAAA00A00A000A"},
		Federation: Local(f.describe(t, 1<<30))})
	if err != nil || r.Messages != 10 || len(r.Incomplete) != 1 || len(r.Processes) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Run(t.Context(), Config{Gateways: []string{f.http.URL}, Key: "K", Count: 10,
		Codes:      []fiscalcode.Code{"AAAAAA00A00A000A"},
		Federation: Local("/nowhere")}); err == nil {
		t.Error("no error without a local file")
	}
}

func TestIdle(t *testing.T) {
	f := newFederation(t)
	path := f.describe(t, os.Getpid())
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := Idle(ctx, Local(path), time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted: got %v", err)
	}
	r, err := Idle(t.Context(), Local(path), time.Millisecond)
	if err != nil || len(r.Processes) != 1 || r.BinaryBytes == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	p := r.Processes[0]
	if len(p.Leads) != 1 || p.Leads[0] != "region/lazio" || p.RSSMeanBytes == 0 ||
		p.RSSPeakBytes < p.RSSMeanBytes {
		t.Errorf("process %+v", p)
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "region/lazio") {
		t.Errorf("%v:\n%s", err, text.String())
	}
}
