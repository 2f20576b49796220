package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/test/bubbles"
)

// An answer that lasts as long as its peers wish is nobody else's and is not kept, whatever it says of caching, and says so in
// a word of its own: no limit of size has anything to do with it.
func TestStreamsAreNotKept(t *testing.T) {
	const stream, stored = "cacheproxy; fwd=uri-miss; fwd-status=200; detail=stream", "fwd=uri-miss; fwd-status=200; stored"
	for contentType, want := range map[string]string{
		"text/event-stream":                     stream,
		"Text/Event-Stream; charset=utf-8":      stream,
		"text/event-stream; x":                  stream, // a parameter that is none does not make it end
		"application/grpc":                      stream,
		"application/grpc+proto":                stream,
		"application/grpc-web":                  stream,
		"application/grpc-web-text+proto":       stream,
		"multipart/x-mixed-replace; boundary=f": stream,
		"text/event-streams":                    stored,
		"application/grpcs":                     stored,
		"multipart/mixed; boundary=f":           stored,
		"application/x-ndjson":                  stored,
	} {
		for _, ranges := range []policy.RangeFetch{policy.RangeWhole, policy.RangePart} {
			t.Run(fmt.Sprint(contentType, ", ", ranges), func(t *testing.T) {
				origin := counting(with("Cache-Control", "max-age=60", "Content-Type", contentType))
				route := routeFor(t, "all", func(r *policy.Route) { r.Range = ranges }, "/")
				inBubble(t, origin, rigOptions{}, route, func(b *bubble) {
					b.do("GET", "/a").want(t, "first", 200, "1", want)
					if want == stored {
						b.do("GET", "/a").want(t, "second", 200, "1", "cacheproxy; hit")
						return
					}
					b.do("GET", "/a").want(t, "second", 200, "2", "detail=")
					if n := count(t, b.metrics, "cacheproxy_not_stored_total", "stream"); n == 0 {
						t.Error("not counted as a stream")
					}
				})
			})
		}
	}
}

// An error that is a stream is not shared with those who wait either: it may never end for them.
func TestStreamsAreNotShared(t *testing.T) {
	origin := counting(func(h http.Header, _ *http.Request) int {
		h.Set("Content-Type", "multipart/x-mixed-replace; boundary=f")
		return http.StatusServiceUnavailable
	})
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		b.do("GET", "/a").want(t, "first", 503, "1", "detail=stream")
	})
}

// Who has as many streams as one client may is told so, and what to change where a proxy makes many clients one.
func TestOneClientsStreamsAreTold(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush() // of a client that has gone, nobody is told
		<-r.Context().Done()
	}
	for _, kind := range []policy.Kind{policy.CacheAside, policy.Bypass} {
		r := newRig(t, backend, rigOptions{origin: upstream.Options{MaxStreams: 4}}, routeFor(t, "all", func(r *policy.Route) { r.Policy = kind }, "/"))
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.front.URL+"/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if a := r.do("GET", "/another"); a.status != 503 || !strings.Contains(a.body, "trusted_proxies") {
			t.Errorf("%v: %d %q", kind, a.status, a.body)
		}
		res.Body.Close()
	}
}

// Every kind of stream leaves its place at the origin to requests that end.
func TestStreamsLeaveTheirPlace(t *testing.T) {
	for _, contentType := range []string{"text/event-stream", "multipart/x-mixed-replace; boundary=f", "application/grpc-web+proto"} {
		t.Run(contentType, func(t *testing.T) {
			backend := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/ends" {
					return
				}
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush() // of a client that has gone, nobody is told
				<-r.Context().Done()
			}
			r := newRig(t, backend, rigOptions{origin: upstream.Options{MaxInFlight: 1, MaxStreams: 1}}, routeFor(t, "all", nil, "/"))
			req, err := http.NewRequestWithContext(t.Context(), "GET", r.front.URL+"/stream", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			r.do("GET", "/ends").want(t, "while the stream is open", 200, "", "fwd=uri-miss; fwd-status=200; stored")
		})
	}
}

// A call of gRPC may be silent for as long as it likes, where it can be one: to an upstream without HTTP/2 it is a request like any
// other, whose body has to come.
func TestCallsInNameOnly(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		for scheme, want := range map[string]string{"http": "the request body did not come any further", "h2c": ""} {
			route := routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.Bypass }, "/")
			table, err := policy.NewTable([]*policy.Route{route})
			if err != nil {
				t.Fatal(err)
			}
			back := newPipes()
			reached := make(chan struct{})
			api := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(reached)
				_, _ = io.Copy(io.Discard, r.Body) // which breaks off
			})}
			api.Protocols.SetHTTP1(true)
			api.Protocols.SetUnencryptedHTTP2(true)
			ended := make(chan struct{}, 2)
			go func() { api.Serve(back); ended <- struct{}{} }()
			o := upstream.New(upstream.Options{Name: "shop", URL: &url.URL{Scheme: scheme, Host: "api.test"}, Dial: back.dial})
			b := &bubble{t: t, ledger: invalidation.NewLedger(), metrics: observe.NewMetrics("test")}
			b.log = invalidation.NewLocal(b.ledger, "test")
			b.start(NewConfig(Config{Table: table, MaxObject: 1 << 20}, []*policy.Route{route}, []*upstream.Upstream{o}, b.metrics), rigOptions{memory: 1 << 20})
			all := server.NewConnections(server.Limits{BodyTimeout: 5 * time.Second})
			ln := newPipes()
			s := server.New(b.proxy, server.Options{H2C: true, Connections: all, Log: slog.New(slog.DiscardHandler)})
			go func() { s.Serve(all.Listen(ln)); ended <- struct{}{} }()
			client := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ln.dial(ctx, "", "") }}
			client.Protocols.SetUnencryptedHTTP2(true)
			ctx, leave := context.WithCancel(t.Context())
			r, w := io.Pipe()
			req, err := http.NewRequestWithContext(ctx, "POST", "http://a/call", r)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/grpc")
			message := make(chan string, 1)
			go func() {
				res, err := client.RoundTrip(req)
				if err != nil {
					message <- err.Error()
					return
				}
				res.Body.Close()
				message <- res.Header.Get("Grpc-Message")
			}()
			if want == "" {
				<-reached // what is no call is received before the API is asked
			}
			select {
			case got := <-message:
				if want == "" || !strings.HasPrefix(got, url.PathEscape(want)) {
					t.Errorf("%s: %q, want %q", scheme, got, want)
				}
			case <-time.After(time.Hour):
				if want != "" {
					t.Errorf("%s: open for an hour", scheme)
				}
				if o.InFlight() != 0 || o.Streams() != 1 {
					t.Errorf("%s: %d in flight, %d streams; a silent call is a stream", scheme, o.InFlight(), o.Streams())
				}
			}
			leave()
			w.Close()
			client.CloseIdleConnections()
			s.Close()
			b.proxy.Close()
			wantPlacesFree(t, o)
			o.CloseIdle()
			api.Close()
			<-ended
			<-ended
		}
	})
}
