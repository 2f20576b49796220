package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"cacheproxy/observe"
	"cacheproxy/policy"
)

// identifier is an origin that notes the ids that it is asked with and repeats them where a careless one would.
type identifier struct {
	mu  sync.Mutex
	ids []http.Header
}

func (o *identifier) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.ids = append(o.ids, r.Header.Clone())
	o.mu.Unlock()
	id := r.Header.Get("X-Request-Id")
	if r.URL.Path == "/own" {
		id = "the-origins-own"
	}
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("Traceresponse", r.Header.Get("Traceparent"))
	switch {
	case strings.HasPrefix(r.URL.Path, "/personal"):
		w.Header().Set("Cache-Control", "private")
	case r.URL.Path == "/broken":
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "answered %s", id)
}

func (o *identifier) last() http.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ids[len(o.ids)-1]
}

// logTo lets a bubble's proxy write all its access log into a buffer, and believe the peers of httptest's requests.
func (b *bubble) logTo(out io.Writer, trusted ...string) {
	access, err := observe.NewAccessLog(observe.AccessLogOptions{Format: "json", Hits: 1, Others: 1, Output: out})
	if err != nil {
		b.t.Fatal(err)
	}
	b.proxy.access = access
	for _, text := range trusted {
		b.proxy.config().Trusted = append(b.proxy.config().Trusted, netip.MustParsePrefix(text))
	}
}

// lastLine is the last line of an access log.
func lastLine(t *testing.T, out *bytes.Buffer) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var fields map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

const peer = "192.0.2.1/32" // of httptest's requests

var made = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Which id a request has, by who brought it and whether it is one; the origin of a request of the client's own, the
// client, the log and the text of an error all have the same.
func TestRequestIDs(t *testing.T) {
	for _, c := range []struct {
		name, trusted string
		brought       []string
		kept          bool
	}{
		{"brought by a trusted proxy", peer, []string{"edge-17:a/b"}, true},
		{"brought by anybody", "10.0.0.0/8", []string{"edge-17"}, false},
		{"brought where nobody is trusted", "", []string{"edge-17"}, false},
		{"none", peer, nil, false},
		{"two", peer, []string{"a", "b"}, false},
		{"not printable", peer, []string{"a b"}, false},
		{"too long", peer, []string{strings.Repeat("a", 129)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &identifier{}
			inBubble(t, o.serve, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				var log bytes.Buffer
				b.logTo(&log, strings.Fields(c.trusted)...)
				var header []string
				for _, id := range c.brought {
					header = append(header, "X-Request-Id", id)
				}
				a := b.do("POST", "/a", header...)
				id := a.header.Get("X-Request-Id")
				if c.kept != (len(c.brought) == 1 && id == c.brought[0]) || !c.kept && !made.MatchString(id) {
					t.Errorf("the client got %q", id)
				}
				if got := o.last()["X-Request-Id"]; len(got) != 1 || got[0] != id {
					t.Errorf("the origin got %q, the client %q", got, id)
				}
				if line := lastLine(t, &log); line["request_id"] != id || line["origin_request_id"] != nil {
					t.Errorf("logged %v, want %q", line, id)
				}
				a = b.do("GET", "/a", append(header, "Cache-Control", "only-if-cached")...)
				if id := a.header.Get("X-Request-Id"); a.status != 504 || id == "" || !strings.Contains(a.body, "request id: "+id+"\n") {
					t.Errorf("refused: %d %q with id %q", a.status, a.body, id)
				}
			})
		})
	}
}

// What an origin says of one request is not told to others: neither its id nor the client's are in a copy or a shared
// answer, and every client gets its own.
func TestFillsAreNobodys(t *testing.T) {
	o := &identifier{}
	inBubble(t, o.serve, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var log bytes.Buffer
		b.logTo(&log, peer)
		const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		first := b.do("GET", "/a", "X-Request-Id", "mine", "Traceparent", parent, "Tracestate", "a=1,  b=2")
		fill := o.last()
		if id := fill.Get("X-Request-Id"); !made.MatchString(id) || first.body != "answered "+id {
			t.Errorf("the fill's id is %q; answered %q", id, first.body)
		}
		if fill.Get("Traceparent") != parent || fill.Get("Tracestate") != "a=1,  b=2" {
			t.Errorf("the trace was changed: %q %q", fill["Traceparent"], fill["Tracestate"])
		}
		if got := first.header["X-Request-Id"]; len(got) != 1 || got[0] != "mine" || first.header["Traceresponse"] != nil {
			t.Errorf("the first client got %q, %q", got, first.header["Traceresponse"])
		}
		line := lastLine(t, &log)
		if line["request_id"] != "mine" || line["origin_request_id"] != fill.Get("X-Request-Id") || line["trace_id"] != parent[3:35] {
			t.Errorf("logged %v", line)
		}
		synctest.Wait()
		for id, want := range map[string][]string{"yours": {"yours"}, "": nil} {
			var header []string
			if id != "" {
				header = []string{"X-Request-Id", id}
			}
			a := b.do("GET", "/a", header...)
			a.want(t, "from the copy", 200, first.body, "; hit")
			if got := a.header["X-Request-Id"]; fmt.Sprint(got) != fmt.Sprint(want) || a.header["Traceresponse"] != nil {
				t.Errorf("a hit with id %q came with %q, %q", id, got, a.header["Traceresponse"])
			}
		}
		a := b.do("GET", "/personal", "X-Request-Id", "mine")
		if got := a.header.Get("X-Request-Id"); got != "mine" || strings.Contains(a.body, "mine") {
			t.Errorf("an answer that is not shared: %q with id %q", a.body, got)
		}
		a = b.do("PUT", "/own", "X-Request-Id", "mine")
		if line := lastLine(t, &log); a.header.Get("X-Request-Id") != "the-origins-own" || line["request_id"] != "mine" || line["origin_request_id"] != "the-origins-own" {
			t.Errorf("an origin with ids of its own: %q, logged %v", a.header["X-Request-Id"], line)
		}
	})
}

// An origin may vary by the id: then the client's is part of what selects the copy, and seen.
func TestDeclaredRequestID(t *testing.T) {
	o := &identifier{}
	route := routeFor(t, "all", func(r *policy.Route) { r.Headers = []string{"X-Request-Id"} }, "/")
	inBubble(t, o.serve, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a", "X-Request-Id", "mine").want(t, "declared", 200, "answered mine", "stored")
		b.do("GET", "/a", "X-Request-Id", "yours").want(t, "declared", 200, "answered yours", "fwd=uri-miss")
	})
}

// Every field of a line, and nothing that a line must not have.
func TestAccessLogOfRequests(t *testing.T) {
	o := &identifier{}
	route := routeFor(t, "product", func(r *policy.Route) { r.Key = template(t, "product:{id}") }, "/{id}")
	inBubble(t, o.serve, rigOptions{}, route, func(b *bubble) {
		var log bytes.Buffer
		b.logTo(&log, peer, "10.0.0.0/8")
		b.do("GET", "/a?token=secret", "User-Agent", "me", "X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.2.3",
			"Authorization", "Basic secret", "Cookie", "secret=1", "Referer", "secret")
		line := lastLine(t, &log)
		for name, want := range map[string]any{
			"method": "GET", "host": "example.com", "path": "/a", "query": "token", "status": 200.0, "bytes": float64(len("answered ") + 32),
			"route": "product", "outcome": "pass", "reason": "authorization", "cache_status": "cacheproxy; fwd=bypass; fwd-status=200; detail=authorization",
			"key": "product:a", "upstream": "shop", "client": "203.0.113.9", "protocol": "HTTP/1.1", "user_agent": "me", "aborted": nil,
		} {
			if line[name] != want {
				t.Errorf("%s is %v, want %v", name, line[name], want)
			}
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("the log tells secrets: %s", &log)
		}
		b.do("POST", "/broken")
		if line := lastLine(t, &log); line["outcome"] != "error" || line["status"] != 502.0 || line["reason"] != "origin-error" || line["request_id"] == nil {
			t.Errorf("an origin that breaks off: %v", line)
		}
	})
}
