package proxy

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// A read sees what a write puts there before the origin has it, where the reader is the writer by all that the origin may know clients by, or
// where what the origin answers the reader is for everybody. Any other read waits. Nobody learns of a write what the origin would not show.
func TestOverlay(t *testing.T) {
	const everyone = "public, max-age=60"
	alice := []string{"Authorization", "Bearer alice"}
	for name, c := range map[string]struct {
		writer, reader []string
		answer         []string // fields of what the origin answers the reader
		status         int      // of that; zero: 200
		want           int
		body           string
	}{
		"the writer":                   {alice, alice, []string{"Cache-Control", "private, no-store"}, 404, 200, "new"},
		"the writer, by a cookie":      {[]string{"Cookie", "sid=1"}, []string{"Cookie", "sid=1"}, []string{"Cache-Control", "private"}, 0, 200, "new"},
		"the writer, by a key":         {[]string{"X-Api-Key", "1"}, []string{"X-Api-Key", "1"}, []string{"Cache-Control", "private"}, 0, 200, "new"},
		"the writer, who negotiates":   {alice, append([]string{"Accept-Language", "de", "User-Agent", "x/2", "X-Request-Id", "2"}, alice...), []string{"Cache-Control", "private"}, 0, 200, "new"},
		"another":                      {alice, []string{"Authorization", "Bearer bob"}, []string{"Cache-Control", "private, no-store", "Vary", "Authorization"}, 0, 503, ""},
		"another, it is private":       {alice, []string{"Authorization", "Bearer bob"}, []string{"Cache-Control", "private"}, 0, 503, ""},
		"another, it does not say":     {alice, []string{"Authorization", "Bearer bob"}, []string{"Cache-Control", "max-age=60"}, 0, 503, ""},
		"another, it is everybody's":   {alice, []string{"Authorization", "Bearer bob"}, []string{"Cache-Control", everyone}, 0, 200, "new"},
		"another, it varies by it":     {alice, []string{"Authorization", "Bearer bob"}, []string{"Cache-Control", everyone, "Vary", "Authorization"}, 0, 503, ""},
		"another, it varies by all":    {alice, []string{"Authorization", "Bearer bob"}, []string{"Cache-Control", everyone, "Vary", "*"}, 0, 503, ""},
		"another by one field":         {append([]string{"X-Tenant", "1"}, alice...), append([]string{"X-Tenant", "2"}, alice...), []string{"Cache-Control", everyone}, 0, 503, ""},
		"another by a cookie":          {[]string{"Cookie", "sid=1"}, []string{"Cookie", "sid=2"}, []string{"Cache-Control", everyone}, 0, 503, ""},
		"nobody, it is private":        {alice, nil, []string{"Cache-Control", "private"}, 0, 503, ""},
		"nobody, it is everybody's":    {alice, nil, []string{"Cache-Control", "max-age=60"}, 0, 200, "new"},
		"nobody, it varies by words":   {alice, nil, []string{"Cache-Control", "max-age=60", "Vary", "Accept-Language"}, 0, 200, "new"},
		"nobody, it varies by cookies": {alice, nil, []string{"Cache-Control", "max-age=60", "Vary", "Cookie"}, 0, 503, ""},
		"nobody, it makes a session":   {alice, nil, []string{"Cache-Control", "max-age=60", "Set-Cookie", "sid=1"}, 0, 503, ""},
		"nobody, it is not there":      {alice, nil, []string{"Cache-Control", "max-age=60"}, 404, 503, ""},
		"nobody wrote, nobody reads":   {nil, nil, []string{"Cache-Control", "private"}, 0, 503, ""},
		"a stranger":                   {alice, []string{"Authorization", "Bearer eve"}, nil, 401, 401, "no"},
		"whom it forbids":              {alice, nil, nil, 403, 403, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			origin := func(w http.ResponseWriter, _ *http.Request) {
				for i := 0; i < len(c.answer); i += 2 {
					w.Header().Add(c.answer[i], c.answer[i+1])
				}
				if c.status != 0 {
					w.WriteHeader(c.status)
				}
				_, _ = w.Write([]byte(map[bool]string{true: "old", false: "no"}[c.status == 0]))
			}
			b := newBehindRig(t, origin, func(r *writebehind.Rules, _ *rigOptions) {
				r.ReadPending, r.Patience = writebehind.Overlay, 10*time.Millisecond
			})
			b.send("PUT", "/stock/5", "new", append([]string{"Content-Type", "text/x-stock", "Idempotency-Key", "k"}, c.writer...)...)
			a := b.do("GET", "/stock/5", c.reader...)
			if a.status != c.want || c.body != "" && a.body != c.body || c.want == 503 && strings.Contains(a.body, "new") {
				t.Fatalf("it gets %d %q, want %d %q", a.status, a.body, c.want, c.body)
			}
			if c.body == "new" && (a.header.Get("Content-Type") != "text/x-stock" || a.header.Get("Cache-Control") != "no-store") {
				t.Errorf("it gets %v", a.header)
			}
		})
	}
}

// What waits has no validator and no part: a read with a precondition, or of a range, waits (RFC 9110 §13.1, §14.2).
func TestOverlayIsUnconditional(t *testing.T) {
	b := newBehindRig(t, untouched(t), func(r *writebehind.Rules, _ *rigOptions) {
		r.ReadPending, r.Patience = writebehind.Overlay, 10*time.Millisecond
	})
	alice := []string{"Authorization", "Bearer alice"}
	b.send("PUT", "/stock/5", "new", alice...)
	for _, c := range []struct {
		header []string
		want   int
	}{
		{nil, 200},
		{[]string{"If-None-Match", `"1", W/"2"`}, 200},
		{[]string{"If-None-Match", `"1"`, "If-Modified-Since", "Fri, 27 Nov 2026 01:00:00 GMT"}, 200},
		{[]string{"If-None-Match", "*"}, 503},
		{[]string{"If-Match", `"1"`}, 503},
		{[]string{"If-Match", "*"}, 503},
		{[]string{"If-Modified-Since", "Fri, 27 Nov 2026 01:00:00 GMT"}, 503},
		{[]string{"If-Unmodified-Since", "Fri, 27 Nov 2026 01:00:00 GMT"}, 503},
		{[]string{"Range", "bytes=0-1"}, 503},
		{[]string{"Range", "bytes=0-1", "If-Range", `"1"`}, 503},
		{[]string{"If-None-Match", `"1"`, "Range", "bytes=0-1"}, 503},
		{[]string{"If-Schedule-Tag-Match", `"1"`}, 503},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if a := b.do(method, "/stock/5", append(c.header, alice...)...); a.status != c.want {
				t.Errorf("%s with %v gets %d, want %d", method, c.header, a.status, c.want)
			}
		}
	}
}

// What is overlaid ends with the write, and is of its resource alone.
func TestOverlayEnds(t *testing.T) {
	old := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("old")) }
	b := newBehindRig(t, old, func(r *writebehind.Rules, _ *rigOptions) { r.ReadPending = writebehind.Overlay })
	alice := []string{"Authorization", "Bearer alice"}
	b.send("PUT", "/stock/5", "new", alice...)
	if a := b.do("HEAD", "/stock/5", alice...); a.status != 200 || a.header.Get("Content-Length") != "3" || a.body != "" {
		t.Errorf("HEAD gets %d %v", a.status, a.header)
	}
	if a := b.do("GET", "/stock/6", alice...); a.body != "old" {
		t.Errorf("another resource is %q", a.body)
	}
	b.counter.set(b.counter.last().ID, writebehind.Done)
	if a := b.do("GET", "/stock/5", alice...); a.body != "old" {
		t.Errorf("after it is done the origin is not asked: %q", a.body)
	}
}

// An upstream that says who may read does not say that all of them read the same: what a client has written is for that client.
func TestOverlayWithAuthorize(t *testing.T) {
	status := 204
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer auth.Close() // before the proxy's own end is waited for
	u, err := url.Parse(auth.URL)
	if err != nil {
		t.Fatal(err)
	}
	b := newBehindRig(t, untouched(t), func(r *writebehind.Rules, o *rigOptions) {
		r.AuthorizeUpstream, r.AuthorizePath, r.ReadPending, r.Patience = "auth", "/may", writebehind.Overlay, 10*time.Millisecond
		o.others = []upstream.Options{{Name: "auth", URL: u}}
	})
	b.send("PUT", "/stock/5", "new", "Authorization", "Bearer alice")
	for who, says := range map[string]map[int]int{"alice": {204: 200, 403: 503, 500: 503}, "bob": {204: 503}} {
		for said, want := range says {
			status = said
			if a := b.do("GET", "/stock/5", "Authorization", "Bearer "+who); a.status != want || (a.body == "new") != (want == 200) {
				t.Errorf("of %s it says %d: %d %q, want %d", who, said, a.status, a.body, want)
			}
		}
	}
}

// What is no whole representation is not shown: the read waits until it is done, and then asks anew.
func TestReadsWait(t *testing.T) {
	for name, pending := range map[string]writebehind.ReadPending{"wait": writebehind.Wait, "overlay": writebehind.Overlay} {
		t.Run(name, func(t *testing.T) {
			b := newBehindRig(t, registers(nil), func(r *writebehind.Rules, _ *rigOptions) { r.ReadPending = pending })
			b.do("GET", "/stock/5")
			b.settle(t)
			b.send("POST", "/stock/5", "new")
			done := make(chan answer)
			go func() { done <- b.do("GET", "/stock/5") }()
			select {
			case a := <-done:
				t.Fatalf("it does not wait: %d %q", a.status, a.body)
			case <-time.After(20 * time.Millisecond):
			}
			if try := BehindOf(b.proxy).Send(t.Context(), b.queued(), 1, func() bool { return true }); !try.Confirmed {
				t.Fatal(try)
			}
			b.counter.set(b.counter.last().ID, writebehind.Done)
			if a := <-done; a.body != "new" {
				t.Errorf("it reads %q", a.body)
			}
			b.counter.fail(errors.New("down"))
			if a := b.do("GET", "/stock/5"); a.status != 503 {
				t.Errorf("where nobody knows what is pending: %d", a.status)
			}
		})
	}
}

// A read behind a write that nobody knows the outcome of says so, and no limit of the API is blamed; so does a write.
func TestReadsBehindADeadWrite(t *testing.T) {
	for name, pending := range map[string]writebehind.ReadPending{"wait": writebehind.Wait, "overlay": writebehind.Overlay} {
		t.Run(name, func(t *testing.T) {
			b := newBehindRig(t, untouched(t), func(r *writebehind.Rules, _ *rigOptions) { r.ReadPending = pending })
			b.send("POST", "/stock/5", "new")
			id := b.counter.last().ID
			b.counter.set(id, writebehind.Dead)
			b.counter.mu.Lock()
			b.counter.blocks[id] = true
			b.counter.mu.Unlock()
			for method, text := range map[string]string{"GET": "a write that this read is to see waits for somebody to decide", "PATCH": "a write before this one waits for somebody to decide"} {
				a := b.send(method, "/stock/5", "")
				if a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, text) || !strings.Contains(a.header.Get("Cache-Status"), "detail=fenced") {
					t.Errorf("%s: %d %v %q", method, a.status, a.header, a.body)
				}
			}
		})
	}
}

func TestReadsDoNotWait(t *testing.T) {
	b := newBehindRig(t, registers(nil), nil)
	b.send("PUT", "/stock/5", "new")
	b.counter.fail(errors.New("down"))
	if a := b.do("GET", "/stock/5"); a.status != 404 {
		t.Errorf("%d %q", a.status, a.body)
	}
}
