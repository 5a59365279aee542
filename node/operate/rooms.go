package operate

import "github.com/staffetta/staffetta/internal/room"

// nodeRoom is a room without which a node can do nothing: its files cannot be made, or not be
// opened. It is looked at every diskPeriod.
type nodeRoom struct {
	*room.Room
	end error // why the node ends when it is used up
}

// newRooms are the rooms of a node whose data lies in dir.
func newRooms(dir string) []nodeRoom {
	return []nodeRoom{{room.Inodes(dir), ErrDiskFull}, {room.Descriptors(), ErrNoRoom}}
}
