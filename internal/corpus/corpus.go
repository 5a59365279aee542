// Package corpus is the form of golden logs: what a group's log held once, with the digest of its
// state and a hash of the results after every entry. Replaying them shows that an old entry still
// does what it did. A line of a log is
//
//	e <index> <term> <entry, base64> <digest after it, hex> <hash of the results, hex>
//
// with c in place of e for a membership.
package corpus

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/staffetta/staffetta/wire"
)

// Step is an entry of a log and what it did.
type Step struct {
	Entry  wire.LogEntry
	Digest string // of the state, in hexadecimal
	Result string // ResultHash of what Apply answered
}

// NewStep describes an entry that was applied alone.
func NewStep(e wire.LogEntry, digest [32]byte, result any) Step {
	return Step{Entry: e, Digest: hex.EncodeToString(digest[:]), Result: ResultHash(result)}
}

// ResultHash stands for what an entry answered. The texts of errors may change.
func ResultHash(result any) string {
	h := sha256.New()
	switch r := result.(type) {
	case *wire.Results:
		for _, one := range r.List {
			if one.Err != nil {
				fmt.Fprintf(h, "refused %d %s %d;", one.Err.Code, one.Err.Region, one.Err.Epoch)
			} else {
				fmt.Fprintf(h, "%x;", one.Body)
			}
		}
	case *wire.Outcomes:
		h.Write(wire.Encode(r))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Write writes a log, unless there is one of that name: then it reports false. What a version of
// the program once wrote is never written again.
func Write(path string, steps []Step) (written bool, err error) {
	if _, err := os.Stat(path); err == nil {
		return false, nil
	}
	var b bytes.Buffer
	for _, s := range steps {
		kind := "e"
		if s.Entry.Configuration {
			kind = "c"
		}
		fmt.Fprintf(&b, "%s %d %d %s %s %s\n", kind, s.Entry.Index, s.Entry.Term,
			base64.StdEncoding.EncodeToString(s.Entry.Data), s.Digest, s.Result)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, fmt.Errorf("golden log: %w", err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return false, fmt.Errorf("golden log: %w", err)
	}
	return true, nil
}

// Read reads a log.
func Read(path string) ([]Step, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("golden log: %w", err)
	}
	defer f.Close()
	var steps []Step
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 2*wire.EntryBytesMax)
	for lines.Scan() {
		s, err := parse(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("golden log %s, line %d: %w", path, len(steps)+1, err)
		}
		steps = append(steps, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("golden log %s: %w", path, err)
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("golden log %s is empty", path)
	}
	return steps, nil
}

func parse(line string) (s Step, err error) {
	part := strings.Fields(line)
	if len(part) != 6 || part[0] != "e" && part[0] != "c" {
		return s, fmt.Errorf("%d fields, e or c and five more wanted", len(part))
	}
	s.Entry.Configuration = part[0] == "c"
	if s.Entry.Index, err = strconv.ParseUint(part[1], 10, 64); err != nil {
		return s, err
	}
	if s.Entry.Term, err = strconv.ParseUint(part[2], 10, 64); err != nil {
		return s, err
	}
	if s.Entry.Data, err = base64.StdEncoding.DecodeString(part[3]); err != nil {
		return s, err
	}
	s.Digest, s.Result = part[4], part[5]
	return s, nil
}

// Kinds counts the commands of a log by their kinds, also those within what an operator did.
func Kinds(steps []Step) map[wire.CommandKind]int {
	seen := map[wire.CommandKind]int{}
	for _, s := range steps {
		entry, err := wire.DecodeEntry(s.Entry.Data)
		var list wire.Commands
		if s.Entry.Configuration || err != nil || entry.Kind != wire.CommandsEntry ||
			wire.Decode(entry.Body, &list) != nil {
			continue
		}
		for _, c := range list.List {
			seen[c.Kind]++
			var a wire.Audited
			if c.Kind == wire.CmdAudit && wire.Decode(c.Body, &a) == nil {
				seen[a.Command.Kind]++
			}
		}
	}
	return seen
}
