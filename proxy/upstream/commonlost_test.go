package upstream

import (
	"bytes"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A request that is lost with a connection of HTTP/2 is sent once more under the conditions of one that had a connection to itself: it is
// safe and has no content, and others had used the connection before. One that its upstream has ended by itself is not, and one that it
// refuses no more often than such are.
func TestRequestLostWithASharedConnection(t *testing.T) {
	closed := func(f *http2.Framer, _ uint32) error { return io.EOF }
	goAway := func(f *http2.Framer, stream uint32) error {
		if err := f.WriteGoAway(stream, http2.ErrCodeNo, nil); err != nil {
			return err
		}
		return io.EOF
	}
	ended := func(code http2.ErrCode) func(*http2.Framer, uint32) error {
		return func(f *http2.Framer, stream uint32) error { return f.WriteRSTStream(stream, code) }
	}
	for _, c := range []struct {
		name    string
		lose    func(*http2.Framer, uint32) error
		methods string
		body    string
		first   bool  // on the first request of a connection
		heals   bool  // it is lost once
		want    int64 // how often it arrives
	}{
		{"closed", closed, "GET HEAD OPTIONS QUERY", "", false, false, 2},
		{"closed once", closed, "GET HEAD", "", false, true, 2},
		{"closed after GOAWAY that counts it as processed", goAway, "GET HEAD", "", false, false, 2},
		{"closed", closed, "POST PUT DELETE PATCH", "", false, false, 1},
		{"closed", closed, "GET POST QUERY", "content", false, false, 1},
		{"a new connection that is closed", closed, "GET", "", true, false, 1},
		{"refused", ended(http2.ErrCodeRefusedStream), "GET HEAD POST DELETE", "", false, false, 1 + maxReplays},
		{"refused", ended(http2.ErrCodeRefusedStream), "GET", "", true, false, 1 + maxReplays},
		{"ended", ended(http2.ErrCodeInternal), "GET POST", "", false, false, 1},
		{"cancelled", ended(http2.ErrCodeCancel), "GET POST", "", false, false, 1},
	} {
		for method := range strings.SplitSeq(c.methods, " ") {
			var asked, poison atomic.Int64
			base := h2cUpstream(t, func(f *http2.Framer, stream uint32) error {
				if asked.Add(1) > 1 || c.first {
					if n := poison.Add(1); n == 1 || !c.heals {
						return c.lose(f, stream)
					}
				}
				var head bytes.Buffer
				if err := hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "204"}); err != nil {
					return err
				}
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true})
			})
			o := New(Options{Name: "h2", URL: base})
			if !c.first {
				res, err := o.RoundTrip(request(t, o, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
			var body io.Reader
			if c.body != "" {
				body = io.MultiReader(strings.NewReader(c.body))
			}
			res, err := o.RoundTrip(request(t, o, method, body))
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != c.heals || NotSent(err) || poison.Load() != c.want || o.Retries() != uint64(c.want-1) || o.InFlight() != 0 {
				t.Errorf("%s, %s %s: %v; arrived %d times, %d retries, want %d; %d in flight", c.name, method, c.body, err, poison.Load(), o.Retries(), c.want, o.InFlight())
			}
			o.CloseIdle()
		}
	}
}
