package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

// versionReport is what `staffetta version` says of the program.
type versionReport struct {
	Version string `json:"version"`           // of the module; (devel) between versions
	Commit  string `json:"commit,omitempty"`  // that it was built from, when that is known
	Time    string `json:"time,omitempty"`    // of the commit
	Changed bool   `json:"changed,omitempty"` // the tree had changes that are in no commit
	Go      string `json:"go"`                // the compiler
	System  string `json:"system"`            // operating system and processor
	Logs    uint32 `json:"logs_version"`      // newest version of the logs that it reads and writes
	LogsMin uint32 `json:"logs_version_min"`  // oldest
}

func newVersionReport(info *debug.BuildInfo) *versionReport {
	r := &versionReport{Version: "unknown", Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Logs: wire.Version, LogsMin: wire.VersionMin}
	if info == nil {
		return r
	}
	if info.Main.Version != "" {
		r.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			r.Commit = s.Value
		case "vcs.time":
			r.Time = s.Value
		case "vcs.modified":
			r.Changed = s.Value == "true"
		}
	}
	return r
}

func (r *versionReport) write(out io.Writer) error {
	commit := "unknown: built without version control"
	if r.Commit != "" {
		commit = r.Commit + " of " + r.Time
		if r.Changed {
			commit += ", and changes"
		}
	}
	_, err := fmt.Fprintf(out, "staffetta %s\ncommit    %s\nbuilt by  %s for %s\n"+
		"logs      version %d, and back to version %d\n", r.Version, commit, r.Go, r.System, r.Logs,
		r.LogsMin)
	return err
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the program's version, its commit, and the logs that it reads",
		Long: `Show the program's version, the commit that it was built from and whether there were
changes beyond it, the compiler, and the versions of the logs: the newest that it reads and writes,
and the oldest. What a federation's groups are at shows staffetta admin upgrade status.`,
		Example: `  staffetta version --json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			r := newVersionReport(info)
			return PrintReport(cmd.OutOrStdout(), asJSON, r, r.write)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
