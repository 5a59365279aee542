package link

import "crypto/x509"

// roots are the authorities that peers' certificates must come from.
func (l *Link) roots() *x509.CertPool { return certPool(l.cfg.Roots()) }
