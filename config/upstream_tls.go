package config

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"regexp"
)

// serverName is a DNS name or an address that a certificate can be for.
var serverName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*|[0-9A-Fa-f:.]+)$`)

// upstreamTLS is what the keys of the upstream at path come to; nil: the system's authorities and no client certificate.
// Without server_name the transport verifies, and sends as SNI, the host of the URL that it connects to, whatever Host the
// requests carry.
func (l *loader) upstreamTLS(doc *Part, u *url.URL) *tls.Config {
	written := false
	for _, name := range []string{"ca", "cert", "key", "server_name"} {
		at := doc.at(name)
		if !l.has(at) {
			continue
		}
		written = true
		switch {
		case u != nil && u.Scheme != "https":
			l.spoil(at, "has no effect with a %s:// url; write url: https://%s, or remove it", u.Scheme, u.Host)
		case doc.text(name) == "":
			l.spoil(at, "is empty; write a value or remove the key")
		}
	}
	if !written {
		return nil
	}
	return l.clientTLS(doc)
}

// clientTLS is what the keys of a section for a connection of the proxy come to.
func (l *loader) clientTLS(doc *Part) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: l.authorities(doc.at("ca"), doc.text("ca"))}
	if l.has(doc.at("cert")) || l.has(doc.at("key")) {
		if pair := l.pair(doc); pair != nil {
			c.Certificates = []tls.Certificate{*pair}
		}
	}
	if at := doc.at("server_name"); l.has(at) {
		c.ServerName = doc.text("server_name")
		if !serverName.MatchString(c.ServerName) {
			l.problem(at, "%s is not a name that a certificate can have; write one such as api.example.com, without a port", quote(c.ServerName))
		}
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
