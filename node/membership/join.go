package membership

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// The files of a node that joined, below datadir.IdentityDir of its data directory. join.json is
// written last of those that a join begins with; each of the others appears as a whole, when its
// step is done, so that a join that was interrupted goes on where it was.
const (
	joinFile         = "join.json"
	nodeKeyFile      = "node.key"      // PEM; never leaves the machine
	requestFile      = "request.der"   // for its certificate
	nodeCertFile     = "node.crt"      // PEM, once an operator has signed
	authoritiesFile  = "ca.crt"        // PEM
	directoryKeyFile = "directory.key" // 64 hexadecimal digits
	mapFile          = "map"           // as the node joined
	seededFile       = "seeded"        // the states were fetched, or need not be

	joinFormat = 1
	// joinPause separates the tries of a step.
	joinPause = time.Second
)

// JoinConfig says how a node comes into being without a founding file.
type JoinConfig struct {
	// Dir is the data directory, created if missing.
	Dir string
	// Token admits the node. Nil goes on with what Dir has.
	Token *Token
	// PacketConn is the node's UDP socket, to be used by the node afterwards.
	PacketConn net.PacketConn
	// SeedRate bounds the fetching of states, in bytes per second; 0: as fast as it goes.
	SeedRate uint64
	FS       vfs.FS // of the states; default: the disk
	Logger   *slog.Logger
}

// Joined is what a node that joined starts with.
type Joined struct {
	ID           wire.NodeID
	Region       wire.RegionID
	Federation   string
	DirectoryKey wire.DirectoryKey
	// Map is the federation's as the node joined. Founds: the node begins its region's group.
	Map    *wire.Map
	Founds bool
	// CertFile, KeyFile and CAFile are of the node's certificate.
	CertFile, KeyFile, CAFile string
}

// owner is whose data directory it is.
func (d *Joined) owner() datadir.Owner {
	return datadir.Owner{Format: datadir.Format, Node: d.ID, Federation: d.Federation,
		Region: d.Region}
}

// joinState is join.json.
type joinState struct {
	Format int    `json:"format"`
	Token  *Token `json:"token"` // without secret and key once the node has its certificate
	Founds bool   `json:"founds"`
}

// joining is a join under way.
type joining struct {
	cfg   JoinConfig
	dir   *datadir.Dir
	state joinState
}

// HasJoined reports whether dir is the data directory of a node that joins, or joined.
func HasJoined(dir string) bool {
	return !datadir.Missing(filepath.Join(dir, datadir.IdentityDir, joinFile))
}

// Join makes the data directory of a node that joins a federation ready for New. It makes the
// node's key, asks for its certificate until an operator signs, or the token expires, fetches the
// directory key and the map, and copies of the states that the node is to replicate. Each step
// that is done stays done; a node that has joined asks nobody.
func Join(ctx context.Context, cfg JoinConfig) (_ *Joined, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	j := &joining{cfg: cfg}
	if j.dir, err = datadir.Lock(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.dir.Close()) }()
	if err := j.begin(); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	for _, step := range []struct {
		file string
		do   func(context.Context) error
	}{{nodeCertFile, j.enrol}, {mapFile, j.learn}, {seededFile, j.seed}} {
		if !datadir.Missing(j.path(step.file)) {
			continue
		}
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
	}
	return j.joined()
}

func (j *joining) path(name string) string { return j.dir.Sub(datadir.IdentityDir, name) }

func (j *joining) write(name string, b []byte) error {
	return datadir.WriteSynced(j.dir.Sub(datadir.IdentityDir), name, b)
}

// begin reads join.json, or writes it with everything that has to be there before it.
func (j *joining) begin() error {
	b, err := os.ReadFile(j.path(joinFile))
	if err == nil {
		if err := json.Unmarshal(b, &j.state); err != nil || j.state.Token == nil ||
			j.state.Format != joinFormat {
			return fmt.Errorf("%s is damaged, or of another version", j.path(joinFile))
		}
		have, given := j.state.Token, j.cfg.Token
		if given != nil && (given.Node != have.Node || given.Federation != have.Federation) {
			return fmt.Errorf("the data directory is node %s's of federation %s, the token is for "+
				"node %s of federation %s", have.Node, have.Federation, given.Node,
				given.Federation)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if j.cfg.Token == nil {
		return errors.New("the data directory is not of a node that joins; a token is needed")
	}
	if j.dir.IsOwned() {
		return fmt.Errorf("data directory %s is another node's", j.cfg.Dir)
	}
	if err := j.dir.CheckFresh(); err != nil {
		return err
	}
	if err := os.MkdirAll(j.dir.Sub(datadir.IdentityDir), 0o700); err != nil {
		return err
	}
	request, key, err := ca.NewRequest(j.cfg.Token.nodeIdentity().URI())
	if err != nil {
		return err
	}
	j.state = joinState{Format: joinFormat, Token: j.cfg.Token}
	return errors.Join(j.write(nodeKeyFile, key), j.write(requestFile, request),
		j.write(authoritiesFile, []byte(j.cfg.Token.Authorities)), j.writeState())
}

func (j *joining) writeState() error {
	b, err := json.MarshalIndent(&j.state, "", "  ")
	if err != nil {
		return err
	}
	return j.write(joinFile, b)
}

// enrol asks for the node's certificate until it is there.
func (j *joining) enrol(ctx context.Context) error {
	t := j.state.Token
	cert, roots, err := t.credentials()
	if err != nil {
		return err
	}
	request, err := os.ReadFile(j.path(requestFile))
	if err != nil {
		return err
	}
	l, stop, err := j.link(ctx, cert, roots)
	if err != nil {
		return fmt.Errorf("the token's certificate: %w", err)
	}
	defer stop()
	q := &wire.EnrolRequest{Secret: [32]byte(t.Secret), Request: request}
	var k wire.JoinToken
	told := false
	err = j.repeat(ctx, "no certificate yet", func() error {
		k = wire.JoinToken{}
		err := j.ask(ctx, l, t.Nodes, wire.MethodEnrol, q, &k)
		if err == nil && len(k.Certificate) > 0 {
			return nil
		}
		if time.Now().After(t.Expires) && (err == nil || wire.Retriable(err)) {
			return wire.Errorf(wire.Forbidden, "the token of node %s expired at %s", t.Node,
				wire.TimeOf(t.Expires))
		}
		if err != nil {
			return err
		}
		if !told {
			j.cfg.Logger.Info("the certificate waits for an operator to sign it", "node", t.Node)
			told = true
		}
		return errNotYet
	})
	if err != nil {
		return err
	}
	certPEM, err := ca.CertificatePEM(k.Certificate)
	if err != nil {
		return err
	}
	// The secret and the joiner's key are of no use from here on.
	token := *t
	token.Secret, token.Key, token.Certificate = nil, "", ""
	j.state.Founds = k.Founds
	j.state.Token = &token
	if err := j.writeState(); err != nil {
		return err
	}
	j.cfg.Logger.Info("the node has its certificate", "node", t.Node)
	return j.write(nodeCertFile, certPEM)
}

// learn fetches the directory key and the map, which the node is on once the node that is asked
// has heard of it.
func (j *joining) learn(ctx context.Context) error {
	l, stop, err := j.nodeLink(ctx)
	if err != nil {
		return err
	}
	defer stop()
	t := j.state.Token
	var w wire.Welcome
	err = j.repeat(ctx, "the federation's map is not known yet", func() error {
		w = wire.Welcome{}
		err := j.ask(ctx, l, t.Nodes, wire.MethodHello, &wire.Hello{Version: wire.ProtocolVersion},
			&w)
		if err != nil {
			return err
		}
		if _, there := w.Map.Node(t.Node); !there {
			return errNotYet
		}
		return nil
	})
	if err != nil {
		return err
	}
	key := []byte(hex.EncodeToString(w.Key[:]) + "\n")
	if err := j.write(directoryKeyFile, key); err != nil {
		return err
	}
	return j.write(mapFile, wire.Encode(&w.Map))
}

// joined reads what the steps left.
func (j *joining) joined() (*Joined, error) {
	t := j.state.Token
	d := &Joined{ID: t.Node, Region: t.Region, Federation: t.Federation, Founds: j.state.Founds,
		CertFile: j.path(nodeCertFile), KeyFile: j.path(nodeKeyFile),
		CAFile: j.path(authoritiesFile), Map: new(wire.Map)}
	b, err := os.ReadFile(j.path(mapFile))
	if err == nil {
		err = wire.Decode(b, d.Map)
	}
	if err != nil {
		return nil, fmt.Errorf("join: %s: %w", j.path(mapFile), err)
	}
	b, err = os.ReadFile(j.path(directoryKeyFile))
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	n, err := hex.Decode(d.DirectoryKey[:], b[:min(len(b), 2*len(d.DirectoryKey))])
	if err != nil || n != len(d.DirectoryKey) {
		return nil, fmt.Errorf("join: %s does not hold 64 hexadecimal digits", j.path(directoryKeyFile))
	}
	return d, nil
}

// nodeLink is a link under the node's own certificate.
func (j *joining) nodeLink(ctx context.Context) (*link.Link, func(), error) {
	cert, err := tls.LoadX509KeyPair(j.path(nodeCertFile), j.path(nodeKeyFile))
	if err != nil {
		return nil, nil, err
	}
	b, err := os.ReadFile(j.path(authoritiesFile))
	if err != nil {
		return nil, nil, err
	}
	roots, err := parseAuthorities(b)
	if err != nil {
		return nil, nil, err
	}
	return j.link(ctx, &cert, roots)
}

// link runs a link on the node's socket until stop is called.
func (j *joining) link(ctx context.Context, cert *tls.Certificate, roots []*x509.Certificate) (
	l *link.Link, stop func(), err error) {
	l, err = link.New(link.Config{Federation: j.state.Token.Federation,
		PacketConn: j.cfg.PacketConn, Logger: j.cfg.Logger,
		Certificate: func() (*tls.Certificate, error) { return cert, nil },
		Authorities: func() []*x509.Certificate { return roots }})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return l, func() {
		cancel()
		if err := <-done; err != nil {
			j.cfg.Logger.Warn("the link ended", "reason", err)
		}
	}, nil
}

// ask calls the nodes in turn until one answers; a refusal that asking again does not mend wins.
func (j *joining) ask(ctx context.Context, l *link.Link, nodes []string, m wire.Method,
	req, resp codec.Message) (err error) {
	for _, addr := range nodes {
		attempt, cancel := context.WithTimeout(ctx, wire.OwnerWait)
		answer, callErr := l.Call(attempt, link.Peer{Addr: addr}, m, wire.Encode(req))
		cancel()
		if callErr == nil {
			return wire.Decode(answer, resp)
		}
		if err = callErr; !wire.Retriable(err) {
			return err
		}
	}
	return err
}

// errNotYet makes repeat go on without a word.
var errNotYet = errors.New("not yet")

// repeat calls f until it succeeds, fails for good, or ctx ends. Why it goes on is said now and
// then.
func (j *joining) repeat(ctx context.Context, what string, f func() error) error {
	for tries := 0; ; tries++ {
		err := f()
		if err == nil || !errors.Is(err, errNotYet) && !wire.Retriable(err) {
			return err
		}
		if tries%30 == 10 {
			j.cfg.Logger.Warn(what, "reason", err.Error())
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
