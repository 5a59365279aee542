package system

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/staffetta/staffetta/bench/measure"
)

const (
	pgRows = "rows"
	pgCopy = "copy"
)

// pgTables: messages under a number, and with a unique idempotency key.
const pgTables = `
CREATE TABLE messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE keyed (key text PRIMARY KEY, body bytea NOT NULL);`

// postgres is PostgreSQL: a primary and two standbys, of which one has to have a commit on disk
// before it is acknowledged.
type postgres struct {
	env     Env
	bin     string // directory of its programs
	user    *syscall.Credential
	servers children
	conns   []*pgx.Conn // to the primary, one for each worker
	control *pgx.Conn
	ports   []int
}

func (s *postgres) Servers() []Server { return s.servers.servers() }

func (s *postgres) dial(ctx context.Context, port int) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	return pgx.Connect(ctx, fmt.Sprintf(
		"host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", port))
}

// pgSettings are what a server must say of itself.
var pgSettings = map[string][]string{
	"fsync":              {"on"},
	"synchronous_commit": {"on"},
	"full_page_writes":   {"on"},
	"wal_sync_method":    {"fdatasync", "fsync"},
}

func (s *postgres) Check(ctx context.Context) (map[string]string, error) {
	if err := s.servers.ended(); err != nil {
		return nil, err
	}
	for i, port := range s.ports {
		conn, err := s.dial(ctx, port)
		if err != nil {
			return nil, fmt.Errorf("postgres-%d: %w", i+1, err)
		}
		err = checkSettings(ctx, conn)
		conn.Close(ctx)
		if err != nil {
			return nil, fmt.Errorf("postgres-%d: %w", i+1, err)
		}
	}
	var names, version string
	var quorum int
	err := s.control.QueryRow(ctx, `SELECT current_setting('synchronous_standby_names'),
		current_setting('server_version'), (SELECT count(*) FROM pg_stat_replication
		WHERE state = 'streaming' AND sync_state = 'quorum')`).Scan(&names, &version, &quorum)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if quorum != 2 || names != pgQuorum {
		return nil, fmt.Errorf("postgres: %d standbys stream for the quorum %q, want 2 for %q",
			quorum, names, pgQuorum)
	}
	return map[string]string{"version": version, "quorum": names + ", both streaming",
		"sync": "fsync, synchronous_commit and full_page_writes on, on 3 servers"}, nil
}

func checkSettings(ctx context.Context, conn *pgx.Conn) error {
	for name, allowed := range pgSettings {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return err
		}
		ok := false
		for _, a := range allowed {
			ok = ok || value == a
		}
		if !ok {
			return fmt.Errorf("%s is %s, want %v", name, value, allowed)
		}
	}
	return nil
}

func (s *postgres) Steps(concurrency []int) []Step {
	return append(singleSteps(concurrency), batched(pgRows, 16, 128, 1),
		batched(pgRows, 8, 1000, 1), batched(pgCopy, 4, 1000, 1), batched(pgCopy, 16, 1000, 1))
}

func (s *postgres) Drive(ctx context.Context, step Step, load Load) (*measure.Tally, error) {
	if err := s.connect(ctx, step.Workers); err != nil {
		return nil, fmt.Errorf("postgres: connect: %w", err)
	}
	begin := s.insert
	switch {
	case step.Mode == Keyed:
		begin = s.insertKeyed(load.Seed)
	case strings.HasPrefix(step.Name, pgCopy):
		begin = s.copy
	case step.Mode == Batched:
		begin = s.insertRows
	}
	return step.loop(load, s.env.Codes).Run(ctx, begin)
}

// connect makes or closes connections, so that there is one for each worker and no more.
func (s *postgres) connect(ctx context.Context, workers int) error {
	for len(s.conns) > workers {
		last := len(s.conns) - 1
		s.conns[last].Close(ctx)
		s.conns = s.conns[:last]
	}
	var mu sync.Mutex
	var dialling sync.WaitGroup
	var failed error
	limit := make(chan struct{}, 16) // each costs the server a process
	for range workers - len(s.conns) {
		limit <- struct{}{}
		dialling.Go(func() {
			defer func() { <-limit }()
			conn, err := s.dial(ctx, s.ports[0])
			mu.Lock()
			defer mu.Unlock()
			if failed = errors.Join(failed, err); err == nil {
				s.conns = append(s.conns, conn)
			}
		})
	}
	dialling.Wait()
	return failed
}

func (s *postgres) exec(ctx context.Context, worker int, rows int64, sql string,
	args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	tag, err := s.conns[worker].Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("postgres: insert: %w", err)
	}
	if tag.RowsAffected() != rows {
		return fmt.Errorf("postgres: insert: %d of %d rows", tag.RowsAffected(), rows)
	}
	return nil
}

func (s *postgres) insert(ctx context.Context, worker int,
	bodies [][]byte) (func() error, error) {
	return nil, s.exec(ctx, worker, 1, "INSERT INTO messages (body) VALUES ($1)", bodies[0])
}

func (s *postgres) insertKeyed(seed uint64) measure.Begin {
	next := keys(seed)
	return func(ctx context.Context, worker int, bodies [][]byte) (func() error, error) {
		return nil, s.exec(ctx, worker, 1, "INSERT INTO keyed (key, body) VALUES ($1, $2) "+
			"ON CONFLICT DO NOTHING", next(), bodies[0])
	}
}

// insertRows inserts a batch by one statement.
func (s *postgres) insertRows(ctx context.Context, worker int,
	bodies [][]byte) (func() error, error) {
	return nil, s.exec(ctx, worker, int64(len(bodies)),
		"INSERT INTO messages (body) SELECT unnest($1::bytea[])", bodies)
}

func (s *postgres) copy(ctx context.Context, worker int, bodies [][]byte) (func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	n, err := s.conns[worker].CopyFrom(ctx, pgx.Identifier{"messages"}, []string{"body"},
		pgx.CopyFromSlice(len(bodies), func(i int) ([]any, error) {
			return []any{bodies[i]}, nil
		}))
	if err != nil {
		return nil, fmt.Errorf("postgres: copy: %w", err)
	}
	if n != int64(len(bodies)) {
		return nil, fmt.Errorf("postgres: copy: %d of %d rows", n, len(bodies))
	}
	return nil, nil
}

// Stored counts on each server; a standby shows what it has replayed.
func (s *postgres) Stored(ctx context.Context) (stored int64, err error) {
	err = await(ctx, "postgres: servers differ", func(ctx context.Context) (bool, error) {
		counts := make(map[int64]bool)
		for _, port := range s.ports {
			conn, err := s.dial(ctx, port)
			if err != nil {
				return false, err
			}
			err = conn.QueryRow(ctx, "SELECT (SELECT count(*) FROM messages) + "+
				"(SELECT count(*) FROM keyed)").Scan(&stored)
			conn.Close(ctx)
			if err != nil {
				return false, err
			}
			counts[stored] = true
		}
		return len(counts) == 1, nil
	})
	return stored, err
}
