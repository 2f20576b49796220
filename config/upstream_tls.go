package config

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"regexp"
)

// upstreamTLSDoc is how an https upstream is authenticated, and how the proxy authenticates itself there.
type upstreamTLSDoc struct {
	CA         string `key:"ca"`
	Cert       string `key:"cert"`
	Key        string `key:"key"`
	ServerName string `key:"server_name"`
}

// serverName is a DNS name or an address that a certificate can be for.
var serverName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*|[0-9A-Fa-f:.]+)$`)

// upstreamTLS is what the keys of the upstream at path come to; nil: the system's authorities and no client certificate.
// Without server_name the transport verifies, and sends as SNI, the host of the URL that it connects to, whatever Host the
// requests carry.
func (l *loader) upstreamTLS(path string, doc upstreamTLSDoc, u *url.URL) *tls.Config {
	written := false
	for _, k := range []struct{ key, value string }{
		{"ca", doc.CA}, {"cert", doc.Cert}, {"key", doc.Key}, {"server_name", doc.ServerName},
	} {
		at := join(path, k.key)
		if !l.has(at) {
			continue
		}
		written = true
		switch {
		case u != nil && u.Scheme != "https":
			l.spoil(at, "has no effect with a %s:// url; write url: https://%s, or remove it", u.Scheme, u.Host)
		case k.value == "":
			l.spoil(at, "is empty; write a value or remove the key")
		}
	}
	if !written {
		return nil
	}
	return l.clientTLS(path, doc)
}

// clientTLS is what the keys of the section at path come to.
func (l *loader) clientTLS(path string, doc upstreamTLSDoc) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: l.authorities(join(path, "ca"), doc.CA)}
	if l.has(join(path, "cert")) || l.has(join(path, "key")) {
		if pair := l.pair(path, doc.Cert, doc.Key); pair != nil {
			c.Certificates = []tls.Certificate{*pair}
		}
	}
	if at := join(path, "server_name"); l.has(at) {
		if !serverName.MatchString(doc.ServerName) {
			l.problem(at, "%s is not a name that a certificate can have; write one such as api.example.com, without a port", quote(doc.ServerName))
		}
		c.ServerName = doc.ServerName
	}
	return c
}

// authorities are those in the file, instead of the system's; nil: the system's.
func (l *loader) authorities(path, file string) *x509.CertPool {
	if !l.has(path) {
		return nil
	}
	text := l.pem(path, file)
	if text == nil {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		l.problem(path, "names a file without a certificate: %s; write the PEM file of the authorities to trust", l.resolvePath(file))
	}
	return pool
}
