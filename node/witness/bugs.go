//go:build !planted

package witness

// planted reports whether a planted bug lets every directory in, see internal/planted. This build
// has none.
func planted() bool { return false }
