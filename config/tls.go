package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"time"
)

const (
	// maxPEM bounds the size of a file of certificates or keys, in bytes.
	maxPEM = 1 << 20
	// expiresSoon is how long before its expiry check warns about a certificate.
	expiresSoon = 7 * 24 * time.Hour
)

// TLS is the certificate chain of a listener, and the oldest version that clients may speak.
type TLS struct {
	cert, key   string // files of the pair, as absolute paths or relative to the working directory
	Certificate tls.Certificate
	MinVersion  uint16 // tls.VersionTLS12 or tls.VersionTLS13
}

var tlsVersions = []choice[uint16]{{"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}}

// compileListenerTLS is nil where the section is not written.
func compileListenerTLS(doc *part, beside *files) *TLS {
	if doc.text("cert") == "" && doc.text("key") == "" {
		if doc.has("") || doc.has("min_version") {
			doc.problem("", "names no files; write cert: and key:, or remove tls")
		}
		return nil
	}
	t := &TLS{cert: beside.absolute(doc.text("cert")), key: beside.absolute(doc.text("key")), MinVersion: read[uint16](doc, "min_version")}
	if pair := compilePair(doc, beside); pair != nil {
		t.Certificate = *pair
	}
	doc.there = true
	doc.setInForce("cert", t.cert)
	doc.setInForce("key", t.key)
	if leaf := t.Certificate.Leaf; leaf != nil {
		doc.beside["key"] = []Field{{"subject", leaf.Subject.String()}, {"expires", leaf.NotAfter}}
	}
	return t
}

// compilePair reads the certificate chain and the key that a section names. On failure it reports a problem and returns
// nil.
func compilePair(doc *part, beside *files) *tls.Certificate {
	switch {
	case doc.spoiled("cert") || doc.spoiled("key"):
		return nil
	case doc.text("key") == "":
		doc.problem("cert", "has no %s beside it; write key: server.key", doc.at("key"))
		return nil
	case doc.text("cert") == "":
		doc.problem("key", "has no %s beside it; write cert: server.pem", doc.at("cert"))
		return nil
	}
	chain, key := readPEM(doc, "cert", beside), readPEM(doc, "key", beside)
	if chain == nil || key == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		doc.problem("cert", "is not a certificate for the key in %s (%w); write the PEM files of a chain, the server's own certificate first, and of its key", doc.at("key"), err)
		return nil
	}
	// Clients refuse an expired certificate.
	switch left, end := time.Until(pair.Leaf.NotAfter), pair.Leaf.NotAfter.Format(time.RFC3339); {
	case left <= 0:
		doc.warn("cert", "expired on %s: clients refuse it; renew it", end)
	case left < expiresSoon:
		doc.warn("cert", "expires on %s: renew it, the files are read again when they change", end)
	}
	return &pair
}

// readPEM reads the file of certificates or keys that a key names; the file's content counts as the key's value. On
// failure readPEM reports a problem and returns nil.
func readPEM(doc *part, name string, beside *files) []byte {
	text, err := beside.read(beside.absolute(doc.text(name)), maxPEM)
	switch {
	case beside.absent && errors.Is(err, fs.ErrNotExist):
		doc.warn(name, "names %s, which is not there, and was not checked", beside.absolute(doc.text(name)))
		return nil
	case err != nil:
		doc.spoil(name, "names a file that cannot be used: %w; write the path of a PEM file that this user may read", err)
		return nil
	}
	doc.content[name] = digestOf(text, nil)
	return text
}

// compileClientTLS compiles the TLS settings for the proxy's connections to a server. Without server_name the transport
// verifies, and sends as SNI, the host that it connects to, whatever Host the requests carry.
func compileClientTLS(doc *part, beside *files) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: doc.text("server_name")}
	for _, name := range clientTLSKeys {
		if doc.has(name) && doc.text(name) == "" {
			doc.spoil(name, "is empty; write a value or remove the key")
		}
	}
	if doc.has("ca") {
		if text := readPEM(doc, "ca", beside); text != nil {
			c.RootCAs = x509.NewCertPool()
			if !c.RootCAs.AppendCertsFromPEM(text) {
				doc.problem("ca", "names a file without a certificate: %s; write the PEM file of the authorities to trust", beside.absolute(doc.text("ca")))
			}
		}
	}
	if doc.has("cert") || doc.has("key") {
		if pair := compilePair(doc, beside); pair != nil {
			c.Certificates = []tls.Certificate{*pair}
		}
	}
	return c
}

// clientTLSKeys are the keys for TLS from the proxy to a server.
var clientTLSKeys = []string{"ca", "cert", "key", "server_name"}
