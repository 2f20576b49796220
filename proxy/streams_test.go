package proxy

import (
	"fmt"
	"net/http"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
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
