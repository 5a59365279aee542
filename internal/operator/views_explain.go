package operator

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
)

// Story is all that the federation knows of a message, but for its body.
type Story struct {
	ID        wire.MessageID
	Minted    wire.Time
	Home      wire.RegionID // where the gateway that minted it is at home; empty: no such tag
	Recipient wire.Recipient
	// Searched says what was looked through for the recipient, when only the id was known.
	Searched []wire.FoundRecipients
	// Unsearched are regions that could not be asked to look for it, and why.
	Unsearched []RegionWord
	Anchor     wire.RegionID
	// Directory is what a node's replica says of the recipient.
	Directory        wire.DirectoryEntry
	DirectoryProblem string
	Regions          []RegionWord
	// Spool is what the home region's spool has of the message; nil: nothing.
	Spool        *wire.SpooledView
	SpoolProblem string
	// Move is the recipient's move that is under way; nil: none is known.
	Move *wire.Move
}

// RegionWord is what one region says of a message.
type RegionWord struct {
	Region wire.RegionID
	// Explanation is nil when nobody answered; Problem says why.
	Explanation *wire.Explanation
	Problem     string
	forbidden   bool // of the problem
}

// Hasher is the federation's, to turn a fiscal code into a recipient here: the code stays in this
// process.
func (c *Client) Hasher(ctx context.Context) (*wire.Hasher, error) {
	var welcome wire.Welcome
	err := c.read(ctx, wire.MethodHello, &wire.Hello{Version: wire.ProtocolVersion}, &welcome)
	if err != nil {
		return nil, err
	}
	if welcome.Key == (wire.DirectoryKey{}) {
		return nil, wire.Errorf(wire.Forbidden, "to turn a fiscal code into its hash takes the "+
			"directory key, and so the right %q", string(link.RightData))
	}
	return wire.NewHasher(welcome.Key), nil
}

// Explain asks every region for what it knows of a message. Without a recipient the regions search
// for one about the time of the id. The error is NotFound, with the searches in the story, when
// every region searched and none has it; Forbidden or Unavailable when some could not be asked.
func (c *Client) Explain(ctx context.Context, id wire.MessageID, r wire.Recipient) (*Story, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	s := &Story{ID: id, Minted: id.Time(), Recipient: r}
	if home, ok := m.RegionByTag(id.Tag()); ok {
		s.Home = home.ID
	}
	if r.IsZero() {
		c.search(ctx, m, s)
		if wait := followWait - time.Since(s.Minted.Std()); s.Recipient.IsZero() && wait > 0 {
			backoff.Pause(ctx, min(wait, followWait))
			c.search(ctx, m, s)
		}
		if s.Recipient.IsZero() {
			return s, s.notFound()
		}
	}
	s.Anchor = m.Anchor(s.Recipient.Slot())
	var resolved wire.Resolved
	q := &wire.Resolve{Recipients: []wire.Recipient{s.Recipient}}
	switch err := c.read(ctx, wire.MethodResolve, q, &resolved); {
	case err != nil:
		s.DirectoryProblem = err.Error()
	case len(resolved.Entries) == 1:
		s.Directory = resolved.Entries[0]
	}
	c.askRegions(ctx, m, s)
	c.askSpool(ctx, m, s)
	c.askMove(ctx, m, s)
	return s, nil
}

// notFound says that nobody has the message, of those who could be asked.
func (s *Story) notFound() error {
	if len(s.Unsearched) == 0 {
		return wire.Errorf(wire.NotFound, "no region has a message %s near its time; give its "+
			"recipient to look further", s.ID)
	}
	code := wire.Forbidden
	var said []string
	for _, w := range s.Unsearched {
		if !w.forbidden {
			code = wire.Unavailable
		}
		said = append(said, fmt.Sprintf("%s: %s", w.Region, w.Problem))
	}
	return wire.Errorf(code, "whether message %s exists is not known, since not every region could "+
		"be searched: %s", s.ID, strings.Join(said, "; "))
}

// nodesOf are a region's nodes on the map.
func nodesOf(m *wire.Map, region wire.RegionID) (nodes []wire.NodeID) {
	for _, n := range m.Nodes {
		if n.Region == region {
			nodes = append(nodes, n.ID)
		}
	}
	return nodes
}

// search asks one node of each region, the first that answers, to look for the recipient.
func (c *Client) search(ctx context.Context, m *wire.Map, s *Story) {
	found := make([]*wire.FoundRecipients, len(m.Regions))
	failed := make([]error, len(m.Regions))
	var g errgroup.Group
	for i, region := range m.Regions {
		g.Go(func() error {
			failed[i] = errors.New("it has no nodes")
			for _, node := range nodesOf(m, region.ID) {
				f := new(wire.FoundRecipients)
				failed[i] = c.within(ctx, searchWait, node, wire.MethodFindRecipients,
					&wire.FindRecipients{ID: s.ID}, f)
				if failed[i] == nil {
					found[i] = f
					return nil
				}
			}
			return nil
		})
	}
	g.Wait() // nothing fails
	s.Searched, s.Unsearched = nil, nil
	for i, f := range found {
		if f == nil {
			s.Unsearched = append(s.Unsearched, RegionWord{Region: m.Regions[i].ID,
				Problem: failed[i].Error(), forbidden: errors.Is(failed[i], wire.Forbidden)})
			continue
		}
		s.Searched = append(s.Searched, *f)
		if len(f.Recipients) > 0 && s.Recipient.IsZero() {
			s.Recipient = f.Recipients[0]
		}
	}
}

// askRegions asks every node and keeps, for each region, the leader's word, or that of the replica
// that is furthest.
func (c *Client) askRegions(ctx context.Context, m *wire.Map, s *Story) {
	var mu sync.Mutex
	words := map[wire.RegionID]*RegionWord{}
	for _, r := range m.Regions {
		words[r.ID] = &RegionWord{Region: r.ID, Problem: "no nodes"}
	}
	var g errgroup.Group
	g.SetLimit(nodesAtOnce)
	for _, node := range m.Nodes {
		g.Go(func() error {
			e := new(wire.Explanation)
			err := c.one(ctx, node.ID, wire.MethodExplain,
				&wire.Explain{Recipient: s.Recipient, ID: s.ID}, e)
			mu.Lock()
			defer mu.Unlock()
			w := words[node.Region]
			switch {
			case err != nil:
				w.Problem = err.Error()
			case w.Explanation == nil || e.Leader && !w.Explanation.Leader ||
				e.Leader == w.Explanation.Leader && e.Applied > w.Explanation.Applied:
				w.Explanation = e
			}
			return nil
		})
	}
	g.Wait() // nothing fails
	for _, r := range m.Regions {
		w := words[r.ID]
		if w.Explanation != nil {
			w.Problem = ""
		}
		s.Regions = append(s.Regions, *w)
	}
	// Who has the message comes first, then who owns its recipient, then who did not answer.
	slices.SortStableFunc(s.Regions, func(a, b RegionWord) int {
		return cmp.Compare(weight(a), weight(b))
	})
}

func weight(w RegionWord) int {
	switch e := w.Explanation; {
	case e == nil:
		return 2
	case e.Found:
		return 0
	case e.Ownership.State != wire.NotOwned || e.Anchor:
		return 1
	}
	return 3
}

// askLeader calls a region's leader, whoever it is.
func (c *Client) askLeader(ctx context.Context, m *wire.Map, region wire.RegionID,
	method wire.Method, req []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	return c.callRegion(ctx, m, region, method, req)
}

func (c *Client) askSpool(ctx context.Context, m *wire.Map, s *Story) {
	if s.Home == "" {
		return
	}
	q := &wire.FindMessage{Recipient: s.Recipient, ID: s.ID}
	answer, err := c.askLeader(ctx, m, s.Home, wire.MethodFindSpooled, wire.Encode(q))
	view := new(wire.SpooledView)
	if err == nil {
		err = wire.Decode(answer, view)
	}
	switch {
	case err == nil:
		s.Spool = view
	case !errors.Is(err, wire.NotFound):
		s.SpoolProblem = err.Error()
	}
}

// askMove asks the regions that say that they own the code whether it is on the move.
func (c *Client) askMove(ctx context.Context, m *wire.Map, s *Story) {
	for _, w := range s.Regions {
		if w.Explanation == nil || w.Explanation.Ownership.State == wire.NotOwned {
			continue
		}
		answer, err := c.askLeader(ctx, m, w.Region, wire.MethodGetMove,
			wire.Encode(&wire.MoveRef{Recipient: s.Recipient}))
		move := new(wire.Move)
		if err == nil && wire.Decode(answer, move) == nil && move.State != wire.MoveNone {
			s.Move = move
			return
		}
	}
}

// Step is one line of a story: where it was seen, and what.
type Step struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// Steps tells the story in order: where the message came from, who was to decide, what was decided
// and why, and what else is known of its way.
func (s *Story) Steps() []Step {
	var t teller
	home := "of a gateway at home in " + string(s.Home)
	if s.Home == "" {
		home = fmt.Sprintf("with the tag %d, which no region of the map has", s.ID.Tag())
	}
	t.say("id", "minted %s %s", s.Minted, home)
	for _, f := range s.Searched {
		whole := ""
		if !f.Whole {
			whole = "; a bound ended the search"
		}
		t.say(string(f.Region), "searched %d blocks and %d rejections about that time, %d found%s",
			f.Blocks, f.Rejections, len(f.Recipients), whole)
	}
	for _, w := range s.Unsearched {
		t.say(string(w.Region), "cannot be searched: %s", w.Problem)
	}
	if s.Recipient.IsZero() {
		return t.steps
	}
	t.say("recipient", "%s, anchor slot %d of %s", hex.EncodeToString(s.Recipient[:]),
		s.Recipient.Slot(), cmp.Or(s.Anchor, "nobody"))
	t.say("directory", "%s", s.directoryText())
	if v := s.Spool; v != nil {
		t.spool(s.Home, v)
	} else if s.SpoolProblem != "" {
		t.say("spool of "+string(s.Home), "cannot be asked: %s", s.SpoolProblem)
	} else if s.Home != "" {
		t.say("spool of "+string(s.Home), "never had it")
	}
	for i := range s.Regions {
		t.region(&s.Regions[i])
	}
	if m := s.Move; m != nil {
		way := "moves"
		if m.Aborting {
			way = "was to move, which is being taken back,"
		}
		t.say("move", "the citizen %s from %s to %s at epoch %d since %s: %s", way, m.Region, m.To,
			m.Epoch, m.Since, m.State)
	}
	return t.steps
}

func (s *Story) directoryText() string {
	d := &s.Directory
	switch {
	case s.DirectoryProblem != "":
		return "cannot be asked: " + s.DirectoryProblem
	case d.State == wire.Unclaimed:
		return "nobody has claimed the code: its anchor decides, at epoch 0"
	case d.State == wire.ClaimPending:
		return "the code is being claimed: until then its anchor decides, at epoch 0"
	}
	text := fmt.Sprintf("%s owns the code at epoch %d", d.Region, d.Epoch)
	if d.To != "" {
		text += ", and gives it to " + string(d.To)
	}
	return text
}

// teller collects steps.
type teller struct{ steps []Step }

func (t *teller) say(where, what string, args ...any) {
	t.steps = append(t.steps, Step{Where: where, What: fmt.Sprintf(what, args...)})
}

func (t *teller) spool(home wire.RegionID, v *wire.SpooledView) {
	where := "spool of " + string(home)
	t.say(where, "kept %s for %s, which was away", v.SpooledAt, v.Owner)
	switch {
	case v.RelayedAt == 0:
		t.say(where, "waits in block %d, sealed to key %d of %s", v.Seq, v.KeyID, v.Owner)
	case !v.Alias.IsZero():
		t.say(where, "relayed %s: it is the same as message %s, which came first under its "+
			"idempotency key", v.RelayedAt, v.Alias)
	default:
		t.say(where, "relayed %s: %s", v.RelayedAt, verdictText(v.Verdict))
	}
}

func verdictText(v wire.Verdict) string {
	if v.Reason != 0 {
		return v.Status.String() + " (" + v.Reason.String() + ")"
	}
	return v.Status.String()
}

func (t *teller) region(w *RegionWord) {
	where, e := string(w.Region), w.Explanation
	if e == nil {
		t.say(where, "cannot be asked: %s", w.Problem)
		return
	}
	as := fmt.Sprintf("as %s knows, applied to entry %d", e.Node, e.Applied)
	if e.Leader {
		as = fmt.Sprintf("by its leader %s, applied to entry %d", e.Node, e.Applied)
	}
	t.say(where, "%s, %s", ownershipText(e), as)
	if !e.Found {
		return
	}
	what := verdictText(e.Verdict) + ", of service " + string(e.Service)
	switch {
	case e.Block > 0 && e.Term > 0:
		what += fmt.Sprintf(": record %d in the block of entry %d, term %d", e.Position, e.Block,
			e.Term)
	case e.Block > 0:
		what += fmt.Sprintf(": record %d in the block of entry %d, which is in the state and no "+
			"more in the log", e.Position, e.Block)
	case e.Rejected > 0:
		what += ": decided " + e.Rejected.String() + ", its content is not kept"
	}
	t.say(where, "%s", what)
	t.say(where, "%s", ruleText(e.Verdict))
	t.say(where, "now: %s", basisText(&e.Basis))
}

func ownershipText(e *wire.Explanation) string {
	o := &e.Ownership
	switch {
	case o.State == wire.Owned:
		return fmt.Sprintf("owns the code at epoch %d", o.Epoch)
	case o.State == wire.Claiming:
		return "is claiming the code"
	case o.State == wire.Released:
		return fmt.Sprintf("gave the code to %s, the owner from epoch %d on", o.Region, o.Epoch)
	case o.State != wire.NotOwned:
		return fmt.Sprintf("holds the code in state %d at epoch %d", o.State, o.Epoch)
	case e.Anchor:
		return "decides about the code as its anchor, at epoch 0"
	}
	return "has nothing to do with the code"
}

// ruleText is the rule behind a verdict. The state keeps the contract's reason and not which part
// of the rule it was.
func ruleText(v wire.Verdict) string {
	switch v.Reason {
	case wire.UserNotFound:
		return "rule: nobody with this code had a profile then"
	case wire.ServiceNotAllowed:
		return "rule: then the inbox was off or the terms were not accepted, or the profile refused " +
			"the service: LEGACY by blocking its inbox, AUTO by a no, MANUAL without a yes"
	}
	return "rule: then there was a profile, its inbox was on, and it did not refuse the service"
}

func basisText(b *wire.VerdictBasis) string {
	if !b.HasProfile {
		return "no profile here"
	}
	parts := []string{"a profile in mode " + b.Mode.String(), "inbox on and terms accepted"}
	if !b.Active {
		parts[1] = "inbox off or terms not accepted"
	}
	switch {
	case b.Mode == wire.Legacy && b.Blocked:
		parts = append(parts, "the service's inbox is blocked")
	case b.Choice == wire.Yes:
		parts = append(parts, "yes to the service")
	case b.Choice == wire.No:
		parts = append(parts, "no to the service")
	default:
		parts = append(parts, "nothing said of the service")
	}
	return strings.Join(parts, ", ")
}
