package pass

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/test/wire"
)

// What is not a message of HTTP is an error of the upstream to whoever asks, and a copy may stand in for it.
func TestImpossibleAnswers(t *testing.T) {
	back := wire.NewScripted(t)
	p := New(slog.New(slog.DiscardHandler))
	o := upstream.New(upstream.Options{Name: "test", URL: back.URL})
	t.Cleanup(o.CloseIdle)
	for _, c := range []struct{ answer, upgrade string }{
		{"HTTP/1.1 000 No\r\nContent-Length: 4\r\n\r\nbody", ""},
		{"HTTP/1.1 099 No\r\nContent-Length: 4\r\n\r\nbody", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, x\r\n\r\n", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", "websocket"},
	} {
		var failed error
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if c.upgrade != "" {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", c.upgrade)
		}
		p.Serve(httptest.NewRecorder(), r, Options{
			Upstream: o, Target: httpcache.Target{Scheme: "http", Host: "a", Path: "/", Query: "answer=" + url.QueryEscape(c.answer), HasQuery: true},
			OnResponse: func(*http.Response) error { t.Errorf("%q was taken for an answer", c.answer); return nil },
			OnError:    func(_ http.ResponseWriter, err error) { failed = err },
		})
		if upstream.Classify(failed) != policy.OriginError || upstream.NotSent(failed) {
			t.Errorf("%q: %v", c.answer, failed)
		}
	}
	wire.WaitFor(t, func() bool { return o.InFlight() == 0 && o.Streams() == 0 && back.Open.Load() == 0 })
}

// Every way out of a pass gives the place back, also those that only a defect takes.
func TestPlacesAfterPanics(t *testing.T) {
	back := wire.NewScripted(t)
	o := upstream.New(upstream.Options{Name: "test", URL: back.URL})
	t.Cleanup(o.CloseIdle)
	p := New(slog.New(slog.DiscardHandler))
	const page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
	const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	defect := errors.New("defect")
	for name, c := range map[string]struct {
		answer string
		change func(*Options)
		writer http.ResponseWriter
	}{
		"before sending":            {page, func(o *Options) { o.Sending = func(*http.Request) func(*http.Response, error) { panic(defect) } }, nil},
		"with the head":             {page, func(o *Options) { o.Sending = panicsAfter }, nil},
		"with the head, broken":     {"!", func(o *Options) { o.Sending = panicsAfter }, nil},
		"onResponse":                {page, func(o *Options) { o.OnResponse = func(*http.Response) error { panic(defect) } }, nil},
		"onResponse aborts":         {page, func(o *Options) { o.OnResponse = func(*http.Response) error { panic(http.ErrAbortHandler) } }, nil},
		"onResponse of an upgrade":  {upgraded, func(o *Options) { o.OnResponse = func(*http.Response) error { panic(defect) } }, nil},
		"onResponse fails":          {page, func(o *Options) { o.OnResponse = func(*http.Response) error { return defect } }, nil},
		"onResponse fails, upgrade": {upgraded, func(o *Options) { o.OnResponse = func(*http.Response) error { return defect } }, nil},
		"onError":                   {"!", func(o *Options) { o.OnError = func(http.ResponseWriter, error) { panic(defect) } }, nil},
		"the body is hidden":        {upgraded, func(o *Options) { o.OnResponse = hidesBody }, nil},
		"the writer panics":         {page, nil, brokenWriter{httptest.NewRecorder(), true}},
		"the writer fails":          {page, nil, brokenWriter{httptest.NewRecorder(), false}},
		"no connection to switch":   {upgraded, nil, nil},
		"an event stream":           {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", func(o *Options) { o.OnResponse = func(*http.Response) error { panic(defect) } }, nil},
	} {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.ServerContextKey, &http.Server{}), "GET", "/", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		options := Options{Upstream: o, OnError: answerError, Target: httpcache.Target{Scheme: "http", Host: "a", Path: "/", Query: "answer=" + url.QueryEscape(c.answer), HasQuery: true}}
		if c.change != nil {
			c.change(&options)
		}
		if c.writer == nil {
			c.writer = httptest.NewRecorder()
		}
		func() {
			defer func() { _ = recover() }()
			p.Serve(c.writer, r, options)
		}()
		if o.InFlight() != 0 || o.Streams() != 0 {
			t.Errorf("%s: %d in flight, %d streams", name, o.InFlight(), o.Streams())
			o = upstream.New(upstream.Options{Name: "test", URL: back.URL})
		}
	}
	o.CloseIdle()
	wire.WaitFor(t, func() bool { return back.Open.Load() == 0 })
}

func panicsAfter(*http.Request) func(*http.Response, error) {
	return func(*http.Response, error) { panic("defect") }
}

func hidesBody(res *http.Response) error {
	res.Body = struct{ io.ReadCloser }{res.Body}
	return nil
}

// brokenWriter is a client's end that does not work.
type brokenWriter struct {
	*httptest.ResponseRecorder
	panics bool
}

func (w brokenWriter) WriteHeader(int) {
	if w.panics {
		panic("invalid WriteHeader code")
	}
}

func (w brokenWriter) Write([]byte) (int, error) { return 0, net.ErrClosed }
