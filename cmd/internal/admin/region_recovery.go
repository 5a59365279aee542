package admin

import (
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/backup"
	"github.com/staffetta/staffetta/wire"
)

// recoveryFlags name the files of recovery keys that open copies.
type recoveryFlags struct{ files []string }

func (f *recoveryFlags) register(s *flagSet) {
	s.StringArrayVar(&f.files, "recovery-key", nil, "file with the private half of the "+
		"recovery key that a region's copies are sealed to; one for each region")
}

func (f *recoveryFlags) keys() (backup.RecoveryKeys, error) {
	return backup.ReadRecoveryKeyFiles(f.files)
}

// recoveryReport is what `region recovery-key` says.
type recoveryReport struct {
	Region wire.RegionID `json:"region,omitempty"`
	Key    string        `json:"key"`    // its fingerprint; empty: it would have to be made
	Before string        `json:"before"` // that of the region's key of before
	Set    bool          `json:"set"`    // it is on the map now and was not, or would be
	Made   bool          `json:"made"`
	Out    string        `json:"out,omitempty"`
	DryRun bool          `json:"dry_run,omitempty"`
}

func (r *recoveryReport) text(p *page) {
	r.tellOfKey(p)
	switch {
	case r.Key == "":
		p.printf("nothing done: a recovery key would be made in %s\n", r.Out)
		if r.Region != "" {
			p.printf("copies of region %s would be sealed to it from then on\n", r.Region)
		}
	case r.Region == "":
	case r.Set:
		p.printf("copies of region %s %s sealed to recovery key %s from now on\n", r.Region,
			either(!r.DryRun, "are", "would be"), r.Key)
	default:
		p.printf("nothing to do: copies of region %s are sealed to recovery key %s\n", r.Region, r.Key)
	}
}

func (r *recoveryReport) tellOfKey(p *page) {
	if r.Made {
		p.printf("recovery key %s is made: %s is for the custodian, who keeps it off every "+
			"machine of the federation, and more than once; %s may be seen by anybody\n", r.Key, r.Out,
			backup.PublicFile(r.Out))
	}
}

// recoveryKey is what `region recovery-key` is given.
type recoveryKey struct{ region, out, public string }

func newRecoveryKeyCommand() *cobra.Command {
	var k recoveryKey
	return command{
		use:   "recovery-key [--region R] --out FILE | --region R --public FILE",
		short: "Create a recovery key, and seal a region's copies to it",
		long: `Create a recovery key, and seal a region's copies to it. Nodes seal copies before
they give them, so that who takes and keeps copies does not read them: that takes the key's private
half, in FILE. Without it no copy that is taken from now on can be restored. The public half goes
into FILE.pub. A FILE that is there is used as it is, so that the command may be repeated.

The custodian makes the key alone with --out and without --region, on a machine of their own, and
gives the public half to an operator, who sets it with --public. Where two operators are needed, it
takes two to set another key in place of one. Copies that are there open with their own key as
before; the next copy shares nothing with them.`,
		dry: dryDo,
		flags: func(f *flagSet) {
			f.who.register(f.cmd) // not of who only makes a key
			f.StringVar(&k.region, "region", "", "the region whose copies are sealed to it")
			f.StringVar(&k.out, "out", "", "file for the private half; the public one goes beside it")
			f.StringVar(&k.public, "public", "", "file with the public half of a key that the "+
				"custodian has made")
			f.cmd.MarkFlagsOneRequired("out", "public")
			f.cmd.MarkFlagsMutuallyExclusive("out", "public")
		},
		check: func(*invocation) error {
			if k.public != "" && k.region == "" {
				return errors.New("--public needs --region: whose copies are sealed to the key?")
			}
			return nil
		},
		do: k.make,
	}.build()
}

func (k *recoveryKey) make(c *invocation) (report, error) {
	r := &recoveryReport{Region: wire.RegionID(k.region), Out: k.out, DryRun: c.dry}
	if k.region != "" && k.out != "" && !c.dry { // what is refused leaves no key behind
		would := *k
		_, err := would.make(&invocation{ctx: c.ctx, who: c.who, dry: true, errs: io.Discard})
		if err != nil {
			return r, err
		}
	}
	public, err := k.half(r)
	if err != nil || k.region == "" {
		return r, err
	}
	err = c.asking(adminWait, func() error { return k.set(c, public, r) })
	if err != nil { // what was made is there
		var p page
		r.tellOfKey(&p)
		c.tell("%s", p.String())
	}
	return r, err
}

// half is the public half of the key that is named, made when --out names no file yet.
func (k *recoveryKey) half(r *recoveryReport) ([]byte, error) {
	if k.public != "" {
		public, err := backup.ReadRecoveryPublicFile(k.public)
		r.Key = wire.RecoveryIDOf(public).String()
		return public, err
	}
	key, err := backup.ReadRecoveryKeyFile(k.out)
	if errors.Is(err, fs.ErrNotExist) {
		if r.DryRun { // some key, that is in no file and of which there is nothing to say
			if key, err = wire.NewRecoveryKey(); err != nil {
				return nil, err
			}
			return key.Public(), nil
		}
		key, err = backup.NewRecoveryKeyFile(k.out)
		r.Made = err == nil
	}
	if err != nil {
		return nil, err
	}
	r.Key = key.ID().String()
	return key.Public(), nil
}

func (k *recoveryKey) set(c *invocation, public []byte, r *recoveryReport) error {
	_, region, err := c.onMap("region", k.region)
	if err != nil {
		return err
	}
	if len(region.Recovery) > 0 {
		r.Before = wire.RecoveryIDOf(region.Recovery).String()
	}
	r.Set = r.Before != r.Key
	return c.op.SetRecoveryKey(c.ctx, r.Region, public)
}
