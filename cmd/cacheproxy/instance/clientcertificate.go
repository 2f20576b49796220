package instance

import (
	"crypto/tls"
	"sync/atomic"

	"cacheproxy/invalidation/valkey"
)

// clientCertificate is the certificate that new connections show to a server of copies or records. The zero value is no
// certificate. clientCertificate is safe for concurrent use.
type clientCertificate struct {
	now atomic.Pointer[tls.Certificate]
}

// of is the server s, with connections that show the certificate last given to present.
func (c *clientCertificate) of(s valkey.Server) valkey.Server {
	if s.TLS != nil {
		c.present(s)
		s.TLS = s.TLS.Clone()
		s.TLS.Certificates, s.TLS.GetClientCertificate = nil, c.shown
	}
	return s
}

// present takes the certificate of a configuration, if any.
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
