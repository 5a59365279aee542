package system

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
)

func TestSteps(t *testing.T) {
	concurrency := []int{1, 16, 128}
	for _, name := range Names() {
		s, err := New(name, Env{})
		if errors.Is(err, ErrNotInstalled) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var single, batches []int
		keyed, seen := 0, map[string]bool{}
		for _, step := range s.Steps(concurrency) {
			if seen[step.Name] || step.Workers < 1 || step.Batch < 1 || step.Window < 1 {
				t.Errorf("%s: step %+v", name, step)
			}
			seen[step.Name] = true
			switch step.Mode {
			case Single:
				single = append(single, step.Workers)
			case Keyed:
				keyed = step.Workers
			case Batched:
				batches = append(batches, step.Batch*step.Window)
			}
		}
		if !slices.Equal(single, concurrency) || keyed != 128 || len(batches) == 0 {
			t.Errorf("%s: single at %v, keyed at %d, %d batched", name, single, keyed, len(batches))
		}
	}
	if _, err := New("redis", Env{}); err == nil {
		t.Error("a system that is not there can be made")
	}
	if err := Serve(t.Context(), "postgres", ""); err == nil {
		t.Error("a server that is not in the program can be served")
	}
	if n := KeyedConcurrency([]int{1, 256}); n != 256 {
		t.Errorf("without 128, keys are tried at %d, want the highest", n)
	}
}

func TestMetric(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("# TYPE c counter\nc{group=\"a\"} 3\nc{group=\"b\"} 4\n" +
			"# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 5\nh_sum 9\n" +
			"h_count 5\n"))
	}))
	defer server.Close()
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"c", nil, 7}, {"c", map[string]string{"group": "b"}, 4},
		{"c", map[string]string{"group": "d"}, 0}, {"h", nil, 5},
	} {
		got, err := metric(t.Context(), server.URL+"/metrics", c.name, c.labels)
		if err != nil || got != c.want {
			t.Errorf("%s %v: got %v, %v, want %v", c.name, c.labels, got, err, c.want)
		}
	}
	if _, err := metric(t.Context(), server.URL+"/metrics", "nosuch", nil); err == nil {
		t.Error("a metric that is not there is 0")
	}
	if _, err := metric(t.Context(), server.URL+"/nosuch", "c", nil); err == nil {
		t.Error("a page that is not there is read")
	}
}

func TestPortsDiffer(t *testing.T) {
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if n := len(slices.Compact(ports)); n != 20 {
		t.Errorf("%d different ports of 20", n)
	}
}

// Errors name lines, never what is on them.
func TestReadCodes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "codes")
	codes := measure.Codes(2)
	good := string(codes[0]) + "\n" + string(codes[1]) + "\n"
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readCodes(path); err != nil || !slices.Equal(got, codes) {
		t.Errorf("%d codes, %v", len(got), err)
	}
	if err := os.WriteFile(path, []byte(good+"NOT A CODE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readCodes(path)
	if err == nil || !strings.Contains(err.Error(), "line 3") ||
		strings.Contains(err.Error(), "NOT A CODE") {
		t.Errorf("got %v, want the line's number alone", err)
	}
}

func TestKeysDiffer(t *testing.T) {
	a, b := keys(1), keys(1)
	if first, again := a(), a(); first == again || first == b() {
		t.Error("keys repeat")
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		if err := await(t.Context(), "it", func(context.Context) (bool, error) {
			asked++
			return asked == 3, nil
		}); err != nil || asked != 3 {
			t.Errorf("asked %d times: %v", asked, err)
		}
		start := time.Now()
		err := await(t.Context(), "it", func(ctx context.Context) (bool, error) {
			if time.Since(start) > attemptMax {
				return false, errors.New("not yet")
			}
			<-ctx.Done() // never answered: asked again
			return false, ctx.Err()
		})
		if err == nil || !strings.Contains(err.Error(), "it: ") ||
			!strings.Contains(err.Error(), "not yet") || time.Since(start) != readyMax {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}
