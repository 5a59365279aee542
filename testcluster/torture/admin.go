package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/staffetta/staffetta/internal/operator"
)

const (
	// commandWait bounds one try of an operator's command, commandTries the tries while something
	// is wrong.
	commandWait  = 40 * time.Second
	commandTries = 12
	// commandPause separates the tries.
	commandPause = time.Second
)

// operate runs calls of an operator.
func (t *trial) operate(f func(*operator.Client) error) error {
	op, err := operator.New(t.operator)
	if err != nil {
		return err
	}
	defer op.Close()
	return f(op)
}

// admin runs an operator's command as an operator does, a process of its own, and answers what it
// prints.
func (t *trial) admin(ctx context.Context, args ...string) ([]byte, error) {
	return t.execute(ctx, t.command(args)...)
}

// execute runs the binary.
func (t *trial) execute(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.cfg.Binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, says bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &says
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("staffetta %s: %w: %s", strings.Join(args, " "), err,
			lastLine(says.Bytes()))
	}
	return out.Bytes(), nil
}

func (t *trial) command(args []string) []string {
	return append(append([]string{"admin"}, args...), "--dir", t.cfg.Dir)
}

func lastLine(b []byte) []byte {
	b = bytes.TrimSpace(b)
	return b[bytes.LastIndexByte(b, '\n')+1:]
}

// insist repeats a command until it succeeds: an operator's commands are made for that.
func (t *trial) insist(ctx context.Context, args ...string) (err error) {
	for range commandTries {
		if _, err = t.admin(ctx, args...); err == nil || ctx.Err() != nil {
			return err
		}
		t.time.tell("%v", err)
		if !sleep(ctx, commandPause) {
			return ctx.Err()
		}
	}
	return err
}

// task is something that operators do: commands one after the other, each of which may be repeated.
type task struct {
	name string
	// steps are the command lines.
	steps func(t *trial, random *rand.Rand) ([][]string, error)
}

func tasks() []task {
	region := func(t *trial, random *rand.Rand) string { return choose(random, t.cfg.Regions) }
	node := func(t *trial, random *rand.Rand) string { return choose(random, t.nodes()) }
	return []task{
		{"deal slots", func(t *trial, random *rand.Rand) ([][]string, error) {
			return [][]string{{"slots", "deal", "--to", region(t, random), "--count", "16", "--wait"},
				{"slots", "deal", "--even", "--wait"}}, nil
		}},
		{"rotate a region's key", func(t *trial, random *rand.Rand) ([][]string, error) {
			return [][]string{{"region-key", "rotate", "--region", region(t, random)}}, nil
		}},
		{"hand over", func(t *trial, random *rand.Rand) ([][]string, error) {
			return [][]string{{"node", "handover", node(t, random)}}, nil
		}},
		{"maintain a node", func(t *trial, random *rand.Rand) ([][]string, error) {
			id := node(t, random)
			return [][]string{{"node", "drain", id, "--reason", "torture", "--wait", "20s"},
				{"node", "maintenance", id, "--end"}}, nil
		}},
		{"replace an institution", putInstitution},
		{"back up", backUp},
		{"add an authority", addAuthority},
		{"look", func(*trial, *rand.Rand) ([][]string, error) {
			return [][]string{{"status"}, {"audit"}, {"slots", "show"}, {"ca", "list"}}, nil
		}},
	}
}

func putInstitution(t *trial, random *rand.Rand) ([][]string, error) {
	s := t.file.Services[0]
	b, err := json.Marshal(map[string]any{"organization_fiscal_code": s.OrganizationFiscalCode,
		"organization_name": fmt.Sprintf("Comune di Prova, %d volte", random.IntN(1000)),
		"scopes":            s.Scopes})
	path := t.cfg.path("institution.json")
	return [][]string{{"institution", "put", "--file", path}},
		errors.Join(err, os.WriteFile(path, b, 0o600))
}

// backUp copies all groups into a repository of the run's own.
func backUp(t *trial, _ *rand.Rand) ([][]string, error) {
	where := []string{"--target", t.cfg.path("copies"), "--key-file", t.cfg.path("copies.key")}
	if _, err := os.Stat(t.cfg.path("copies.key")); err != nil {
		_, err := t.execute(context.Background(), append([]string{"admin", "backup", "init"},
			where...)...)
		if err != nil {
			return nil, err
		}
	}
	return [][]string{append([]string{"backup", "--all"}, where...)}, nil
}
