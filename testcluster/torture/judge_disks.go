package torture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/testcluster"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
)

// judgeDisks judges what lies on the disks of a federation that has ended: replicas, inboxes,
// ownership, and what is readable where.
func (t *trial) judgeDisks() error {
	if t.clients == nil {
		return nil
	}
	t.time.tell("judging the disks")
	key, err := testcluster.ReadDirectoryKey(t.cfg.path(process.DirectoryKeyFile))
	if err != nil {
		return err
	}
	d := &diskJudge{trial: t, hasher: wire.NewHasher(key), key: key,
		digests: map[string]map[uint64][32]byte{}, codes: map[string]*citizen{},
		owners: map[wire.Recipient]map[string]wire.Ownership{}, owned: map[string][]*citizen{}}
	d.sealed = newSealedJudge(t.findings, t.cfg.Regions)
	d.people = t.clients.book.everybody()
	for _, c := range d.people {
		d.codes[c.code] = c
	}
	first := map[string]bool{}
	for _, n := range t.file.Nodes {
		gone := t.retired[n.ID]
		if err := d.node(n.ID, n.Region, n.Dir, !gone && !first[n.Region]); err != nil {
			return fmt.Errorf("the disk of %s: %w", n.ID, err)
		}
		first[n.Region] = first[n.Region] || !gone
	}
	d.judgeOwners()
	t.report.Judged.Sealed = d.sealed.judge()
	t.judgeLogs(d)
	return nil
}

// diskJudge goes through the disks one by one.
type diskJudge struct {
	trial  *trial
	key    wire.DirectoryKey
	hasher *wire.Hasher
	people []*citizen
	sealed *sealedJudge
	codes  map[string]*citizen

	digests map[string]map[uint64][32]byte // of a group, by index
	owners  map[wire.Recipient]map[string]wire.Ownership
	owned   map[string][]*citizen // by region
}

// node judges one node's disk. The first of a region stands for its replicas, which must be equal.
func (d *diskJudge) node(id, name, dir string, first bool) (err error) {
	disk, err := testcluster.OpenDisk(dir, "local", wire.RegionID(name), d.key)
	if err != nil {
		return err
	}
	defer disk.Close()
	for group, at := range disk.Digests() {
		if group == "region" {
			group += "/" + name
		}
		d.equal(id, group, at)
	}
	if err := d.sealed.learn(name, disk.Region); err != nil {
		return err
	}
	if first {
		if err := d.inboxes(name, disk.Region); err != nil {
			return err
		}
	}
	return d.scan(id, name, disk)
}

// equal holds a replica's digest against the others' at the same index.
func (d *diskJudge) equal(id, group string, at testcluster.Standing) {
	if d.digests[group] == nil {
		d.digests[group] = map[uint64][32]byte{}
	}
	other, met := d.digests[group][at.Index]
	if met && other != at.Sum {
		d.trial.findings.add("%s: on their disks replicas differ at index %d, %s is one of them",
			group, at.Index, id)
	}
	if met {
		d.trial.report.Judged.Digests++
	}
	d.digests[group][at.Index] = at.Sum
}

// inboxes holds the inboxes of a region's log order against what senders were told, and notes who
// owns which code.
func (d *diskJudge) inboxes(name string, state *region.State) error {
	for _, c := range d.people {
		r := d.hasher.Recipient(fiscalcode.Code(c.code))
		own, _, err := state.Ownership(r)
		if err != nil {
			return err
		}
		if d.owners[r] == nil {
			d.owners[r] = map[string]wire.Ownership{}
		}
		d.owners[r][name] = own
		if own.State != wire.Owned {
			continue
		}
		d.owned[name] = append(d.owned[name], c)
		placed, err := state.Messages(r)
		if err != nil {
			return err
		}
		c.mu.Lock()
		list := c.submissions(r)
		c.mu.Unlock()
		for _, err := range testcluster.Check(list, func(wire.Recipient) ([]region.Placed, error) {
			return placed, nil
		}) {
			d.trial.findings.add("on the disks of %s: %v", name, err)
		}
	}
	return nil
}

// submissions are the citizen's messages as testcluster judges them. What has no id to be known
// by, since its answer was lost, has that of its title in the inbox. Called with mu.
func (c *citizen) submissions(to wire.Recipient) (list []*testcluster.Submission) {
	type moment struct {
		at  int64
		set func(rank int)
	}
	var moments []moment
	for _, s := range c.list {
		id := c.seen[s.title]
		if id == "" && len(s.ids) > 0 {
			id = s.ids[0]
		}
		parsed, err := wire.ParseMessageID(id)
		if err != nil {
			continue
		}
		out := &testcluster.Submission{ID: parsed, Recipient: to}
		moments = append(moments, moment{int64(s.began), func(n int) { out.Began = n }})
		switch {
		case s.known == done && !s.spooled: // what was spooled has no order with the others
			out.Acknowledged, out.Verdict = true, wire.Verdict{Status: wire.Rejected}
			if s.status == processed {
				out.Verdict.Status = wire.Processed
			}
			moments = append(moments, moment{int64(s.acked), func(n int) { out.Ended = n }})
		case s.known == refused:
			out.Refused = true
		}
		list = append(list, out)
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return int(a.at - b.at) })
	for i, m := range moments {
		m.set(i + 1)
	}
	return list
}

// judgeOwners: one region at most owns a code, and knows it by the highest epoch.
func (d *diskJudge) judgeOwners() {
	for _, c := range d.people {
		owners, highest := []string{}, wire.Epoch(0)
		of := d.owners[d.hasher.Recipient(fiscalcode.Code(c.code))]
		for name, own := range of {
			if own.State == wire.Owned {
				owners = append(owners, name)
			}
			highest = max(highest, own.Epoch)
		}
		slices.Sort(owners)
		switch {
		case len(owners) > 1:
			d.trial.findings.add("citizen %d is owned by %v", c.index, owners)
		case len(owners) == 0 && c.held().version > 0:
			d.trial.findings.add("citizen %d, who logged in, is owned by nobody", c.index)
		case len(owners) == 1 && of[owners[0]].Epoch != highest:
			d.trial.findings.add("citizen %d is owned by %s at epoch %d, another region knows of %d",
				c.index, owners[0], of[owners[0]].Epoch, highest)
		case len(owners) == 1 && !slices.Contains(c.homes(), owners[0]):
			d.trial.findings.add("citizen %d is owned by %s and lives in %v", c.index, owners[0],
				c.homes())
		}
	}
}

func (c *citizen) homes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.regions)
}

// scan looks for what is readable of citizens on a disk of a region.
func (d *diskJudge) scan(id, name string, disk *testcluster.Disk) error {
	own := map[string]map[string]bool{"log": {}, "row": {}} // the markers of the region's citizens
	foreign := map[string]bool{}
	err := disk.Scan(func(at testcluster.Place, b []byte) {
		if at.Group == "region" {
			d.sealed.find(name, b)
		}
		d.find(b, func(c *citizen, what string) {
			if at.Group == "region" && slices.Contains(c.homes(), name) {
				if found := own[at.Kind]; found != nil && what != "code" {
					found[what] = true
				}
				return
			}
			text := fmt.Sprintf("%s: %s of citizen %d, who lives in %v, is readable in its %s (%s)",
				id, what, c.index, c.homes(), at.Group, at.Kind)
			if at.Path != "" {
				text += ": " + filepath.Base(at.Path)
			}
			if !foreign[text] {
				foreign[text] = true
				d.trial.findings.add("%s", text)
			}
		})
	})
	if err != nil {
		return err
	}
	if !d.trial.retired[id] { // it has not what came later
		d.seeing(id, name, own)
	}
	return nil
}

// find calls found for each marker and each fiscal code in b.
func (d *diskJudge) find(b []byte, found func(c *citizen, what string)) {
	for rest := b; ; {
		i := bytes.Index(rest, []byte(markerPrefix))
		if i < 0 {
			break
		}
		rest = rest[i:]
		if n, ok := markerAt(rest); ok && n < len(d.people) {
			found(d.people[n], "message "+string(rest[:markerBytes]))
		}
		rest = rest[len(markerPrefix):]
	}
	letters := 0 // that end here, six of which begin a code
	for i := range b {
		if b[i] < 'A' || b[i] > 'Z' {
			letters = 0
			continue
		}
		if letters++; letters >= 6 && i-5+codeBytes <= len(b) {
			if c := d.codes[string(b[i-5:i-5+codeBytes])]; c != nil {
				found(c, "code")
			}
		}
	}
}

const codeBytes = 16

// markerBytes is the length of a marker.
var markerBytes = len(fmt.Sprintf(markerForm, 0, 0))

// markerAt reads the citizen's number of a marker that b begins with.
func markerAt(b []byte) (citizen int, ok bool) {
	if len(b) < markerBytes {
		return 0, false
	}
	number := b[len(markerPrefix) : len(markerPrefix)+6]
	n, err := strconv.Atoi(string(number))
	return n, err == nil && b[len(markerPrefix)+6] == '-'
}

// seeing makes sure that the scan is not blind: every message that the region's citizens have is
// found in the state, and some in the log.
func (d *diskJudge) seeing(id, name string, own map[string]map[string]bool) {
	missing, all := 0, 0
	for _, c := range d.owned[name] {
		c.mu.Lock()
		for title := range c.seen {
			if all++; !own["row"]["message "+title] {
				missing++
			}
		}
		c.mu.Unlock()
	}
	if missing > 0 {
		d.trial.findings.add("%s: %d of %d delivered messages are not found in the state: lost, or "+
			"the scan is blind", id, missing, all)
	}
	if all > 0 && len(own["log"]) == 0 {
		d.trial.findings.add("%s: no delivered message is found in the log: the scan is blind", id)
	}
	d.trial.report.Judged.Markers += len(own["row"])
}

// judgeLogs looks for what may not be in the processes' logs: codes, messages and keys.
func (t *trial) judgeLogs(d *diskJudge) {
	paths, _ := filepath.Glob(t.cfg.path("logs", "*.log"))
	keys := []string{t.clients.keys[0], t.clients.keys[1]}
	for _, r := range t.revoker.list {
		keys = append(keys, r.key)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.findings.add("a log cannot be read: %v", err)
			continue
		}
		name := filepath.Base(path)
		d.find(b, func(c *citizen, what string) {
			t.findings.add("%s shows a %s of citizen %d", name, regexp.MustCompile(` .*`).
				ReplaceAllString(what, ""), c.index)
		})
		for _, key := range keys {
			if bytes.Contains(b, []byte(key)) {
				t.findings.add("%s shows a key", name)
			}
		}
	}
}
