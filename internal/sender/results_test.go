package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// runFile is one run over a results file; stopAfter results it is interrupted, 0 means never.
func runFile(t *testing.T, g *gatewayFake, input, path string, stopAfter int) (Summary, error) {
	t.Helper()
	results, err := OpenResults(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s, err := New(Config{Gateway: "http://g", Key: "K", In: strings.NewReader(input), Transport: g,
		Results: results, OneByOne: g.lane == oneByOne, Concurrency: 4, Progress: func(p Progress) {
			if int(p.Lines) == stopAfter {
				stop()
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	summary, err := s.Run(ctx)
	if err := results.Close(); err != nil {
		t.Fatal(err)
	}
	return summary, err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole is the results file of a run that nothing disturbs.
func whole(t *testing.T, input string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "whole")
	g := newGateway(inBulk, nil)
	if _, err := runFile(t, g, input, path, 0); err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, input, read(t, path))
	return read(t, path)
}

func TestInterruptedAtEachLine(t *testing.T) { eachLane(t, testInterruptedAtEachLine) }

func testInterruptedAtEachLine(t *testing.T, way lane) {
	const n = 25
	input := inputOf(n)
	want := whole(t, input)
	for at := 1; at <= n; at++ {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			g := newGateway(way, func(key string, attempt int) fault {
				return []fault{everyFault[key[0]%8], fine, fine, fine}[attempt%4]
			})
			_, err := runFile(t, g, input, path, at)
			if got := bytes.Count(read(t, path), []byte("\n")); got < at {
				t.Fatalf("interrupted after %d results, %d are in the file", at, got)
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			summary, err := runFile(t, g, input, path, 0)
			if err != nil || summary.Lines != n || summary.Known < int64(at) {
				t.Fatalf("after an interruption at %d: %+v, %v", at, summary, err)
			}
			if got := read(t, path); !bytes.Equal(got, want) {
				t.Fatalf("interrupted at %d:\n%s\nwant\n%s", at, got, want)
			}
			checkAll(t, g, input, read(t, path))
		})
	}
}

// A crash may leave the results at any byte.
func TestKilledAtEachByte(t *testing.T) {
	input := inputOf(3)
	want := whole(t, input)
	for at := range len(want) + 1 {
		path := writeFile(t, string(want[:at]))
		g := newGateway(inBulk, nil)
		if _, err := runFile(t, g, input, path, 0); err != nil {
			t.Fatalf("at byte %d: %v", at, err)
		}
		if got := read(t, path); !bytes.Equal(got, want) {
			t.Fatalf("at byte %d:\n%s\nwant\n%s", at, got, want)
		}
		if answered := bytes.Count(want[:at], []byte("\n")); g.sent != 3-answered {
			t.Errorf("at byte %d: %d requests, %d lines had results", at, g.sent, answered)
		}
	}
}

// Lines that ended for lack of an answer are tried again, the others are not.
func TestRedo(t *testing.T) { eachLane(t, testRedo) }

func testRedo(t *testing.T, way lane) {
	const n = 20
	input := inputOf(n)
	want := whole(t, input)
	for _, stopAfter := range []int{0, 1, 7, 13} {
		t.Run(fmt.Sprint(stopAfter), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "out")
				down := true
				g := newGateway(way, func(key string, _ int) fault {
					if down && key[1] < '8' {
						return unknown
					}
					return fine
				})
				summary, err := runFile(t, g, input, path, 0)
				if err != nil || summary.Failed == 0 || summary.Failed == n {
					t.Fatalf("%+v, %v", summary, err)
				}
				down = false
				if stopAfter > 0 {
					runFile(t, g, input, path, stopAfter) // may be done before it notices
					if got := bytes.Count(read(t, path), []byte("\n")); got != n {
						t.Fatalf("%d results after an interruption, want all %d", got, n)
					}
				}
				before := g.sent
				again, err := runFile(t, g, input, path, 0)
				if err != nil || again.Failed != 0 {
					t.Fatalf("%+v, %v", again, err)
				}
				if got := read(t, path); !bytes.Equal(got, want) {
					t.Fatalf("got\n%s\nwant\n%s", got, want)
				}
				if sent := int64(g.sent - before); sent > summary.Failed {
					t.Errorf("%d requests for %d lines", sent, summary.Failed)
				}
				checkAll(t, g, input, read(t, path))
				if _, err := os.Stat(path + ".partial"); err == nil {
					t.Error("a partial file is left")
				}
			})
		})
	}
}

func TestOtherInput(t *testing.T) {
	input := inputOf(10)
	for name, change := range map[string]func(string) string{
		"changed": func(s string) string {
			return strings.Replace(s, "message 3", "message X", 1)
		},
		"shorter":        func(s string) string { return s[:strings.Index(s, "\n")+1] },
		"another order":  func(s string) string { return strings.Repeat(message("KNOWN", 99)+"\n", 10) },
		"a line removed": func(s string) string { return s[strings.Index(s, "\n")+1:] },
	} {
		for _, redo := range []bool{false, true} {
			content := string(whole(t, input))
			if redo { // as if the last line had had no answer
				i := strings.LastIndex(content, `"id"`)
				content = content[:i] + `"retriable":true}` + "\n"
			}
			path := writeFile(t, content)
			g := newGateway(inBulk, nil)
			if _, err := runFile(t, g, change(input), path, 0); !errors.Is(err, ErrOtherInput) {
				t.Errorf("%s: got %v", name, err)
			}
			if got := string(read(t, path)); got != content {
				t.Errorf("%s: the results were changed:\n%s", name, got)
			}
		}
	}
}

func TestOpenResultsRefuses(t *testing.T) {
	for _, content := range []string{"hello", "hello\n", message("KNOWN", 1),
		`{"line":2,"idempotency_key":"x"}` + "\n", `{"line":1}` + "\n",
		strings.Repeat("x", resultBytesMax+1)} {
		path := writeFile(t, content)
		if r, err := OpenResults(path); err == nil {
			r.Close()
			t.Errorf("%.20q was taken for results", content)
		}
		if got := string(read(t, path)); got != content {
			t.Errorf("%.20q was changed into %.20q", content, got)
		}
	}
	if _, err := OpenResults(t.TempDir()); err == nil {
		t.Error("a directory was taken for results")
	}
	path := writeFile(t, "")
	r, err := OpenResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenResults(path); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("two runs with one file: got %v", err)
	}
	r.Close()
}
