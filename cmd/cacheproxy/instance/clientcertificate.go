package instance

import (
	"crypto/tls"
	"sync/atomic"

	"cacheproxy/invalidation/valkey"
)

// clientCertificate is what a server of copies or records is shown on connections that are made from now on. The zero value is none. It is safe for
// concurrent use.
type clientCertificate struct {
	now atomic.Pointer[tls.Certificate]
}

// of is a server whose connections show what present was given last.
func (c *clientCertificate) of(s valkey.Server) valkey.Server {
	if s.TLS != nil {
		c.present(s)
		s.TLS = s.TLS.Clone()
		s.TLS.Certificates, s.TLS.GetClientCertificate = nil, c.shown
	}
	return s
}

// present takes over the certificate of a configuration, where it has one.
func (c *clientCertificate) present(s valkey.Server) {
	if s.TLS != nil && len(s.TLS.Certificates) > 0 {
		c.now.Store(&s.TLS.Certificates[0])
	}
}

func (c *clientCertificate) shown(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if is := c.now.Load(); is != nil {
		return is, nil
	}
	return new(tls.Certificate), nil // none
}
