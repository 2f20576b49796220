package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/test/bubbles"
	"cacheproxy/test/certificates"
)

// comingFrom is a connection of a client with an address.
type comingFrom struct {
	net.Conn
	addr string
}

func (c comingFrom) RemoteAddr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", c.addr+":1234") // a literal
	return addr
}

// entry is a listener in memory, of which clients say from where they come.
type entry struct{ *pipes }

func (e entry) connect(addr string) net.Conn {
	near, far := net.Pipe()
	e.conns <- comingFrom{far, addr}
	return near
}

// opens is how a client opens requests whose bodies do not come.
type opens struct {
	name   string
	secure bool
	open   func(dial func() net.Conn, many int, method, contentType, part string) (conns []net.Conn)
}

// overHTTP1 opens them on a connection each, with a body in chunks.
func overHTTP1(dial func() net.Conn, many int, method, contentType, part string) (conns []net.Conn) {
	for range many {
		conn := dial()
		conns = append(conns, conn)
		chunk := ""
		switch part {
		case "empty":
			chunk = "5\r\n" // a chunk that does not come
		case "one byte":
			chunk = "1\r\nx\r\n"
		}
		fmt.Fprintf(conn, "%s /b/silent HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: %s\r\n\r\n%s", method, contentType, chunk)
	}
	return conns
}

// overHTTP2 opens them on one connection (RFC 9113 §4.1).
func overHTTP2(dial func() net.Conn, many int, method, contentType, part string) []net.Conn {
	const data, headers, settings, endHeaders = 0, 1, 4, 4
	conn := dial()
	frame := func(kind, flags byte, stream int, payload string) {
		head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
		head = binary.BigEndian.AppendUint32(append(head, flags), uint32(stream))
		_, _ = conn.Write(append(head, payload...))
	}
	field := func(name, value string) string { // a literal (RFC 7541 §6.2.2)
		return "\x00" + string(byte(len(name))) + name + string(byte(len(value))) + value
	}
	_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	frame(settings, 0, 0, "")
	for i := range many {
		frame(headers, endHeaders, 2*i+1, field(":method", method)+field(":scheme", "http")+field(":authority", "a")+field(":path", "/b/silent")+field("content-type", contentType))
		switch part {
		case "empty":
			frame(data, 0, 2*i+1, "")
		case "one byte":
			frame(data, 0, 2*i+1, "x")
		}
	}
	return []net.Conn{conn}
}

// A place is for the upstream's time. Whatever a client sends, or leaves out, of the bodies of as many requests as it likes, whoever else
// comes a second after is served at once: each request that wants a place has one of those that are held for nothing.
func TestSilentBodiesHoldNoPlace(t *testing.T) {
	pair, err := tls.X509KeyPair(certificates.NewAuthority(t, "test").Issue("a", "a"))
	if err != nil {
		t.Fatal(err)
	}
	const places, streams = 4, 8 // of which one client has two
	for _, origin := range []string{"http", "h2c"} {
		for _, way := range []opens{{"HTTP/1.1", false, overHTTP1}, {"h2c", false, overHTTP2}, {"HTTP/2 with TLS", true, overHTTP2}} {
			for _, part := range []string{"nothing", "empty", "one byte"} {
				for _, many := range []int{places, places + streams/4, places + streams/4 + 1, 30} {
					for _, method := range []string{"POST", "PUT", "QUERY"} {
						contentType := "text/plain"
						if method == "PUT" {
							contentType = "application/grpc"
						}
						t.Run(fmt.Sprintf("%s/%s/%s/%d/%s", origin, way.name, part, many, method), func(t *testing.T) {
							bubbles.Test(t, func(t *testing.T) {
								s := newSilence(t, origin, pair, way.secure, upstream.Options{MaxInFlight: places, MaxStreams: streams, QueueTimeout: 300 * time.Millisecond})
								defer s.end()
								conns := way.open(func() net.Conn { return s.dial("192.0.2.1") }, many, method, contentType, part)
								for _, conn := range conns {
									defer conn.Close()
									go func() { _, _ = io.Copy(io.Discard, conn) }()
								}
								// One second before a place is asked for, and a second of holding it; of what says that it is a call, two.
								<-time.After(3200 * time.Millisecond)
								for range 5 {
									s.serves(2 * places)
									<-time.After(100 * time.Millisecond)
								}
							})
						})
					}
				}
			}
		}
	}
}

// silence is a proxy between clients with addresses and an origin.
type silence struct {
	t      *testing.T
	dial   func(addr string) net.Conn
	asked  int
	origin *upstream.Upstream
	end    func()
}

func newSilence(t *testing.T, scheme string, pair tls.Certificate, secure bool, limits upstream.Options) *silence {
	route := func(name, pattern string, kind policy.Kind) *policy.Route {
		return routeFor(t, name, func(r *policy.Route) { r.Policy = kind }, pattern)
	}
	routes := []*policy.Route{route("b", "/b/", policy.Bypass), route("r", "/r/", policy.CacheAside)}
	table, err := policy.NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	back := newPipes()
	api := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			_, _ = io.WriteString(w, r.Method)
		}
	}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	api.Protocols.SetHTTP1(true)
	api.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = api.Serve(back) })
	limits.Name, limits.URL, limits.Dial = "shop", &url.URL{Scheme: scheme, Host: "api.test"}, back.dial
	o := upstream.New(limits)
	b := &bubble{t: t, ledger: invalidation.NewLedger(), metrics: observe.NewMetrics("test")}
	b.log = invalidation.NewLocal(b.ledger, "test")
	b.start(NewConfig(Config{Table: table, MaxObject: 1 << 20}, routes, []*upstream.Upstream{o}, b.metrics), rigOptions{memory: 1 << 20})
	all := server.NewConnections(server.Limits{BodyTimeout: 30 * time.Second})
	front := entry{newPipes()}
	options := server.Options{H2C: !secure, Connections: all, Log: slog.New(slog.DiscardHandler)}
	if secure {
		options.Certificate = server.NewCertificate(pair, tls.VersionTLS12)
	}
	srv := server.New(b.proxy, options)
	serving.Go(func() {
		if secure {
			_ = srv.ServeTLS(all.Listen(front), "", "")
			return
		}
		_ = srv.Serve(all.Listen(front))
	})
	return &silence{t: t, origin: o, dial: func(addr string) net.Conn {
		conn := front.connect(addr)
		if !secure {
			return conn
		}
		over := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if addr != "192.0.2.1" {
			over = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		}
		if err := over.HandshakeContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		return over
	}, end: func() {
		srv.Close()
		all.Gone(context.Background())
		wantPlacesFree(t, o)
		b.proxy.Close()
		o.CloseIdle()
		api.Close()
		serving.Wait()
	}}
}

// serves has so many others ask at once, half of them for what is to be cached, the others with a write.
func (s *silence) serves(many int) {
	s.t.Helper()
	var asking sync.WaitGroup
	for i := range many {
		s.asked++
		path, method := fmt.Sprintf("/r/%d", s.asked), "GET"
		if i%2 == 1 {
			path, method = "/b/write", "POST"
		}
		asking.Go(func() {
			conn := s.dial("198.51.100.7")
			defer conn.Close()
			began := time.Now()
			fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", method, path)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				s.t.Errorf("%s %s: %v", method, path, err)
				return
			}
			body, err := io.ReadAll(res.Body)
			if took := time.Since(began); err != nil || res.StatusCode != 200 || string(body) != method || took > 50*time.Millisecond {
				s.t.Errorf("%s %s after %v: %d %q, %v (%s); %d in flight, %d streams", method, path, took, res.StatusCode, body, err,
					strings.Join(res.Header["Cache-Status"], ", "), s.origin.InFlight(), s.origin.Streams())
			}
		})
	}
	asking.Wait()
}
