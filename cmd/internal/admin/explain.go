package admin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// explainWait bounds a question: the regions' searches, when only the id is known.
const explainWait = time.Minute

// explainReport is what `explain --json` says.
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
}

func newExplainCommand() *cobra.Command {
	var (
		flags               viewFlags
		recipient, codeFile string
	)
	cmd := &cobra.Command{
		Use:   "explain MESSAGE-ID [--recipient-file FILE | --recipient HASH]",
		Short: "Tell the whole way of a message, without its body",
		Long: `Tell the whole way of a message, without its body: where its id was minted, who owns its
recipient, what each region decided and by which rule, in which entry of which log it is, whether it
waited in a spool, and whether its recipient moves.

The recipient's fiscal code is read from a file, or from standard input with "-", and does not leave
this process: it is hashed here. A hash, as logs and reports show it, can be given instead. Without
either, every region searches what it logged about the time of the id, and says how much that was.`,
		Example: `  staffetta admin explain --dir DIR 01KB1Q2W3E4R5T6Y7U8I9O0P1A --recipient-file code.txt
  staffetta admin explain --dir DIR 01KB1Q2W3E4R5T6Y7U8I9O0P1A`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := wire.ParseMessageID(args[0])
			if err != nil {
				return fmt.Errorf("%q is no message id: 26 characters, as the 201 named it", args[0])
			}
			if recipient != "" && codeFile != "" {
				return errors.New("give --recipient or --recipient-file, not both")
			}
			return flags.with(cmd, explainWait, func(ctx context.Context, op *operator.Client) error {
				r, err := readRecipient(ctx, op, cmd.InOrStdin(), recipient, codeFile)
				if err != nil {
					return err
				}
				return explain(ctx, cmd.OutOrStdout(), op, id, r, flags.asJSON)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&codeFile, "recipient-file", "", "file with the recipient's fiscal code; "+
		"- for standard input")
	cmd.Flags().StringVar(&recipient, "recipient", "", "the recipient's keyed hash, 32 hexadecimal "+
		"digits")
	return cmd
}

// readRecipient takes the hash as it is, or hashes the code in the file; zero when none is given.
func readRecipient(ctx context.Context, op *operator.Client, stdin io.Reader, hash, file string) (
	r wire.Recipient, err error) {
	switch {
	case hash != "":
		b, err := hex.DecodeString(hash)
		if err != nil || len(b) != len(r) {
			return r, fmt.Errorf("--recipient is not %d hexadecimal digits", 2*len(r))
		}
		return wire.Recipient(b), nil
	case file == "":
		return r, nil
	}
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return r, fmt.Errorf("--recipient-file: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 1024))
	if err != nil {
		return r, fmt.Errorf("--recipient-file: %w", err)
	}
	code, err := fiscalcode.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return r, fmt.Errorf("--recipient-file: %s does not hold one fiscal code", file)
	}
	hasher, err := op.Hasher(ctx)
	if err != nil {
		return r, fmt.Errorf("the federation's directory key: %w", err)
	}
	return hasher.Recipient(code), nil
}

func explain(ctx context.Context, out io.Writer, op *operator.Client, id wire.MessageID,
	r wire.Recipient, asJSON bool) error {
	story, err := op.Explain(ctx, id, r)
	if story == nil {
		return fmt.Errorf("explain %s: %w", id, err)
	}
	report := reportStory(story)
	printed := cli.PrintReport(out, asJSON, report, report.text)
	if err == nil && !report.Found {
		err = wire.Errorf(wire.NotFound, "no region that answered has message %s for this recipient",
			id)
	}
	return errors.Join(printed, err)
}

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

func (r explainReport) text(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "message %s\n", r.ID); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	last := ""
	for _, s := range r.Steps {
		where := s.Where
		if where == last {
			where = ""
		}
		last = s.Where
		fmt.Fprintf(w, "  %s\t%s\n", where, s.What)
	}
	return w.Flush()
}
