package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
)

func newServiceKeyCommand() *cobra.Command {
	return group("key", "Revoke and rotate the keys of services", newKeyRevokeCommand(),
		newKeyRotateCommand())
}

// serviceKey is which key of which service, as flags say it.
type serviceKey struct {
	service, name string
	out           string // of rotate
	which         wire.KeyName
}

func (k *serviceKey) register(f *flagSet) {
	f.need(&k.service, "service", "the service's id")
	f.need(&k.name, "name", "which key: primary or secondary")
}

func (k *serviceKey) check(*invocation) error {
	var ok bool
	if k.which, ok = map[string]wire.KeyName{"primary": wire.PrimaryKey,
		"secondary": wire.SecondaryKey}[k.name]; !ok {
		return fmt.Errorf("--name %q is not primary or secondary", k.name)
	}
	if !wire.ServiceID(k.service).Valid() {
		return fmt.Errorf("--service %q is not a service id", k.service)
	}
	return nil
}

// changedKey is what both commands say.
type changedKey struct {
	Done    string `json:"done"` // revoke or rotate; empty for a dry run
	Service string `json:"service_id"`
	Name    string `json:"name"`
	Key     string `json:"key,omitempty"`
	Out     string `json:"out,omitempty"`
	verb    string
}

func (c changedKey) text(p *page) {
	switch {
	case c.Done == "":
		p.printf("nothing done: would %s the %s key of %s\n", c.verb, c.Name, c.Service)
	case c.Key != "":
		p.printf("%s\n", c.Key)
	default:
		p.printf("the %s key of %s %s\n", c.Name, c.Service,
			either(c.Done == "revoke", "is revoked", "is the one in "+c.Out))
	}
}

func newKeyRevokeCommand() *cobra.Command {
	var k serviceKey
	return command{
		use: "revoke --service ID --name primary|secondary",
		short: "Revoke a key: within a second of this command's end every gateway whose node\n" +
			"reaches the federation's leader refuses it",
		dry:   dryDo,
		flags: k.register,
		check: k.check,
		ask:   func(c *invocation) (report, error) { return k.change(c, "revoke") },
	}.build()
}

func newKeyRotateCommand() *cobra.Command {
	var k serviceKey
	return command{
		use: "rotate --service ID --name primary|secondary [--out FILE]",
		short: "Replace a key by a new one, which is shown only here; the old one is\n" +
			"revoked by it",
		long: `Replace a key by a new one, which is shown only here; the old one is revoked by it.

With --out the new key is written to a file before the federation hears of it, and the same
command again puts the same key: interrupted or repeated, it does no harm. Without it the key is
printed, and each run makes another one, which revokes the last one's.`,
		dry: dryDo,
		flags: func(f *flagSet) {
			k.register(f)
			f.StringVar(&k.out, "out", "", "file to write the new key to, or that has it already")
		},
		check: k.check,
		ask:   func(c *invocation) (report, error) { return k.change(c, "rotate") },
	}.build()
}

func (k *serviceKey) change(c *invocation, verb string) (report, error) {
	r := changedKey{Service: k.service, Name: k.name, Out: k.out, verb: verb}
	service := wire.ServiceID(k.service)
	if c.dry {
		if _, err := c.op.Service(c.ctx, service); err != nil {
			return nil, err
		}
		return r, c.op.RevokeKey(c.ctx, service, k.which)
	}
	var key string
	var err error
	if verb == "revoke" {
		err = c.op.RevokeKey(c.ctx, service, k.which)
	} else if key, err = newKeyIn(k.out); err != nil {
		err = fmt.Errorf("--out: %w", err)
	} else {
		err = c.op.RotateKey(c.ctx, service, k.which, key)
	}
	if err != nil {
		return nil, err
	}
	if c.who.dir != "" {
		if err := process.ReplaceKey(c.who.dir, k.service, k.which, key); err != nil {
			c.tell("done, but its files name the old key: %v\n", err)
		}
	}
	if r.Done = verb; k.out == "" {
		r.Key = key
	}
	return r, nil
}

// newKeyIn makes a key, or takes the one that the file has; without a file it is kept nowhere.
func newKeyIn(file string) (string, error) {
	key := operator.NewKey()
	if file == "" {
		return key, nil
	}
	switch text, err := ca.ReadFile(file); {
	case errors.Is(err, fs.ErrNotExist):
		return key, ca.ReplaceFile(file, []byte(key+"\n"), 0o600)
	case err != nil:
		return "", err
	case len(strings.TrimSpace(string(text))) != len(key):
		return "", fmt.Errorf("%s is there, and holds no key", file)
	default:
		return strings.TrimSpace(string(text)), nil
	}
}
