package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/testidp"
	"github.com/staffetta/staffetta/internal/testidp/saml"
)

// newTestProviderCommand is the identity provider of a local federation, which starts it.
func newTestProviderCommand() *cobra.Command {
	var (
		log                       cli.LogFlags
		listen, client, secret    string
		gateway, key, certificate string
		seed                      uint64
	)
	cmd := &cobra.Command{
		Use:    "test-provider",
		Short:  "Run an identity provider of invented citizens",
		Hidden: true, // what local starts itself
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			text, err := os.ReadFile(secret)
			if err != nil {
				return fmt.Errorf("--secret: %w", err)
			}
			signer, err := readSigner(certificate, key)
			if err != nil {
				return fmt.Errorf("--certificate, --key: %w", err)
			}
			host, _, err := net.SplitHostPort(listen)
			if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
				return fmt.Errorf("--listen %q is no address of this machine alone", listen)
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			logger.Info("test provider started", "http", listen)
			at := "http://" + listen
			faces := http.NewServeMux()
			faces.Handle("/", testidp.New(testidp.Config{Issuer: at, ClientID: client,
				Secret: strings.TrimSpace(string(text)), Seed: seed}))
			faces.Handle("/saml/", http.StripPrefix("/saml",
				saml.Local(at+"/saml", gateway, signer, seed)))
			return serveTestProvider(cmd.Context(), l, logged(faces, logger))
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:9400", "TCP address, of this machine alone")
	f.StringVar(&client, "client", "staffetta", "id of the client")
	f.StringVar(&secret, "secret", "", "file with the client's secret")
	f.StringVar(&gateway, "gateway", "", "address of the gateways, for SAML")
	f.StringVar(&key, "key", "", "file with the private key of SAML")
	f.StringVar(&certificate, "certificate", "", "file with the key's certificate")
	f.Uint64Var(&seed, "seed", 1, "seed of the invented citizens")
	for _, name := range []string{"secret", "gateway", "key", "certificate"} {
		cmd.MarkFlagRequired(name)
	}
	log.Register(cmd)
	return cmd
}

func readSigner(certificate, key string) (*saml.Signer, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	private, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key signs nothing")
	}
	return &saml.Signer{Key: private, Certificate: pair.Leaf}, nil
}

// logged has each request told by its route, which names nobody.
func logged(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		log.Debug("request", "route", r.Pattern)
	})
}

func serveTestProvider(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
