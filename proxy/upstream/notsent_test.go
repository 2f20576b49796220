package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/test/bubbles"
)

// What became of a request that failed can be told where nothing of it was written, and only there.
func TestNotSent(t *testing.T) {
	answerOnce := func(conn net.Conn) {
		if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.Copy(io.Discard, req.Body)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
	for _, c := range []struct {
		name string
		conn func(far net.Conn) error // serves one connection, or refuses it
		warm bool                     // a request was answered on the connection before
		end  time.Duration            // when the client leaves; 0: it stays
		body io.Reader
		want bool
	}{
		{"refused", func(net.Conn) error { return errBroken }, false, 0, nil, true},
		{"refused, with a body", func(net.Conn) error { return errBroken }, false, 0, strings.NewReader("x"), true},
		{"closed before it is read", func(far net.Conn) error { return far.Close() }, false, 0, nil, true},
		{"closed after one byte", func(far net.Conn) error {
			go func() { io.ReadFull(far, make([]byte, 1)); far.Close() }()
			return nil
		}, false, 0, nil, false},
		{"no answer in time", func(far net.Conn) error { go io.Copy(io.Discard, far); return nil }, false, 0, nil, false},
		{"client gone while it waits", func(far net.Conn) error { go io.Copy(io.Discard, far); return nil }, false, time.Second, nil, false},
		{"not taken in time", func(net.Conn) error { return nil }, false, 0, nil, true},
		{"body broken off, of which the head went ahead", func(far net.Conn) error { go io.Copy(io.Discard, far); return nil }, false, 0, brokenBody{}, false},
		{"closed after an answer, in the middle of the next head", func(far net.Conn) error {
			go func() { answerOnce(far); io.ReadFull(far, make([]byte, 1)); far.Close() }()
			return nil
		}, true, 0, strings.NewReader("x"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubbles.Test(t, func(t *testing.T) {
				var far net.Conn
				o := New(Options{
					Name: "test", URL: &url.URL{Scheme: "http", Host: "upstream.test"}, Timeout: 2 * time.Second,
					Dial: func(context.Context, string, string) (net.Conn, error) {
						var near net.Conn
						near, far = net.Pipe()
						return near, c.conn(far)
					},
				})
				defer func() { o.CloseIdle(); far.Close(); synctest.Wait() }()
				if c.warm {
					res, err := o.RoundTrip(request(t, o, "POST", nil))
					if err != nil {
						t.Fatal(err)
					}
					res.Body.Close()
				}
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if c.end > 0 {
					time.AfterFunc(c.end, leave)
				}
				req := request(t, o, "POST", c.body).WithContext(ctx)
				req.GetBody = nil
				_, err := o.RoundTrip(req)
				if err == nil || NotSent(err) != c.want {
					t.Errorf("not sent: %v; %v", NotSent(err), err)
				}
			})
		})
	}
	if NotSent(nil) || NotSent(errBroken) || NotSent(errStreamsFull) {
		t.Error("not sent, without a word of that")
	}
}

// What got no place was not sent either.
func TestNotSentForWantOfAPlace(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		o := New(Options{Name: "full", URL: &url.URL{Scheme: "http", Host: "upstream.test"}, MaxInFlight: 1, MaxQueue: 1, QueueTimeout: time.Second})
		slot, err := o.Acquire(t.Context(), Place{})
		if err != nil {
			t.Fatal(err)
		}
		defer slot.Release()
		if _, err := o.RoundTrip(request(t, o, "POST", nil)); !errors.Is(err, errQueueTimeout) || !NotSent(err) {
			t.Errorf("after waiting: %v", err)
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		if _, err := o.Acquire(ctx, Place{}); !errors.Is(err, context.DeadlineExceeded) || !NotSent(err) {
			t.Errorf("client gone: %v", err)
		}
		go o.Acquire(t.Context(), Place{})
		synctest.Wait()
		if _, err := o.RoundTrip(request(t, o, "POST", nil)); !errors.Is(err, errQueueFull) || !NotSent(err) {
			t.Errorf("queue full: %v", err)
		}
	})
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
