package consensus

import (
	"strconv"

	"github.com/hashicorp/raft"
)

// EncodeMembers is a membership as a state keeps it. A state that a group is restored from names
// the one node that begins it; the others join it as members do.
func EncodeMembers(members []Member) []byte {
	return raft.EncodeConfiguration(toConfiguration(members))
}

// incarnated is the group's name with its incarnation, as its log says whose it is.
func (c *Config) incarnated() string {
	if c.Incarnation == 0 {
		return c.Group
	}
	return c.Group + "#" + strconv.FormatUint(uint64(c.Incarnation), 10)
}
