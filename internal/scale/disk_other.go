//go:build !linux

package scale

// forgetPages cannot be done here: what follows is measured with files in memory.
func forgetPages(string) (forgotten bool, err error) { return false, nil }
