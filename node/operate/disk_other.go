//go:build !linux

package operate

import "os"

// allocate makes the file take up size bytes of the disk.
func allocate(f *os.File, size int64) error { return writeZeros(f, size) }
