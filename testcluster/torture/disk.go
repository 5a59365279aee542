package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// diskBytes is the size of a node's own disk: the reserve below which it refuses submissions,
	// and room for a run.
	diskBytes = 1 << 30
	// unmountWait bounds how long a killed process may hold its disk.
	unmountWait = 10 * time.Second
	// ext4Shutdown ends all input and output of a file system at once (ext4's EXT4_IOC_SHUTDOWN);
	// noLogFlush leaves in the journal what is there, as a power cut does: what was not synced is
	// gone when the file system is mounted again.
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2
	// freezeDisk and thawDisk are FIFREEZE and FITHAW.
	freezeDisk, thawDisk = 0xc0045877, 0xc0045878
)

// disk is a file system of a node's own, in a file: it can run full, fail, and lose what was not
// synced.
type disk struct{ image, dir string }

// disksMissing says what is missing here to have disks; empty: nothing.
func disksMissing() string {
	if os.Geteuid() != 0 {
		return "root's rights, to mount disks"
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return "loop devices"
	}
	for _, program := range []string{"mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

// newDisk makes a disk and mounts it over dir, which it makes.
func newDisk(image, dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(image), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(diskBytes), f.Close()); err != nil {
		return nil, err
	}
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("make a file system: %w: %s", err, out)
	}
	d := &disk{image, dir}
	if err := d.mount(); err != nil {
		return nil, err
	}
	return d, os.Chmod(dir, 0o700)
}

func (d *disk) mount() error {
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount %s: %w: %s", d.image, err, out)
	}
	return nil
}

// unmount waits until nobody holds the disk. One that is not mounted is unmounted.
func (d *disk) unmount() error {
	for end := time.Now().Add(unmountWait); ; time.Sleep(50 * time.Millisecond) {
		err := unix.Unmount(d.dir, 0)
		if err == nil || errors.Is(err, unix.EINVAL) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return fmt.Errorf("unmount %s: %w", d.dir, err)
		}
	}
}

// fail ends all input and output until the disk is mounted again. What was not synced is lost.
func (d *disk) fail() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, noLogFlush); err != nil {
		return fmt.Errorf("shut down %s: %w", d.dir, err)
	}
	return nil
}

// hang lets nothing be written for a while: whoever writes or syncs waits.
func (d *disk) hang(long time.Duration) error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), freezeDisk, 0); err != nil {
		return fmt.Errorf("freeze %s: %w", d.dir, err)
	}
	time.Sleep(long)
	if err := unix.IoctlSetInt(int(f.Fd()), thawDisk, 0); err != nil {
		return fmt.Errorf("thaw %s: %w", d.dir, err)
	}
	return nil
}

// again mounts a disk that failed.
func (d *disk) again() error { return errors.Join(d.unmount(), d.mount()) }

// filler is the file that fills a disk.
func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves so many bytes free.
func (d *disk) fill(left uint64) error {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var at int64
	for chunk := int64(64 << 20); chunk >= 4096; {
		var fs unix.Statfs_t
		if err := unix.Statfs(d.dir, &fs); err != nil {
			return err
		}
		free := fs.Bavail * uint64(fs.Bsize)
		if free <= left {
			return nil
		}
		size := min(chunk, int64(free-left)&^4095)
		if size == 0 {
			return nil
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, at, size); {
		case err == nil:
			at += size
		case errors.Is(err, unix.ENOSPC):
			chunk /= 2
		default:
			return fmt.Errorf("fill %s: %w", d.dir, err)
		}
	}
	return nil
}

func (d *disk) empty() error {
	if err := os.Remove(d.filler()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
