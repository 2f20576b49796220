package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/test/bubbles"
)

func request(t *testing.T, o *Upstream, method string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.test"
	SetTarget(req, o.URL(), httpcache.Target{Path: "/"})
	return req
}

func serve(t *testing.T, h http.HandlerFunc, options Options) *Upstream {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.Name, options.URL = "test", u
	o := New(options)
	t.Cleanup(o.CloseIdle)
	return o
}

func TestPlaceIsHeldUntilTheBodyEnds(t *testing.T) {
	o := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "body") }, Options{MaxInFlight: 1, MaxQueue: -1})
	res, err := o.RoundTrip(request(t, o, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	if o.InFlight() != 1 {
		t.Errorf("in flight %d while the body is unread", o.InFlight())
	}
	if _, err := o.RoundTrip(request(t, o, "GET", nil)); Classify(err) != policy.QueueFull || shedBy(o) != 1 {
		t.Errorf("second request: %v, shed %d", err, shedBy(o))
	}
	if _, err := io.ReadAll(res.Body); err != nil || o.InFlight() != 0 {
		t.Errorf("in flight %d after the body's end: %v", o.InFlight(), err)
	}
	res.Body.Close()
	if o.InFlight() != 0 {
		t.Errorf("in flight %d after closing as well", o.InFlight())
	}
}

func TestBodylessResponseGivesThePlaceBack(t *testing.T) {
	o := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, Options{})
	if _, err := o.RoundTrip(request(t, o, "GET", nil)); err != nil || o.InFlight() != 0 {
		t.Errorf("in flight %d: %v", o.InFlight(), err)
	}
}

func TestStreamsAreRecognized(t *testing.T) {
	for contentType, stream := range map[string]bool{
		"text/event-stream": true, "Text/Event-Stream; charset=utf-8": true, "application/grpc": true,
		"application/grpc+proto": true, "application/grpc-web": true, "multipart/x-mixed-replace; boundary=f": true,
		"application/json": false, "application/grpcs": false, "": false, ";": false,
	} {
		res := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {contentType}}}
		if isStream(res) != stream {
			t.Errorf("%q: stream %v", contentType, !stream)
		}
	}
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, Options{MaxInFlight: 1, MaxStreams: 1})
	first, err := o.RoundTrip(request(t, o, "GET", nil))
	if err != nil || o.InFlight() != 0 || o.Streams() != 1 {
		t.Fatalf("in flight %d, streams %d: %v", o.InFlight(), o.Streams(), err)
	}
	if _, err := o.RoundTrip(request(t, o, "GET", nil)); !errors.Is(err, errStreamsFull) || o.InFlight() != 0 {
		t.Errorf("second stream: %v, in flight %d", err, o.InFlight())
	}
	first.Body.Close()
	if o.Streams() != 0 {
		t.Errorf("streams %d after closing", o.Streams())
	}
}

// silent is an upstream in a synctest bubble that accepts what is sent to it and never answers.
func silent(read bool) *Upstream {
	return New(Options{
		Name: "silent", URL: &url.URL{Scheme: "http", Host: "silent.test"}, Timeout: 2 * time.Second,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			if read {
				go io.Copy(io.Discard, far)
			}
			return near, nil
		},
	})
}

func TestTimeoutCountsOnlyTheUpstreamsTurn(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		start := time.Now()
		o := silent(true)
		_, err := o.RoundTrip(request(t, o, "GET", nil))
		if !errors.Is(err, errTimeout) || Classify(err) != policy.OriginTimeout || time.Since(start) != 2*time.Second {
			t.Errorf("GET: %v after %v", err, time.Since(start))
		}

		start = time.Now()
		o = silent(false)
		_, err = o.RoundTrip(request(t, o, "POST", strings.NewReader("never taken")))
		if !errors.Is(err, errTimeout) || time.Since(start) != 2*time.Second {
			t.Errorf("upstream that reads nothing: %v after %v", err, time.Since(start))
		}

		start = time.Now()
		o = silent(true)
		pr, pw := io.Pipe()
		go func() {
			for range 3 {
				<-time.After(90 * time.Second) // a slow client
				pw.Write([]byte("x"))
			}
			pw.Close()
		}()
		_, err = o.RoundTrip(request(t, o, "POST", pr))
		if took := time.Since(start); !errors.Is(err, errTimeout) || took != 272*time.Second {
			t.Errorf("slow upload: %v after %v, want 2s after its end", err, took)
		}
		if o.InFlight() != 0 {
			t.Errorf("in flight %d", o.InFlight())
		}
		synctest.Wait()
	})
}

// A gRPC call whose client says nothing counts as a stream before it is answered: a few of them must not hold every place.
func TestSilentCallsHoldNoPlace(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		h2c := &url.URL{Scheme: "h2c", Host: "test.test"}
		o := serveInBubble(t, Options{URL: h2c, MaxInFlight: 2, MaxStreams: 2, Timeout: 3 * time.Second}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // which breaks off
		})
		var calls sync.WaitGroup
		var bodies []*io.PipeWriter
		failed := make(chan error, 3)
		ask := func(contentType string) {
			r, w := io.Pipe()
			bodies = append(bodies, w)
			req := request(t, o, "POST", r)
			req.Header.Set("Content-Type", contentType)
			calls.Go(func() {
				res, err := o.RoundTrip(req)
				if err != nil {
					failed <- err
					return
				}
				res.Body.Close()
			})
			_, _ = w.Write([]byte("hello")) // the pipe is open
		}
		ask("application/grpc+proto")
		ask("text/plain")
		<-time.After(sendersTime - 1)
		if o.InFlight() != 2 || o.Streams() != 0 {
			t.Errorf("at first %d in flight, %d streams", o.InFlight(), o.Streams())
		}
		<-time.After(time.Second)
		if o.InFlight() != 1 || o.Streams() != 1 {
			t.Errorf("then %d in flight, %d streams; an upload gives way sooner", o.InFlight(), o.Streams())
		}
		<-time.After(2 * time.Second)
		if o.InFlight() != 0 || o.Streams() != 2 {
			t.Errorf("then %d in flight, %d streams", o.InFlight(), o.Streams())
		}
		ask("application/grpc")
		<-time.After(4 * time.Second)
		if err := <-failed; !errors.Is(err, errStreamsFull) || Classify(err) != policy.QueueFull {
			t.Errorf("one conversation too many: %v", err)
		}
		for _, w := range bodies {
			w.Close()
		}
		calls.Wait()
		if o.InFlight() != 0 || o.Streams() != 0 || len(failed) > 0 {
			t.Errorf("in the end %d in flight, %d streams, %d failed", o.InFlight(), o.Streams(), len(failed))
		}
	})
}

// A byte now and then keeps no place for a call that is not answered: the silence counts in all. One that sends fast enough keeps it.
func TestDribblingCallsHoldNoPlace(t *testing.T) {
	for rate, places := range map[int]int{1: 0, placeRate: 1} {
		bubbles.Test(t, func(t *testing.T) {
			h2c := &url.URL{Scheme: "h2c", Host: "test.test"}
			o := serveInBubble(t, Options{URL: h2c, MaxInFlight: 2, MaxStreams: 2}, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			})
			r, w := io.Pipe()
			req := request(t, o, "POST", r)
			req.Header.Set("Content-Type", "application/grpc")
			var calls sync.WaitGroup
			calls.Go(func() {
				res, err := o.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
			})
			for range 10 {
				_, _ = w.Write(make([]byte, rate/2))
				<-time.After(sendersTime / 2)
				_, _ = w.Write(make([]byte, (rate+1)/2))
			}
			<-time.After(sendersTime / 2)
			if o.InFlight() != places || o.Streams() != 1-places {
				t.Errorf("%d bytes a second: %d in flight, %d streams", rate, o.InFlight(), o.Streams())
			}
			w.Close()
			calls.Wait()
		})
	}
}

func TestClassify(t *testing.T) {
	opErr := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	for _, c := range []struct {
		err    error
		reason policy.Reason
		status int
	}{
		{nil, policy.NoReason, 502},
		{errQueueFull, policy.QueueFull, 503},
		{errStreamsFull, policy.QueueFull, 503},
		{fmt.Errorf("x: %w", errQueueTimeout), policy.QueueTimeout, 503},
		{fmt.Errorf("x: %w", errTimeout), policy.OriginTimeout, 504},
		{context.DeadlineExceeded, policy.OriginTimeout, 504},
		{opErr, policy.OriginTimeout, 504},
		{context.Canceled, policy.ClientGone, StatusClientGone},
		{&RequestBodyError{Err: io.ErrUnexpectedEOF}, policy.ClientGone, StatusClientGone},
		{&RequestBodyError{Err: opErr}, policy.ClientGone, StatusClientGone},
		{io.ErrUnexpectedEOF, policy.OriginError, 502},
	} {
		got := Classify(c.err)
		if got != c.reason || got != policy.NoReason && Status(got) != c.status {
			t.Errorf("%v: %v %d, want %v %d", c.err, got, Status(got), c.reason, c.status)
		}
	}
}

func TestErrorsOfRealConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	refused := New(Options{Name: "refused", URL: &url.URL{Scheme: "http", Host: ln.Addr().String()}})
	if _, err := refused.RoundTrip(request(t, refused, "GET", nil)); Classify(err) != policy.OriginError {
		t.Errorf("connection refused: %v", err)
	}

	arrived := make(chan struct{})
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() }, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-arrived; cancel(errors.New("drained")) }()
	if _, err := slow.RoundTrip(request(t, slow, "GET", nil).WithContext(ctx)); Classify(err) != policy.ClientGone {
		t.Errorf("client left: %v", err)
	}

	broken := serve(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, Options{})
	body := io.MultiReader(strings.NewReader("some"), failing{})
	if _, err := broken.RoundTrip(request(t, broken, "POST", body)); Classify(err) != policy.ClientGone {
		t.Errorf("client's body broke off: %v", err)
	}
	big := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 3<<20)) }, Options{})
	if _, err := big.RoundTrip(request(t, big, "GET", nil)); Classify(err) != policy.OriginError {
		t.Errorf("3 MiB of header: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestValidate(t *testing.T) {
	for raw, ok := range map[string]bool{
		"http://a:1": true, "https://a": true, "h2c://a": true, "http://a/": true,
		"ftp://a": false, "http:///x": false, "http://a/base": false, "http://a?x": false, "http://u:p@a": false, "a:80": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := (Options{URL: u}).Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if (Options{}).Validate() == nil {
		t.Error("no url: no error")
	}
}
