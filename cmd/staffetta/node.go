package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
	"golang.org/x/sync/errgroup"
)

func newNodeCommand() *cobra.Command {
	var (
		log                                      logFlags
		pki                                      certFlags
		id, region, listen, admin, dir           string
		foundingFile, directoryKeyFile, logStore string
		eraseAfter                               time.Duration
	)
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run one relay node",
		Long: `Run one relay node: a replica of its region's group and one of the federation's,
on one UDP port and one data directory.

/health, /metrics and /status are served at --admin.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := log.logger(cmd)
			if err != nil {
				return err
			}
			m, err := founding.Read(foundingFile)
			if err != nil {
				return err
			}
			key, err := readDirectoryKey(directoryKeyFile)
			if err != nil {
				return err
			}
			certs, err := pki.load(m.Federation)
			if err != nil {
				return err
			}
			registry := newRegistry()
			adminListener, err := net.Listen("tcp", admin)
			if err != nil {
				return fmt.Errorf("--admin: %w", err)
			}
			defer adminListener.Close()
			conn, err := net.ListenPacket("udp", listen)
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			defer conn.Close()
			n, err := node.New(node.Config{ID: wire.NodeID(id), Region: wire.RegionID(region),
				Founding: m, DirectoryKey: key, Dir: dir, LogStore: logStore, PacketConn: conn,
				Certificate: certs.Certificate, Roots: certs.Roots, EraseAfter: eraseAfter,
				Logger: logger.With("node", id), Registerer: registry})
			if err != nil {
				return err
			}
			logger.Info("node started", "node", id, "region", region, "listen", listen,
				"admin", adminListener.Addr().String())
			g, ctx := errgroup.WithContext(cmd.Context())
			g.Go(func() error { return n.Run(ctx) })
			g.Go(func() error {
				return adminhttp.Serve(ctx, adminListener, adminhttp.New(n.Health,
					func() any { return n.Status() }, registry), logger)
			})
			err = g.Wait()
			logger.Info("node stopped", "node", id)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&id, "id", "", "the node's name, as in the founding file")
	f.StringVar(&region, "region", "", "its region")
	f.StringVar(&listen, "listen", ":7400", "UDP address of the link")
	f.StringVar(&admin, "admin", "127.0.0.1:7401", "TCP address of health, metrics and status")
	f.StringVar(&dir, "dir", "", "data directory, made when missing")
	f.StringVar(&foundingFile, "founding", "founding.json", "the federation's founding file")
	f.StringVar(&directoryKeyFile, "directory-key", "directory.key",
		"file with the federation's directory key, 64 hexadecimal digits")
	f.StringVar(&logStore, "log-store", "wal", "where the Raft logs lie: wal or bolt")
	f.DurationVar(&eraseAfter, "erase-after", 24*time.Hour,
		"how long refused content may stay on disk, at most 720h")
	for _, name := range []string{"id", "region", "dir"} {
		cmd.MarkFlagRequired(name)
	}
	pki.register(cmd)
	log.register(cmd)
	return cmd
}

// readDirectoryKey reads a key of 64 hexadecimal digits. Its errors do not show the file's text.
func readDirectoryKey(path string) (wire.DirectoryKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return wire.DirectoryKey{}, fmt.Errorf("--directory-key: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return wire.DirectoryKey{}, fmt.Errorf("--directory-key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != len(wire.DirectoryKey{}) {
		return wire.DirectoryKey{}, fmt.Errorf("--directory-key: %s does not hold 64 "+
			"hexadecimal digits", path)
	}
	return wire.DirectoryKey(key), nil
}

// newRegistry is a process's metrics: its own, Go's and the operating system's.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
