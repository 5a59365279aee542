package main

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	s, err := parseSettings(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := &settings{Systems: []string{"staffetta", "nats", "etcd", "postgres"},
		Concurrency: []int{1, 16, 128, 512}, Rounds: 3, Duration: 8 * time.Second,
		WarmUp: 2 * time.Second, Settle: 2 * time.Second, Citizens: 5000, Seed: 1,
		Batched: true, Trace: true}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("defaults are\n%+v, want\n%+v", s, want)
	}
	s, err = parseSettings(strings.Fields("--quick --rounds 2 --systems nats,etcd"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want = &settings{Systems: []string{"nats", "etcd"}, Concurrency: []int{1, 128}, Rounds: 2,
		Duration: time.Second, WarmUp: 300 * time.Millisecond, Citizens: 500, Seed: 1,
		Batched: true, Trace: true}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("quick is\n%+v, want\n%+v: what was given stays", s, want)
	}
}

func TestSettingsRefuse(t *testing.T) {
	for line, want := range map[string]string{
		"--systems redis":           "none of",
		"--systems nats,nats":       "twice",
		"--systems ":                "none of",
		"--concurrency 0":           "is not 1 to",
		"--concurrency 5000":        "is not 1 to",
		"--concurrency 1,x":         "is not 1 to",
		"--concurrency 16,16":       "not ascending",
		"--rounds 0":                "--rounds",
		"--rounds 21":               "--rounds",
		"--duration 1ms":            "--duration",
		"--duration 1h":             "--duration",
		"--warm-up -1s":             "--warm-up",
		"--settle 1m":               "--settle",
		"--citizens 0":              "--citizens",
		"--procs -1":                "--procs",
		"more":                      "is no flag",
		"--nosuch":                  "nosuch",
		"--rounds 0 --citizens 0":   "--citizens",
		"--rounds 0 --duration 1ms": "--rounds",
	} {
		args := strings.Split(line, " ")
		if _, err := parseSettings(args, io.Discard); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}
