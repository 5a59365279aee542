package consensus

import (
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// walFiles are raft-wal's files without their preallocation: raft-wal reserves a whole segment of
// disk when it begins one, 256 MiB for the first vote of an empty group, and a node has two
// groups. Appending to a growing file costs the same here (docs/design/002-consensus.md).
type walFiles struct{ types.VFS }

func newWALFiles() types.VFS { return walFiles{walfs.New()} }

// Create begins a file that grows as it is written.
func (f walFiles) Create(dir, name string, _ uint64) (types.WritableFile, error) {
	return f.VFS.Create(dir, name, 0)
}
