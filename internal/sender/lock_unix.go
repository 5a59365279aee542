//go:build unix

package sender

import (
	"errors"
	"os"
	"syscall"
)

// lock refuses a file that another run holds; it lasts until the file is closed.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("another run is using " + f.Name())
	}
	return err
}
