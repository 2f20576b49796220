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

var tlsVersions = []choice[uint16]{{"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}}

func (l *loader) tls(doc *Part) *TLS {
	t := l.listenerTLS(doc.section("tls"))
	if doc.flag("h2c") && t != nil {
		l.problem("h2c", "is HTTP/2 without TLS, but tls is set, which brings HTTP/2 by itself; remove one of them")
	}
	return t
}

// listenerTLS is the section; nil where there is none.
func (l *loader) listenerTLS(doc *Part) *TLS {
	if doc.text("cert") == "" && doc.text("key") == "" {
		if l.has(doc.path) || l.has(doc.at("min_version")) {
			l.problem(doc.path, "names no files; write cert: and key:, or remove tls")
		}
		return nil
	}
	t := &TLS{Cert: l.resolvePath(doc.text("cert")), Key: l.resolvePath(doc.text("key")), MinVersion: read[uint16](doc, "min_version")}
	if pair := l.pair(doc); pair != nil {
		t.Certificate = *pair
	}
	doc.there = true
	doc.setInForce("cert", t.Cert)
	doc.setInForce("key", t.Key)
	if leaf := t.Certificate.Leaf; leaf != nil {
		doc.beside["key"] = []Field{{"subject", leaf.Subject.String()}, {"expires", leaf.NotAfter}}
	}
	return t
}

// pair reads the certificate chain and the key that a section names; nil, and a problem, where it cannot.
func (l *loader) pair(doc *Part) *tls.Certificate {
	certAt, keyAt := doc.at("cert"), doc.at("key")
	switch {
	case l.spoiled(certAt) || l.spoiled(keyAt):
		return nil
	case doc.text("key") == "":
		l.problem(certAt, "has no %s beside it; write key: server.key", keyAt)
		return nil
	case doc.text("cert") == "":
		l.problem(keyAt, "has no %s beside it; write cert: server.pem", certAt)
		return nil
	}
	chain, key := l.pem(certAt, doc.text("cert")), l.pem(keyAt, doc.text("key"))
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
