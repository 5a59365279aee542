package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/staffetta/staffetta/bench/measure"
	"github.com/staffetta/staffetta/internal/load"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// The streams: the second one is of its own because taking whole batches is a property of a
// stream, which messages that come alone need not pay for.
const (
	natsSingle  = "SINGLE"
	natsBatches = "BATCHES"
)

const (
	natsAtomic = "atomic batch"
	natsFast   = "fast batch"
	natsAsync  = "async"
	// natsConnections are made to each stream's leader. Publishers that wait for each
	// acknowledgement share the first, which is what gives the highest throughput: their
	// messages travel together.
	natsConnections = 4
	// natsAsyncMax is the window over all publishers of a connection that the client allows.
	natsAsyncMax = 16 << 10
)

// natsSystem is NATS JetStream: three servers, streams of three replicas in files, synced
// always.
type natsSystem struct {
	env     Env
	servers children
	urls    []string
	admin   []string // base URLs of the monitoring pages
	conns   []*nats.Conn
	control jetstream.JetStream
	// One for each connection to the leader of a stream.
	leader map[string][]jetstream.JetStream
}

// serveNATS is the process of one server.
func serveNATS(ctx context.Context, file string) error {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	opts.NoSigs = true
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// natsConfig is a server's configuration file. sync_interval is what makes an acknowledgement
// mean a majority's fsync.
const natsConfig = `server_name: nats-%[1]d
listen: "127.0.0.1:%[2]d"
http: "127.0.0.1:%[3]d"
jetstream { store_dir: %[4]q, max_memory_store: 256MB, max_file_store: 256GB, sync_interval: %[7]s }
cluster { name: compare, listen: "127.0.0.1:%[5]d", routes: [%[6]s], no_advertise: true }
`

func (s *natsSystem) Start(ctx context.Context, dir string) error {
	return s.start(ctx, dir, "always")
}

func (s *natsSystem) start(ctx context.Context, dir, syncInterval string) error {
	ports, err := freePorts(9)
	if err != nil {
		return err
	}
	var routes []string
	for i := range 3 {
		routes = append(routes, fmt.Sprintf("%q", fmt.Sprintf("nats://127.0.0.1:%d", ports[i])))
	}
	for i := range 3 {
		name := fmt.Sprintf("nats-%d", i+1)
		client, admin := ports[3+i], ports[6+i]
		file := filepath.Join(dir, name+".conf")
		config := fmt.Sprintf(natsConfig, i+1, client, admin, filepath.Join(dir, name), ports[i],
			strings.Join(routes, ", "), syncInterval)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return err
		}
		p, err := command{name: name, log: filepath.Join(dir, name+".log"),
			args: []string{s.env.Self, ServeCommand, "nats", file}, env: s.env.goEnv()}.start()
		if err != nil {
			return err
		}
		s.servers = append(s.servers, p)
		s.urls = append(s.urls, fmt.Sprintf("nats://127.0.0.1:%d", client))
		s.admin = append(s.admin, fmt.Sprintf("http://127.0.0.1:%d", admin))
	}
	if err := await(ctx, "nats: no connection", func(context.Context) (bool, error) {
		s.control, err = s.dial(s.urls[0])
		return err == nil, errors.Join(err, s.servers.ended())
	}); err != nil {
		return err
	}
	s.leader = make(map[string][]jetstream.JetStream)
	for _, name := range []string{natsSingle, natsBatches} {
		config := jetstream.StreamConfig{Name: name, Subjects: []string{name},
			Storage: jetstream.FileStorage, Replicas: 3, Discard: jetstream.DiscardNew,
			AllowAtomicPublish: name == natsBatches, AllowBatchPublish: name == natsBatches}
		if err := await(ctx, "nats: no stream", func(ctx context.Context) (bool, error) {
			_, err := s.control.CreateOrUpdateStream(ctx, config)
			return err == nil, err
		}); err != nil {
			return err
		}
		if err := await(ctx, "nats: stream "+name, func(ctx context.Context) (bool, error) {
			_, err := s.replicated(ctx, name)
			return err == nil, err
		}); err != nil {
			return err
		}
		if err := s.connect(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *natsSystem) dial(url string) (jetstream.JetStream, error) {
	nc, err := nats.Connect(url, nats.Timeout(answerMax))
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, nc)
	return jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(natsAsyncMax),
		jetstream.WithDefaultTimeout(answerMax))
}

// connect connects to the server that leads a stream, which spares its messages a way.
func (s *natsSystem) connect(ctx context.Context, name string) error {
	stream, err := s.control.Stream(ctx, name)
	if err != nil {
		return err
	}
	for i, p := range s.servers {
		if p.name != stream.CachedInfo().Cluster.Leader {
			continue
		}
		for range natsConnections {
			js, err := s.dial(s.urls[i])
			if err != nil {
				return err
			}
			s.leader[name] = append(s.leader[name], js)
		}
		return nil
	}
	return fmt.Errorf("nats: stream %s has no leader", name)
}

func (s *natsSystem) Servers() []Server { return s.servers.servers() }

func (s *natsSystem) Check(ctx context.Context) (map[string]string, error) {
	if err := s.servers.ended(); err != nil {
		return nil, err
	}
	for _, admin := range s.admin {
		b, err := load.Page(ctx, admin+"/jsz?config=true")
		if err != nil {
			return nil, err
		}
		var jsz struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		}
		if err := json.Unmarshal(b, &jsz); err != nil {
			return nil, fmt.Errorf("%s/jsz: %w", admin, err)
		}
		if !jsz.Config.SyncAlways {
			return nil, fmt.Errorf("%s: JetStream does not sync always", admin)
		}
	}
	for _, name := range []string{natsSingle, natsBatches} {
		if _, err := s.replicated(ctx, name); err != nil {
			return nil, err
		}
	}
	return map[string]string{"version": server.VERSION, "sync": "sync_always on 3 servers",
		"quorum": "streams of 3 replicas in files, all current"}, nil
}

// replicated is the number of messages of a stream, if all three replicas have them.
func (s *natsSystem) replicated(ctx context.Context, name string) (int64, error) {
	stream, err := s.control.Stream(ctx, name)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	if info.Config.Replicas != 3 || info.Config.Storage != jetstream.FileStorage {
		return 0, fmt.Errorf("nats: stream %s has %d replicas in %v", name, info.Config.Replicas,
			info.Config.Storage)
	}
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
		return 0, fmt.Errorf("nats: stream %s has no leader with two followers", name)
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current || r.Offline || r.Lag > 0 {
			return 0, fmt.Errorf("nats: replica %s of stream %s is behind", r.Name, name)
		}
	}
	return int64(info.State.Msgs), nil
}

func (s *natsSystem) Steps(concurrency []int) []Step {
	return append(singleSteps(concurrency), batched(natsAsync, 1, 1, 256),
		batched(natsAsync, 1, 1, 1024), batched(natsAsync, 1, 1, 4096),
		batched(natsAsync, 4, 1, 1024), batched(natsAtomic, 16, 128, 1),
		batched(natsAtomic, 8, 1000, 1), batched(natsFast, 8, 1000, 1))
}

func (s *natsSystem) Drive(ctx context.Context, step Step, load Load) (*measure.Tally, error) {
	begin := s.publish
	switch {
	case step.Mode == Keyed:
		begin = s.publishKeyed(load.Seed)
	case strings.HasPrefix(step.Name, natsAsync):
		begin = s.publishAsync
	case strings.HasPrefix(step.Name, natsAtomic):
		begin = s.publishAtomic
	case strings.HasPrefix(step.Name, natsFast):
		begin = s.publishFast
	}
	return step.loop(load, s.env.Codes).Run(ctx, begin)
}

// client is a worker's client for a stream.
func (s *natsSystem) client(stream string, worker int) jetstream.JetStream {
	clients := s.leader[stream]
	return clients[worker%len(clients)]
}

func checkAck(ack *jetstream.PubAck, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("nats: publish: %w", err)
	case ack.Stream != natsSingle || ack.Sequence == 0 || ack.Duplicate:
		return errors.New("nats: publish: an acknowledgement of something else")
	}
	return nil
}

func (s *natsSystem) publish(ctx context.Context, _ int,
	bodies [][]byte) (func() error, error) {
	return nil, checkAck(s.client(natsSingle, 0).Publish(ctx, natsSingle, bodies[0]))
}

func (s *natsSystem) publishKeyed(seed uint64) measure.Begin {
	next := keys(seed)
	return func(ctx context.Context, _ int, bodies [][]byte) (func() error, error) {
		return nil, checkAck(s.client(natsSingle, 0).Publish(ctx, natsSingle, bodies[0],
			jetstream.WithMsgID(next())))
	}
}

func (s *natsSystem) publishAsync(ctx context.Context, worker int,
	bodies [][]byte) (func() error, error) {
	future, err := s.client(natsSingle, worker).PublishAsync(natsSingle, bodies[0])
	if err != nil {
		return nil, fmt.Errorf("nats: publish: %w", err)
	}
	return func() error {
		select {
		case ack := <-future.Ok():
			return checkAck(ack, nil)
		case err := <-future.Err():
			return checkAck(nil, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// publishAtomic publishes batches of which all messages are stored, or none.
func (s *natsSystem) publishAtomic(ctx context.Context, worker int,
	bodies [][]byte) (func() error, error) {
	messages := make([]*nats.Msg, len(bodies))
	for i, b := range bodies {
		messages[i] = &nats.Msg{Subject: natsBatches, Header: nats.Header{}, Data: b}
	}
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	ack, err := jetstreamext.PublishMsgBatch(ctx, s.client(natsBatches, worker), messages)
	return nil, checkBatch(ack, err, len(bodies))
}

// publishFast publishes batches whose messages are stored as they come; the acknowledgement of
// the last one covers all.
func (s *natsSystem) publishFast(ctx context.Context, worker int,
	bodies [][]byte) (func() error, error) {
	p, err := jetstreamext.NewFastPublisher(s.client(natsBatches, worker))
	if err != nil {
		return nil, err
	}
	last := len(bodies) - 1
	for _, b := range bodies[:last] {
		if _, err := p.Add(natsBatches, b); err != nil {
			return nil, fmt.Errorf("nats: fast batch: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	ack, err := p.Commit(ctx, natsBatches, bodies[last])
	return nil, checkBatch(ack, err, len(bodies))
}

func checkBatch(ack *jetstreamext.BatchAck, err error, size int) error {
	switch {
	case err != nil:
		return fmt.Errorf("nats: batch: %w", err)
	case ack.Stream != natsBatches || ack.BatchSize != uint64(size):
		return fmt.Errorf("nats: batch: %d of %d messages are acknowledged", ack.BatchSize, size)
	}
	return nil
}

func (s *natsSystem) Stored(ctx context.Context) (stored int64, err error) {
	err = await(ctx, "nats: replicas differ", func(ctx context.Context) (bool, error) {
		stored = 0
		for _, name := range []string{natsSingle, natsBatches} {
			n, err := s.replicated(ctx, name)
			if err != nil {
				return false, err
			}
			stored += n
		}
		return true, nil
	})
	return stored, err
}

func (s *natsSystem) Stop() error {
	for _, nc := range s.conns {
		nc.Close()
	}
	return s.servers.stop(os.Interrupt)
}
