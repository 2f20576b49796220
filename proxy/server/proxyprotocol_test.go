package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"cacheproxy/test/certificates"
)

// binaryHeader is an introduction of version 2.
func binaryHeader(command, family byte, body string) string {
	b := append([]byte(signature), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(body)))) + body
}

const (
	ends4 = "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb" // 192.0.2.1:56324 to 198.51.100.2:443
	ends6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\xdc\x04\x01\xbb"
)

// introductions are well-formed ones, and whom they introduce: from and to; empty: nobody.
var introductions = map[string]string{
	"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n":         "192.0.2.1:56324 198.51.100.2:443",
	"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n":        "[2001:db8::1]:56324 [2001:db8::2]:443",
	"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n": "192.0.2.1:1 198.51.100.2:2",
	"PROXY UNKNOWN\r\n": "",
	"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n":                    "",
	binaryHeader(0x21, 0x11, ends4):                                                    "192.0.2.1:56324 198.51.100.2:443",
	binaryHeader(0x21, 0x21, ends6):                                                    "[2001:db8::1]:56324 [2001:db8::2]:443",
	binaryHeader(0x21, 0x11, ends4+"\x04\x00\x01\x00"+"\x02\x00\x04shop"):              "192.0.2.1:56324 198.51.100.2:443",
	binaryHeader(0x21, 0x21, ends6+strings.Repeat("x", maxIntroduction-len(ends6)-16)): "[2001:db8::1]:56324 [2001:db8::2]:443",
	binaryHeader(0x20, 0x00, ""):                                                       "",
	binaryHeader(0x20, 0x11, ends4):                                                    "",
	binaryHeader(0x21, 0x00, "\x04\x00\x01\x00"):                                       "",
	binaryHeader(0x21, 0x31, strings.Repeat("/", 216)):                                 "",
}

var notIntroductions = []string{
	"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
	"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", "PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
	"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
	"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n", "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
	"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n", "PROXY \r\n",
	"PROXY UNKNOWN " + strings.Repeat("x", maxLine) + "\r\n",
	binaryHeader(0x11, 0x11, ends4), binaryHeader(0x22, 0x11, ends4), binaryHeader(0x21, 0x12, ends4), binaryHeader(0x21, 0x11, ends4[:11]),
	binaryHeader(0x21, 0x21, ends4), binaryHeader(0x21, 0x11, strings.Repeat("x", maxIntroduction-15)), binaryHeader(0x20, 0x00, strings.Repeat("x", 60000)),
}

func ends(in introduction) string {
	if !in.client.IsValid() {
		return ""
	}
	return in.client.String() + " " + in.target.String()
}

// Both versions of the PROXY protocol, wherever what comes is cut, and whatever follows.
func TestIntroductions(t *testing.T) {
	for header, want := range introductions {
		for n := range len(header) {
			if _, _, err := parseIntroduction([]byte(header[:n])); !errors.Is(err, errIncomplete) {
				t.Errorf("%q: %v", header[:n], err)
			}
		}
		in, n, err := parseIntroduction([]byte(header + "GET / HTTP/1.1\r\n"))
		if got := ends(in); err != nil || n != len(header) || got != want {
			t.Errorf("%q: %q, %d of %d bytes, %v; want %q", header, got, n, len(header), err, want)
		}
	}
	for _, header := range notIntroductions {
		if in, _, err := parseIntroduction([]byte(header)); !errors.Is(err, errNotIntroduced) || in != (introduction{}) {
			t.Errorf("%q: %q, %v", header, ends(in), err)
		}
	}
}

// An introduction is no longer than it may be, and what is one is one in whatever pieces it comes.
func FuzzIntroduction(f *testing.F) {
	for header := range introductions {
		f.Add([]byte(header))
	}
	for _, header := range notIntroductions {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, n, err := parseIntroduction(b)
		if errors.Is(err, errIncomplete) && len(b) >= maxIntroduction {
			t.Fatalf("%d bytes are not enough", len(b))
		}
		if err != nil {
			return
		}
		if n > maxIntroduction || n > len(b) || in.client.IsValid() != in.target.IsValid() || in.client.Addr().Is4In6() {
			t.Fatalf("%d of %d bytes: %q", n, len(b), ends(in))
		}
		if again, m, err := parseIntroduction(b[:n]); err != nil || m != n || again != in {
			t.Fatalf("without what follows: %q, %d, %v", ends(again), m, err)
		}
		if _, _, err := parseIntroduction(b[:n-1]); !errors.Is(err, errIncomplete) {
			t.Fatalf("without its last byte: %v", err)
		}
	})
}

// tellsEnds answers with the addresses of a request's connection.
func tellsEnds(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s", r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey))
}

// introducedFront is a server whose clients are introduced by the proxies.
func introducedFront(t *testing.T, l Limits, o Options, proxies string) (conns *Connections, dial func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns = NewConnections(l)
	o.Connections, o.Log = conns, slog.New(slog.DiscardHandler)
	srv := New(http.HandlerFunc(tellsEnds), o)
	in := conns.Listen(ln, netip.MustParsePrefix(proxies))
	ended := make(chan error, 1)
	go func() {
		if o.Certificate != nil {
			ended <- srv.ServeTLS(in, "", "")
			return
		}
		ended <- srv.Serve(in)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-ended
	})
	return conns, func() net.Conn {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		return conn
	}
}

// told is what a client reads: the body of an answer, or that there is none.
func told(conn net.Conn) string {
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "closed"
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return fmt.Sprintf("%d %s", res.StatusCode, b)
}

// Who is in the list introduces its clients and is believed; it must, and others must not.
func TestIntroducedClients(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	conns, dial := introducedFront(t, Limits{}, Options{H2C: true}, "127.0.0.0/8")
	for header, want := range introductions {
		conn := dial()
		if want == "" {
			want = conn.LocalAddr().String() + " " + conn.RemoteAddr().String()
		}
		_, _ = io.WriteString(conn, header[:len(header)/2])
		_, _ = io.WriteString(conn, header[len(header)/2:]+get)
		if got := told(conn); got != "200 "+want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
		_, _ = io.WriteString(conn, get)
		if got := told(conn); got != "200 "+want {
			t.Errorf("%q, a second request: %q, want %q", header, got, want)
		}
	}
	for _, header := range notIntroductions {
		conn := dial()
		_, _ = io.WriteString(conn, header+get)
		if got := told(conn); got != "closed" {
			t.Errorf("%q: %q", header, got)
		}
	}
	if n := conns.Counts(); n.Unintroduced != uint64(len(notIntroductions)) {
		t.Errorf("%d were counted, want %d", n.Unintroduced, len(notIntroductions))
	}
	_, dial = introducedFront(t, Limits{}, Options{}, "192.0.2.0/24")
	conn := dial()
	_, _ = io.WriteString(conn, "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"+get)
	if got := told(conn); !strings.HasPrefix(got, "400 ") {
		t.Errorf("from elsewhere: %q", got)
	}
}

// The introduction comes before TLS.
func TestIntroducedTLS(t *testing.T) {
	pair, err := tls.X509KeyPair(certificates.NewAuthority(t, "test").Issue("a", "a"))
	if err != nil {
		t.Fatal(err)
	}
	_, dial := introducedFront(t, Limits{}, Options{Certificate: NewCertificate(pair, tls.VersionTLS12)}, "127.0.0.0/8")
	for _, protocol := range []string{"http/1.1", "h2"} {
		client := &http.Client{Transport: &http.Transport{
			ForceAttemptHTTP2: protocol == "h2", TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}},
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				conn := dial()
				_, err := io.WriteString(conn, binaryHeader(0x21, 0x11, ends4))
				return conn, err
			},
		}}
		res, err := client.Get("https://a/")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := string(b); got != "192.0.2.1:56324 198.51.100.2:443" {
			t.Errorf("%s: %q", protocol, got)
		}
		client.CloseIdleConnections()
	}
}

// The limit for each client is one for the clients that are introduced, and a proxy that introduces nobody holds up no other.
func TestIntroducedClientsAreLimited(t *testing.T) {
	conns, dial := introducedFront(t, Limits{MaxPerClient: 2, ReadHeaderTimeout: 200 * time.Millisecond}, Options{}, "127.0.0.0/8")
	var silent []net.Conn
	for range 3 {
		silent = append(silent, dial())
	}
	for i := range 8 {
		conn := dial()
		client := i % 4
		fmt.Fprintf(conn, "PROXY TCP4 192.0.2.%d 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", client)
		if got := told(conn); !strings.HasPrefix(got, fmt.Sprintf("200 192.0.2.%d:", client)) {
			t.Errorf("connection %d: %q", i, got)
		}
	}
	conn := dial()
	_, _ = io.WriteString(conn, "PROXY TCP4 192.0.2.3 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := told(conn); got != "closed" {
		t.Errorf("one too many of a client: %q", got)
	}
	for _, conn := range silent {
		if b, err := io.ReadAll(conn); len(bytes.TrimSpace(b)) > 0 || errors.Is(err, net.ErrClosed) {
			t.Errorf("a proxy that says nothing: %q, %v", b, err)
		}
	}
	if n := conns.Counts(); n.Refused != 1 || n.Unintroduced != 3 {
		t.Errorf("%+v", n)
	}
}

// What is wrong with an introduction is told, with the peer, and without what came. A check that closes its connection is not.
func TestMisintroduced(t *testing.T) {
	const get = "GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"
	faults := make(chan string, 1)
	o := Options{Misintroduced: func(peer netip.Addr, proxy bool, wrong string) { faults <- fmt.Sprint(peer, " ", proxy, " ", wrong) }}
	limits := Limits{ReadHeaderTimeout: 300 * time.Millisecond}
	conns, listed := introducedFront(t, limits, o, "127.0.0.0/8")
	_, other := introducedFront(t, limits, o, "192.0.2.0/24")
	header := binaryHeader(0x21, 0x11, ends4)
	for _, c := range []struct {
		dial func() net.Conn
		send string
		ends bool // the peer sends no more
		want string
	}{
		{listed, "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n" + get, false, "127.0.0.1 true the PROXY header, of version 1, is malformed"},
		{listed, binaryHeader(0x21, 0x12, ends4), false, "127.0.0.1 true the PROXY header, of version 2, is malformed or longer than 536 bytes"},
		{listed, get, false, "127.0.0.1 true something else came in place of a PROXY header, such as a request"},
		{listed, "\x16\x03\x01\x02\x00\x01", false, "127.0.0.1 true TLS began without a PROXY header before it"},
		{listed, "", false, "127.0.0.1 true nothing came within read_header_timeout"},
		{listed, header[:20], false, "127.0.0.1 true the PROXY header was not complete within read_header_timeout"},
		{listed, header[:20], true, "127.0.0.1 true the connection ended in the PROXY header"},
		{other, "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n" + get, false, "127.0.0.1 false a PROXY header came from a peer that is not in proxy_protocol"},
		{other, header + get, false, "127.0.0.1 false a PROXY header came from a peer that is not in proxy_protocol"},
		{listed, "", true, ""},
		{listed, header + get, false, ""},
		{other, get + "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n", false, ""},
	} {
		conn := c.dial()
		_, _ = io.WriteString(conn, c.send)
		if c.ends {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
		_ = told(conn) // before which the fault is told, but for that of an answer
		conn.Close()
		got := ""
		if c.want != "" {
			select {
			case got = <-faults:
			case <-time.After(10 * time.Second):
				t.Fatalf("%q: nothing is told, want %q", c.send, c.want)
			}
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.send, got, c.want)
		}
	}
	if n := conns.Counts().Unintroduced; n != 8 {
		t.Errorf("%d are counted, want 8", n)
	}
	select {
	case got := <-faults:
		t.Errorf("told without need: %s", got)
	default:
	}
}
