package transfer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// handOver has an anchor release codes and logs the import of what it hands over. When that did
// not work for all of them it returns only after a pause.
func (c *claims) handOver(ctx context.Context, anchor wire.RegionID, list []wire.Release) {
	err := c.release(ctx, anchor, list)
	if err == nil || ctx.Err() != nil {
		return
	}
	c.Log.LogAttrs(ctx, slog.LevelWarn, "releases wait", slog.String("anchor", string(anchor)),
		slog.Int("codes", len(list)), slog.String("reason", err.Error()))
	select {
	case <-time.After(anchorPause):
	case <-ctx.Done():
	}
}

// release asks an anchor for codes, in halves when all the handovers do not fit into one answer,
// and imports those that it released. The error is the last of what failed.
func (c *claims) release(ctx context.Context, anchor wire.RegionID, list []wire.Release) error {
	var results wire.Results
	err := c.callAnchor(ctx, anchor, list, &results)
	if half := len(list) / 2; half > 0 && errors.Is(err, wire.TooLarge) {
		return errors.Join(c.release(ctx, anchor, list[:half]), c.release(ctx, anchor, list[half:]))
	}
	if err != nil {
		return err
	}
	commands, rest, failed := imports(list, results.List)
	if err := c.apply(ctx, commands); err != nil || len(rest) == 0 {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, c.release(ctx, anchor, rest))
}

func (c *claims) callAnchor(ctx context.Context, anchor wire.RegionID, list []wire.Release,
	results *wire.Results) error {
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	return c.CallRegion(ctx, anchor, wire.MethodRelease, &wire.ReleaseBatch{List: list}, results)
}

// imports makes the commands that import what an anchor released, and says of which codes further
// pages are to be asked for. The error is the last of those it did not release, or not in a form
// that can be read.
func imports(list []wire.Release, results []wire.Result) (commands []wire.Command,
	rest []wire.Release, failed error) {
	if len(results) != len(list) {
		return nil, nil, wire.Errorf(wire.Internal, "%d results for %d releases", len(results), len(list))
	}
	for i := range results {
		if results[i].Err != nil {
			failed = results[i].Err
			continue
		}
		m := wire.Import{Recipient: list[i].Recipient, Epoch: list[i].Epoch}
		if err := wire.Decode(results[i].Body, &m.Page); err != nil {
			failed = err
			continue
		}
		commands = append(commands, wire.Command{Kind: wire.CmdImport, Body: wire.Encode(&m)})
		if m.Page.More {
			next := list[i]
			next.After = m.Page.Last
			rest = append(rest, next)
		}
	}
	return commands, rest, failed
}

// apply logs commands and ends the waits for the codes that they import.
func (c *claims) apply(ctx context.Context, commands []wire.Command) error {
	if len(commands) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	applied, err := c.RegionQueue.Submit(ctx, commands)
	if err != nil {
		return err
	}
	for i := range applied {
		if e := c.settle(commands[i], applied[i]); e != nil {
			err = e
		}
	}
	return err
}

// settle looks at a command's result and ends the waits for an imported code.
func (c *claims) settle(command wire.Command, result wire.Result) error {
	if result.Err != nil {
		return result.Err
	}
	if command.Kind == wire.CmdImport {
		var m wire.Import
		if err := wire.Decode(command.Body, &m); err != nil {
			return err
		}
		if !m.Page.More {
			c.tell(m.Recipient, nil)
		}
	}
	return nil
}

// claimCalls is the call by which codes are released to who claims them.
func (t *Transfer) claimCalls() []seat.Call {
	return []seat.Call{seat.Answers(t.Seat, wire.MethodRelease, seat.Only(link.RoleNode),
		seat.RegionLeads, t.release)}
}

// release answers MethodRelease: another region's leader drives a claim of a code that is
// anchored here.
func (t *Transfer) release(ctx context.Context, from link.Identity, batch *wire.ReleaseBatch) (
	*wire.Results, error) {
	if len(batch.List) > wire.CommandsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d releases", len(batch.List))
	}
	results := make([]wire.Result, len(batch.List))
	var commands []wire.Command
	var at []int // which result is the command's
	for i := range batch.List {
		if batch.List[i].To != from.Region {
			return nil, wire.Errorf(wire.Forbidden, "a node releases codes to its own region only")
		}
		if s := batch.List[i].Recipient.Slot(); !t.Anchors(s) { // codes of other slots do not wait
			results[i] = wire.Fail(wire.Errorf(wire.Unavailable, "slot %d is not to be decided "+
				"here now", s))
			continue
		}
		commands, at = append(commands, wire.Command{Kind: wire.CmdRelease,
			Body: wire.Encode(&batch.List[i])}), append(at, i)
	}
	decided, err := t.RegionQueue.Submit(ctx, commands)
	if err != nil {
		return nil, err
	}
	for i := range decided {
		results[at[i]] = decided[i]
		if !t.Anchors(batch.List[at[i]].Recipient.Slot()) { // stopped or suspended meanwhile
			results[at[i]] = wire.Fail(wire.Errorf(wire.Unavailable, "not to be decided here now"))
		}
	}
	answer := &wire.Results{List: results}
	if size := len(wire.Encode(answer)); size > wire.FrameBytesMax { // who asks again asks for fewer
		return nil, wire.Errorf(wire.TooLarge, "handovers of %d bytes, %d allowed", size,
			wire.FrameBytesMax)
	}
	return answer, nil
}
