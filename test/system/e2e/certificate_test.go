package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cacheproxy/test/certificates"
)

// dialTLS opens a connection that stays open.
func dialTLS(t testing.TB, p *process, pool *x509.CertPool) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(p.data, "http://"), &tls.Config{RootCAs: pool, ServerName: "shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// presented is whose certificate a new connection is shown.
func presented(t testing.TB, p *process, pool *x509.CertPool) string {
	t.Helper()
	conn := dialTLS(t, p, pool)
	defer conn.Close()
	return nameOf(conn)
}

func nameOf(conn *tls.Conn) string {
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// answers makes a request on an open connection.
func answers(t testing.TB, conn *tls.Conn) {
	t.Helper()
	fmt.Fprint(conn, "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Errorf("answered %d", res.StatusCode)
	}
	res.Body.Close()
}

// The next handshake sees a new certificate, open connections live on, and a pair that does not fit is not taken.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	authority := certificates.NewAuthority(t, "authority")
	dir := t.TempDir()
	issue := func(folder, name string) {
		must(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
		authority.Write(filepath.Join(dir, folder), name, "shop.example")
		must(t, os.Symlink(folder, filepath.Join(dir, "live_tmp")))
		must(t, os.Rename(filepath.Join(dir, "live_tmp"), filepath.Join(dir, "live")))
	}
	issue("v1", "first")
	config := filepath.Join(t.TempDir(), "cacheproxy.yaml")
	text := fmt.Sprintf(drainConfig, newOrigin(t).url) + fmt.Sprintf("tls: {cert: %s/live/cert.pem, key: %[1]s/live/key.pem}\n", dir)
	put(t, config, text)
	p := serve(t, "--config", config)
	open := dialTLS(t, p, authority.Pool())
	if got := nameOf(open); got != "first" {
		t.Fatalf("presented %s", got)
	}
	presents := func(name string) {
		t.Helper()
		eventually(t, name+" is presented", func() bool { return presented(t, p, authority.Pool()) == name })
		answers(t, open)
	}
	issue("v2", "second")
	presents("second")
	expires := number(t, p, `cacheproxy_certificate_expiry_timestamp_seconds{listener="data"}`)
	if expires == 0 {
		t.Error("the metric does not tell when the certificate expires")
	}

	chain, key := authority.Issue("third", "shop.example")
	put(t, filepath.Join(dir, "live", "cert.pem"), string(chain)) // and not yet its key
	p.says(t, "configuration refused", "tls.cert: is not a certificate for the key in tls.key")
	if got := number(t, p, "cacheproxy_config_reload_success"); got != 0 {
		t.Errorf("cacheproxy_config_reload_success %v", got)
	}
	presents("second")
	put(t, filepath.Join(dir, "live", "key.pem"), string(key))
	presents("third")

	put(t, config, "broken") // and a certificate that is about to expire must be replaced nevertheless
	p.says(t, "configuration refused", "is a single value")
	issue("v4", "fourth")
	presents("fourth")

	put(t, config, strings.Replace(text, "tls: {", "tls: {min_version: 1.3, ", 1))
	eventually(t, "TLS 1.2 is refused", func() bool {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.data, "http://"), &tls.Config{RootCAs: authority.Pool(), ServerName: "shop.example", MaxVersion: tls.VersionTLS12})
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	presents("fourth")
	p.stop(t, patience)
}

// An https upstream is verified by the authorities and under the name that are configured, sees the proxy's own certificate,
// and all of it can be replaced. The Host that it is sent has no part in it.
func TestUpstreamCertificates(t *testing.T) {
	t.Parallel()
	authority, stranger := certificates.NewAuthority(t, "authority"), certificates.NewAuthority(t, "stranger")
	dir := t.TempDir()
	authority.Write(dir, "proxy-1")
	put(t, filepath.Join(dir, "ca.pem"), string(stranger.PEM))
	chain, key := authority.Issue("origin", "origin.internal")
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s as %s for %s", r.TLS.PeerCertificates[0].Subject.CommonName, r.TLS.ServerName, r.Host)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool()}
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	file := filepath.Join(dir, "cacheproxy.yaml")
	text := fmt.Sprintf("drain_delay: 0s\nupstreams: [{name: origin, url: %q, host: public.example, ca: ca.pem, cert: cert.pem, key: key.pem, server_name: NAME}]\n", s.URL)
	put(t, file, strings.Replace(text, "NAME", "origin.internal", 1))
	p := serve(t, "--config", file)
	if a := get(t, p.data+"/"); a.status != http.StatusBadGateway {
		t.Errorf("an upstream of another authority: %d %s", a.status, a.body)
	}
	answered := func(want string) {
		t.Helper()
		eventually(t, want, func() bool { return get(t, p.data+"/").body == want })
	}
	put(t, filepath.Join(dir, "ca.pem"), string(authority.PEM))
	answered("proxy-1 as origin.internal for public.example")
	authority.Write(dir, "proxy-2")
	answered("proxy-2 as origin.internal for public.example")
	put(t, file, strings.Replace(text, "NAME", "other.internal", 1))
	eventually(t, "an upstream under another name is refused", func() bool { return get(t, p.data+"/").status == http.StatusBadGateway })
	p.stop(t, patience)
}

// The admin listener speaks TLS where it is told to.
func TestAdminCertificate(t *testing.T) {
	authority := certificates.NewAuthority(t, "authority")
	dir := t.TempDir()
	authority.Write(dir, "admin", "127.0.0.1")
	file := filepath.Join(dir, "cacheproxy.yaml")
	put(t, file, fmt.Sprintf(drainConfig, newOrigin(t).url)+"admin: {tls: {cert: cert.pem, key: key.pem}}\n")
	p := serve(t, "--config", file)
	url := "https" + strings.TrimPrefix(p.admin, "http")
	own := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}}}
	defer own.CloseIdleConnections()
	res, err := own.Get(url + "/config")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("GET /config: %d", res.StatusCode)
	}
	ca := writeFile(t, "ca.pem", string(authority.PEM))
	if r := run(t, []string{"SSL_CERT_FILE=" + ca}, "reload", "--admin", url); r.status != 0 {
		t.Errorf("reload: %d %q %q", r.status, r.out, r.err)
	}
	if r := run(t, nil, "health", "--admin", p.admin); r.status == 0 || !strings.Contains(r.err, "begins with https://") {
		t.Errorf("health over http: %d %q %q", r.status, r.out, r.err)
	}
	p.stop(t, patience)
}
