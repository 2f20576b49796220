package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/test/bubbles"
)

// pausing answers with parts of a body that come pause after another.
func pausing(t *testing.T, contentType string, pause time.Duration) *Upstream {
	return serveInBubble(t, Options{ReadTimeout: 10 * time.Second}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for range 3 {
			io.WriteString(w, "part ")
			w.(http.Flusher).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return
			}
		}
	})
}

func serveInBubble(t *testing.T, o Options, h http.HandlerFunc) *Upstream {
	ln := pipeListener{conns: make(chan net.Conn)}
	server := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan struct{})
	go func() { server.Serve(ln); close(ended) }()
	o.Name = "test"
	if o.URL == nil {
		o.URL = &url.URL{Scheme: "http", Host: "test.test"}
	}
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		ln.conns <- far
		return near, nil
	}
	upstream := New(o)
	t.Cleanup(func() { wantNothingLeft(t, upstream); upstream.CloseIdle(); close(ln.conns); server.Close(); <-ended })
	return upstream
}

func TestStalledBodyEnds(t *testing.T) {
	for _, c := range []struct {
		name, contentType string
		pause, reader     time.Duration // of the upstream, and of who reads
		want              string
		err               error
	}{
		{"slow", "text/plain", 9 * time.Second, 0, "part part part ", nil},
		{"stalled", "text/plain", 11 * time.Second, 0, "part ", errStalled},
		{"a stream pauses as it likes", "text/event-stream", time.Hour, 0, "part part part ", nil},
		{"a slow reader is not the upstream's fault", "text/plain", 0, time.Hour, "part part part ", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubbles.Test(t, func(t *testing.T) {
				o := pausing(t, c.contentType, c.pause)
				res, err := o.RoundTrip(request(t, o, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				got, err := "", error(nil)
				start, b := time.Now(), make([]byte, 5)
				for err == nil {
					n := 0
					n, err = res.Body.Read(b)
					got += string(b[:n])
					<-time.After(c.reader)
				}
				if errors.Is(err, io.EOF) {
					err = nil
				}
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("got %q, %v after %v; want %q, %v", got, err, time.Since(start), c.want, c.err)
				}
				if c.err != nil && (Classify(err) != policy.OriginTimeout || time.Since(start) != 10*time.Second) {
					t.Errorf("%v after %v", Classify(err), time.Since(start))
				}
				if o.InFlight()+o.Streams() != 0 {
					t.Errorf("%d in flight, %d streams", o.InFlight(), o.Streams())
				}
			})
		})
	}
}

// An upstream that answers early and then listens to a slow upload has not stalled; one that does nothing after it has.
func TestStallWaitsForTheClient(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		o := serveInBubble(t, Options{ReadTimeout: 10 * time.Second}, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.(http.Flusher).Flush()
			io.Copy(w, r.Body)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		pr, pw := io.Pipe()
		go func() {
			<-time.After(time.Hour)
			io.WriteString(pw, "late")
			pw.Close()
		}()
		res, err := o.RoundTrip(request(t, o, "POST", pr))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got, err := io.ReadAll(res.Body)
		if string(got) != "late" || !errors.Is(err, errStalled) || time.Since(start) < time.Hour || time.Since(start) > time.Hour+20*time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(start))
		}
	})
}
