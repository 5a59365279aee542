package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/gateway"
	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// NewGatewayCommand is the command that runs one gateway. The clock is for tests; nil: the
// machine's.
func NewGatewayCommand(clock Clock) *cobra.Command {
	f := gatewayFlags{clock: clockFlags{clock}}
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run one gateway",
		Long: `Run one gateway: the stateless edge that speaks the institutions' and the citizens'
HTTP contract. Its certificate says which gateway it is and its home region.

/health, /metrics and /status are served at --admin.`,
		Example: `  staffetta gateway --config gateway.conf`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(cmd)
	return cmd
}

type gatewayFlags struct {
	log              cli.LogFlags
	pki              certFlags
	clock            clockFlags
	http, admin      string
	link             string
	tlsCert, tlsKey  string
	nodes, proxies   []string
	testLogin        string
	providers        string
	session, keysFor time.Duration
	capacity         int
	acceptUnserved   bool
	contact          string
	featured         []string
	remoteAllow      []string
	renew            bool
	weights          map[string]int
	oneSession       bool
}

func (f *gatewayFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.http, "http", ":8080", "TCP address of the HTTP contract")
	flags.StringVar(&f.admin, "admin", "127.0.0.1:8081", "TCP address of health, metrics and status")
	flags.StringVar(&f.link, "link", ":0", "UDP address from which the gateway calls nodes; by "+
		"default the system chooses a port")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "file with the public certificate (PEM); without "+
		"it the contract is served in clear text")
	flags.StringVar(&f.tlsKey, "tls-key", "", "file with the public certificate's key (PEM)")
	flags.StringSliceVar(&f.nodes, "node", nil, "address of a home node, host:port; may be repeated")
	flags.StringSliceVar(&f.proxies, "trusted-proxy", nil, "addresses whose X-Forwarded-For is "+
		"believed, as CIDR; may be repeated")
	flags.StringVar(&f.testLogin, "test-login", "", "file of citizens who may use POST /test-login "+
		"with password \"test\"; for tests only")
	flags.StringVar(&f.providers, "identity-providers", "", "file of the identity providers at "+
		"which citizens log in (JSON)")
	flags.DurationVar(&f.session, "session", 30*24*time.Hour, "how long a citizen's session lives")
	flags.BoolVar(&f.oneSession, "one-session", false, "a login ends the citizen's other sessions")
	flags.DurationVar(&f.keysFor, "key-grace", 24*time.Hour, "how long known keys are accepted "+
		"while the federation cannot be reached")
	flags.IntVar(&f.capacity, "capacity", 0, "submissions a second that are taken, of all "+
		"institutions; more are answered 503; 0: no limit")
	flags.BoolVar(&f.acceptUnserved, "accept-unserved", false, "take messages with payment_data, or "+
		"third_party_data of no configuration, which nothing serves, and mark them in the answer; "+
		"else they are refused")
	flags.StringSliceVar(&f.remoteAllow, "remote-allow", nil, "addresses, as CIDR, at which "+
		"institutions' servers of remote content may be although they are not public, and without "+
		"TLS; may be repeated")
	flags.StringSliceVar(&f.featured, "featured", nil, "id of a service that the catalogue shows "+
		"first; may be repeated")
	flags.StringVar(&f.contact, "contact", "", "whom the served OpenAPI documents name as the "+
		"gateway's operator, https://... or mailto:...; without it, the project")
	flags.StringToIntVar(&f.weights, "weight", nil, "parts that an institution gets of what a "+
		"region can take while others want it too, 1 to 100, as code=3; default 1; may be repeated")
	cmd.MarkFlagRequired("node")
	f.pki.register(cmd)
	registerRenew(cmd, &f.renew)
	f.log.Register(cmd)
	f.clock.register(cmd)
}

func (f *gatewayFlags) run(cmd *cobra.Command) error {
	TuneMemory(GatewayMemory)
	logger, err := f.log.Logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	cfg := gateway.Config{Nodes: f.nodes, SessionTTL: f.session, OneSession: f.oneSession,
		KeyGrace: f.keysFor,
		Registry: newRegistry(), Limits: gateway.Limits{Capacity: f.capacity},
		Weights: f.institutionWeights(), Now: f.clock.now(), Uptime: seat.Uptime,
		AcceptUnserved: f.acceptUnserved, Contact: f.contact}
	for _, id := range f.featured {
		cfg.Featured = append(cfg.Featured, wire.ServiceID(id))
	}
	if cfg.TestLogin, err = f.readTestLogin(); err != nil {
		return err
	}
	if cfg.Identity, err = readIdentity(f.providers, cfg.Now); err != nil {
		return fmt.Errorf("--identity-providers: %w", err)
	}
	if cfg.TLS, err = f.readTLS(); err != nil {
		return err
	}
	if cfg.TrustedProxies, err = readPrefixes("trusted-proxy", f.proxies); err != nil {
		return err
	}
	if cfg.RemoteAllow, err = readPrefixes("remote-allow", f.remoteAllow); err != nil {
		return err
	}
	certs, err := f.pki.load("")
	if err != nil {
		return err
	}
	if certs.Identity.Role != link.RoleGateway {
		return fmt.Errorf("--cert: the certificate is for %s, not for a gateway", certs.Identity)
	}
	conn, err := net.ListenPacket("udp", f.link)
	if err != nil {
		return fmt.Errorf("--link: %w", err)
	}
	defer conn.Close()
	cfg.Link = link.Config{Federation: certs.Identity.Federation, PacketConn: conn,
		Certificate: certs.Certificate, Authorities: certs.Authorities, Problem: certs.Problem}
	cfg.Renew = f.pki.renewed(f.renew)
	cfg.Logger = logger.With("gateway", certs.Identity.Name)
	if cfg.HTTP, err = net.Listen("tcp", f.http); err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	if cfg.Admin, err = net.Listen("tcp", f.admin); err != nil {
		return errors.Join(fmt.Errorf("--admin: %w", err), cfg.HTTP.Close())
	}
	g, err := gateway.New(cfg) // which closes the listeners when it fails
	if err != nil {
		return err
	}
	logger.Info("gateway started", "gateway", certs.Identity.Name,
		"http", cfg.HTTP.Addr().String(), "admin", cfg.Admin.Addr().String())
	err = g.Run(cmd.Context())
	logger.Info("gateway stopped", "gateway", certs.Identity.Name)
	return err
}

func readPrefixes(flag string, list []string) (prefixes []netip.Prefix, err error) {
	for _, p := range list {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func (f *gatewayFlags) institutionWeights() map[wire.InstitutionID]int {
	weights := make(map[wire.InstitutionID]int, len(f.weights))
	for id, w := range f.weights {
		weights[wire.InstitutionID(id)] = w
	}
	return weights
}

func (f *gatewayFlags) readTestLogin() (*citizen.TestLogin, error) {
	if f.testLogin == "" {
		return nil, nil
	}
	file, err := os.Open(f.testLogin)
	if err != nil {
		return nil, fmt.Errorf("--test-login: %w", err)
	}
	defer file.Close()
	codes, err := citizen.ParseTestCitizens(file)
	if err != nil {
		return nil, fmt.Errorf("--test-login: %w", err)
	}
	return &citizen.TestLogin{Codes: codes}, nil
}

func (f *gatewayFlags) readTLS() (*tls.Config, error) {
	if f.tlsCert == "" && f.tlsKey == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}
