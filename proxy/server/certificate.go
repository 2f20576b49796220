package server

import (
	"crypto/tls"
	"sync/atomic"
)

// Certificate is the certificate that a TLS server presents, and the least version that the server demands. Replace
// may change it while the server runs: open connections keep the former. A Certificate is safe for concurrent use.
type Certificate struct{ current atomic.Pointer[tls.Config] }

// NewCertificate makes a Certificate of a chain and its key. minVersion is the least version that a client must
// speak, such as tls.VersionTLS13; 0: TLS 1.2.
func NewCertificate(pair tls.Certificate, minVersion uint16) *Certificate {
	c := &Certificate{}
	c.Replace(pair, minVersion)
	return c
}

// Replace makes the next handshake use another pair. A session of the former pair is not resumed.
func (c *Certificate) Replace(pair tls.Certificate, minVersion uint16) {
	c.current.Store(&tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: max(minVersion, tls.VersionTLS12), NextProtos: []string{"h2", "http/1.1"},
	})
}

// serverConfig returns the configuration of a server whose handshakes use the pair that is current when they begin.
func (c *Certificate) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}
}
