package load

import (
	"io/fs"
	"syscall"
)

// onDisk is a file's identity and the bytes of its blocks.
func onDisk(info fs.FileInfo) (fileID, int64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{s.Dev, s.Ino}, s.Blocks * 512
	}
	return fileID{}, info.Size()
}
