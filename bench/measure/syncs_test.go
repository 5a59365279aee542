package measure

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestParseCounts(t *testing.T) {
	table := "% time     seconds  usecs/call     calls    errors syscall\n" +
		"------ ----------- ----------- --------- --------- ----------------\n" +
		" 99.00    0.004000          20       200           fdatasync\n" +
		"  1.00    0.000100          33         3         1 fsync\n" +
		"------ ----------- ----------- --------- --------- ----------------\n" +
		"100.00    0.004100          20       203         1 total\n"
	if n, err := parseCounts([]byte(table)); err != nil || n != 203 {
		t.Errorf("got %d, %v, want 203", n, err)
	}
	if n, err := parseCounts(nil); err != nil || n != 0 {
		t.Errorf("nothing traced: got %d, %v", n, err)
	}
	if _, err := parseCounts([]byte("1 2 3 many fsync\n")); err == nil {
		t.Error("a count that is no number passes")
	}
}

func TestCountSyncs(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, syncsOnDemand, filepath.Join(t.TempDir(), "f"))
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
	defer cmd.Wait()
	defer in.Close()
	acks := bufio.NewReader(out)
	sync := func(n int) error {
		for range n {
			if _, err := in.Write([]byte{'x'}); err != nil {
				return err
			}
			if _, err := acks.ReadByte(); err != nil {
				return err
			}
		}
		return nil
	}
	for _, want := range []int{7, 0} {
		counts, err := CountSyncs(t.Context(), []int{cmd.Process.Pid},
			func() error { return sync(want) })
		if errors.Is(err, ErrNoTracer) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(counts) != 1 || counts[0] != int64(want) {
			t.Errorf("counted %v, want %d", counts, want)
		}
	}
	if err := sync(1); err != nil {
		t.Errorf("the process does not run on: %v", err)
	}
	broken := errors.New("broken")
	if _, err := CountSyncs(t.Context(), []int{cmd.Process.Pid},
		func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want what went wrong meanwhile", err)
	}
}
