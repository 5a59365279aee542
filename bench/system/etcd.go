package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/staffetta/staffetta/bench/measure"
)

const (
	etcdTxn    = "transactions"
	etcdPrefix = "message/"
	// etcdTxnMax is what etcd takes in one transaction.
	etcdTxnMax = int(embed.DefaultMaxTxnOps)
	// etcdConnectionsMax bounds the connections that clients share, to the leader: with more of
	// them throughput does not grow.
	etcdConnectionsMax = 64
	// etcdQuotaBytes and etcdSnapshotCount are raised so that they do not end or disturb a run.
	etcdQuotaBytes    = 64 << 30
	etcdSnapshotCount = 100_000
)

// etcdSystem is etcd: three members, each message under a key of its own.
type etcdSystem struct {
	env     Env
	servers children
	urls    []string
	members []*clientv3.Client // one for each member
	clients []*clientv3.Client // to the leader
	put     atomic.Uint64      // keys made
}

// serveEtcd is the process of one member.
func serveEtcd(ctx context.Context, file string) error {
	config, err := embed.ConfigFromFile(file)
	if err != nil {
		return err
	}
	e, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case err := <-e.Err():
		return err
	case <-ctx.Done():
		return nil
	}
}

func (s *etcdSystem) Start(ctx context.Context, dir string) error {
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	url := func(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
	var cluster []string
	for i := range 3 {
		cluster = append(cluster, fmt.Sprintf("etcd-%d=%s", i+1, url(ports[i])))
	}
	for i := range 3 {
		name, peer, client := fmt.Sprintf("etcd-%d", i+1), url(ports[i]), url(ports[3+i])
		// Names and defaults are those of etcd's own configuration file. Under load it would
		// log a warning for every slow request, which costs it more than it tells us.
		config, err := json.Marshal(map[string]any{"name": name,
			"data-dir": filepath.Join(dir, name), "listen-peer-urls": peer,
			"initial-advertise-peer-urls": peer, "listen-client-urls": client,
			"advertise-client-urls": client, "initial-cluster": strings.Join(cluster, ","),
			"initial-cluster-token": "compare", "initial-cluster-state": "new",
			"quota-backend-bytes": etcdQuotaBytes, "snapshot-count": etcdSnapshotCount,
			"log-level": "error"})
		if err != nil {
			return err
		}
		file := filepath.Join(dir, name+".json")
		if err := os.WriteFile(file, config, 0o600); err != nil {
			return err
		}
		p, err := command{name: name, log: filepath.Join(dir, name+".log"),
			args: []string{s.env.Self, ServeCommand, "etcd", file}, env: s.env.goEnv()}.start()
		if err != nil {
			return err
		}
		s.servers = append(s.servers, p)
		s.urls = append(s.urls, client)
	}
	for _, url := range s.urls {
		c, err := dialEtcd(url)
		if err != nil {
			return err
		}
		s.members = append(s.members, c)
	}
	if err := await(ctx, "etcd: not ready", func(ctx context.Context) (bool, error) {
		_, err := s.Check(ctx)
		return err == nil, errors.Join(err, s.servers.ended())
	}); err != nil {
		return err
	}
	return s.connect(ctx)
}

func dialEtcd(url string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{url}, Logger: zap.NewNop()})
}

// connect connects to the leader, which spares requests a way.
func (s *etcdSystem) connect(ctx context.Context) error {
	for i, url := range s.urls {
		status, err := s.members[i].Status(ctx, url)
		if err != nil {
			return err
		}
		if status.Leader != status.Header.MemberId {
			continue
		}
		for range min(etcdConnectionsMax, s.env.Workers) {
			c, err := dialEtcd(url)
			if err != nil {
				return err
			}
			s.clients = append(s.clients, c)
		}
		return nil
	}
	return errors.New("etcd: no member leads")
}

func (s *etcdSystem) Servers() []Server { return s.servers.servers() }

func (s *etcdSystem) Check(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	members, err := s.members[0].MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("etcd: members: %w", err)
	}
	version := ""
	for _, m := range members.Members {
		if m.IsLearner || len(m.ClientURLs) != 1 {
			return nil, fmt.Errorf("etcd: member %x does not vote or has not started", m.ID)
		}
		status, err := s.members[0].Status(ctx, m.ClientURLs[0])
		if err != nil {
			return nil, fmt.Errorf("etcd: member %x: %w", m.ID, err)
		}
		if status.Leader == 0 || len(status.Errors) > 0 {
			return nil, fmt.Errorf("etcd: member %x has no leader, or errors: %v", m.ID,
				status.Errors)
		}
		version = status.Version
	}
	if len(members.Members) != 3 {
		return nil, fmt.Errorf("etcd: %d members, want 3", len(members.Members))
	}
	return map[string]string{"version": version, "sync": "fsync of the log, the default",
		"quorum": "3 voting members"}, nil
}

func (s *etcdSystem) Steps(concurrency []int) []Step {
	return append(singleSteps(concurrency), batched(etcdTxn, 4, etcdTxnMax, 1),
		batched(etcdTxn, 16, etcdTxnMax, 1), batched(etcdTxn, 64, etcdTxnMax, 1))
}

func (s *etcdSystem) Drive(ctx context.Context, step Step, load Load) (*measure.Tally, error) {
	begin := s.putOne
	switch step.Mode {
	case Keyed:
		begin = s.putAbsent(load.Seed)
	case Batched:
		begin = s.putAll
	}
	return step.loop(load, s.env.Codes).Run(ctx, begin)
}

func (s *etcdSystem) client(worker int) *clientv3.Client { return s.clients[worker%len(s.clients)] }

// key is the next message's: ascending, which is what a B+ tree takes best.
func (s *etcdSystem) key() string {
	return etcdPrefix + fmt.Sprintf("%016x", s.put.Add(1))
}

func (s *etcdSystem) putOne(ctx context.Context, worker int,
	bodies [][]byte) (func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	if _, err := s.client(worker).Put(ctx, s.key(), string(bodies[0])); err != nil {
		return nil, fmt.Errorf("etcd: put: %w", err)
	}
	return nil, nil
}

// putAbsent puts under an idempotency key, unless that is there.
func (s *etcdSystem) putAbsent(seed uint64) measure.Begin {
	next := keys(seed)
	return func(ctx context.Context, worker int, bodies [][]byte) (func() error, error) {
		ctx, cancel := context.WithTimeout(ctx, answerMax)
		defer cancel()
		key := etcdPrefix + next()
		return nil, commitTxn(s.client(worker).Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, string(bodies[0]))))
	}
}

// putAll puts a batch in one transaction.
func (s *etcdSystem) putAll(ctx context.Context, worker int,
	bodies [][]byte) (func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	puts := make([]clientv3.Op, len(bodies))
	for i, b := range bodies {
		puts[i] = clientv3.OpPut(s.key(), string(b))
	}
	return nil, commitTxn(s.client(worker).Txn(ctx).Then(puts...))
}

func commitTxn(txn clientv3.Txn) error {
	answer, err := txn.Commit()
	if err != nil {
		return fmt.Errorf("etcd: transaction: %w", err)
	}
	if !answer.Succeeded {
		return errors.New("etcd: transaction: a key was there already")
	}
	return nil
}

func (s *etcdSystem) Stored(ctx context.Context) (stored int64, err error) {
	err = await(ctx, "etcd: members differ", func(ctx context.Context) (bool, error) {
		counts := make(map[int64]bool)
		for _, c := range s.members {
			// Each member is asked for what it holds itself.
			r, err := c.Get(ctx, etcdPrefix, clientv3.WithPrefix(),
				clientv3.WithCountOnly(), clientv3.WithSerializable())
			if err != nil {
				return false, err
			}
			counts[r.Count] = true
			stored = r.Count
		}
		return len(counts) == 1, nil
	})
	return stored, err
}

// Syncs is how often the members fsynced their logs.
func (s *etcdSystem) Syncs(ctx context.Context) (int64, error) {
	var sum float64
	for _, url := range s.urls {
		n, err := metric(ctx, url+"/metrics", "etcd_disk_wal_fsync_duration_seconds", nil)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return int64(sum), nil
}

func (s *etcdSystem) Stop() error {
	for _, c := range slices.Concat(s.members, s.clients) {
		c.Close()
	}
	return s.servers.stop(os.Interrupt)
}
