package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// wireMetric counts the bytes of QUIC packets, headers and retransmissions included. What all
// processes send is what crosses the wire.
const (
	wireMetric    = "staffetta_link_quic_bytes_total"
	wireDirection = `direction="out"`
)

const (
	// memoryEvery is how often memory is read for its peak.
	memoryEvery = 500 * time.Millisecond
	// adminTimeout and adminBytesMax bound a look at a process's admin listener.
	adminTimeout  = 5 * time.Second
	adminBytesMax = 16 << 20
)

// Process is one process of a federation.
type Process struct {
	ID     string
	Kind   string // node or gateway
	Region string
	Admin  string // base URL of its admin listener
	PID    int
	Dir    string // its data; empty when it has none
}

// Federation says which processes there are now.
type Federation func() ([]Process, error)

// Local is the federation that a local file describes. The file is read anew each time, since
// processes may have been started again.
func Local(path string) Federation {
	return func() ([]Process, error) {
		f, err := localfile.Read(path)
		if err != nil {
			return nil, err
		}
		var list []Process
		for _, g := range f.Gateways {
			list = append(list, Process{ID: g.ID, Kind: "gateway", Admin: g.Admin, PID: g.PID})
		}
		for _, n := range f.Nodes {
			list = append(list, Process{ID: n.ID, Kind: "node", Region: n.Region,
				Admin: n.Admin, PID: n.PID, Dir: n.Dir})
		}
		return list, nil
	}
}

// sample is a federation at one moment.
type sample struct {
	at        time.Time
	processes []processSample
	self      usage // the generator
}

// processSample is one process at one moment.
type processSample struct {
	Process
	usage
	wire  int64    // bytes sent
	disk  int64    // bytes of its directory
	leads []string // groups, asked for idle reports only
	err   error    // why the rest is missing
}

// takeSample measures every process. One that is not there is a sample with an error.
func takeSample(ctx context.Context, f Federation) (*sample, error) {
	s := new(sample)
	if f != nil {
		list, err := f()
		if err != nil {
			return nil, err
		}
		s.processes = make([]processSample, len(list))
		var asking sync.WaitGroup
		for i, p := range list {
			asking.Go(func() { s.processes[i] = sampleProcess(ctx, p) })
		}
		asking.Wait()
	}
	s.at = time.Now()
	s.self, _ = readUsage(os.Getpid()) // nothing where there is no /proc
	return s, ctx.Err()
}

func sampleProcess(ctx context.Context, p Process) processSample {
	s := processSample{Process: p}
	if s.usage, s.err = readUsage(p.PID); s.err != nil {
		return s
	}
	var metrics []byte
	if metrics, s.err = Page(ctx, p.Admin+"/metrics"); s.err != nil {
		return s
	}
	s.wire = sumMetric(metrics, wireMetric, wireDirection)
	if p.Dir != "" {
		s.disk, s.err = diskBytes(p.Dir)
	}
	return s
}

// Page reads a page of an admin listener, within bounds of time and size.
func Page(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, adminBytesMax))
}

// sumMetric adds up the samples of a metric, in Prometheus's text form, that have a label.
func sumMetric(text []byte, name, label string) int64 {
	var sum float64
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name+"{")
		if !ok {
			continue
		}
		end := strings.LastIndexByte(rest, '}')
		if end < 0 || !strings.Contains(","+rest[:end]+",", ","+label+",") {
			continue
		}
		if f := strings.Fields(rest[end+1:]); len(f) > 0 {
			v, _ := strconv.ParseFloat(f[0], 64)
			sum += v
		}
	}
	return int64(sum)
}

// groupsLed names the groups that a node leads, as its status page tells.
func groupsLed(ctx context.Context, p *Process) ([]string, error) {
	b, err := Page(ctx, p.Admin+"/status")
	if err != nil {
		return nil, err
	}
	var status struct {
		Groups []struct {
			Group string `json:"group"`
			Role  string `json:"role"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(b, &status); err != nil {
		return nil, fmt.Errorf("%s/status: %w", p.Admin, err)
	}
	var led []string
	for _, g := range status.Groups {
		if g.Role == "leader" {
			led = append(led, g.Group)
		}
	}
	return led, nil
}

// memoryWatch reads the memory of all processes from time to time.
type memoryWatch struct {
	quit chan struct{}
	done chan map[string]memory
}

// memory is what a process occupied over a time, in bytes.
type memory struct {
	peak, sum, n int64
	course       course
}

func (m *memory) add(rss int64) {
	m.peak, m.sum, m.n = max(m.peak, rss), m.sum+rss, m.n+1
	m.course.add(rss)
}

// courseMax bounds the stretches of a course; there are at least half as many once there were
// that many samples.
const courseMax = 24

// course is how a figure developed: its mean in stretches of equal length.
type course struct {
	means       []int64
	length      int64 // of a stretch, in samples
	sum, within int64 // of the stretch that has not ended
}

func (c *course) add(v int64) {
	c.length = max(c.length, 1)
	c.sum, c.within = c.sum+v, c.within+1
	if c.within < c.length {
		return
	}
	c.means = append(c.means, c.sum/c.within)
	c.sum, c.within = 0, 0
	if len(c.means) < courseMax {
		return
	}
	for i := range courseMax / 2 {
		c.means[i] = (c.means[2*i] + c.means[2*i+1]) / 2
	}
	c.means, c.length = c.means[:courseMax/2], 2*c.length
}

func watchMemory(f Federation) *memoryWatch {
	w := &memoryWatch{quit: make(chan struct{}), done: make(chan map[string]memory, 1)}
	go func() {
		seen := make(map[string]memory)
		ticker := time.NewTicker(memoryEvery)
		defer ticker.Stop()
		for {
			if f != nil {
				list, _ := f() // a file that cannot be read now is read the next time
				for _, p := range list {
					if u, err := readUsage(p.PID); err == nil {
						m := seen[p.ID]
						m.add(u.rss)
						seen[p.ID] = m
					}
				}
			}
			select {
			case <-ticker.C:
			case <-w.quit:
				w.done <- seen
				return
			}
		}
	}()
	return w
}

// stop ends the watch and returns what it saw, by process.
func (w *memoryWatch) stop() map[string]memory {
	close(w.quit)
	return <-w.done
}
