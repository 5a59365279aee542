package system

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/load"
	"github.com/staffetta/staffetta/internal/localfile"
)

const (
	staffettaRegion = "lazio"
	staffettaBulk   = "bulk"
)

// staffetta is the product: three nodes of one region and a gateway, driven over HTTP by the
// generator of its own bench command.
type staffetta struct {
	env   Env
	local children // the process that starts and ends the others
	file  *localfile.File
	codes []fiscalcode.Code
}

func (s *staffetta) Start(ctx context.Context, dir string) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "federation")
	p, err := command{name: "staffetta local", log: filepath.Join(dir, "local.log"),
		args: []string{s.env.Staffetta, "local", "--regions", staffettaRegion, "--dir", data,
			"--citizens", fmt.Sprint(len(s.env.Codes)), "--demo=false", "--restart=false",
			"--http", fmt.Sprintf("127.0.0.1:%d", ports[0])}}.start()
	if err != nil {
		return err
	}
	s.local = children{p}
	// It prints so once everything serves and all citizens are known.
	if err := await(ctx, "staffetta: not ready", func(context.Context) (bool, error) {
		printed, err := os.ReadFile(p.log)
		return strings.Contains(string(printed), "Ready after"), errors.Join(err, s.local.ended())
	}); err != nil {
		return err
	}
	if s.file, err = localfile.Read(data); err != nil {
		return err
	}
	s.codes, err = readCodes(filepath.Join(data, "citizens.txt"))
	return err
}

// readCodes reads fiscal codes, one a line.
func readCodes(path string) ([]fiscalcode.Code, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var codes []fiscalcode.Code
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		code, err := fiscalcode.Parse(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(codes)+1, err)
		}
		codes = append(codes, code)
	}
	return codes, lines.Err()
}

func (s *staffetta) Servers() []Server {
	var all []Server
	for _, n := range s.file.Nodes {
		all = append(all, Server{Name: n.ID, PID: n.PID, Replica: true})
	}
	for _, g := range s.file.Gateways {
		all = append(all, Server{Name: g.ID, PID: g.PID})
	}
	return all
}

// group is the labels of the region's group in metrics.
func group() map[string]string { return map[string]string{"group": "region/" + staffettaRegion} }

func (s *staffetta) Check(ctx context.Context) (map[string]string, error) {
	if err := s.local.ended(); err != nil {
		return nil, err
	}
	if len(s.file.Nodes) != 3 {
		return nil, fmt.Errorf("staffetta: %d nodes, want 3", len(s.file.Nodes))
	}
	leaders := 0.0
	for _, n := range s.file.Nodes {
		if _, err := load.Page(ctx, n.Admin+"/health"); err != nil {
			return nil, fmt.Errorf("staffetta: %s is not ready: %w", n.ID, err)
		}
		leads, err := metric(ctx, n.Admin+"/metrics", "staffetta_raft_leader", group())
		if err != nil {
			return nil, err
		}
		leaders += leads
	}
	if leaders != 1 {
		return nil, fmt.Errorf("staffetta: %v leaders of the region, want 1", leaders)
	}
	if _, err := s.applied(ctx); err != nil {
		return nil, err
	}
	return map[string]string{"sync": "fsync of the log, no switch",
		"quorum": "3 voters of region/" + staffettaRegion + ", all at the same index"}, nil
}

// applied is the index that all three states have applied, if it is the same.
func (s *staffetta) applied(ctx context.Context) (index float64, err error) {
	err = await(ctx, "staffetta: replicas differ", func(ctx context.Context) (bool, error) {
		seen := make(map[float64]bool)
		for _, n := range s.file.Nodes {
			index, err = metric(ctx, n.Admin+"/metrics", "staffetta_raft_applied_index", group())
			if err != nil {
				return false, err
			}
			seen[index] = true
		}
		return len(seen) == 1, nil
	})
	return index, err
}

// Steps: its batched mode is the bulk endpoint, where lines of a stream need not wait for one
// another.
func (s *staffetta) Steps(concurrency []int) []Step {
	return append(singleSteps(concurrency), batched(staffettaBulk, 1, 1, 1024),
		batched(staffettaBulk, 2, 1, 1024), batched(staffettaBulk, 2, 1, 4096),
		batched(staffettaBulk, 4, 1, 4096))
}

func (s *staffetta) Drive(ctx context.Context, step Step, l Load) (*measure.Tally, error) {
	service, ok := s.file.Service("")
	if !ok {
		return nil, errors.New("staffetta: no service")
	}
	config := load.Config{Key: service.PrimaryKey, Codes: s.codes, Keys: step.Mode == Keyed,
		Seed: l.Seed, Concurrency: step.Workers, Duration: l.Duration, Count: l.Count,
		Bulk: step.Mode == Batched}
	if config.Bulk {
		config.Window = step.Window
	}
	for _, g := range s.file.Gateways {
		config.Gateways = append(config.Gateways, g.URL)
	}
	r, err := load.Run(ctx, config)
	if err != nil {
		return nil, err
	}
	if len(r.Errors) > 0 || r.Verdicts["PROCESSED"] != r.Messages {
		return nil, fmt.Errorf("staffetta: verdicts %v, errors %v", r.Verdicts, r.Errors)
	}
	milliseconds := func(ms float64) time.Duration {
		return time.Duration(ms * float64(time.Millisecond))
	}
	return &measure.Tally{Messages: r.Messages,
		BodyBytes: int64(r.BodyBytes * float64(r.Messages)),
		Elapsed:   milliseconds(r.Seconds * 1000), P50: milliseconds(r.Latency.P50),
		P99: milliseconds(r.Latency.P99)}, nil
}

// Stored counts what the gateways were told to be stored; that every replica has applied as much
// is asked of the nodes.
func (s *staffetta) Stored(ctx context.Context) (int64, error) {
	if _, err := s.applied(ctx); err != nil {
		return 0, err
	}
	var sum float64
	for _, g := range s.file.Gateways {
		n, err := metric(ctx, g.Admin+"/metrics", "staffetta_institution_submissions_total",
			map[string]string{"status": "PROCESSED"})
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return int64(sum), nil
}

// Syncs is how often the nodes appended to the region's log, each time with one fsync.
func (s *staffetta) Syncs(ctx context.Context) (int64, error) {
	var sum float64
	for _, n := range s.file.Nodes {
		c, err := metric(ctx, n.Admin+"/metrics", "staffetta_raft_store_seconds", group())
		if err != nil {
			return 0, err
		}
		sum += c
	}
	return int64(sum), nil
}

func (s *staffetta) Stop() error { return s.local.stop(os.Interrupt) }
