//go:build !planted

package node

import "github.com/staffetta/staffetta/wire"

// The place of a planted bug, see internal/planted. This build has none.

func (c *citizens) plantedAck([]byte, *wire.Block) []byte { return nil }
