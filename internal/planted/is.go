//go:build !planted

package planted

// Is reports whether a bug is at work: never, since this build has none.
func Is(Bug) bool { return false }
