package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/bench/system"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 3}, 3}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("the median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestMedians(t *testing.T) {
	of := func(x float64) *float64 { return &x }
	m := medians([]value{
		{Throughput: 1, P50: 30, ServerCPU: 5, Dirty: 7, Device: of(1), LogSyncs: of(3),
			Settled: true},
		{Throughput: 3, P50: 10, ServerCPU: 9, Dirty: 8, LogSyncs: of(1), Settled: true},
		{Throughput: 2, P50: 20, ServerCPU: 7, Dirty: 9, Device: of(2), LogSyncs: of(2)},
	})
	if m.Throughput != 2 || m.P50 != 20 || m.ServerCPU != 7 || m.Dirty != 8 ||
		*m.LogSyncs != 2 {
		t.Errorf("medians are %+v", m)
	}
	if m.Device != nil {
		t.Errorf("a median of %v of what one round did not count", *m.Device)
	}
	if m.Settled {
		t.Error("one round did not settle")
	}
}

func TestNewValue(t *testing.T) {
	count := func(n int64) *int64 { return &n }
	before := sample{servers: measure.Usage{CPU: time.Second, Written: 1000}, own: time.Second,
		syncs: count(10)}
	after := sample{servers: measure.Usage{CPU: 3 * time.Second, Written: 5000},
		own: 2 * time.Second, syncs: count(30)}
	tally := &measure.Tally{Messages: 2000, BodyBytes: 4000, Elapsed: 4 * time.Second,
		P50: time.Millisecond, P99: time.Second}
	v := newValue(tally, before, after)
	if v.Throughput != 500 || v.P50 != 1 || v.P99 != 1000 || v.BodyBytes != 2 ||
		v.ServerCPU != 1 || v.ClientCPU != 0.5 || *v.LogSyncs != 0.01 {
		t.Errorf("got %+v, syncs %v", v, *v.LogSyncs)
	}
	v.written(before.servers, measure.Usage{CPU: time.Hour, Written: 9000}, count(500),
		count(2500))
	if v.Dirty != 4 || *v.Device != 1 || v.ServerCPU != 1 {
		t.Errorf("got %+v, device %v", v, *v.Device)
	}
	before.syncs = nil
	v = newValue(tally, before, after)
	v.written(before.servers, after.servers, nil, count(1))
	if v.Device != nil || v.LogSyncs != nil {
		t.Error("what was not counted has a value")
	}
}

// filled is the report of two rounds.
func filled() *report {
	r := &report{Settings: &settings{Concurrency: []int{1, 128}, Rounds: 2,
		Duration: time.Second}}
	single := func(n int) system.Step {
		return system.Step{Name: "single", Mode: system.Single, Workers: n, Batch: 1, Window: 1}
	}
	batch := func(name string) system.Step {
		return system.Step{Name: name, Mode: system.Batched, Workers: 2, Batch: 1, Window: 64}
	}
	disk := func(bytes float64) *float64 { return &bytes }
	for _, round := range []float64{-1, 1} {
		r.add("staffetta", single(1), value{Throughput: 100 + round, P50: 5, Settled: true})
		r.add("staffetta", single(128), value{Throughput: 900 + round, ServerCPU: 0.2,
			Device: disk(1500), Settled: true})
		r.add("staffetta", batch("bulk"), value{Throughput: 3000, Device: disk(500)})
		r.add("nats", single(1), value{Throughput: 200, P50: 2.5})
		r.add("nats", single(128), value{Throughput: 600, ServerCPU: 0.1, Device: disk(6000)})
		r.add("nats", batch("slow"), value{Throughput: 1000})
		r.add("nats", batch("fast"), value{Throughput: 2000, Device: disk(4000)})
		r.add("etcd", batch("transactions"), value{Throughput: 1500})
	}
	return r
}

func TestRatios(t *testing.T) {
	got := map[string]float64{}
	for _, x := range filled().ratios() {
		key := x.Peer + ": " + x.Measure
		if _, ok := got[key]; ok {
			t.Errorf("%s twice", key)
		}
		got[key] = x.Better
	}
	want := map[string]float64{
		"nats: messages/s, 1 in flight":                     0.5,
		"nats: p50, 1 in flight":                            0.5,
		"nats: messages/s, 128 in flight":                   1.5,
		"nats: server CPU, 128 in flight":                   0.5,
		"nats: bytes to the disk, 128 in flight":            4,
		"nats (fast): messages/s, best batched mode":        1.5,
		"nats (fast): server CPU, best batched mode":        0,
		"nats (fast): bytes to the disk, best batched mode": 8,
	}
	for k, w := range want {
		if g, ok := got[k]; !ok || math.Abs(g-w) > 1e-9 {
			t.Errorf("%s: got %v, want %v", k, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d ratios, want %d: %v", len(got), len(want), got)
	}
	alone := &report{Settings: &settings{Concurrency: []int{1}}}
	alone.system("nats")
	if n := len(alone.ratios()); n != 0 {
		t.Errorf("%d ratios without Staffetta", n)
	}
}

func TestTables(t *testing.T) {
	r := filled()
	r.Failures, r.Skipped = []string{"it broke"}, []string{"not here"}
	var b strings.Builder
	if err := r.writeTables(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| measure | staffetta | nats | etcd |\n|---|---|---|---|\n",
		"| messages/s, 1 in flight | 100 | 200 | — |\n",
		"| messages/s, 128 in flight | 900 | 600 | — |\n",
		"| messages/s, best batched mode | 3000 | 2000 | 1500 |\n",
		"| bytes to the disk a message, 128 in flight | 1500 | 6000 and more | — |\n",
		"| batched mode that is best | bulk | fast | transactions |\n",
		"| nats | messages/s, 128 in flight | 900 | 600 | 1.50 |\n",
		"| nats (fast) | messages/s, best batched mode | 3000 | 2000 | 1.50 |\n",
		"SKIPPED: not here\n", "FAILED: it broke\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := filled().save(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Systems []struct {
			Name  string `json:"name"`
			Steps []struct {
				Workers int     `json:"workers"`
				Values  []value `json:"values"`
				Median  value   `json:"median"`
			} `json:"steps"`
		} `json:"systems"`
		Ratios []ratio `json:"ratios"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	first := got.Systems[0].Steps[0]
	if got.Systems[0].Name != "staffetta" || len(first.Values) != 2 || first.Workers != 1 ||
		first.Median.Throughput != 100 || first.Values[0].Throughput != 99 ||
		len(got.Ratios) == 0 {
		t.Errorf("the report is\n%s", b)
	}
	if err := filled().save(""); err != nil {
		t.Errorf("without a path: %v", err)
	}
	if err := filled().save(filepath.Join(path, "below")); err == nil {
		t.Error("a path that cannot be written is accepted")
	}
}
