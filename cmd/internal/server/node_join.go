package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"

	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/adminhttp"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/node/membership"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// origin is what a node starts with: from the flags and files of a founding node, or from what a
// join left in the data directory.
type origin struct {
	id             wire.NodeID
	region         wire.RegionID
	founding       *wire.Map
	joined, founds bool
	key            wire.DirectoryKey
	certs          *link.Credentials
	files          certFlags // that certs are from
}

// origin reads what a founding node was given; nil when the node joins, or joined.
func (f *nodeFlags) origin() (*origin, error) {
	if f.joinFile != "" || membership.HasJoined(f.dir) {
		return nil, nil
	}
	var missing []string
	for _, flag := range []struct{ name, value string }{{"id", f.id}, {"region", f.region},
		{"cert", f.pki.cert}, {"key", f.pki.key}, {"ca", f.pki.ca}} {
		if flag.value == "" {
			missing = append(missing, `"`+flag.name+`"`)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("required flag(s) %s not set, nor --join",
			strings.Join(missing, ", "))
	}
	m, err := founding.Read(f.foundingFile)
	if err != nil {
		return nil, err
	}
	key, err := cli.ReadDirectoryKey(f.directoryKeyFile)
	if err != nil {
		return nil, err
	}
	certs, err := f.pki.load(m.Federation)
	if err != nil {
		return nil, err
	}
	return &origin{id: wire.NodeID(f.id), region: wire.RegionID(f.region), founding: m, key: key,
		certs: certs, files: f.pki}, nil
}

// join brings the node into the federation, or goes on with what it has. The node's certificate is
// its own from then on, in the data directory; other files may be given instead.
func (f *nodeFlags) join(ctx context.Context, conn net.PacketConn, logger *slog.Logger) (
	*origin, error) {
	var token *membership.Token
	if f.joinFile != "" && !membership.HasJoined(f.dir) {
		var err error
		if token, err = membership.ReadToken(f.joinFile); err != nil {
			return nil, err
		}
	}
	j, err := membership.Join(ctx, membership.JoinConfig{Dir: f.dir, Token: token, PacketConn: conn,
		SeedRate: uint64(f.seedRate), Logger: logger})
	if err != nil {
		return nil, err
	}
	if f.id != "" && f.id != string(j.ID) || f.region != "" && f.region != string(j.Region) {
		return nil, fmt.Errorf("the data directory is of node %s of region %s", j.ID, j.Region)
	}
	pki := certFlags{cert: j.CertFile, key: j.KeyFile, ca: j.CAFile}
	if f.pki != (certFlags{}) {
		if pki = f.pki; pki.cert == "" || pki.key == "" || pki.ca == "" {
			return nil, errors.New("give all of --cert, --key and --ca, or none: then the node's " +
				"certificate is the one that it joined with")
		}
	}
	certs, err := pki.load(j.Federation)
	if err != nil {
		return nil, err
	}
	return &origin{id: j.ID, region: j.Region, founding: j.Map, joined: true, founds: j.Founds,
		key: j.DirectoryKey, certs: certs, files: pki}, nil
}

// healthOf is the health of a node that may not run yet.
func healthOf(running *atomic.Pointer[node.Node]) func() adminhttp.Health {
	return func() adminhttp.Health {
		if n := running.Load(); n != nil {
			return n.Health()
		}
		return adminhttp.Health{Reasons: []string{"the node is starting, or joins the federation"}}
	}
}

// viewOf is the same for /status.
func viewOf(running *atomic.Pointer[node.Node]) func() any {
	return func() any {
		if n := running.Load(); n != nil {
			return n.View()
		}
		return struct{}{}
	}
}
