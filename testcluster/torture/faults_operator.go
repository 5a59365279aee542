package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// replaceWait bounds the replacement of a node, kills and all: a copy of the states, ten
	// seconds in which it keeps up, and elections.
	replaceWait = 3 * time.Minute
	// interruptMax is how late in a command something is killed.
	interruptMax = 1500 * time.Millisecond
)

func operatorFaults() []fault {
	return []fault{
		{name: "kill-during-command",
			about: "SIGKILL a leader or the command itself during an operator's command, " +
				"which is repeated", strike: killDuringCommand},
		{name: "operator-commands", about: "an operator's command, which writes live through",
			strike: operatorCommand},
		{name: "replace-node", needs: func(t *trial) string {
			if t.cfg.Nodes < 3 {
				return "three nodes in a region"
			}
			return ""
		}, about: "a node, dead or alive, is replaced by one that joins; something dies meanwhile",
			strike: replaceNode},
		{name: "rotate-certificates", about: "every process gets a new certificate",
			strike: rotateCertificates},
		{name: "rotate-authority", about: "the federation's authority is replaced by another one",
			strike: rotateAuthority},
	}
}

// operatorCommand runs a task when nothing is wrong: it must succeed at once.
func operatorCommand(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	task := choose(random, tasks())
	steps, err := task.steps(t, random)
	if err == nil {
		err = t.awaitWell(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, args := range steps {
		if _, err := t.admin(ctx, args...); err != nil && ctx.Err() == nil {
			t.findings.add("an operator's command fails when nothing is wrong: %v", err)
			return nil, err
		}
	}
	return &strike{what: "an operator's task: " + task.name, brief: true}, nil
}

// killDuringCommand kills a leader or the command during a task. The commands are repeated until
// they succeed, which they must once the leader is back.
func killDuringCommand(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	task := choose(random, tasks())
	steps, err := task.steps(t, random)
	if err != nil {
		return nil, err
	}
	after := time.Duration(random.Int64N(int64(interruptMax)))
	if random.IntN(3) == 0 {
		t.interrupt(ctx, after, steps[0])
		return &strike{what: fmt.Sprintf("an operator's command killed after %s: %s",
			after.Round(time.Millisecond), task.name), heal: func(context.Context) error {
			return t.finish(ctx, steps)
		}}, nil
	}
	victim, group, err := t.leader(random)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- t.finish(ctx, steps) }()
	sleep(ctx, after)
	s, err := t.kill(fmt.Sprintf("%s killed, the leader of %s, %s into an operator's task: %s",
		victim, group, after.Round(time.Millisecond), task.name), victim)
	if err != nil {
		return nil, errors.Join(err, <-ended)
	}
	alive := s.heal
	s.heal = func(ctx context.Context) error { return errors.Join(alive(ctx), <-ended) }
	return s, nil
}

// wellWait bounds the wait for everything to be well before something that asks for it.
const wellWait = 30 * time.Second

func (t *trial) awaitWell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wellWait)
	defer cancel()
	return t.watch.allWell(ctx)
}

// finish runs the steps of a task, each again until it succeeds. That one never does is a finding.
func (t *trial) finish(ctx context.Context, steps [][]string) error {
	for _, args := range steps {
		err := t.insist(ctx, args...)
		if ctx.Err() != nil {
			return nil // interrupted
		}
		if err != nil {
			t.findings.add("an operator's command fails again and again: %v", err)
			return nil
		}
	}
	return nil
}

// interrupt starts a command and kills it, if it has not ended by then.
func (t *trial) interrupt(ctx context.Context, after time.Duration, args []string) {
	cmd := exec.Command(t.cfg.Binary, t.command(args)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.time.tell("a command cannot be started: %v", err)
		return
	}
	sleep(ctx, after)
	cmd.Process.Kill()
	cmd.Wait() // that it was killed is no news
}

// replaceNode replaces a node that is not its region's first: that one's address is what clients
// of the federation begin with. The old node is dead or alive; the new one or the command is
// killed on the way.
func replaceNode(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	ctx, cancel := context.WithTimeout(ctx, replaceWait)
	defer cancel()
	if err := t.awaitWell(ctx); err != nil {
		return nil, err
	}
	region := choose(random, t.cfg.Regions)
	old := choose(random, t.nodesOf(region)[1:])
	t.replaced++
	fresh, err := t.fed.NewNode(fmt.Sprintf("%s-%d", region, t.cfg.Nodes+t.replaced), region)
	if err != nil {
		return nil, err
	}
	how := "that runs"
	if random.IntN(2) == 0 {
		how = "that is dead"
		if _, err := t.kill("", old); err != nil {
			return nil, err
		}
	}
	if err := t.net.add(fresh); err != nil {
		return nil, err
	}
	token := t.cfg.path(fresh.ID + ".token")
	args := []string{"node", "replace", old, fresh.ID, "--addr", fresh.Public, "--out", token,
		"--wait", "35s"}
	t.time.tell("%s is to take the place of %s, %s", fresh.ID, old, how)
	ended := make(chan error, 1)
	go func() { ended <- t.insistFor(ctx, args...) }()
	if err := awaitFile(ctx, token); err != nil {
		return nil, errors.Join(err, <-ended)
	}
	file, err := t.fed.Add(fresh, token)
	if err != nil {
		return nil, err
	}
	t.ends = append(t.ends, fresh)
	t.file.Nodes = append(t.file.Nodes, file)
	t.watch.join(file)
	dies := "nothing dies"
	if random.IntN(3) > 0 {
		sleep(ctx, time.Duration(random.Int64N(int64(8*time.Second))))
		dies = fresh.ID + " dies"
		t.watch.excuse(fresh.ID)
		t.fed.Signal(fresh.ID, syscall.SIGKILL)
	}
	t.watch.excuse(old) // it ends by itself
	if err := <-ended; err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		t.findings.add("%s does not take the place of %s within %s: %v", fresh.ID, old,
			replaceWait, err)
	}
	return &strike{what: fmt.Sprintf("%s takes the place of %s %s; %s meanwhile", fresh.ID, old,
		how, dies), brief: true}, t.retire(old)
}

// insistFor repeats a command until it succeeds or ctx ends.
func (t *trial) insistFor(ctx context.Context, args ...string) error {
	for {
		_, err := t.admin(ctx, args...)
		if err == nil {
			return nil
		}
		if !sleep(ctx, commandPause) {
			return err
		}
	}
}

// awaitFile waits until a file has something in it.
func awaitFile(ctx context.Context, path string) error {
	for {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return nil
		}
		if !sleep(ctx, watchPeriod/4) {
			return fmt.Errorf("%s does not appear: %w", path, ctx.Err())
		}
	}
}

// retire forgets a node that was removed. Its disk is judged at the end all the same.
func (t *trial) retire(id string) error {
	err := t.fed.Retire(id)
	for i, e := range t.ends {
		if e.ID == id {
			t.ends = append(t.ends[:i:i], t.ends[i+1:]...)
			break
		}
	}
	t.watch.leave(id)
	t.retired[id] = true
	return err
}
