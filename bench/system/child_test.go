package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChild(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	sh := func(script string) command {
		return command{name: "shell", log: log, args: []string{"sh", "-c", script}}
	}
	if err := sh("exit 0").run(); err != nil {
		t.Errorf("a program that ends well: %v", err)
	}
	err := sh("echo it broke; exit 3").run()
	if err == nil || !strings.Contains(err.Error(), "it broke") ||
		!strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want its last words", err)
	}

	p, err := sh("exec sleep 600").start()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ended(); err != nil {
		t.Errorf("it runs: %v", err)
	}
	if err := p.stop(os.Interrupt); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := p.stop(os.Interrupt); err == nil {
		t.Error("that it had ended before is not told")
	}

	p, err = sh("exit 1").start()
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	if err := (children{p}).ended(); err == nil {
		t.Error("that it ended is not told")
	}
	if _, err := (command{name: "none", log: log, args: []string{"/nonexistent"}}).start(); err == nil {
		t.Error("a program that is not there starts")
	}
}
