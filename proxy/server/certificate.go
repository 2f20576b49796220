package server

import (
	"crypto/tls"
	"sync/atomic"
)

// Certificate is what a TLS server presents and demands. It can be replaced while it is in use: connections that are open
// keep theirs. It is safe for concurrent use.
type Certificate struct{ current atomic.Pointer[tls.Config] }

// NewCertificate makes a certificate of a chain and its key. minVersion is the least that a client must speak, such as
// tls.VersionTLS13; 0: TLS 1.2.
func NewCertificate(pair tls.Certificate, minVersion uint16) *Certificate {
	c := &Certificate{}
	c.Replace(pair, minVersion)
	return c
}

// Replace has the next handshake use another pair. Sessions of the one before are not resumed.
func (c *Certificate) Replace(pair tls.Certificate, minVersion uint16) {
	c.current.Store(&tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: max(minVersion, tls.VersionTLS12), NextProtos: []string{"h2", "http/1.1"},
	})
}

// serverConfig is for a server whose handshakes use the certificate as it is at that time.
func (c *Certificate) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}
}
