package cli

import (
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

// LogFlags are the flags of every long-running command.
type LogFlags struct{ level string }

// Register registers them.
func (f *LogFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
}

// Logger writes JSON lines to the command's standard error, errs.
func (f *LogFlags) Logger(errs io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not debug, info, warn or error", f.level)
	}
	return slog.New(slog.NewJSONHandler(errs, &slog.HandlerOptions{Level: level})), nil
}

// KeyEnv is where the key of a service may be given without showing it to other users of the
// machine, as a command line does.
const KeyEnv = "STAFFETTA_KEY"

// KeyFlags say what the service's key is.
type KeyFlags struct{ key, file string }

// Register registers them.
func (f *KeyFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.key, "key", "", "key of the service; other users of the machine "+
		"can see it here,\nso prefer --key-file or the variable "+KeyEnv)
	cmd.Flags().StringVar(&f.file, "key-file", "", "file with the key of the service")
	cmd.MarkFlagsMutuallyExclusive("key", "key-file")
	ShareFlag(cmd, "key", "")
	ShareFlag(cmd, "key-file", "")
	HideValue(cmd, "key")
}

// Read returns the key; empty when none is given.
func (f *KeyFlags) Read() (string, error) {
	switch {
	case f.key != "":
		return f.key, nil
	case f.file == "":
		return "", nil
	}
	b, err := readSmall(f.file)
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" {
		return "", fmt.Errorf("--key-file: %s is empty", f.file)
	}
	return key, nil
}

// ReadDirectoryKey reads the file of the flag --directory-key, which holds 64 hexadecimal digits.
// Its errors do not show the file's text.
func ReadDirectoryKey(path string) (wire.DirectoryKey, error) {
	b, err := readSmall(path)
	if err != nil {
		return wire.DirectoryKey{}, fmt.Errorf("--directory-key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != len(wire.DirectoryKey{}) {
		return wire.DirectoryKey{}, fmt.Errorf("--directory-key: %s does not hold 64 "+
			"hexadecimal digits", path)
	}
	return wire.DirectoryKey(key), nil
}

// smallBytesMax bounds a file that holds one key.
const smallBytesMax = 4096

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, smallBytesMax))
}
