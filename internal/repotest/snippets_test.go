package repotest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
)

// patience bounds every wait for a process; nothing is judged by how long it takes.
const patience = time.Minute

// shell runs documented commands in a directory of its own, where ./staffetta is the binary.
type shell struct {
	t       *testing.T
	dir     string
	env     []string
	replace *strings.Replacer // of documented addresses by free ones
}

func newShell(t *testing.T, replace ...string) *shell {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	s := &shell{t: t, dir: t.TempDir(), replace: strings.NewReplacer(replace...)}
	s.env = append(os.Environ(), "TMPDIR="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	if err := os.Symlink(program(t, "staffetta"), filepath.Join(s.dir, "staffetta")); err != nil {
		t.Fatal(err)
	}
	return s
}

// needs skips the test where a program of the documented commands is not installed.
func (s *shell) needs(programs ...string) {
	s.t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			s.t.Skipf("%s is not installed", p)
		}
	}
}

func (s *shell) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", s.replace.Replace(script))
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// run runs a block to its end and returns what it printed.
func (s *shell) run(script string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	out, err := s.command(ctx, script).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s\n%v:\n%s", script, err, out)
	}
	return string(out)
}

// process is a documented command that runs until it is told to stop.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out strings.Builder // guarded by mu
}

// start starts a block of one command.
func (s *shell) start(script string) *process {
	s.t.Helper()
	p := &process{t: s.t, cmd: s.command(context.WithoutCancel(s.t.Context()), "exec "+script), done: make(chan struct{})}
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			p.mu.Lock()
			p.out.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
	}()
	s.t.Cleanup(p.stop)
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// stop ends the process as Ctrl-C does; it must end well. Called twice it does nothing.
func (p *process) stop() {
	p.t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	p.cmd.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.done
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%v ended with %v:\n%s", p.cmd.Args, err, p.output())
	}
}

// await waits until ok, which says what it waits for when it is not.
func (p *process) await(ok func() (bool, string)) {
	p.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		done, waitsFor := ok()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			p.t.Fatalf("ended before %s:\n%s", waitsFor, p.output())
		case <-deadline:
			p.t.Fatalf("no %s:\n%s", waitsFor, p.output())
		}
	}
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// shellBlocks are the sh blocks of a text.
func shellBlocks(document, text string) (all []block) {
	for _, b := range blocks(document, text) {
		if b.language == "sh" {
			all = append(all, b)
		}
	}
	return all
}

func TestReadme(t *testing.T) {
	s := newShell(t, "127.0.0.1:8080", "127.0.0.1:"+freePort(t))
	readme := readFile(t, "README.md")
	all := shellBlocks("README.md", readme)
	if len(all) != 3 {
		t.Fatalf("README.md has %d blocks of commands, want 3", len(all))
	}
	// testcluster/process runs the two commands as they stand there, on a clone.
	run, _, _ := strings.Cut(all[0].text, "\n")
	arguments, ok := strings.CutPrefix(run, "go run ./cmd/staffetta ")
	if !ok {
		t.Fatalf("the first command is %q", run)
	}
	send, ok := strings.CutPrefix(all[1].text, "go build ./cmd/staffetta\n") // s has it built
	if !ok {
		t.Fatalf("the second block builds nothing:\n%s", all[1].text)
	}
	local := s.start("./staffetta " + arguments + " --http 127.0.0.1:8080")
	local.await(func() (bool, string) {
		return strings.Contains(local.output(), "\nCtrl-C ends"), "end of the demonstration"
	})
	checkDemonstration(t, readme, local.output())
	dir := regexp.MustCompile(`described in (\S+)/local.json`).FindStringSubmatch(local.output())
	if dir == nil {
		t.Fatalf("the output does not name local.json:\n%s", local.output())
	}
	file, err := localfile.Read(filepath.Join(dir[1], localfile.Name))
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "STAFFETTA_KEY="+file.Services[0].PrimaryKey)

	for run, want := range []string{"2  lines, 2 in", "2  lines, 2 of them by earlier runs"} {
		got := s.run(send)
		for _, w := range []string{"1  PROCESSED", "1  REJECTED USER_NOT_FOUND", want} {
			if !strings.Contains(got, w) {
				t.Errorf("run %d of send does not say %q:\n%s", run+1, w, got)
			}
		}
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("curl is not installed: its block is not run")
	} else if got := s.run(all[2].text); !strings.Contains(got, `"status":"PROCESSED"`) ||
		!strings.Contains(got, `"message_title":"Una prova da curl"`) {
		t.Errorf("the message is not in the inbox:\n%s", got)
	} else {
		checkBulk(t, s)
	}
	s.run(program(t, "staffetta-lab") + " bench --dir " + dir[1] + " --count 200 --warm-up 0s")
	documented := documentedMetrics(t)
	for _, admin := range []string{file.Nodes[0].Admin, file.Gateways[0].Admin} {
		_, text := get(t, admin+"/metrics")
		checkExposition(t, text, documented)
	}
	local.stop()
}

// checkBulk runs the bulk request of docs/institutions.md and holds its answer against the one
// shown there, but for ids.
func checkBulk(t *testing.T, s *shell) {
	t.Helper()
	all := blocks("docs/institutions.md", section(t, readFile(t, "docs/institutions.md"),
		"## Millions of messages"))
	if len(all) < 2 || all[0].language != "sh" || all[1].language != "text" {
		t.Fatal("docs/institutions.md has no request and answer")
	}
	ids := regexp.MustCompile(`"id":"[0-9A-Z]{26}"`)
	got := ids.ReplaceAllString(s.run(all[0].text), "")
	want := regexp.QuoteMeta(ids.ReplaceAllString(all[1].text, ""))
	if !regexp.MustCompile("^" + strings.ReplaceAll(want, "…", ".*") + "$").MatchString(got) {
		t.Errorf("the answer is\n%s\nwant\n%s", got, want)
	}
}

// checkDemonstration holds what `local` prints against what README.md shows.
func checkDemonstration(t *testing.T, readme, got string) {
	t.Helper()
	var shown string
	for _, b := range blocks("README.md", readme) {
		if b.language == "text" && shown == "" {
			shown = b.text
		}
	}
	ready := regexp.MustCompile(
		`(?m)^Ready after \d+\.\d s: 9 nodes, 1 gateway, described in \S+/local\.json$`)
	if !ready.MatchString(shown) || !ready.MatchString(got) {
		t.Errorf("local says that it is ready in other words than README.md:\n%s", got)
	}
	_, want, _ := strings.Cut(shown, "\n\n")
	if !strings.HasPrefix(want, "FISCAL CODE") {
		t.Fatalf("README.md shows no table of verdicts:\n%s", shown)
	}
	if !strings.Contains(got, "\n"+want+"\n") {
		t.Errorf("local prints\n%s\nREADME.md shows\n%s", got, want)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}
