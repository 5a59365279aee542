package operation

import "runtime/debug"

// BuildVersion is the program's own version, as an operation that tells it shows it.
func BuildVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "unknown"
}
