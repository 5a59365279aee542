package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	// laggingMin and laggingMax bound how long one node of the region misses what the others
	// acknowledge, before these die and one of them comes back harmed.
	laggingMin, laggingMax = 2 * time.Second, 5 * time.Second
	// startedWait bounds how long a process that may start takes to do so.
	startedWait = 5 * time.Second
	// harmedTail is how far before the end of a log harm may begin: acknowledged entries, as a
	// rule, of the time in which one node was away.
	harmedTail = 64 << 10
	// pageBytes is what a disk loses at once.
	pageBytes = 4096
)

// harm is what happens to a dead node's data directory.
type harm struct {
	name, about string
	// early says that do is given a copy of the directory from before.
	early bool
	// final says that the node must end, or be held back by its peers: nobody may follow it.
	final bool
	do    func(dir, early string, random *rand.Rand) error
}

var harms = []harm{
	{name: "emptied", about: "on an empty disk under its old name", final: true,
		do: func(dir, _ string, _ *rand.Rand) error { return emptyDir(dir) }},
	{name: "old-copy", about: "on an earlier copy of its disk", early: true, final: true,
		do: func(dir, early string, _ *rand.Rand) error { return replaceDir(dir, early) }},
	{name: "cut", about: "with the end of its log cut off", do: harmTail(func(f *os.File, at,
		_ int64, _ *rand.Rand) error {
		return f.Truncate(at)
	})},
	{name: "zeroed-page", about: "with a page of its log zeroed", do: harmTail(func(f *os.File, at,
		_ int64, _ *rand.Rand) error {
		_, err := f.WriteAt(make([]byte, pageBytes), at&^(pageBytes-1))
		return err
	})},
	{name: "flipped-bit", about: "with a bit of its log flipped", do: harmTail(func(f *os.File, at,
		_ int64, random *rand.Rand) error {
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, at); err != nil {
			return err
		}
		b[0] ^= 1 << random.IntN(8)
		_, err := f.WriteAt(b, at)
		return err
	})},
}

func forgetFaults() (list []fault) {
	for _, h := range harms {
		list = append(list, fault{name: "forget-" + h.name,
			about: "a node comes back " + h.about + ", while one that knows better is dead",
			needs: func(t *trial) string {
				if t.cfg.Nodes < 3 {
					return "three nodes in a region"
				}
				return ""
			},
			strike: func(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
				return t.forget(ctx, h, random)
			}})
	}
	return list
}

// forget makes the one case in which a harmed minority can lose what was acknowledged: a node is
// dead while the two others acknowledge; these die, one is harmed, and comes back with the first.
// Taken for a healthy one it is a majority with it.
func (t *trial) forget(ctx context.Context, h harm, random *rand.Rand) (*strike, error) {
	if err := t.awaitWell(ctx); err != nil {
		return nil, err
	}
	nodes := t.founders(choose(random, t.cfg.Regions))
	if len(nodes) < 3 {
		return nil, errors.New("too many nodes of the region were replaced")
	}
	random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	lagging, victim, others := nodes[0], nodes[1], nodes[1:]
	dir, saved, early := t.dirOf(victim), t.cfg.path("aside", "saved"), t.cfg.path("aside", "early")
	if h.early {
		if err := t.copyDead(ctx, victim, dir, early); err != nil {
			return nil, err
		}
	}
	first, err := t.kill("", lagging)
	if err != nil {
		return nil, err
	}
	sleep(ctx, between(random, laggingMin, laggingMax))
	rest, err := t.kill("", others...)
	if err != nil {
		return nil, errors.Join(err, first.heal(ctx))
	}
	s := &strike{what: fmt.Sprintf("%s comes back %s, beside %s, which lagged behind", victim, h.about,
		lagging), silences: []string{t.homeOf(victim)}, ends: []string{victim}}
	group := "region/" + t.homeOf(victim)
	before := t.watch.leadership(group)
	s.heal = func(ctx context.Context) error {
		if now := t.watch.leadership(group); h.final && now.term > before.term {
			t.findings.add("%s and %s, of which one came back %s, made %s leader", victim, lagging,
				h.about, now.id)
		}
		return errors.Join(t.unharm(h, victim, dir, saved), rest.heal(ctx))
	}
	t.watch.allow(s.ends)
	if err = t.awaitDead(others...); err == nil {
		err = copyDir(dir, saved)
	}
	if err == nil {
		err = h.do(dir, early, random)
	}
	if err != nil {
		return nil, errors.Join(err, replaceDir(dir, saved), first.heal(ctx), rest.heal(ctx))
	}
	if err := errors.Join(t.startOnce(victim), first.heal(ctx)); err != nil {
		return nil, errors.Join(err, s.heal(ctx))
	}
	return s, nil
}

// founders are a region's nodes whose certificates do not lie in their data directories.
func (t *trial) founders(region string) (ids []string) {
	for i := range t.cfg.Nodes {
		id := fmt.Sprintf("%s-%d", region, i+1)
		if !t.retired[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

func (t *trial) dirOf(id string) string {
	for _, n := range t.file.Nodes {
		if n.ID == id {
			return n.Dir
		}
	}
	return ""
}

// copyDead copies a node's directory while it does not run, and has it run again.
func (t *trial) copyDead(ctx context.Context, id, dir, to string) error {
	starts := t.watch.starts(id)
	s, err := t.kill("", id)
	if err != nil {
		return err
	}
	if err = t.awaitDead(id); err == nil {
		err = copyDir(dir, to)
	}
	if err := errors.Join(err, s.heal(ctx)); err != nil {
		return err
	}
	if err := t.watch.await(ctx, id, starts); err != nil {
		return err
	}
	return t.awaitWell(ctx)
}

// awaitDead waits until killed processes are gone.
func (t *trial) awaitDead(ids ...string) error {
	for end := time.Now().Add(startedWait); ; time.Sleep(10 * time.Millisecond) {
		alive := slices.ContainsFunc(ids, func(id string) bool { return t.runs(id) })
		if !alive {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%v do not end", ids)
		}
	}
}

func (t *trial) runs(id string) bool { return t.fed.Signal(id, 0) == nil }

// startOnce lets a held process start, and holds it again for when it ends.
func (t *trial) startOnce(id string) error {
	if err := t.fed.Release(id); err != nil {
		return err
	}
	for end := time.Now().Add(startedWait); !t.runs(id); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s does not start", id)
		}
	}
	return t.fed.Hold(id)
}

// unharm gives a node that ended, or was held back, its directory back. One that goes on all the
// same keeps what it has: the harm was none, or the judges will tell.
func (t *trial) unharm(h harm, id, dir, saved string) error {
	if t.runs(id) && !h.final {
		t.time.tell("%s goes on %s", id, h.about)
		return nil
	}
	if t.runs(id) {
		t.time.tell("%s was held back", id)
		t.watch.excuse(id)
		if err := errors.Join(t.fed.Signal(id, syscall.SIGKILL), t.awaitDead(id)); err != nil {
			return err
		}
	} else {
		t.time.tell("%s ended: %s", id, t.watch.lastWords(id))
	}
	return replaceDir(dir, saved)
}

// harmTail harms the last segment of the region's log, somewhere before its end.
func harmTail(do func(f *os.File, at, end int64, random *rand.Rand) error) func(string, string,
	*rand.Rand) error {
	return func(dir, _ string, random *rand.Rand) error {
		files, err := filepath.Glob(filepath.Join(dir, "region", "log", "*.wal"))
		if err != nil || len(files) == 0 {
			return errors.Join(err, fmt.Errorf("%s has no log", dir))
		}
		f, err := os.OpenFile(slices.Max(files), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		end, err := endOf(f)
		if err != nil {
			return err
		}
		at := end - 1 - random.Int64N(min(harmedTail, end/2)+1)
		return errors.Join(do(f, max(at, 0), end, random), f.Sync())
	}
}

// endOf is where the bytes of a file end that are not zero: a segment is reserved whole.
func endOf(f *os.File) (int64, error) {
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return 0, err
	}
	for n := len(b); n > 0; n-- {
		if b[n-1] != 0 {
			return int64(n), nil
		}
	}
	return 0, fmt.Errorf("%s is empty", f.Name())
}

// copyDir copies what is in a directory, sparse files as such.
func copyDir(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	out, err := exec.Command("cp", "-a", "--sparse=always", from+"/.", to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// emptyDir removes what is in a directory, which may be a disk's.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	var errs []error
	for _, e := range entries {
		if e.Name() != "lost+found" {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(append(errs, err)...)
}

// replaceDir makes a directory hold what another one does.
func replaceDir(dir, by string) error {
	if err := emptyDir(dir); err != nil {
		return err
	}
	out, err := exec.Command("cp", "-a", "--sparse=always", by+"/.", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("put %s back: %w: %s", dir, err, out)
	}
	syscall.Sync()
	return nil
}
