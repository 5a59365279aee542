//go:build planted

package planted

import "os"

var atWork = Bug(os.Getenv(Variable))

// Is reports whether a bug is at work in this process.
func Is(b Bug) bool { return atWork == b }
