package config

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cacheproxy/test/certificates"
)

// folder makes a folder with a certificate and its key, cert.pem and key.pem, and their authority, ca.pem.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	authority := certificates.NewAuthority(t, "authority")
	authority.Write(dir, "server", "localhost")
	write(t, filepath.Join(dir, "ca.pem"), string(authority.PEM))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestListenerTLS(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "cacheproxy.yaml")
	write(t, file, oneUpstream+"tls: {cert: cert.pem, key: key.pem, min_version: 1.3}\nadmin: {tls: {cert: cert.pem, key: key.pem}}\n")
	s, err := Load(file, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if s.TLS.cert != filepath.Join(dir, "cert.pem") || s.TLS.Certificate.Leaf.Subject.CommonName != "server" || s.TLS.MinVersion != tls.VersionTLS13 {
		t.Errorf("tls: %+v", s.TLS)
	}
	if s.Admin.TLS.Certificate.Leaf == nil || s.Admin.TLS.MinVersion != tls.VersionTLS12 {
		t.Errorf("admin.tls: %+v", s.Admin.TLS)
	}
}

func TestExpiry(t *testing.T) {
	for lifetime, want := range map[time.Duration]string{
		expiresSoon - time.Hour: "tls.cert: expires on ", -time.Minute: "tls.cert: expired on ", expiresSoon + time.Hour: "",
	} {
		dir, authority := t.TempDir(), certificates.NewAuthority(t, "authority")
		authority.Lifetime = lifetime
		authority.Write(dir, "server", "localhost")
		file := filepath.Join(dir, "cacheproxy.yaml")
		write(t, file, strings.Replace(oneUpstream, "}", ", max_in_flight: 64}", 1)+"tls: {cert: cert.pem, key: key.pem}\nroutes: [{name: all, match: /, policy: cache-aside}]\n")
		s, err := Load(file, Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Warnings.Error(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("a certificate that ends in %v: %q", lifetime, got)
		}
	}
}

func TestUpstreamTLS(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "cacheproxy.yaml")
	write(t, file, "upstreams:\n  - {name: api, url: \"https://10.0.0.1\", ca: ca.pem, cert: cert.pem, key: key.pem, server_name: api.internal}\n")
	s, err := Load(file, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Upstreams[0].TLS
	if c.RootCAs == nil || len(c.Certificates) != 1 || c.ServerName != "api.internal" || c.MinVersion != tls.VersionTLS12 || c.InsecureSkipVerify {
		t.Errorf("%+v", c)
	}
}

// What is wrong with a file of certificates is told by check, not by the first handshake.
func TestBadCertificates(t *testing.T) {
	dir, other := folder(t), folder(t)
	write(t, filepath.Join(dir, "broken.pem"), "broken")
	for _, c := range []struct{ text, want string }{
		{"tls: {cert: none.pem, key: key.pem}", "tls.cert: names a file that cannot be used: stat DIR/none.pem: no such file or directory; write the path of a PEM file that this user may read"},
		{"tls: {cert: cert.pem, key: .}", "tls.key: names a file that cannot be used: not a regular file; write the path of a PEM file that this user may read"},
		{"tls: {cert: cert.pem, key: OTHER/key.pem}", "tls.cert: is not a certificate for the key in tls.key (tls: private key does not match public key); write the PEM files of a chain, the server's own certificate first, and of its key"},
		{"admin: {tls: {cert: broken.pem, key: key.pem}}", "admin.tls.cert: is not a certificate for the key in admin.tls.key (tls: failed to find any PEM data in certificate input); write the PEM files of a chain, the server's own certificate first, and of its key"},
		{"tls: {cert: cert.pem, key: key.pem, min_version: 1.1}", `tls.min_version: "1.1" is not known here; write 1.2 or 1.3`},
	} {
		text := strings.ReplaceAll(c.text, "OTHER", other)
		file := filepath.Join(dir, "cacheproxy.yaml")
		write(t, file, text+"\n"+oneUpstream)
		_, err := Load(file, Overrides{})
		if want := fmt.Sprintf("%s:1: %s", file, strings.ReplaceAll(c.want, "DIR", dir)); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, want)
		}
	}
}
