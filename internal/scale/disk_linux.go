package scale

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// forgetPages takes the files below dir out of the system's memory, so that the next read of
// them goes to the disk. It needs no privilege and touches nobody else's pages.
func forgetPages(dir string) (forgotten bool, err error) {
	err = eachFile(dir, func(path string, _ fs.FileInfo) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = f.Sync() // pages that wait to be written stay
		if err == nil {
			err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		}
		return errors.Join(err, f.Close())
	})
	return err == nil, err
}
