//go:build !planted

package node

import "github.com/staffetta/staffetta/wire"

// The places of planted bugs, see internal/planted. This build has none.

func (n *Node) plantedAck([]byte, *wire.Block) []byte { return nil }

func plantedSpool(*wire.SpoolBlock) *wire.Spooled { return nil }

func plantedTrust() bool { return false }
