package operator

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/staffetta/staffetta/wire"
)

// certificateSoon is how long before its end a certificate is shown as one that ends.
const certificateSoon = 30 * 24 * time.Hour

// Look says how a table is drawn.
type Look struct {
	Columns int // of the terminal; 0: as wide as it needs
	Colour  bool
	Now     wire.Time
}

// cell is a piece of text with what it means.
type cell struct {
	text string
	mood mood
}

type mood uint8

const (
	plain mood = iota
	good
	warn
	bad
)

// The colours are those that every terminal has; nothing is said by them alone.
var moods = [...]string{plain: "", good: "\x1b[32m", warn: "\x1b[33m", bad: "\x1b[31m"}

// table is a table whose columns can be left out when the terminal is narrow.
type table struct {
	head []string
	// spare are the columns to leave out, first the one that is missed least.
	spare []int
	rows  [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

func text(format string, args ...any) cell { return cell{text: fmt.Sprintf(format, args...)} }

// write draws the table with as many of its columns as fit.
func (t *table) write(out io.Writer, look Look) error {
	width := make([]int, len(t.head))
	for i, h := range t.head {
		width[i] = utf8.RuneCountInString(h)
		for _, r := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(r[i].text))
		}
	}
	hidden := make([]bool, len(t.head))
	total := func() (sum int) {
		for i, w := range width {
			if !hidden[i] {
				sum += w + 2
			}
		}
		return sum - 2
	}
	for _, i := range t.spare {
		if look.Columns == 0 || total() <= look.Columns {
			break
		}
		hidden[i] = true
	}
	var b strings.Builder
	line := func(cells []cell) {
		gap := 0 // nothing is drawn behind the last column
		for i, c := range cells {
			if hidden[i] {
				continue
			}
			b.WriteString(strings.Repeat(" ", gap))
			if look.Colour && c.mood != plain {
				b.WriteString(moods[c.mood] + c.text + "\x1b[0m")
			} else {
				b.WriteString(c.text)
			}
			gap = width[i] - utf8.RuneCountInString(c.text) + 2
		}
		b.WriteByte('\n')
	}
	head := make([]cell, len(t.head))
	for i, h := range t.head {
		head[i].text = h
	}
	line(head)
	for _, r := range t.rows {
		line(r)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// WriteStatus draws what the nodes of a federation say: its groups, its nodes, and what is wrong
// with them.
func WriteStatus(out io.Writer, m *wire.Map, views []NodeView, look Look) error {
	views = byRegion(m, views)
	_, err := fmt.Fprintf(out, "federation %s, map %d, active version %d, %d of %d nodes answer, "+
		"%s\n\n", m.Federation, m.Version, m.ActiveVersion, answered(views), len(views), look.Now)
	if err != nil {
		return err
	}
	if err := groupTable(m, views).write(out, look); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	if err := nodeTable(views, look.Now).write(out, look); err != nil {
		return err
	}
	return writeTroubles(out, standstills(m, views), views, look)
}

// byRegion sorts nodes by their regions, as the map has them, and by name.
func byRegion(m *wire.Map, views []NodeView) []NodeView {
	place := map[wire.RegionID]int{}
	for i, r := range m.Regions {
		place[r.ID] = i
	}
	views = slices.Clone(views)
	slices.SortFunc(views, func(a, b NodeView) int {
		return cmp.Or(cmp.Compare(place[a.Region], place[b.Region]), cmp.Compare(a.Node, b.Node))
	})
	return views
}

// groupTable has a line for each group, as its leader sees it.
func groupTable(m *wire.Map, views []NodeView) *table {
	t := &table{head: []string{"GROUP", "LEADER", "TERM", "COMMITTED", "VOTERS", "LAG", "STATE",
		"LOG", "SPOOL"}, spare: []int{2, 7, 6, 3}}
	groups := []string{"federation"}
	for _, r := range m.Regions {
		groups = append(groups, "region/"+string(r.ID))
	}
	for _, name := range groups {
		leader, g := leaderOf(views, name)
		if g == nil {
			t.add(text("%s", name), cell{"none known", bad}, text("-"), text("-"), text("-"),
				text("-"), text("-"), text("-"), text("-"))
			continue
		}
		there, voters, lag := 1, 1, uint64(0)
		for _, f := range g.Followers {
			if f.Match < g.CommitIndex {
				lag = max(lag, g.CommitIndex-f.Match)
			}
			if !f.Voter {
				continue
			}
			voters++
			if f.ContactMillis >= 0 && f.ContactMillis < absentMillis {
				there++
			}
		}
		votes := text("%d/%d", there, voters)
		switch {
		case there <= voters/2:
			votes.mood = bad
		case there < voters:
			votes.mood = warn
		}
		t.add(text("%s", name), text("%s", leader.Node), text("%d", g.Term),
			text("%d", g.CommitIndex), votes, lagCell(lag), text("%s", size(g.StateBytes)),
			text("%s", size(g.LogBytes)), spoolCell(name, leader.Status))
	}
	return t
}

// absentMillis is the silence after which a follower counts as away.
const absentMillis = 5000

// lagWorrying is how many entries a replica may be behind and nobody looks.
const lagWorrying = 1000

func lagCell(lag uint64) cell {
	c := text("%d", lag)
	if lag > lagWorrying {
		c.mood = warn
	}
	return c
}

// leaderOf is the node that leads a group with the highest term, with what it says of the group.
func leaderOf(views []NodeView, group string) (leader *NodeView, status *wire.GroupStatus) {
	for i := range views {
		if views[i].Status == nil {
			continue
		}
		for j := range views[i].Status.Groups {
			g := &views[i].Status.Groups[j]
			if g.Group == group && g.Role == "leader" && (status == nil || g.Term > status.Term) {
				leader, status = &views[i], g
			}
		}
	}
	return leader, status
}

// spoolCell is what waits in a region's spool.
func spoolCell(group string, s *wire.NodeStatus) cell {
	if group == "federation" {
		return text("-")
	}
	blocks, bytes := uint64(0), uint64(0)
	for _, p := range s.Spool {
		blocks, bytes = blocks+p.Blocks, bytes+p.Bytes
	}
	if blocks == 0 {
		return text("0")
	}
	return cell{fmt.Sprintf("%d blocks, %s", blocks, size(bytes)), warn}
}

// nodeTable has a line for each node.
func nodeTable(views []NodeView, now wire.Time) *table {
	t := &table{head: []string{"NODE", "STATE", "REGION", "LAG", "FEDERATION", "LAG", "DISK FREE",
		"CERTIFICATE", "VERSION", "UP"}, spare: []int{9, 5, 3, 8, 4}}
	for i := range views {
		v := &views[i]
		if v.Status == nil {
			t.add(text("%s", v.Node), cell{"unreachable", bad}, text("-"), text("-"), text("-"),
				text("-"), text("-"), text("-"), text("-"), text("-"))
			continue
		}
		s := v.Status
		state := cell{"ready", good}
		switch {
		case !s.Ready:
			state = cell{"not ready", bad}
		case s.Maintenance != "":
			state = cell{"maintenance", warn}
		case len(s.Degraded) > 0:
			state = cell{"degraded", warn}
		}
		region, regionLag := roleCells(views, s, "region/"+string(v.Region))
		federation, federationLag := roleCells(views, s, "federation")
		t.add(text("%s", v.Node), state, region, regionLag, federation, federationLag,
			diskCell(&s.Disk), certificateCell(&s.Certificate, now),
			text("%s (%d)", shortVersion(s.Binary), s.Version),
			text("%s", span(now.Sub(s.Started))))
	}
	return t
}

// roleCells are the node's role in a group, and how far it is behind the group's leader.
func roleCells(views []NodeView, s *wire.NodeStatus, group string) (role, lag cell) {
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Group != group {
			continue
		}
		role = text("%s", g.Role)
		if g.Role == "candidate" {
			role.mood = warn
		}
		if _, leader := leaderOf(views, group); leader != nil {
			return role, lagCell(leader.CommitIndex - min(leader.CommitIndex, g.AppliedIndex))
		}
		return role, text("?")
	}
	return text("-"), text("-")
}

func diskCell(d *wire.DiskStatus) cell {
	if d.TotalBytes == 0 {
		return text("?")
	}
	c := text("%d%% %s", 100*d.FreeBytes/d.TotalBytes, size(d.FreeBytes))
	switch {
	case d.Full:
		c.mood = bad
	case diskLow(d):
		c.mood = warn
	}
	return c
}

func certificateCell(c *wire.CertificateStatus, now wire.Time) cell {
	left := c.NotAfter.Sub(now)
	switch {
	case c.NotAfter == 0:
		return text("?")
	case left <= 0:
		return cell{"expired", bad}
	case left < certificateSoon:
		return cell{span(left), warn}
	}
	return text("%s", span(left))
}

// shortVersion cuts a commit to what people read.
func shortVersion(s string) string {
	if len(s) > 12 && !strings.ContainsAny(s, ".-+") {
		return s[:12]
	}
	return s
}

// writeTroubles says in sentences what the table has no room for.
func writeTroubles(out io.Writer, still []standstill, views []NodeView, look Look) error {
	var lines []string
	for i := range still {
		lines = append(lines, still[i].String())
	}
	said := nodesSaid(still)
	for i := range views {
		v := &views[i]
		if v.Status == nil {
			if !said[v.Node] {
				lines = append(lines, fmt.Sprintf("%s: unreachable, %s: %s", v.Node, lastHeard(v),
					v.Problem))
			}
			continue
		}
		if v.Via != "" {
			lines = append(lines, fmt.Sprintf("%s: asked by way of %s: %s", v.Node, v.Via,
				v.Problem))
		}
		if v.Status.Maintenance != "" {
			lines = append(lines, fmt.Sprintf("%s: in maintenance: %s", v.Node,
				v.Status.Maintenance))
		}
		for _, r := range slices.Concat(v.Status.Reasons, v.Status.Degraded) {
			if !consequence(still, r) {
				lines = append(lines, fmt.Sprintf("%s: %s", v.Node, r))
			}
		}
		for _, p := range v.Status.Spool {
			_, leader := leaderOf(views, "region/"+string(v.Region))
			if leader == nil || leader.Leader != v.Node || p.Blocks == 0 {
				continue
			}
			lines = append(lines, fmt.Sprintf("%s: %d messages wait for %s, %s, since %s",
				v.Region, p.Records, p.Owner, size(p.Bytes), span(look.Now.Sub(p.Oldest))))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(out, "\n%s\n", strings.Join(lines, "\n"))
	return err
}

// lastHeard says since when a node is silent, as far as anybody knows.
func lastHeard(v *NodeView) string {
	if v.HeardMillis < 0 {
		return "and no leader has heard it since it leads"
	}
	return "heard by a leader " + span(time.Duration(v.HeardMillis)*time.Millisecond) + " ago"
}

// size writes bytes for people.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if f < 10 {
		return fmt.Sprintf("%.1f %ciB", f, units[i])
	}
	return fmt.Sprintf("%.0f %ciB", f, units[i])
}

// span writes a duration for people, in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
