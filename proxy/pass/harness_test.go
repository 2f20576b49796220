package pass

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/test/wire"
)

// passThrough serves through a passer in front of the upstream at base and returns the front's address.
func passThrough(t *testing.T, base *url.URL, change func(*Options)) string {
	t.Helper()
	o := upstream.New(upstream.Options{Name: "test", URL: base, Timeout: 10 * time.Second})
	t.Cleanup(func() {
		wire.WaitFor(t, func() bool { return o.InFlight()+o.Streams()+o.Queued() == 0 })
		o.CloseIdle()
	})
	p := New(slog.New(slog.DiscardHandler))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, query, has := strings.Cut(r.RequestURI, "?")
		options := Options{Upstream: o, OnError: answerError, Target: httpcache.Target{Scheme: "http", Host: r.Host, Path: target, Query: query, HasQuery: has}}
		if change != nil {
			change(&options)
		}
		p.Serve(w, r, options)
	})
	all := server.NewConnections(server.Limits{})
	return wire.Serve(t, server.New(handler, server.Options{H2C: true, Connections: all, Log: slog.New(slog.DiscardHandler)}), all.Listen(wire.Listen(t)))
}

// answerError answers for an upstream that did not, as everybody has to who passes requests through.
func answerError(w http.ResponseWriter, err error) {
	if errors.As(err, new(*upstream.RequestBodyError)) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reason := upstream.Classify(err)
	if reason == policy.ClientGone {
		panic(http.ErrAbortHandler)
	}
	http.Error(w, err.Error(), upstream.Status(reason))
}

// behind starts an upstream with h and a front in front of it.
func behind(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	t.Cleanup(srv.Close)
	return passThrough(t, mustURL(t, srv.URL), nil)
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
