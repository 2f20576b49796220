package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cacheproxy/test/wire"
)

// writeCertificate writes a self-signed certificate for 127.0.0.1 and returns its pool.
func writeCertificate(t *testing.T, certFile, keyFile, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, content := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

// echo answers with the protocol and the target it was asked with.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.RequestURI) })

func get(t *testing.T, transport *http.Transport, url string) (string, *tls.ConnectionState) {
	t.Helper()
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), res.TLS
}

func transportFor(pool *x509.CertPool, set func(*http.Protocols, bool)) *http.Transport {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: new(http.Protocols)}
	set(transport.Protocols, true)
	return transport
}

func TestServerOverTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCertificate(t, certFile, keyFile, "first")
	load := func() tls.Certificate {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	certificate := NewCertificate(load(), 0)
	addr := wire.Serve(t, New(echo, Options{Certificate: certificate, Connections: NewConnections(Limits{}), Log: slog.New(slog.DiscardHandler)}), wire.Listen(t))
	if body, _ := get(t, transportFor(pool, (*http.Protocols).SetHTTP2), "https://"+addr+"/a"); body != "HTTP/2.0 /a" {
		t.Errorf("HTTP/2: %q", body)
	}
	if body, _ := get(t, transportFor(pool, (*http.Protocols).SetHTTP1), "https://"+addr+"/a"); body != "HTTP/1.1 /a" {
		t.Errorf("HTTP/1.1: %q", body)
	}
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}

	pool = writeCertificate(t, certFile, keyFile, "second")
	certificate.Replace(load(), tls.VersionTLS13)
	if _, state := get(t, transportFor(pool, (*http.Protocols).SetHTTP1), "https://"+addr); state.PeerCertificates[0].Subject.CommonName != "second" {
		t.Error("the new certificate is not used")
	}
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}); err == nil {
		conn.Close()
		t.Error("TLS 1.2 was accepted although 1.3 is demanded")
	}
}

func TestServerOverCleartext(t *testing.T) {
	for h2c, want := range map[bool]string{true: "HTTP/2.0 /a", false: ""} {
		addr := wire.Serve(t, New(echo, Options{H2C: h2c, Connections: NewConnections(Limits{}), Log: slog.New(slog.DiscardHandler)}), wire.Listen(t))
		if body, _ := get(t, transportFor(nil, (*http.Protocols).SetHTTP1), "http://"+addr+"/a"); body != "HTTP/1.1 /a" {
			t.Errorf("h2c %v: HTTP/1.1 got %q", h2c, body)
		}
		if want != "" {
			if body, _ := get(t, transportFor(nil, (*http.Protocols).SetUnencryptedHTTP2), "http://"+addr+"/a"); body != want {
				t.Errorf("h2c: %q", body)
			}
		} else if res, err := transportFor(nil, (*http.Protocols).SetUnencryptedHTTP2).RoundTrip(newRequest(t, "http://"+addr)); err == nil {
			res.Body.Close()
			t.Error("HTTP/2 in cleartext was accepted unasked")
		}
	}
}

func newRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestServerRefusesMalformedRequests(t *testing.T) {
	addr := wire.Serve(t, New(echo, Options{Connections: NewConnections(Limits{MaxHeaderBytes: 8 << 10, ReadHeaderTimeout: 100 * time.Millisecond}), Log: slog.New(slog.DiscardHandler)}), wire.Listen(t))
	for _, c := range []struct{ name, request, want string }{
		{"oversize header", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "HTTP/1.1 400 "},
		{"unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
		{"not HTTP", "\x16\x03\x01 hello\r\n\r\n", "HTTP/1.1 400 "},
		{"half a header", "GET / HTTP/1.1\r\nHost: a\r\n", ""},
		{"OPTIONS * reaches the handler", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 "},
	} {
		if answer := wire.Send(t, addr, c.request); !strings.HasPrefix(answer, c.want) || c.want == "" && strings.Contains(answer, " 200 ") {
			t.Errorf("%s: %.100q", c.name, answer)
		}
	}
}
