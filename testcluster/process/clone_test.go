package process_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clonePatience bounds what compiles the whole of it, on a machine that may be busy.
const clonePatience = 10 * time.Minute

// TestFreshClone runs the first of the two commands that README.md begins with, as it stands there,
// on a clone of what is committed, until a message is delivered. The second is what runs this test;
// .ci/run takes it from README.md.
func TestFreshClone(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles everything")
	}
	t.Parallel()
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skip("no repository: ", err)
	}
	clone := filepath.Join(t.TempDir(), "staffetta")
	git := exec.Command("git", "clone", "-q", strings.TrimSpace(string(root)), clone)
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	readme, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md shows no commands")
	}
	lines := strings.Split(strings.TrimSpace(string(block[1])), "\n")
	if len(lines) != 2 || lines[0] != "go run ./cmd/staffetta local" || lines[1] != "go test ./..." {
		t.Fatalf("README.md begins with the commands %q", lines)
	}
	env := append(os.Environ(), "TMPDIR="+t.TempDir(), "STAFFETTA_LOCAL_HTTP="+freeHTTP(t))
	runLocalLine(t, lines[0], clone, env)
}

// runLocalLine runs the line until the demonstration is over, and ends it as Ctrl-C does.
func runLocalLine(t *testing.T, line, dir string, env []string) {
	t.Helper()
	var out output
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal has it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	group := -cmd.Process.Pid
	over := false
	defer func() {
		if !over {
			syscall.Kill(group, syscall.SIGKILL)
			<-ended
		}
	}()
	shown := within(clonePatience, func() bool {
		select {
		case err := <-ended:
			over = true
			t.Fatalf("%s ended: %v\n%s", line, err, out.String())
		default:
		}
		return strings.Contains(out.String(), "Ctrl-C ends the federation")
	})
	if !shown || !strings.Contains(out.String(), `"Carta d'identità pronta" from Comune di Prova`) {
		t.Fatalf("%s delivers no message:\n%s", line, out.String())
	}
	syscall.Kill(group, syscall.SIGINT)
	select {
	case <-ended: // go run itself ends with exit code 1 after a Ctrl-C, whatever it ran
		if over = true; strings.Contains(out.String(), "\nstaffetta: ") {
			t.Errorf("%s ended after Ctrl-C with an error\n%s", line, out.String())
		}
	case <-time.After(patience):
		t.Errorf("%s does not end after Ctrl-C", line)
	}
}
