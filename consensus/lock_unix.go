//go:build unix

package consensus

import (
	"os"
	"syscall"
)

// lockDir takes an exclusive lock that ends with the process. Without it a second process would
// wait silently for the lock of the files inside.
func lockDir(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f.Close, nil
}
