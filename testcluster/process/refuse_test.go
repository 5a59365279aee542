package process_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// refusalWait is how long a command has to find out that it cannot work.
const refusalWait = 20 * time.Second

// refuses runs a command that must end by itself, not zero, with one line on standard error that
// has want in it and is no stack trace. Log lines, which are JSON, may stand before it.
func refuses(t *testing.T, want string, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(staffetta, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(refusalWait, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("does not end: %q\n%s", args, &errs)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("got %v, want a refusal\n%s%s", err, &out, &errs)
	}
	told := errs.String()
	told = told[:min(len(told), 2000)]
	var lines []string
	for line := range strings.Lines(errs.String()) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "staffetta: ") ||
		!strings.Contains(lines[0], want) || len(lines[0]) > 600 {
		t.Errorf("got %d lines, want one with %q\n%s", len(lines), want, told)
	}
	for _, sign := range []string{"goroutine ", "panic:", ".go:", "Usage:"} {
		if strings.Contains(errs.String()+out.String(), sign) {
			t.Errorf("a refusal shows %q\n%s", sign, told)
		}
	}
}
