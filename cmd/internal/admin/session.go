package admin

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/wire"
)

func newSessionCommand() *cobra.Command {
	return group("session", "Show and end the sessions of a citizen", newSessionListCommand(),
		newSessionEndCommand())
}

// sessionsReport is what `session list` says.
type sessionsReport struct {
	Recipient string        `json:"recipient"` // the keyed hash
	Sessions  []sessionLine `json:"sessions"`
}

type sessionLine struct {
	ID       string     `json:"id"`
	Device   string     `json:"device,omitempty"`
	Provider string     `json:"provider,omitempty"`
	Level    wire.Level `json:"level,omitempty"`
	Created  string     `json:"created"`
	Ends     string     `json:"ends"`
	Key      bool       `json:"device_key"`
}

func (r sessionsReport) text(p *page) {
	if len(r.Sessions) == 0 {
		p.printf("no sessions\n")
	}
	for _, s := range r.Sessions {
		p.row(s.ID, fmt.Sprintf("%s, level %d, since %s, until %s", s.Device, s.Level, s.Created,
			s.Ends))
	}
}

// checkWhose insists on a citizen.
func (w *recipientFlags) checkWhose(*invocation) error {
	if (w.hash == "") == (w.codeFile == "") {
		return errors.New("give --recipient-file or --recipient: whose sessions?")
	}
	return nil
}

func newSessionListCommand() *cobra.Command {
	var whose recipientFlags
	return command{
		use:   "list",
		short: "List the sessions of a citizen",
		long: `List the sessions of a citizen: the device, the level and provider of the login, and until
when. The region's log has a line of who asked.

The fiscal code is read from a file, or from standard input with "-", and does not leave this
process: it is hashed here.`,
		example: `  staffetta admin session list --dir DIR --recipient-file code.txt`,
		flags:   func(f *flagSet) { whose.register(f, "citizen") },
		check:   whose.checkWhose,
		ask: func(c *invocation) (report, error) {
			r, err := whose.recipient(c)
			if err != nil {
				return nil, err
			}
			list, err := c.op.Sessions(c.ctx, r)
			if err != nil {
				return nil, err
			}
			told := sessionsReport{Recipient: hex.EncodeToString(r[:]), Sessions: []sessionLine{}}
			for i := range list {
				v := &list[i]
				told.Sessions = append(told.Sessions, sessionLine{ID: v.ID.String(),
					Device: v.Device, Provider: v.Provider, Level: v.Level,
					Created: v.CreatedAt.String(), Ends: v.EndsAt.String(), Key: v.HasKey})
			}
			return told, nil
		},
	}.build()
}

// endedReport is what `session end` says.
type endedReport struct {
	Recipient string `json:"recipient"`
	Ended     uint32 `json:"ended"`
	DryRun    bool   `json:"dry_run,omitempty"`
}

func (r endedReport) text(p *page) {
	if r.DryRun {
		p.printf("would end them\n")
		return
	}
	p.printf("ended %d sessions\n", r.Ended)
}

func newSessionEndCommand() *cobra.Command {
	var (
		whose recipientFlags
		text  string
		id    wire.SessionID
	)
	return command{
		use:   "end [--id ID]",
		short: "End all sessions of a citizen, or one",
		long: `End all sessions of a citizen, or the one with an id that "session list" shows. Every
gateway refuses them from the next request on; the citizen logs in again. It is for an identity that
was suspended, or a lost telephone. The region's log has a line of who ordered it.

The fiscal code is read from a file, or from standard input with "-", and does not leave this
process: it is hashed here. The same order again ends what was opened since.`,
		example: `  staffetta admin session end --dir DIR --recipient-file code.txt
  staffetta admin session end --dir DIR --recipient-file code.txt --id ID`,
		dry: dryDo,
		flags: func(f *flagSet) {
			whose.register(f, "citizen")
			f.StringVar(&text, "id", "", "end this session only")
		},
		check: func(c *invocation) error {
			var ok bool
			if id, ok = wire.ParseSessionID(text); !ok && text != "" {
				return fmt.Errorf("--id %q is no id of a session: 32 hexadecimal digits", text)
			}
			return whose.checkWhose(c)
		},
		ask: func(c *invocation) (report, error) {
			r, err := whose.recipient(c)
			if err != nil {
				return nil, err
			}
			n, err := c.op.EndSessions(c.ctx, r, id)
			if err != nil {
				return nil, err
			}
			return endedReport{Recipient: hex.EncodeToString(r[:]), Ended: n, DryRun: c.dry}, nil
		},
	}.build()
}
