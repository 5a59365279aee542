package admin

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// explainWait bounds a question: the regions' searches, when only the id is known.
const explainWait = time.Minute

// explainReport is what `explain` says.
type explainReport struct {
	ID        string          `json:"id"`
	Minted    string          `json:"minted"`
	Home      wire.RegionID   `json:"home_region,omitempty"`
	Recipient string          `json:"recipient,omitempty"` // the keyed hash
	Found     bool            `json:"found"`
	Status    string          `json:"status,omitempty"`
	Reason    string          `json:"rejection_reason,omitempty"`
	Region    wire.RegionID   `json:"region,omitempty"` // that has it
	Block     uint64          `json:"log_index,omitempty"`
	Term      uint64          `json:"log_term,omitempty"`
	Position  uint32          `json:"position,omitempty"`
	Steps     []operator.Step `json:"steps"`

	failure error // what was not found out
}

func newExplainCommand() *cobra.Command {
	var (
		whose recipientFlags
		id    wire.MessageID
	)
	return command{
		use:   "explain MESSAGE-ID [--recipient-file FILE | --recipient HASH]",
		short: "Trace a message through the federation, without its body",
		long: `Trace a message through the federation, without its body:
where its id was minted, who owns its
recipient, what each region decided and by which rule, in which entry of which log it is, whether it
waited in a spool, and whether its recipient moves.

The recipient's fiscal code is read from a file, or from standard input with "-", and does not leave
this process: it is hashed here. A hash, as logs and reports show it, can be given instead. Without
either, every region searches what it logged about the time of the id, and says how much that was.`,
		example: `  staffetta admin explain --dir DIR 01KB1Q2W3E4R5T6Y7U8I9O0P1A --recipient-file code.txt
  staffetta admin explain --dir DIR 01KB1Q2W3E4R5T6Y7U8I9O0P1A`,
		args:  cobra.ExactArgs(1),
		flags: func(f *flagSet) { whose.register(f, "recipient") },
		check: func(c *invocation) (err error) {
			if id, err = wire.ParseMessageID(c.args[0]); err != nil {
				return fmt.Errorf("%q is no message id: 26 characters, as the 201 named it", c.args[0])
			}
			if whose.hash != "" && whose.codeFile != "" {
				return errors.New("give --recipient or --recipient-file, not both")
			}
			return nil
		},
		bound: within(explainWait),
		ask: func(c *invocation) (report, error) {
			r, err := whose.recipient(c)
			if err != nil {
				return nil, err
			}
			story, err := c.op.Explain(c.ctx, id, r)
			if story == nil {
				return nil, err
			}
			told := reportStory(story)
			if told.failure = err; err == nil && !told.Found {
				told.failure = wire.Errorf(wire.NotFound, "no region that answered has message %s "+
					"for this recipient", id)
			}
			return told, nil
		},
	}.build()
}

// recipientFlags say whom a command is about, by the fiscal code in a file or by its keyed hash.
type recipientFlags struct{ hash, codeFile string }

func (w *recipientFlags) register(f *flagSet, who string) {
	f.StringVar(&w.codeFile, "recipient-file", "", "file with the "+who+"'s fiscal code; "+
		"- for standard input")
	f.StringVar(&w.hash, "recipient", "", "the "+who+"'s keyed hash, 32 hexadecimal digits")
}

// recipient takes the hash as it is, or hashes the code in the file; zero when none is given.
func (w *recipientFlags) recipient(c *invocation) (r wire.Recipient, err error) {
	switch {
	case w.hash != "":
		b, err := hex.DecodeString(w.hash)
		if err != nil || len(b) != len(r) {
			return r, fmt.Errorf("--recipient is not %d hexadecimal digits", 2*len(r))
		}
		return wire.Recipient(b), nil
	case w.codeFile == "":
		return r, nil
	}
	in, err := c.open(w.codeFile)
	if err != nil {
		return r, fmt.Errorf("--recipient-file: %w", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, 1024))
	if err != nil {
		return r, fmt.Errorf("--recipient-file: %w", err)
	}
	code, err := fiscalcode.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return r, fmt.Errorf("--recipient-file: %s does not hold one fiscal code", w.codeFile)
	}
	hasher, err := c.op.Hasher(c.ctx)
	if err != nil {
		return r, fmt.Errorf("the federation's directory key: %w", err)
	}
	return hasher.Recipient(code), nil
}

func (r explainReport) Failure() error { return r.failure }

func reportStory(s *operator.Story) explainReport {
	r := explainReport{ID: s.ID.String(), Minted: s.Minted.String(), Home: s.Home,
		Steps: s.Steps()}
	if !s.Recipient.IsZero() {
		r.Recipient = hex.EncodeToString(s.Recipient[:])
	}
	verdict := func(v wire.Verdict, region wire.RegionID) {
		r.Found, r.Region, r.Status, r.Reason = true, region, v.Status.String(), v.Reason.String()
	}
	if v := s.Spool; v != nil {
		verdict(v.Verdict, s.Home)
	}
	for _, w := range s.Regions {
		if e := w.Explanation; e != nil && e.Found {
			verdict(e.Verdict, w.Region)
			r.Block, r.Term, r.Position = e.Block, e.Term, e.Position
			break
		}
	}
	return r
}

func (r explainReport) text(p *page) {
	p.printf("message %s\n", r.ID)
	last := ""
	for _, s := range r.Steps {
		where := s.Where
		if where == last {
			where = ""
		}
		last = s.Where
		p.row("  "+where, s.What)
	}
}
