package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Step is a stretch of a state's growth. A unit is a citizen, a message or a code.
type Step struct {
	Kind string `json:"kind"` // registry, messages or directory
	// Total is how many units of the kind the state has after the step, Units those of the step.
	Total    int `json:"total"`
	Units    int `json:"units"`
	Entries  int `json:"entries"`
	Rejected int `json:"rejected,omitempty"` // of Units
	// ApplySeconds is the time in which the entries were applied, SettleSeconds the time after
	// it until the database was idle.
	ApplySeconds  float64 `json:"apply_seconds"`
	SettleSeconds float64 `json:"settle_seconds"`
	// CPUMicros and WrittenBytes are for a unit and cover both times.
	CPUMicros    float64 `json:"cpu_us_per_unit"`
	WrittenBytes float64 `json:"written_bytes_per_unit"`
	LogBytes     float64 `json:"log_bytes_per_unit"`
	DiskBytes    int64   `json:"disk_bytes"` // of the whole state, afterwards
	RSSPeakBytes int64   `json:"rss_peak_bytes"`
}

// Rate is the units applied a second.
func (s *Step) Rate() float64 { return float64(s.Units) / max(s.ApplySeconds, 1e-9) }

// Sustained is the rate that leaves nothing to be compacted behind.
func (s *Step) Sustained() float64 {
	return float64(s.Units) / max(s.ApplySeconds+s.SettleSeconds, 1e-9)
}

// Snapshot is what a snapshot costs: a flush of some megabytes of fresh messages, the median of
// several; and what a copy for a follower costs.
type Snapshot struct {
	FlushMillis float64 `json:"flush_ms"`
	FlushBytes  int64   `json:"flush_written_bytes"`
	// CheckpointBytes are those written to make a copy, StreamBytes what a follower is sent.
	CheckpointMillis float64 `json:"checkpoint_ms"`
	CheckpointBytes  int64   `json:"checkpoint_written_bytes"`
	StreamBytes      int64   `json:"stream_bytes"`
}

// Cold is what a process of its own measured.
type Cold struct {
	// Forgotten says that the state's files were out of the system's memory at first.
	Forgotten    bool    `json:"files_out_of_memory"`
	OpenMillis   float64 `json:"open_ms"`
	ReadMillis   float64 `json:"first_read_ms"`
	StorageBytes int64   `json:"read_from_storage_bytes"` // up to and with the first read
	// The entries that a crash may make a node apply again, as a rule far fewer.
	ReplayEntries int     `json:"replay_entries,omitempty"`
	ReplayMillis  float64 `json:"replay_ms,omitempty"`
	// The memory of the process before the state was opened and at the end.
	RSSBeforeBytes int64    `json:"rss_before_bytes"`
	RSSBytes       int64    `json:"rss_bytes"`
	LookUps        *LookUps `json:"look_ups,omitempty"`
}

// LookUps are batches of look-ups in the directory, its files in memory as far as they fit.
type LookUps struct {
	Batch int `json:"recipients_per_batch"`
	// CPUMicros is the processor time of a batch of known codes.
	CPUMicros float64 `json:"cpu_us_per_batch"`
	Known     Latency `json:"known_ms"`
	Unknown   Latency `json:"a_quarter_unknown_ms"`
}

// Latency is in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// latencyOf sorts samples.
func latencyOf(samples []time.Duration) Latency {
	if len(samples) == 0 {
		return Latency{}
	}
	slices.Sort(samples)
	at := func(q float64) float64 { return millis(samples[int(q*float64(len(samples)-1))]) }
	return Latency{Count: len(samples), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Part is one state of a region's run.
type Part struct {
	Citizens int       `json:"citizens"`
	Messages int       `json:"messages"`
	Steps    []*Step   `json:"steps"`
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	Cold     *Cold     `json:"cold,omitempty"`
}

// Reads is reading beside writes.
type Reads struct {
	Seconds float64 `json:"seconds"`
	// Offered and Writes are a second; Writes are messages applied.
	Offered       float64 `json:"reads_offered_per_second"`
	WritesOffered float64 `json:"writes_offered_per_second"`
	Writes        float64 `json:"writes_per_second"`
	// From the moment that a read was due, and from the moment that it began.
	List     Latency `json:"list_ms"`
	Read     Latency `json:"read_ms"`
	ListCall Latency `json:"list_call_ms"`
	ReadCall Latency `json:"read_call_ms"`
}

// RegionReport is the result of a region's run. It is kept in the run's directory as it grows.
type RegionReport struct {
	Scale        float64 `json:"scale"`
	Seed         uint64  `json:"seed"`
	KeyedPercent float64 `json:"keyed_percent"`
	// Reference is a small state, Full the one of the size asked for.
	Reference Part   `json:"reference"`
	Full      Part   `json:"full"`
	Reads     *Reads `json:"reads,omitempty"`
	// Ratios of full to reference; of the cost of processor time the other way round, so that
	// all of them are better when they are larger.
	RateRatio      float64 `json:"apply_rate_ratio,omitempty"`
	SustainedRatio float64 `json:"sustained_rate_ratio,omitempty"`
	CPURatio       float64 `json:"cpu_ratio,omitempty"`
	SnapshotRatio  float64 `json:"snapshot_ms_ratio,omitempty"`
	// BytesPerMessage is what messages added to the state on disk, each.
	BytesPerMessage float64 `json:"disk_bytes_per_message,omitempty"`
	BytesPerCitizen float64 `json:"disk_bytes_per_citizen,omitempty"`
	RSSPeakBytes    int64   `json:"rss_peak_bytes,omitempty"`
	Complete        bool    `json:"complete"`
}

// DirectoryReport is the result of the directory's run, kept in its directory as it grows.
type DirectoryReport struct {
	Scale         float64 `json:"scale"`
	Seed          uint64  `json:"seed"`
	Entries       int     `json:"entries"`
	Steps         []*Step `json:"steps"`
	Cold          *Cold   `json:"cold,omitempty"`
	DiskBytes     int64   `json:"disk_bytes,omitempty"`
	BytesPerEntry float64 `json:"disk_bytes_per_entry,omitempty"`
	// MemoryBytes is what opening the directory and looking codes up added to the process.
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	// Ratios of the last step to the first, as in RegionReport.
	RateRatio      float64 `json:"apply_rate_ratio,omitempty"`
	SustainedRatio float64 `json:"sustained_rate_ratio,omitempty"`
	CPURatio       float64 `json:"cpu_ratio,omitempty"`
	RSSPeakBytes   int64   `json:"rss_peak_bytes,omitempty"` // of the process that filled it
	Complete       bool    `json:"complete"`
}

// resume reads the report of an earlier run in dir into report; ok is false when there is none.
func resume(dir string, report any) (ok bool, err error) {
	path := filepath.Join(dir, reportFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, report); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

// save keeps the report of a run, whole or not at all.
func save(dir string, report any) error {
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, reportFile)
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
