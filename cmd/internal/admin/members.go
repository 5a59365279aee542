package admin

import (
	"fmt"
	"slices"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// membersWait is how long a command waits for the groups, as a rule: a member votes ten seconds
// after it has caught up.
const membersWait = 2 * time.Minute

// changingTheMap completes a command that changes the map, and says what became of it.
func (d command) changingTheMap() command {
	var wait time.Duration
	d.dry = dryChange
	if own := d.flags; d.follow != nil {
		d.flags = func(f *flagSet) {
			if own != nil {
				own(f)
			}
			f.DurationVar(&wait, "wait", membersWait,
				"how long to wait until the groups have followed; 0: not at all")
		}
		d.bound = func() time.Duration { return adminWait + wait }
	}
	d.ask = func(c *invocation) (report, error) {
		change, err := d.change(c)
		if err != nil {
			return nil, err
		}
		return d.changeMap(c, change, wait > 0)
	}
	return d
}

func (d command) changeMap(c *invocation, change *wire.MemberChange, wait bool) (report, error) {
	before, err := c.op.Map(c.ctx)
	if err != nil {
		return nil, err
	}
	after, err := c.op.ChangeMembers(c.ctx, change)
	if err != nil {
		return nil, err
	}
	r := changed{Action: change.Action(), Subject: change.AuditSubject(), DryRun: c.dry,
		Changed: after.Version != before.Version, Version: after.Version}
	if is := operator.VotersOf(after); !slices.Equal(operator.VotersOf(before), is) {
		r.Voters = is
	}
	if c.dry {
		return r, nil
	}
	if wait {
		if err := d.follow(c, change); err != nil {
			return nil, err
		}
		r.Done = true
	}
	tellOfCertificate(c, before, change)
	if d.next != "" {
		c.tell("%s\n", d.next)
	}
	return r, nil
}

func (r changed) text(p *page) {
	what := fmt.Sprintf("%s %s: map version %d", r.Action, r.Subject, r.Version)
	switch {
	case r.DryRun && r.Changed:
		what = fmt.Sprintf("%s %s would make map version %d", r.Action, r.Subject, r.Version)
	case !r.Changed:
		what = fmt.Sprintf("%s %s: nothing to change, map version %d", r.Action, r.Subject, r.Version)
	}
	if len(r.Voters) > 0 {
		what += "; in the federation group vote " + join(r.Voters, " ")
	}
	if r.Done {
		what += "; done"
	}
	p.printf("%s\n", what)
}

// changed is what a command that changes the map says.
type changed struct {
	Action  string `json:"action"`
	Subject string `json:"subject"`
	Changed bool   `json:"changed"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Version uint64 `json:"map_version"`
	// Done: the groups have followed, as far as was waited.
	Done bool `json:"done"`
	// Voters are the federation's from now on, when the change names them.
	Voters []wire.NodeID `json:"voters,omitempty"`
}

// tellOfCertificate says what is left of whom a change takes off the map.
func tellOfCertificate(c *invocation, before *wire.Map, change *wire.MemberChange) {
	id := link.Identity{Federation: before.Federation}
	for _, g := range before.Gateways {
		if g.ID == change.RemoveGateway {
			id.Role, id.Region, id.Name = link.RoleGateway, g.Region, string(g.ID)
		}
	}
	if change.RemoveNode != nil {
		if n, ok := before.Node(change.RemoveNode.ID); ok {
			id.Role, id.Region, id.Name = link.RoleNode, n.Region, string(n.ID)
		}
	}
	if id.Role != 0 {
		c.tell("the certificate of %s stays valid; if somebody else could have it, type: "+
			"staffetta admin revoke %s\n", id.Name, id)
	}
}

// awaitPause is how often a command looks whether what it waits for is so.
const awaitPause = time.Second

// await looks every second whether something is so, and tells of it whenever what it sees has
// changed. Errors that may pass do not end it.
func await(c *invocation, look func() (state string, done bool, err error)) error {
	said := ""
	for {
		state, done, err := look()
		if err != nil && (!wire.Retriable(err) || operator.NoMajority(err)) {
			return err
		}
		if err != nil {
			state = err.Error()
		}
		if state != said && state != "" && c.ctx.Err() == nil {
			c.tell("%s\n", state)
			said = state
		}
		if done {
			return nil
		}
		if !backoff.Pause(c.ctx, awaitPause) {
			return fmt.Errorf("not done in time, and it goes on; the last state: %s", said)
		}
	}
}

// withMap is an ask that begins with the federation's map.
func withMap(do func(*invocation, *wire.Map) (report, error)) func(*invocation) (report, error) {
	return func(c *invocation) (report, error) {
		m, err := c.op.Map(c.ctx)
		if err != nil {
			return nil, err
		}
		return do(c, m)
	}
}

// onMap finds a region that a flag names on the federation's map.
func (c *invocation) onMap(flag, region string) (*wire.Map, wire.Region, error) {
	m, err := c.op.Map(c.ctx)
	if err != nil {
		return nil, wire.Region{}, err
	}
	r, ok := m.RegionByID(wire.RegionID(region))
	if !ok {
		err = fmt.Errorf("--%s: no region %q on the map", flag, region)
	}
	return m, r, err
}
