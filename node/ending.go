package node

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/operate"
	"github.com/staffetta/staffetta/node/recovery"
	"github.com/staffetta/staffetta/node/witness"
)

// ExitFinal is the exit code of a process whose node must not be started again as it is: a
// supervisor that does so all the same only hides what an operator has to do.
const ExitFinal = 3

// Ending is why a node ended, or refused to start: in one line, with what to do.
type Ending struct {
	// Final: the same comes of a new start, or worse, so an operator has to act first.
	Final bool
	// Advice is what to do; empty where the error says so.
	Advice string
	Err    error
}

// Error is the reason, once for everything that ended for it, and the advice.
func (e *Ending) Error() string {
	var lines []string
	for line := range strings.Lines(e.Err.Error()) {
		line = strings.TrimSpace(line)
		repeats := func(other string) bool { return strings.Contains(other, afterLast(line)) }
		if line != "" && !slices.ContainsFunc(lines, repeats) {
			lines = append(lines, line)
		}
	}
	said := strings.Join(lines, "; ")
	if e.Advice == "" {
		return said
	}
	return said + ". " + e.Advice
}

// afterLast is what a line of wrapped errors ends in: its cause.
func afterLast(line string) string {
	return line[max(0, strings.LastIndex(line, ": ")):]
}

func (e *Ending) Unwrap() error { return e.Err }

const (
	adviseReplace = "This disk lost or changed data, which nothing repairs: replace the node with " +
		"`staffetta admin node replace`, and keep its directory until that is done"
	adviseResources = "The disk is in order: give the process more (LimitNOFILE, ulimit -n, " +
		"fs.file-max), and look at what holds it; it may be started again"
	adviseRoom  = "Make room on the disk; the node may then be started again"
	adviseRight = "Give the user that the node runs as the right to its data directory, and start " +
		"it again"
	adviseDisk = "The node may be started again; when that repeats itself, look at the disk and " +
		"replace the node"
)

// endings are the reasons that say more than an error: the first that applies counts.
var endings = []struct {
	is     error
	final  bool
	advice string
}{
	{consensus.ErrRemoved, true, ""},
	{datadir.ErrRemoved, true, ""},
	{recovery.ErrSuperseded, true, ""},
	{datadir.ErrVoid, true, ""},
	{witness.ErrForgot, true, ""},
	{consensus.ErrDiverged, true, adviseReplace},
	{store.ErrDamaged, true, adviseReplace},
	{consensus.ErrCorrupt, true, adviseReplace},
	{datadir.ErrLost, true, adviseReplace},
	{operate.ErrDiskFull, false, adviseRoom},
	{operate.ErrNoRoom, false, adviseResources},
	{store.ErrExhausted, false, adviseResources},
	{consensus.ErrExhausted, false, adviseResources},
	{syscall.EMFILE, false, adviseResources},
	{syscall.ENFILE, false, adviseResources},
	{syscall.ENOSPC, false, adviseRoom},
	{syscall.EDQUOT, false, adviseRoom},
	{os.ErrPermission, false, adviseRight},
	{consensus.ErrDisk, false, adviseDisk},
	{syscall.EIO, false, adviseDisk},
	{syscall.EROFS, false, adviseDisk},
}

// ended gives an error of the node the form in which it leaves the package.
func ended(err error) error {
	if err == nil {
		return nil
	}
	e := &Ending{Err: err}
	e.Final, e.Advice = judgeEnding(err)
	return e
}

func judgeEnding(err error) (final bool, advice string) {
	for _, known := range endings {
		if errors.Is(err, known.is) {
			return known.final, known.advice
		}
	}
	return false, ""
}

// Final reports whether the node that ended for err must not be started again as it is.
func Final(err error) bool {
	final, _ := judgeEnding(err)
	return final
}

// noteDivergence marks the data directory of a node that ended because it differs from the others,
// so that no supervisor starts it again.
func (n *Node) noteDivergence(err error) error {
	if !errors.Is(err, consensus.ErrDiverged) {
		return nil
	}
	return n.seat.Dir.MarkDiverged(err.Error())
}

// noteRemoval makes the end of a node that was removed final.
func (n *Node) noteRemoval(err error) error {
	if !errors.Is(err, consensus.ErrRemoved) {
		return err
	}
	if noted := n.seat.Dir.MarkRemoved(); noted != nil {
		n.seat.Log.Error("the data directory could not be marked", "reason", noted)
	}
	return fmt.Errorf("node %s was removed from the federation and does not come back: %w",
		n.seat.ID, consensus.ErrRemoved)
}
