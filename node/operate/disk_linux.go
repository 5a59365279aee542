package operate

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes the file take up size bytes of the disk.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return writeZeros(f, size)
	}
	return err
}
