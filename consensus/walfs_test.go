package consensus

import (
	"sync/atomic"

	"github.com/hashicorp/raft-wal/types"
)

// countedFiles counts fsyncs.
type countedFiles struct {
	types.VFS
	syncs atomic.Int64
}

type countedFile struct {
	types.WritableFile
	of *countedFiles
}

func (c *countedFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := c.VFS.Create(dir, name, size)
	return &countedFile{f, c}, err
}

func (c *countedFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := c.VFS.OpenWriter(dir, name)
	return &countedFile{f, c}, err
}

func (f *countedFile) Sync() error {
	f.of.syncs.Add(1)
	return f.WritableFile.Sync()
}
