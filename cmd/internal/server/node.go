package server

import (
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/node/seat"
	"golang.org/x/sync/errgroup"
)

// NewNodeCommand is the command that runs one relay node. The clock is for tests; nil: the
// machine's.
func NewNodeCommand(clock Clock) *cobra.Command {
	f := nodeFlags{clock: clockFlags{clock}}
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run one relay node",
		Long: `Run one relay node: a replica of its region's group and one of the federation's,
on one UDP port and one data directory.

A founding node is given its name, the founding file, the directory key and its certificate. A node
that joins a federation that is there is given a join token, once, and nothing else:

  staffetta node --join lazio-4.token --dir data --listen 10.0.0.4:7400

/health, /metrics and /status are served at --admin.`,
		Example: `  staffetta node --dir data --config node.conf`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(cmd)
	return cmd
}

type nodeFlags struct {
	log                                      cli.LogFlags
	pki                                      certFlags
	clock                                    clockFlags
	disk                                     diskFlags
	spool                                    spoolFlags
	id, region, listen, admin, dir           string
	foundingFile, directoryKeyFile, logStore string
	eraseAfter, keepMoved, staleReadsFor     time.Duration
	joinFile                                 string
	seedRate                                 size
	renew                                    bool
}

func (f *nodeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.id, "id", "", "the node's name, as in the founding file")
	flags.StringVar(&f.region, "region", "", "its region")
	flags.StringVar(&f.listen, "listen", ":7400", "UDP address of the link")
	flags.StringVar(&f.admin, "admin", "127.0.0.1:7401", "TCP address of health, metrics and status")
	flags.StringVar(&f.dir, "dir", "", "data directory, created if missing")
	flags.StringVar(&f.foundingFile, "founding", "founding.json", "the federation's founding file")
	flags.StringVar(&f.directoryKeyFile, "directory-key", "directory.key",
		"file with the federation's directory key, 64 hexadecimal digits")
	flags.StringVar(&f.logStore, "log-store", "wal", "store of the Raft logs: wal or bolt")
	flags.DurationVar(&f.keepMoved, "keep-moved", 7*24*time.Hour,
		"how long the data of a citizen who moved to another region is kept here")
	flags.DurationVar(&f.eraseAfter, "erase-after", 24*time.Hour,
		"how long refused content may stay on disk, at most 720h")
	flags.DurationVar(&f.staleReadsFor, "stale-reads-for", 24*time.Hour,
		"how old citizens' reads may be that a region without a majority answers; 0: none")
	flags.StringVar(&f.joinFile, "join", "", "file with the join token of a node that is to come "+
		"into a federation that is there, instead of the flags about the founding and certificates")
	flags.Var(&f.seedRate, "seed-rate", "how much of its states' copies a node that joins fetches in "+
		"a second; 0: as fast as it goes")
	cmd.MarkFlagRequired("dir")
	f.pki.registerOptional(cmd)
	registerRenew(cmd, &f.renew)
	f.log.Register(cmd)
	f.clock.register(cmd)
	f.disk.register(cmd)
	f.spool.register(cmd)
}

func (f *nodeFlags) run(cmd *cobra.Command) error {
	TuneMemory(NodeMemory)
	logger, err := f.log.Logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o, err := f.origin()
	if err != nil {
		return err
	}
	adminListener, err := net.Listen("tcp", f.admin)
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	defer adminListener.Close()
	conn, err := net.ListenPacket("udp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer conn.Close()
	registry := newRegistry()
	var running atomic.Pointer[node.Node]
	g, ctx := errgroup.WithContext(cmd.Context())
	g.Go(func() error {
		return adminhttp.Serve(ctx, adminListener, adminhttp.New(healthOf(&running),
			viewOf(&running), registry), logger)
	})
	g.Go(func() (err error) {
		if o == nil { // the node joins, or joined
			if o, err = f.join(ctx, conn, logger); err != nil {
				return err
			}
		}
		n, err := node.New(f.config(o, conn, logger, registry))
		if err != nil {
			return err
		}
		running.Store(n)
		logger.Info("node started", "node", o.id, "region", o.region, "listen", f.listen,
			"admin", adminListener.Addr().String())
		return n.Run(ctx)
	})
	err = g.Wait()
	if n := running.Load(); n != nil {
		logger.Info("node stopped", "node", o.id)
	}
	return err
}

// config is the node's, of which o is what differs between founding nodes and those that joined.
func (f *nodeFlags) config(o *origin, conn net.PacketConn, logger *slog.Logger,
	registry *prometheus.Registry) node.Config {
	return node.Config{Program: cli.Version(), ID: o.id, Region: o.region, Founding: o.founding,
		Joined: o.joined, Founds: o.founds, DirectoryKey: o.key, Dir: f.dir,
		LogStore: f.logStore, PacketConn: conn, Certificate: o.certs.Certificate,
		Authorities: o.certs.Authorities, Problem: o.certs.Problem, Renew: o.files.renewed(f.renew),
		EraseAfter: f.eraseAfter,
		KeepMoved:  f.keepMoved, StaleReadsFor: f.staleReadsFor,
		Disk: f.disk.limits(), Spool: f.spool.config(),
		BallastBytes: uint64(f.disk.ballast), Now: f.clock.now(), Uptime: seat.Uptime,
		Logger: logger.With("node", string(o.id)), Registerer: registry}
}

// newRegistry is a process's metrics: its own, Go's and the operating system's.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
