package measure

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shell starts a script in a process group of its own and returns once it printed a line. What
// it started ends with the test.
func shell(t *testing.T, script string) (pid int) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestTree(t *testing.T) {
	pid := shell(t, "(sleep 600; true) & echo started; wait")
	tree, err := Tree(pid)
	if err != nil {
		t.Fatal(err)
	}
	// The shell in brackets, which may or may not have started its sleep yet.
	if len(tree) < 2 || len(tree) > 3 || tree[0] != pid {
		t.Errorf("the tree of %d is %v", pid, tree)
	}
}

// What a child computed that has ended is its parent's, which did next to nothing.
func TestTimeOfChildrenThatEnded(t *testing.T) {
	pid := shell(t, "sh -c 'i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done'; echo done; cat; true")
	u, err := ReadUsage([]int{pid})
	if err != nil {
		t.Fatal(err)
	}
	if u.CPU < 50*time.Millisecond {
		t.Errorf("half a million steps took %v", u.CPU)
	}
}

// What a child wrote that has ended is its parent's.
func TestUsageOfChildrenThatEnded(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		t.Skip("temporary files are not on a disk")
	}
	const size = 1 << 20
	pid := shell(t, "dd if=/dev/zero of="+filepath.Join(dir, "f")+
		" bs=65536 count=16 conv=fsync 2>/dev/null; echo done; cat; true")
	u, err := ReadUsage([]int{pid})
	if err != nil {
		t.Fatal(err)
	}
	if u.Written < size {
		t.Errorf("%d bytes written, want at least %d", u.Written, size)
	}
	if none := u.Sub(u); none != (Usage{}) {
		t.Errorf("nothing is %+v", none)
	}
	if _, err := ReadUsage([]int{1 << 30}); err == nil {
		t.Error("a process that is not there has a usage")
	}
}

func TestSettles(t *testing.T) {
	pid := shell(t, "echo started; cat")
	quiet, err := Settle(t.Context(), []int{pid}, time.Nanosecond, time.Minute)
	if err != nil || !quiet {
		t.Errorf("an idle process: %v, %v", quiet, err)
	}
	quiet, err = Settle(t.Context(), []int{pid}, time.Hour, time.Nanosecond)
	if err != nil || quiet {
		t.Errorf("beyond the bound: %v, %v", quiet, err)
	}
}

func TestDeviceWritten(t *testing.T) {
	if n, ok := DeviceWritten("/proc"); ok {
		t.Errorf("/proc is on a disk, to which %d bytes were written", n)
	}
}
