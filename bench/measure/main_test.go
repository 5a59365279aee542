package measure

import (
	"fmt"
	"os"
	"testing"
)

// syncsOnDemand makes the test binary a process that fsyncs a file for each byte it reads.
const syncsOnDemand = "syncs-on-demand"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == syncsOnDemand {
		if err := syncOnDemand(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func syncOnDemand(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	for {
		if _, err := os.Stdin.Read(b); err != nil {
			return nil // told to end
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if _, err := os.Stdout.Write(b); err != nil {
			return err
		}
	}
}
