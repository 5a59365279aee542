package seat

import "github.com/staffetta/staffetta/wire"

// Gate refuses commands of a version that the group is not at yet: a replica with an older
// program would stop at them, or, worse, not know that it should. What this program does not know
// itself is of no version, and is refused in any.
func Gate(commands []wire.Command, active uint32) error {
	for i := range commands {
		v := versionOf(&commands[i])
		if v == 0 {
			return commands[i].Kind.Unknown()
		}
		if v > active {
			return wire.Errorf(wire.NotReady, "command kind %d needs active version %d of the "+
				"group, it is %d; see `staffetta admin upgrade`", commands[i].Kind, v, active)
		}
	}
	return nil
}

// versionOf is the active version that a command's group must have; 0: it is not known. What raises
// it is logged before, once every member knows the new version.
func versionOf(c *wire.Command) uint32 {
	switch c.Kind {
	case wire.CmdRaiseVersion, wire.CmdFinalise:
		return wire.VersionMin
	case wire.CmdAudit:
		var a wire.Audited
		if wire.Decode(c.Body, &a) != nil {
			break // refused at apply
		}
		if a.Command.Kind == wire.CmdFinalise {
			return wire.VersionMin
		}
		if a.Command.Kind.Since() == 0 {
			return 0
		}
		return max(c.Kind.Since(), a.Command.Kind.Since())
	}
	return c.Kind.Since()
}
