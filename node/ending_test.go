package node

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/operate"
	"github.com/staffetta/staffetta/node/recovery"
	"github.com/staffetta/staffetta/node/witness"
)

func TestEndings(t *testing.T) {
	fault := func(kind, err error) error {
		return fmt.Errorf("region state: store: stopped: %w",
			&store.Fault{File: "/d/000012.blob", Kind: kind, Err: err})
	}
	full := &fs.PathError{Op: "write", Path: "/d/000013.sst", Err: syscall.ENOSPC}
	for _, c := range []struct {
		err   error
		final bool
		want  string // in the one line
	}{
		{fault(store.ErrDamaged, errors.New("checksum mismatch")), true,
			"/d/000012.blob is damaged: checksum mismatch. This disk lost or changed data"},
		{fault(store.ErrExhausted, syscall.EMFILE), false, "The disk is in order"},
		{fmt.Errorf("%w: append to log: %w", consensus.ErrExhausted, syscall.EMFILE), false,
			"too many open files. The disk is in order"},
		{fault(nil, full), false, "no space left on device. Make room"},
		{fmt.Errorf("%w: 12 MiB", operate.ErrDiskFull), false,
			"the disk is full: 12 MiB. Make room on the disk; the node may then be started again"},
		{fault(nil, syscall.EACCES), false, "permission denied. Give the user"},
		{fault(nil, syscall.EIO), false, "look at the disk and replace the node"},
		{fmt.Errorf("group region/lazio: %w: log is lost", consensus.ErrCorrupt), true,
			"log is lost. This disk lost or changed data"},
		{fmt.Errorf("node x: %w", consensus.ErrRemoved), true, "removed from the group"},
		{fmt.Errorf("%w: no digest", consensus.ErrDiverged), true, "replace the node"},
		{fmt.Errorf("of incarnation 0: %w", recovery.ErrSuperseded), true, "they take no part any more"},
		{datadir.ErrRemoved, true, "a removed node does not come back"},
		{fmt.Errorf("%w: replace it", witness.ErrForgot), true, "replace it"},
		{errors.Join(fault(store.ErrDamaged, errors.New("cut short")),
			fmt.Errorf("flush state: %w", fault(store.ErrDamaged, errors.New("cut short")))), true,
			"region state: store: stopped: /d/000012.blob is damaged: cut short. This disk"},
		{fmt.Errorf("group x: %w", consensus.ErrRestart), false, "group x: restart needed"},
	} {
		err := ended(c.err)
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") ||
			Final(err) != c.final {
			t.Errorf("%q, final %t, want %q, %t", err, Final(err), c.want, c.final)
		}
		if !errors.Is(err, c.err) {
			t.Errorf("%q forgets its cause", err)
		}
	}
	if ended(nil) != nil || Final(nil) {
		t.Error("a clean end is none")
	}
}
