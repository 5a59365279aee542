package membership

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// seedTries bounds the rounds over all nodes without a byte of progress; after that the node
	// starts with nothing, and Raft gives it its state.
	seedTries = 10
	// seedSilence is how long a seed may bring nothing before it is asked for anew.
	seedSilence = 40 * time.Second
	// seedSays is how often progress is logged.
	seedSays = 10 * time.Second
)

// seedable is a state that begins with a copy of another replica's.
type seedable interface {
	Stage() (io.WriteCloser, error)
	Install(at wire.Position) error
	Position() wire.Position
}

// seed fetches copies of the federation's state and of the region's from nodes that follow, as a
// rule: what a leader would have to send while the group waits for it is there before the node
// joins. Without one the node starts all the same.
func (j *joining) seed(ctx context.Context) (err error) {
	joined, err := j.joined()
	if err != nil {
		return err
	}
	if err := j.dir.CheckOwner(joined.owner()); err != nil {
		return err
	}
	at := &seat.Seat{ID: joined.ID, RegionID: joined.Region, Founding: joined.Map, Dir: j.dir,
		Log: j.cfg.Logger, Hasher: wire.NewHasher(joined.DirectoryKey)}
	if at.Coder, err = wire.NewCoder(1); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.Close()) }()
	err = at.OpenStates(seat.StateConfig{Key: joined.DirectoryKey, FS: j.cfg.FS,
		EraseAfter: seat.EraseAfter, RejectionRetention: seat.RejectionRetention,
		KeepMoved: seat.KeepMoved})
	if err != nil {
		return err
	}
	l, stop, err := j.nodeLink(ctx)
	if err != nil {
		return err
	}
	defer stop()
	var all, home []string
	for _, node := range joined.Map.Nodes {
		if node.ID == joined.ID {
			continue
		}
		if all = append(all, node.Addr); node.Region == joined.Region {
			home = append(home, node.Addr)
		}
	}
	f := &fetch{j: j, l: l, group: seat.FederationGroup, state: at.Federation,
		nodes: append(home[:len(home):len(home)], all...)}
	if err := f.run(ctx); err != nil {
		return err
	}
	if !joined.Founds && len(home) > 0 {
		f := &fetch{j: j, l: l, group: seat.RegionGroup(joined.Region), state: at.Region, nodes: home}
		if err := f.run(ctx); err != nil {
			return err
		}
	}
	return j.write(seededFile, nil)
}

// fetch brings one group's state here.
type fetch struct {
	j     *joining
	l     *link.Link
	group string
	state seedable
	nodes []string // addresses

	// Of the copy that is being fetched; head.ID is 0 when there is none.
	head  wire.SeedFrame
	from  string
	stage io.WriteCloser
	got   uint64
	said  time.Time
}

// run fetches and installs the state, or gives up without an error when nobody has one to give.
func (f *fetch) run(ctx context.Context) error {
	if f.state.Position().Index > 0 {
		return nil // installed, by an earlier run
	}
	defer f.abandon()
	for tries := 0; tries < seedTries; tries++ {
		before := f.got
		for _, leader := range []bool{false, true} { // a leader has enough to do
			done, err := f.round(ctx, leader)
			if done || err != nil {
				return err
			}
		}
		if f.got > before {
			tries = 0
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.j.cfg.Logger.Warn("no node gives a copy of the state: the group will", "group", f.group)
	return nil
}

// round asks the nodes in turn; the one that the copy under way is from comes alone.
func (f *fetch) round(ctx context.Context, leader bool) (done bool, err error) {
	nodes := f.nodes
	if f.head.ID != 0 {
		nodes = []string{f.from}
	}
	for _, addr := range nodes {
		err := f.ask(ctx, addr, leader)
		var local *stageError
		switch {
		case err == nil:
			return true, f.install()
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.As(err, &local):
			return false, local.err
		case errors.Is(err, wire.NotFound):
			f.abandon() // the copy is not kept any more
		}
		f.j.cfg.Logger.Debug("no copy of the state", "group", f.group, "addr", addr, "reason", err)
	}
	return false, nil
}

// stageError is a failure here, which asking others does not mend.
type stageError struct{ err error }

func (e *stageError) Error() string { return e.err.Error() }

// ask fetches what is missing from one node. On return without an error everything is there.
func (f *fetch) ask(ctx context.Context, addr string, leader bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(seedSilence, cancel)
	defer silence.Stop()
	q := &wire.Seed{Group: f.group, ID: f.head.ID, Offset: f.got, Leader: leader,
		Rate: f.j.cfg.SeedRate}
	first := true
	err := f.l.Stream(ctx, link.Peer{Addr: addr}, wire.MethodSeed, wire.Encode(q),
		func(frame []byte) error {
			silence.Reset(seedSilence)
			var part wire.SeedFrame
			if err := wire.Decode(frame, &part); err != nil {
				return err
			}
			if first {
				first = false
				return f.start(&part, addr)
			}
			return f.take(&part)
		})
	if err != nil {
		return err
	}
	if f.head.ID == 0 || f.got != f.head.Size {
		return wire.Errorf(wire.Unavailable, "the copy ends after %d bytes of %d", f.got, f.head.Size)
	}
	return nil
}

// start begins a copy, or goes on with the one under way.
func (f *fetch) start(head *wire.SeedFrame, addr string) error {
	if f.head.ID != 0 {
		if head.ID != f.head.ID {
			return wire.Errorf(wire.NotFound, "another copy than the one under way")
		}
		f.j.cfg.Logger.Info("the copy of the state goes on", "group", f.group, "bytes", f.got)
		return nil
	}
	if head.ID == 0 || head.Size == 0 {
		return wire.Malformedf("copy without a name or of no bytes")
	}
	stage, err := f.state.Stage()
	if err != nil {
		return &stageError{err}
	}
	f.head, f.from, f.stage, f.got, f.said = *head, addr, stage, 0, time.Now()
	f.j.cfg.Logger.Info("fetching a copy of the state", "group", f.group, "addr", addr, "bytes",
		head.Size, "index", head.Index)
	return nil
}

func (f *fetch) take(part *wire.SeedFrame) error {
	if part.ID != f.head.ID || uint64(len(part.Content)) > f.head.Size-f.got {
		return wire.Malformedf("more than the copy's bytes")
	}
	if _, err := f.stage.Write(part.Content); err != nil {
		return &stageError{err}
	}
	f.got += uint64(len(part.Content))
	if time.Since(f.said) >= seedSays {
		f.said = time.Now()
		f.j.cfg.Logger.Info("the copy of the state is under way", "group", f.group, "bytes",
			f.got, "of", f.head.Size)
	}
	return nil
}

func (f *fetch) install() error {
	if err := f.stage.Close(); err != nil {
		return err
	}
	f.stage = nil
	at := wire.Position{Index: f.head.Index, Term: f.head.Term,
		Configuration: f.head.Configuration, ConfigurationIndex: f.head.ConfigurationIndex}
	if err := f.state.Install(at); err != nil {
		return err
	}
	f.j.cfg.Logger.Info("a copy of the state is installed", "group", f.group, "index", at.Index)
	return nil
}

// abandon drops a copy that is not complete.
func (f *fetch) abandon() {
	if f.stage != nil {
		f.stage.Close() // an incomplete stage is refused and removed
	}
	f.head, f.stage, f.got = wire.SeedFrame{}, nil, 0
}
