package consensus

import (
	"errors"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var errInjected = errors.New("injected disk error")

type faultOp int

const (
	opStoreLogs faultOp = 1 + iota
	opDeleteRange
	opGetLog
	opSet
	opSetUint64
)

// faultyStores fails one operation, before or after it took place.
type faultyStores struct {
	log    raft.LogStore
	stable raft.StableStore

	mu      sync.Mutex
	op      faultOp
	applied bool
}

func (f *faultyStores) stores() *Stores {
	return &Stores{log: faultyLog{f}, stable: faultyStable{f}}
}

func (f *faultyStores) failNext(op faultOp, applied bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.op, f.applied = op, applied
}

func (f *faultyStores) do(op faultOp, run func() error) error {
	f.mu.Lock()
	hit, applied := f.op == op, f.applied
	if hit {
		f.op = 0
	}
	f.mu.Unlock()
	if !hit {
		return run()
	}
	if applied {
		if err := run(); err != nil {
			return err
		}
	}
	return errInjected
}

type faultyLog struct{ f *faultyStores }

func (l faultyLog) FirstIndex() (uint64, error) { return l.f.log.FirstIndex() }
func (l faultyLog) LastIndex() (uint64, error)  { return l.f.log.LastIndex() }

func (l faultyLog) GetLog(i uint64, log *raft.Log) error {
	return l.f.do(opGetLog, func() error { return l.f.log.GetLog(i, log) })
}

func (l faultyLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l faultyLog) StoreLogs(logs []*raft.Log) error {
	return l.f.do(opStoreLogs, func() error { return l.f.log.StoreLogs(logs) })
}

func (l faultyLog) DeleteRange(from, to uint64) error {
	return l.f.do(opDeleteRange, func() error { return l.f.log.DeleteRange(from, to) })
}

type faultyStable struct{ f *faultyStores }

func (s faultyStable) Get(key []byte) ([]byte, error)       { return s.f.stable.Get(key) }
func (s faultyStable) GetUint64(key []byte) (uint64, error) { return s.f.stable.GetUint64(key) }

func (s faultyStable) Set(key, val []byte) error {
	return s.f.do(opSet, func() error { return s.f.stable.Set(key, val) })
}

func (s faultyStable) SetUint64(key []byte, val uint64) error {
	return s.f.do(opSetUint64, func() error { return s.f.stable.SetUint64(key, val) })
}

func gaugeValue(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}
