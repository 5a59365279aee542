package link

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// trust is whom a link believes, besides the authorities of its own files.
type trust struct {
	// Whoever holds now has what the federation says; never nil.
	now atomic.Pointer[believed]

	mu       sync.Mutex                           // held in review
	reviewed []*x509.Certificate                  // the authorities at the last review
	bounded  map[wire.Fingerprint][]wire.RegionID // their bounds
	again    bool                                 // they were others at the one before
	own      *x509.Certificate                    // of this process at the last review
	root     *x509.Certificate                    // that it comes from; nil: none that is believed
	warned   map[wire.Fingerprint]warning
	revoked  string // why this process's own certificate is worthless; empty: it is not
	told     string // which node says that it is; empty: none
	problem  string // why the files cannot be used as they are
}

// believed is what the federation's map says of trust, parsed.
type believed struct {
	roots   []*x509.Certificate
	revoked map[string]wire.Revocation // by identity
	// bounded are the authorities that speak for some regions only.
	bounded map[wire.Fingerprint][]wire.RegionID
}

func newBelieved(t *wire.Trust) *believed {
	b := &believed{revoked: make(map[string]wire.Revocation, len(t.Revoked)),
		bounded: make(map[wire.Fingerprint][]wire.RegionID, len(t.Bounds))}
	for _, der := range t.Authorities {
		// A leader checked it before it was logged; a version of Go that reads certificates more
		// strictly must not keep this process from the others.
		if root, err := ParseAuthority(der); err == nil {
			b.roots = append(b.roots, root)
		}
	}
	for _, r := range t.Bounds {
		b.bounded[r.Root] = r.Regions
	}
	for _, r := range t.Revoked {
		b.revoked[r.Identity] = r
	}
	return b
}

// revocationOf says that the certificate of id was revoked; nil: it was not.
func (b *believed) revocationOf(id Identity, cert *x509.Certificate) *wire.Error {
	if len(b.revoked) == 0 {
		return nil
	}
	r, ok := b.revoked[id.String()]
	if !ok || !r.Covers(cert.NotBefore) {
		return nil
	}
	return wire.Errorf(wire.Unauthenticated, "certificate of %s is revoked: it is valid from %s, "+
		"only those from after %s are good", id, wire.TimeOf(cert.NotBefore), r.Before)
}

// Trust takes over whom the federation believes. On return nobody else is believed: handshakes
// are refused and open connections of revoked identities are cut, with whatever is under way on
// them. Connections whose authority is believed no more are replaced without haste. Maps must be
// given in the order of their versions.
func (l *Link) Trust(t *wire.Trust) {
	l.trust.now.Store(newBelieved(t))
	l.review()
}

// authorities are those that peers' certificates must come from: the files', and the
// federation's.
func (l *Link) authorities() []*x509.Certificate {
	return append(slices.Clone(l.cfg.Authorities()), l.trust.now.Load().roots...)
}

// checkPeer verifies a peer's certificate in a handshake, and says whose it is.
func (l *Link) checkPeer(chain []*x509.Certificate, usage x509.ExtKeyUsage) (
	Identity, *wire.Error) {
	id, err := l.checkBelieved(chain, l.authorities(), usage)
	if err == nil {
		err = l.trust.now.Load().revocationOf(id, chain[0])
	}
	return id, err
}

// checkBelieved verifies a peer's certificate against authorities, each within its bounds.
func (l *Link) checkBelieved(chain, roots []*x509.Certificate, usage x509.ExtKeyUsage) (
	Identity, *wire.Error) {
	id, err := checkChain(chain, certPool(roots), l.cfg.Federation, usage)
	if err == nil {
		err = l.trust.now.Load().outside(id, chain, roots)
	}
	return id, err
}

// watch reviews what may change without anybody telling: files, and the time. It also closes what
// lies idle.
func (l *Link) watch() {
	tick := time.NewTicker(reviewPeriod)
	defer tick.Stop()
	for {
		l.review()
		l.pool.closeIdle()
		select {
		case <-tick.C:
		case <-l.stopping:
			return
		}
	}
}

// review holds this process's certificate and every open connection against what is believed
// now.
func (l *Link) review() {
	l.trust.mu.Lock()
	defer l.trust.mu.Unlock()
	roots := l.authorities()
	bounds := l.trust.now.Load().bounded
	changed := !slices.EqualFunc(roots, l.trust.reviewed, (*x509.Certificate).Equal) ||
		!maps.EqualFunc(bounds, l.trust.bounded, slices.Equal)
	l.trust.reviewed, l.trust.bounded = roots, bounds
	// Verifying costs, so it is done when the authorities have changed, and once more for the
	// handshakes that were under way then.
	verify := changed || l.trust.again
	l.trust.again = changed
	renewed := l.reviewOwn(roots)
	l.cutInbound(roots, verify)
	l.cutOutbound(roots, verify, renewed)
}

// reviewOwn looks at this process's own certificate, and reports whether it is another one than
// before. Called with trust.mu.
func (l *Link) reviewOwn(roots []*x509.Certificate) (renewed bool) {
	l.noteProblem()
	cert, err := l.cfg.Certificate()
	if err != nil {
		return false
	}
	leaf, err := leafOf(cert)
	if err != nil {
		return false
	}
	t := &l.trust
	if renewed = t.own != nil && !t.own.Equal(leaf); renewed {
		l.log.Info("certificate replaced", "valid_from", leaf.NotBefore, "expires", leaf.NotAfter)
		t.told = ""
		l.pool.renewed()
	}
	t.own, t.root = leaf, nil
	if chain, err := chainOf(cert); err == nil {
		for _, root := range authoritiesOf(chain, roots) { // the one that lasts longest counts
			if t.root == nil || root.NotAfter.After(t.root.NotAfter) {
				t.root = root
			}
		}
	}
	var revoked string
	if refusal := t.now.Load().revocationOf(l.self, leaf); refusal != nil {
		revoked = refusal.Detail
	}
	if t.revoked != revoked && revoked != "" {
		l.log.Error("this process's certificate is revoked: peers refuse it until it is replaced",
			"reason", revoked)
	}
	t.revoked = revoked
	l.warnOfExpiry(leaf, roots)
	return renewed
}

// noteProblem logs that the files cannot be used as they are, once for each reason. Called with
// trust.mu.
func (l *Link) noteProblem() {
	problem := ""
	if l.cfg.Problem != nil {
		if err := l.cfg.Problem(); err != nil {
			problem = err.Error()
		}
	}
	if problem != l.trust.problem && problem != "" {
		l.log.Error("the certificate's files cannot be used, the earlier ones stay in use",
			"reason", problem)
	}
	l.trust.problem = problem
}

// cutInbound ends the connections of peers that are believed no more.
func (l *Link) cutInbound(roots []*x509.Certificate, verify bool) {
	for _, c := range l.inConns() {
		if l.cutRevoked(c.conn, c.key.id, c.chain[0]) || !verify {
			continue
		}
		if _, err := l.checkBelieved(c.chain, roots, x509.ExtKeyUsageClientAuth); err != nil {
			c.retire()
		}
	}
}

// cutOutbound ends connections to peers that are believed no more, and replaces those on which
// this process showed a certificate that it does not use any more.
func (l *Link) cutOutbound(roots []*x509.Certificate, verify, renewed bool) {
	for _, c := range l.pool.conns() {
		chain := c.conn.ConnectionState().TLS.PeerCertificates
		if l.cutRevoked(c.conn, c.id, chain[0]) {
			continue
		}
		stale := renewed && c.own != nil && !c.own.Equal(l.trust.own)
		if verify && !stale {
			_, err := l.checkBelieved(chain, roots, x509.ExtKeyUsageServerAuth)
			stale = err != nil
		}
		if stale {
			c.retire()
		}
	}
}

// cutRevoked closes the connection of a peer whose certificate is revoked.
func (l *Link) cutRevoked(c *quic.Conn, id Identity, cert *x509.Certificate) bool {
	refusal := l.trust.now.Load().revocationOf(id, cert)
	if refusal == nil {
		return false
	}
	if c.Context().Err() == nil {
		l.stats.cut.Inc()
		l.log.Warn("connection cut", "peer", id, "reason", refusal)
	}
	c.CloseWithError(closeRevoked, "certificate revoked")
	return true
}

// toldRevoked notes that a node closed a connection because this process is revoked.
func (l *Link) toldRevoked(by Identity) {
	l.trust.mu.Lock()
	defer l.trust.mu.Unlock()
	if l.trust.told == "" && by.Role == RoleNode {
		l.trust.told = by.Name
		l.log.Error("a node says that this process's certificate is revoked", "by", by.Name)
	}
}

// Concerns says what is wrong with this process's certificate: reasons why it cannot do its job,
// and what will become one if nobody mends it.
func (l *Link) Concerns() (reasons, degraded []string) {
	l.trust.mu.Lock()
	defer l.trust.mu.Unlock()
	t := &l.trust
	if t.revoked != "" {
		reasons = append(reasons, t.revoked)
	} else if t.told != "" {
		said := fmt.Sprintf("node %s says that this process's certificate is revoked", t.told)
		if l.pool.accepted() { // one node's word against another's
			degraded = append(degraded, said)
		} else {
			reasons = append(reasons, said)
		}
	}
	if t.problem != "" {
		degraded = append(degraded, "the certificate's files cannot be used, the earlier ones "+
			"stay in use: "+t.problem)
	}
	if n := l.pool.refusals(); n > 0 {
		degraded = append(degraded, fmt.Sprintf("%d peers refuse this process's certificate", n))
	}
	if t.own == nil {
		return reasons, degraded
	}
	left := time.Until(t.own.NotAfter)
	switch {
	case left <= 0:
		reasons = append(reasons, fmt.Sprintf("this process's certificate expired at %s",
			wire.TimeOf(t.own.NotAfter)))
	case warningOf(t.own, left) >= warnWeek:
		degraded = append(degraded, fmt.Sprintf("this process's certificate expires at %s",
			wire.TimeOf(t.own.NotAfter)))
	}
	if t.root != nil && warningOf(t.root, time.Until(t.root.NotAfter)) >= warnWeek {
		degraded = append(degraded, fmt.Sprintf("the authority of this process's certificate "+
			"expires at %s", wire.TimeOf(t.root.NotAfter)))
	}
	return reasons, degraded
}

// Identities says what this process shows to its peers, and which peers have dialled it.
func (l *Link) Identities() *wire.Identities {
	l.review()
	roots := l.authorities()
	a := &wire.Identities{}
	if cert, err := l.cfg.Certificate(); err == nil {
		if chain, err := chainOf(cert); err == nil {
			a.Self = credential(l.self, chain, roots)
		}
	}
	for _, root := range l.cfg.Authorities() {
		a.FileAuthorities = append(a.FileAuthorities, root.Raw)
	}
	seen := map[wire.Fingerprint]bool{}
	for _, c := range l.inConns() {
		print := wire.FingerprintOf(c.chain[0].Raw)
		if seen[print] || len(a.Members) == wire.MembersMax {
			continue
		}
		seen[print] = true
		a.Members = append(a.Members, credential(c.key.id, c.chain, roots))
	}
	l.trust.mu.Lock()
	defer l.trust.mu.Unlock()
	a.Problem = l.trust.problem
	return a
}

func credential(id Identity, chain, roots []*x509.Certificate) wire.Credential {
	m := wire.Credential{Identity: id.String(), Fingerprint: wire.FingerprintOf(chain[0].Raw),
		NotBefore: wire.TimeOf(chain[0].NotBefore), NotAfter: wire.TimeOf(chain[0].NotAfter)}
	for _, root := range authoritiesOf(chain, roots) {
		m.Authorities = append(m.Authorities, wire.FingerprintOf(root.Raw))
	}
	return m
}

// authoritiesOf are the authorities that a certificate comes from, each once.
func authoritiesOf(chain, roots []*x509.Certificate) (from []*x509.Certificate) {
	paths, err := chain[0].Verify(x509.VerifyOptions{Roots: certPool(roots),
		Intermediates: certPool(chain[1:]), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil
	}
	for _, path := range paths {
		if root := path[len(path)-1]; !slices.ContainsFunc(from, root.Equal) {
			from = append(from, root)
		}
	}
	return from
}
