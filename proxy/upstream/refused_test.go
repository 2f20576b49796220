package upstream

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What HTTP/2 says was not processed is sent again whatever the method, while there is no body (RFC 9113 §8.7).
func TestRefusedStreamsAreSentAgain(t *testing.T) {
	refuse := func(f *http2.Framer, stream uint32) error {
		return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
	}
	goAway := func(f *http2.Framer, stream uint32) error { return f.WriteGoAway(stream-2, http2.ErrCodeNo, nil) }
	for _, method := range []string{"GET", "POST", "DELETE"} {
		for name, deny := range map[string]func(*http2.Framer, uint32) error{"refused": refuse, "goaway": goAway} {
			var streams atomic.Int64
			base := h2cUpstream(t, func(f *http2.Framer, stream uint32) error {
				if streams.Add(1) == 2 {
					return deny(f, stream)
				}
				var head bytes.Buffer
				if err := hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "204"}); err != nil {
					return err
				}
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true})
			})
			o := New(Options{Name: "h2", URL: base})
			for range 2 {
				res, err := o.RoundTrip(request(t, o, method, nil))
				if err != nil {
					t.Fatalf("%s, %s: %v", method, name, err)
				}
				res.Body.Close()
			}
			if streams.Load() != 3 || o.InFlight() != 0 {
				t.Errorf("%s, %s: %d streams, want 3; %d in flight", method, name, streams.Load(), o.InFlight())
			}
			o.CloseIdle()
		}
	}
}

// h2cUpstream answers every stream with what answer writes.
func h2cUpstream(t *testing.T, answer func(f *http2.Framer, stream uint32) error) *url.URL {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				f := http2.NewFramer(conn, conn)
				if err := f.WriteSettings(); err != nil {
					return
				}
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					if frame.Header().Type == http2.FrameHeaders {
						if err := answer(f, frame.Header().StreamID); err != nil {
							return
						}
					}
				}
			})
		}
	})
	return &url.URL{Scheme: "h2c", Host: ln.Addr().String()}
}
