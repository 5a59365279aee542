package consensus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
	"github.com/staffetta/staffetta/wire"
)

// countState applies nothing but positions, so that the log and the messages are measured.
type countState struct{ memState }

func (s *countState) Apply(entries []wire.LogEntry) ([]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		s.now.Pos.Index, s.now.Pos.Term = e.Index, e.Term
		if e.Configuration {
			s.now.Pos.Configuration, s.now.Pos.ConfigurationIndex = e.Data, e.Index
		}
	}
	return make([]any, len(entries)), nil
}

// benchGroup starts a group on real files and in-process streams, in real time.
func benchGroup(b *testing.B, nodes int, store string, inFlight int) *Group {
	b.Helper()
	net := newFakeNet(0)
	var members []Member
	for i := range nodes {
		members = append(members, Member{wire.NodeID(fmt.Sprintf("n%d", i+1)), true})
	}
	var groups []*Group
	for _, m := range members {
		g, err := Open(Config{Group: "region/bench", Self: m.Node, Dir: b.TempDir(),
			LogStore: store, Bootstrap: members, State: &countState{},
			Transport: net.listen(m.Node), Logger: testLogger(),
			hooks: hooks{maxRPCsInFlight: inFlight}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := g.Close(); err != nil {
				b.Error(err)
			}
		})
		groups = append(groups, g)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, g := range groups {
			if g.IsLeader() && g.Ready() == nil {
				return g
			}
		}
	}
	b.Fatal("no leader")
	return nil
}

// BenchmarkPropose measures entries of 64 KiB, the size of a full block.
func BenchmarkPropose(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		for _, store := range []string{LogWAL, LogBolt} {
			for _, proposers := range []int{1, 16, 128} {
				name := fmt.Sprintf("nodes=%d/%s/proposers=%d", nodes, store, proposers)
				b.Run(name, func(b *testing.B) {
					propose(b, benchGroup(b, nodes, store, 0), proposers, 64<<10)
				})
			}
		}
	}
}

// BenchmarkPipelining compares one message in flight per follower with several.
func BenchmarkPipelining(b *testing.B) {
	for _, inFlight := range []int{1, 2, 4} {
		for _, proposers := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("inflight=%d/proposers=%d", inFlight, proposers),
				func(b *testing.B) {
					propose(b, benchGroup(b, 3, LogWAL, inFlight), proposers, 64<<10)
				})
		}
	}
}

func propose(b *testing.B, g *Group, proposers, size int) {
	body := make([]byte, size)
	b.SetBytes(int64(size))
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range proposers {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				data := wire.EncodeEntry(wire.CommandsEntry, wire.TimeOf(time.Now()), body)
				if _, err := g.Propose(context.Background(), data); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkRead measures linearizable reads that share rounds.
func BenchmarkRead(b *testing.B) {
	for _, readers := range []int{1, 128} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			g := benchGroup(b, 3, LogWAL, 0)
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if err := g.Read(context.Background()); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkWALFiles compares files that grow with files that are reserved whole, and segment sizes.
func BenchmarkWALFiles(b *testing.B) {
	for _, kind := range []struct {
		name    string
		files   types.VFS
		segment int
	}{
		{"growing", growingFiles{fs.New()}, 64 << 20}, {"reserved-16", fs.New(), 16 << 20},
		{"reserved-64", fs.New(), 64 << 20}, {"reserved-256", fs.New(), 256 << 20},
	} {
		for _, size := range []int{1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", kind.name, size>>10), func(b *testing.B) {
				s, err := walParts{dir: b.TempDir(), files: kind.files, segment: kind.segment,
					meta: &metadb.BoltMetaDB{}, logger: hclog.NewNullLogger()}.open()
				if err != nil {
					b.Fatal(err)
				}
				defer s.close()
				b.SetBytes(int64(size))
				index := uint64(0)
				for b.Loop() {
					index++
					l := logsOf(1, index, index)
					l[0].Data = make([]byte, size)
					if err := s.log.StoreLogs(l); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// growingFiles do without raft-wal's reservation.
type growingFiles struct{ types.VFS }

func (f growingFiles) Create(dir, name string, _ uint64) (types.WritableFile, error) {
	return f.VFS.Create(dir, name, 0)
}
