package wire

import (
	"strconv"

	"github.com/staffetta/staffetta/internal/codec"
)

// Version is the newest version of the logs' content that this program reads and writes. Entries
// and commands of a version are logged only in a group whose active version has come that far,
// since a replica that does not know a kind stops. A version adds kinds. What an older kind does
// may change only from a version on, for logs and backups hold it for years: the state asks for its
// active version, and a golden log shows both. VersionMin is the oldest that is spoken.
const (
	Version    = 3
	VersionMin = 1
)

// Fields that came to kinds of an earlier version have an effect from a version on, since a program
// of before ignores them: in a group that is not there yet, programs of both must do the same.
const (
	VersionAnchored     = 2 // Import.Anchored
	VersionIncarnations = 2 // DirectoryOps.Incarnation
	VersionBounds       = 3 // Authority.Regions
	VersionWithdrawn    = 3 // Audited.Deadline, AuditLine.Unchanged
	VersionOffered      = 3 // SpoolBlock.Offered, SpooledView.Offered
	VersionApprovals    = 3 // Map.Approvals, Audited.Approval, AuditLine.Approval and Asked
)

// VersionOwners is the version of a region's log from which on epochs are compared with the regions
// that they name, what is handed over is taken as far as it has a place, and a relation between
// rows that is broken fails a record and not the replica (docs/design/018-owners.md).
const VersionOwners = 3

// VersionGateways is the active version of the federation from which on a gateway has to be on the
// map: below it there is no command that puts one there.
const VersionGateways = 2

// VersionReads is the active version of a region from which on its log has lines of what operators
// read.
const VersionReads = 3

// VersionArrivals is the active version of a region from which on it notes which messages arrive
// late, so that it can say what is new.
const VersionArrivals = 3

// VersionRecovery is the active version of the federation from which on a region can have a
// recovery key, and a copy in clear of one without has to be asked for as such.
const VersionRecovery = 3

// VersionGrants is the active version of the federation from which on an operator's certificate
// without grants allows nothing. Below it such a one allows everything, as it did before there were
// grants; the command that raises the version is refused to who has no other.
const VersionGrants = 3

// RaiseVersion makes Version a group's active version. One that is not above the present one
// changes nothing.
type RaiseVersion struct{ Version uint32 }

// Fields declares the message.
func (r *RaiseVersion) Fields(c *codec.Codec) { codec.Uint(c, 1, &r.Version) }

// AuditSubject is what the operators' log shows.
func (r *RaiseVersion) AuditSubject() string {
	return "version " + strconv.FormatUint(uint64(r.Version), 10)
}
