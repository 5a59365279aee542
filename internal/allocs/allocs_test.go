package main

import (
	"os"
	"strings"
	"testing"
)

const sample = `# why

wire Seal 100 10 1 1000
gateway Post 200 60 3 11000
`

func TestBaseline(t *testing.T) {
	b, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	rows := b.rows()
	if len(rows) != 2 || rows[1] != (row{"gateway", "Post", 200, counts{60, 11000}, 3, false}) {
		t.Errorf("got %v", rows)
	}
	loose, err := parse("node/region Apply 300 640 64 -\n")
	if err != nil || !loose.rows()[0].loose || !strings.HasSuffix(loose.with(nil), " -\n") {
		t.Errorf("bytes that are not compared: %v", err)
	}
	text := b.with(map[string]counts{"wire Seal": {9, 900}, "gateway Post": {61, 11001}})
	again, err := parse(text)
	if err != nil || !strings.HasPrefix(text, "# why\n\nwire ") {
		t.Fatalf("%v: %s", err, text)
	}
	if got, want := again.rows()[0], (row{"wire", "Seal", 100, counts{9, 900}, 1, false}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBaselineRefused(t *testing.T) {
	for name, text := range map[string]string{"empty": "# nothing\n", "short": "wire Seal 100 10 1\n",
		"long": "wire Seal 100 10 1 1000 7\n", "word": "wire Seal 100 ten 1 1000\n",
		"negative": "wire Seal 100 -1 1 1000\n", "no runs": "wire Seal 0 1 1 1000\n",
		"twice": "wire Seal 100 1 1 1\nwire Seal 100 1 1 1\n"} {
		if _, err := parse(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestJudge(t *testing.T) {
	r := row{counts: counts{allocs: 60, bytes: 10_000}, slack: 2}
	for c, want := range map[counts]string{{60, 10_000}: same, {62, 11_000}: same,
		{63, 10_000}: more, {60, 11_001}: more, {50, 12_000}: more, {57, 10_000}: less,
		{60, 8_999}: less} {
		if got := r.judge(c); got != want {
			t.Errorf("%v: %q, want %q", c, got, want)
		}
	}
	r.loose = true
	for c, want := range map[counts]string{{60, 99_000}: same, {63, 1}: more, {57, 1}: less} {
		if got := r.judge(c); got != want {
			t.Errorf("%v, bytes not compared: %q, want %q", c, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	b, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	now := map[string]counts{"wire Seal": {12, 1000}, "gateway Post": {60, 11000}}
	err = compare(&out, b.rows(), now)
	if err == nil || !strings.Contains(err.Error(), "1 of 2") ||
		strings.Count(out.String(), more) != 1 {
		t.Errorf("%v\n%s", err, out.String())
	}
	now["wire Seal"] = counts{11, 1000}
	if err := compare(&out, b.rows(), now); err != nil {
		t.Errorf("within the slack: %v", err)
	}
}

func TestRead(t *testing.T) {
	const line = "BenchmarkSeal \t 100\t 71234 ns/op\t 12.5 MB/s\t 1000 B/op\t 10 allocs/op\n"
	if got, err := read("goos: x\n" + line + "PASS\n"); err != nil || got != (counts{10, 1000}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, out := range []string{"PASS\n", line + line} {
		if got, err := read(out); err == nil {
			t.Errorf("%q: got %v", out, got)
		}
	}
	if got, want := pattern("Apply/small.cache"), `^BenchmarkApply$/^small\.cache$`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The committed baseline can be read.
func TestCommittedBaseline(t *testing.T) {
	text, err := os.ReadFile("baseline.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(string(text)); err != nil {
		t.Error(err)
	}
}
