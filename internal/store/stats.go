package store

import (
	"github.com/prometheus/client_golang/prometheus"
)

// DiskBytes is the disk space that the database takes; 0 once closed or failed.
func (d *DB) DiskBytes() uint64 { return d.Stats().DiskBytes }

// Stats are a store's sizes at one moment.
type Stats struct {
	DiskBytes       uint64
	MemTableBytes   uint64
	BlobBytes       uint64 // of DiskBytes, values kept out of compaction
	ReadAmplifying  int    // places that a read may have to look at
	Flushes         int64
	Compactions     int64
	CompactionBytes uint64 // still to be compacted, an estimate
}

// Stats reads the sizes; zero once the store is closed or failed, when Pebble may not answer.
func (d *DB) Stats() Stats {
	if d.fail.get() != nil {
		return Stats{}
	}
	h, err := d.acquire()
	if err != nil {
		return Stats{}
	}
	defer d.release(h)
	m := h.Metrics()
	return Stats{DiskBytes: m.DiskSpaceUsage(), MemTableBytes: m.MemTable.Size,
		BlobBytes: m.BlobFiles.Local.LiveSize, ReadAmplifying: m.ReadAmp(),
		Flushes: m.Flush.Count, Compactions: m.Compact.Count,
		CompactionBytes: m.Compact.EstimatedDebt}
}

// collector gives a store's sizes to Prometheus.
type collector struct {
	db    *DB
	descs []*prometheus.Desc
}

// Metrics are the store's, all with the label group.
func (d *DB) Metrics() []prometheus.Collector {
	c := &collector{db: d}
	for _, m := range [][2]string{
		{"staffetta_store_disk_bytes", "Disk space of the state's database."},
		{"staffetta_store_blob_bytes", "Disk space of blocks, within disk_bytes."},
		{"staffetta_store_memtable_bytes", "Memory of write buffers."},
		{"staffetta_store_read_amplification", "Places that a read may have to look at."},
		{"staffetta_store_compaction_debt_bytes", "Bytes still to be compacted, an estimate."},
		{"staffetta_store_flushes_total", "Write buffers written out."},
		{"staffetta_store_compactions_total", "Compactions done."},
		{"staffetta_store_failed", "1 once a disk error or damaged data stopped the state."},
	} {
		c.descs = append(c.descs, prometheus.NewDesc(m[0], m[1], nil,
			prometheus.Labels{"group": d.cfg.Identity.Group}))
	}
	return []prometheus.Collector{c}
}

// Describe lists the metrics.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect reads the metrics.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.db.Stats()
	failed := 0.0
	if c.db.fail.get() != nil {
		failed = 1
	}
	for i, v := range []float64{float64(s.DiskBytes), float64(s.BlobBytes),
		float64(s.MemTableBytes), float64(s.ReadAmplifying), float64(s.CompactionBytes),
		float64(s.Flushes), float64(s.Compactions), failed} {
		kind := prometheus.GaugeValue
		if i == 5 || i == 6 {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(c.descs[i], kind, v)
	}
}
