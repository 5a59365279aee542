package torture

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// certificateAge is the validity of what a run issues.
	certificateAge = 30 * 24 * time.Hour
	// authorityWait bounds the change to another authority: a minute until no connection stands
	// that was made under a certificate of the old one, and the commands.
	authorityWait = 2 * time.Minute
)

// pki is a file of the local federation's authority.
func (t *trial) pki(name string) string { return t.cfg.path("pki", name) }

// authority is the federation's authority as it is now.
func (t *trial) authority() (*ca.CA, error) {
	cert, err := os.ReadFile(t.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(t.pki("ca.key"))
	if err != nil {
		return nil, err
	}
	return ca.Load(cert, key)
}

// replaceFile replaces a file by rename, as operators are told to.
func replaceFile(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// certificateFiles are where a process's certificate and key lie: a node that joined keeps its own.
func (t *trial) certificateFiles(id string) (cert, key string) {
	own := t.cfg.path("nodes", id, "identity")
	if _, err := os.Stat(filepath.Join(own, "node.crt")); err == nil {
		return filepath.Join(own, "node.crt"), filepath.Join(own, "node.key")
	}
	return t.pki(id + ".crt"), t.pki(id + ".key")
}

// certify gives a process a new certificate.
func (t *trial) certify(authority *ca.CA, id link.Identity) error {
	cert, key, err := authority.Issue(id.URI(), certificateAge, link.UnitsOf(id)...)
	if err != nil {
		return err
	}
	certFile, keyFile := t.certificateFiles(id.Name)
	return errors.Join(replaceFile(keyFile, key), replaceFile(certFile, cert))
}

// identities are those of all processes.
func (t *trial) identities() (list []link.Identity) {
	for _, e := range t.ends {
		role := link.RoleNode
		if e.Gateway {
			role = link.RoleGateway
		}
		list = append(list, link.Identity{Federation: "local", Role: role,
			Region: wire.RegionID(e.Region), Name: e.ID})
	}
	return list
}

func rotateCertificates(ctx context.Context, t *trial, random *rand.Rand) (*strike, error) {
	authority, err := t.authority()
	if err != nil {
		return nil, err
	}
	list := t.identities()
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, id := range list {
		if err := t.certify(authority, id); err != nil {
			return nil, err
		}
		if !sleep(ctx, time.Duration(random.Int64N(int64(200*time.Millisecond)))) {
			break
		}
	}
	return &strike{what: fmt.Sprintf("%d new certificates", len(list)), brief: true}, nil
}

// rotateAuthority replaces the authority as the runbook says: the new one is believed first, then
// every process gets a certificate of it, then the old one is believed no more.
func rotateAuthority(ctx context.Context, t *trial, _ *rand.Rand) (*strike, error) {
	ctx, cancel := context.WithTimeout(ctx, authorityWait)
	defer cancel()
	if err := t.awaitWell(ctx); err != nil {
		return nil, err
	}
	old, err := os.ReadFile(t.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	fresh, err := ca.New("local", certificateAge)
	if err != nil {
		return nil, err
	}
	added := t.pki("ca-new.crt")
	if err := os.WriteFile(added, fresh.CertPEM(), 0o600); err != nil {
		return nil, err
	}
	if err := t.insist(ctx, "ca", "add", added); err != nil {
		if ctx.Err() == nil {
			t.findings.add("an authority cannot be added: %v", err)
		}
		return nil, err
	}
	everybody := append(t.identities(), link.Identity{Federation: "local",
		Role: link.RoleOperator, Name: "local"})
	for _, id := range everybody {
		if err := t.certify(fresh, id); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(replaceFile(t.pki("ca.key"), fresh.KeyPEM()),
		replaceFile(t.pki("ca.crt"), fresh.CertPEM()), t.joinedAuthorities(fresh)); err != nil {
		return nil, err
	}
	if t.operator, err = process.Operator(t.cfg.Dir); err != nil {
		return nil, err
	}
	// It is refused until every process has replaced its connections.
	if err := t.insistFor(ctx, "ca", "remove", fingerprint(old)); err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.findings.add("the old authority cannot be removed: %v", err)
		}
		return nil, err
	}
	return &strike{what: "another authority, and new certificates of it for everybody",
		brief: true}, nil
}

// joinedAuthorities gives the nodes that joined their file of authorities.
func (t *trial) joinedAuthorities(authority *ca.CA) error {
	var errs []error
	for _, id := range t.nodes() {
		path := t.cfg.path("nodes", id, "identity", "ca.crt")
		if _, err := os.Stat(path); err == nil {
			errs = append(errs, replaceFile(path, authority.CertPEM()))
		}
	}
	return errors.Join(errs...)
}

// addAuthority adds the authority that is there already: it is listed from then on.
func addAuthority(t *trial, _ *rand.Rand) ([][]string, error) {
	return [][]string{{"ca", "add", t.pki("ca.crt")}}, nil
}

// fingerprint is a certificate's, as operators name it.
func fingerprint(certPEM []byte) string {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}
