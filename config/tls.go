package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"time"
)

const (
	// maxPEM bounds a file of certificates or keys.
	maxPEM = 1 << 20
	// expiresSoon is how long before its end a certificate is warned about.
	expiresSoon = 7 * 24 * time.Hour
)

// TLS is the certificate chain of a listener, and what it demands of clients.
type TLS struct {
	Cert, Key   string // the files it was read from, as absolute paths or relative to the working directory
	Certificate tls.Certificate
	MinVersion  uint16 // tls.VersionTLS12 or tls.VersionTLS13
}

// tlsVersion is a version that a listener may demand.
type tlsVersion uint16

var tlsVersions = []choice[tlsVersion]{{"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}}

func (l *loader) tls(doc *document) *TLS {
	t := l.listenerTLS("tls", doc.TLS)
	if doc.H2C && t != nil {
		l.problem("h2c", "is HTTP/2 without TLS, but tls is set, which brings HTTP/2 by itself; remove one of them")
	}
	return t
}

// listenerTLS is the section at path; nil where there is none.
func (l *loader) listenerTLS(path string, doc tlsDoc) *TLS {
	if doc.Cert == "" && doc.Key == "" {
		if l.has(path) || l.has(join(path, "min_version")) {
			l.problem(path, "names no files; write cert: and key:, or remove tls")
		}
		return nil
	}
	t := &TLS{Cert: l.resolvePath(doc.Cert), Key: l.resolvePath(doc.Key), MinVersion: uint16(doc.MinVersion)}
	if pair := l.pair(path, doc.Cert, doc.Key); pair != nil {
		t.Certificate = *pair
	}
	return t
}

// pair reads the certificate chain and the key that the section at path names; nil, and a problem, where it cannot.
func (l *loader) pair(path, certFile, keyFile string) *tls.Certificate {
	certAt, keyAt := join(path, "cert"), join(path, "key")
	switch {
	case l.spoiled(certAt) || l.spoiled(keyAt):
		return nil
	case keyFile == "":
		l.problem(certAt, "has no %s beside it; write key: server.key", keyAt)
		return nil
	case certFile == "":
		l.problem(keyAt, "has no %s beside it; write cert: server.pem", certAt)
		return nil
	}
	chain, key := l.pem(certAt, certFile), l.pem(keyAt, keyFile)
	if chain == nil || key == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		l.problem(certAt, "is not a certificate for the key in %s (%w); write the PEM files of a chain, the server's own certificate first, and of its key", keyAt, err)
		return nil
	}
	l.expiry(certAt, pair.Leaf)
	return &pair
}

// pem is a file of certificates or keys, whose content counts as the value at path; nil, and a problem, where it cannot be
// read.
func (l *loader) pem(path, file string) []byte {
	file = l.resolvePath(file)
	text, err := l.read(file, maxPEM)
	if err != nil {
		l.spoil(path, "names a file that cannot be used: %w; write the path of a PEM file that this user may read", err)
		return nil
	}
	l.settings[path+inFile] = fmt.Sprintf("%x", digestOf(text, nil))
	return text
}

// expiry warns of a certificate that clients refuse, or soon will.
func (l *loader) expiry(path string, leaf *x509.Certificate) {
	if leaf == nil {
		return
	}
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		l.warn(path, "expired on %s: clients refuse it; renew it", leaf.NotAfter.Format(time.RFC3339))
	case left < expiresSoon:
		l.warn(path, "expires on %s: renew it, the files are read again when they change", leaf.NotAfter.Format(time.RFC3339))
	}
}

// resolvePath is a path of the configuration as the process can use it.
func (l *loader) resolvePath(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}
