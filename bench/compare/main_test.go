package main

import (
	"context"
	"os"
	"testing"

	"github.com/staffetta/staffetta/bench/system"
)

// The test binary serves peers as the command does: systems start the program that runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == system.ServeCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestServeNeedsAServer(t *testing.T) {
	err := run(context.Background(), []string{system.ServeCommand, "nosuch", "file"}, nil, nil)
	if err == nil {
		t.Error("a server that is not there is served")
	}
}
