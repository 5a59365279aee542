package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// pgQuorum: with the primary, two of three.
const pgQuorum = "ANY 1 (a, b)"

// pgConfig is appended to the configuration that initdb writes. Checkpoints are put off, and WAL
// kept, so that neither disturbs a run; what fsync and commits do stays as it is by default.
const pgConfig = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = %d
shared_buffers = '512MB'
max_wal_size = '32GB'
checkpoint_timeout = '30min'
synchronous_commit = on
synchronous_standby_names = '%s'
`

// newPostgres finds the programs of PostgreSQL.
func newPostgres(env Env) (System, error) {
	s := &postgres{env: env}
	if s.bin = findPostgres(); s.bin == "" {
		return nil, fmt.Errorf("postgres: no initdb on the path or in /usr/lib/postgresql: %w",
			ErrNotInstalled)
	}
	if os.Geteuid() != 0 {
		return s, nil
	}
	// It refuses to run as root.
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		s.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return s, nil
	}
	return nil, fmt.Errorf("postgres: no user to run it as: %w", ErrNotInstalled)
}

// findPostgres is the directory of the newest PostgreSQL's programs, "" when there is none.
func findPostgres() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[0])
}

func (s *postgres) Start(ctx context.Context, dir string) error {
	if s.user != nil {
		if err := os.Chown(dir, int(s.user.Uid), int(s.user.Gid)); err != nil {
			return err
		}
	}
	var err error
	if s.ports, err = freePorts(3); err != nil {
		return err
	}
	data := func(i int) string { return filepath.Join(dir, fmt.Sprintf("postgres-%d", i+1)) }
	if err := s.program(dir, "initdb", "-D", data(0), "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale", "C"); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(data(0), "postgresql.conf"),
		os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// While there are no standbys a commit waits for none: the quorum is set below.
	_, err = fmt.Fprintf(file, pgConfig, s.env.Workers+50, "")
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := s.serve(ctx, dir, 0, data(0)); err != nil {
		return err
	}
	if s.control, err = s.dial(ctx, s.ports[0]); err != nil {
		return err
	}
	for i, standby := range []string{"a", "b"} {
		source := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s",
			s.ports[0], standby)
		if err := s.program(dir, "pg_basebackup", "-D", data(i+1), "-R", "-X", "stream",
			"-c", "fast", "-C", "-S", standby, "-d", source); err != nil {
			return err
		}
		if err := s.serve(ctx, dir, i+1, data(i+1)); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		"ALTER SYSTEM SET synchronous_standby_names = '" + pgQuorum + "'",
		"SELECT pg_reload_conf()"} {
		if _, err := s.control.Exec(ctx, sql); err != nil {
			return fmt.Errorf("postgres: quorum: %w", err)
		}
	}
	if err := await(ctx, "postgres: no quorum", func(ctx context.Context) (bool, error) {
		_, err := s.Check(ctx)
		return err == nil, err
	}); err != nil {
		return err
	}
	_, err = s.control.Exec(ctx, pgTables)
	return err
}

// program runs one of PostgreSQL's programs to its end.
func (s *postgres) program(dir, name string, args ...string) error {
	return command{name: name, log: filepath.Join(dir, name+".log"), dir: dir, user: s.user,
		args: append([]string{filepath.Join(s.bin, name)}, args...)}.run()
}

// serve starts a server and waits until it takes connections.
func (s *postgres) serve(ctx context.Context, dir string, i int, data string) error {
	name := filepath.Base(data)
	p, err := command{name: name, log: filepath.Join(dir, name+".log"), dir: dir, user: s.user,
		args: []string{filepath.Join(s.bin, "postgres"), "-D", data,
			"-p", strconv.Itoa(s.ports[i])}}.start()
	if err != nil {
		return err
	}
	s.servers = append(s.servers, p)
	return await(ctx, name+": not ready", func(ctx context.Context) (bool, error) {
		conn, err := s.dial(ctx, s.ports[i])
		if err != nil {
			return false, errors.Join(err, p.ended())
		}
		return true, conn.Close(ctx)
	})
}

// Stop stops the standbys first: the primary waits for them.
func (s *postgres) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerMax)
	defer cancel()
	for _, c := range append(s.conns, s.control) {
		if c != nil {
			c.Close(ctx)
		}
	}
	// An interrupt is a fast shutdown: sessions end, data stay whole.
	if len(s.servers) == 0 {
		return nil
	}
	return errors.Join(s.servers[1:].stop(os.Interrupt), s.servers[:1].stop(os.Interrupt))
}
