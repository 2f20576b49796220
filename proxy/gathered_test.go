package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// question is a route whose content is the question, write one whose content names what it invalidates.
func question(r *policy.Route) { r.Content.Max = 1 << 20 }

// A short body is received before a place is asked for, whether or not its length is told.
func TestShortBodiesComeFirst(t *testing.T) {
	asked := 0
	backend := func(w http.ResponseWriter, r *http.Request) {
		asked++
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Framing", strings.Join(r.TransferEncoding, ","))
		_, _ = w.Write(b)
	}
	o := rigOptions{origin: upstream.Options{MaxInFlight: 1, MaxQueue: -1}}
	inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		origin := b.proxy.config().unmatched.Origin
		var clients sync.WaitGroup
		var bodies []*io.PipeWriter
		for _, method := range []string{"POST", "GET", "PUT"} {
			pr, pw := io.Pipe()
			bodies = append(bodies, pw)
			clients.Go(func() {
				b.serve(b.t.Context(), method, "/a", pr).want(t, method, 200, "abc", "fwd=")
				pr.CloseWithError(io.ErrClosedPipe)
			})
			_, _ = io.WriteString(pw, "a")
		}
		b.pass(gatherTime / 2)
		if asked != 0 || origin.InFlight() != 0 || origin.Streams() != 0 {
			t.Errorf("asked %d times, %d in flight, %d streams, though no client has sent its body", asked, origin.InFlight(), origin.Streams())
		}
		b.do("GET", "/b").want(t, "meanwhile", 200, "", "stored")
		for _, pw := range bodies {
			_, _ = io.WriteString(pw, "bc")
			pw.Close()
			synctest.Wait()
		}
		clients.Wait()
		pr, pw := io.Pipe()
		pw.Close()
		if got := b.serve(b.t.Context(), "POST", "/a", pr); got.status != 200 || got.header.Get("X-Framing") != "chunked" {
			t.Errorf("an empty body in chunks: %d, framing %q", got.status, got.header.Get("X-Framing"))
		}
		if n := b.store.Memory().Budget().Reserved(); n != 0 {
			t.Errorf("%d bytes are reserved in the end", n)
		}
	})
}

// A short body that does not come at once is sent as it comes: it may be half of a conversation. Its place is for others until it goes on.
func TestLateBodiesAreSentAsTheyCome(t *testing.T) {
	var began atomic.Int64
	backend := func(w http.ResponseWriter, r *http.Request) {
		if n, _ := r.Body.Read(make([]byte, 1)); n > 0 {
			began.Add(1)
		}
		rest, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte("a"), rest...))
	}
	o := rigOptions{origin: upstream.Options{MaxInFlight: 1, MaxQueue: 8, QueueTimeout: time.Second, MaxStreams: 100}}
	inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		origin := b.proxy.config().unmatched.Origin
		var clients sync.WaitGroup
		var bodies []*io.PipeWriter
		for range 3 {
			pr, pw := io.Pipe()
			bodies = append(bodies, pw)
			clients.Go(func() {
				b.serve(b.t.Context(), "POST", "/a", pr).want(t, "late", 200, "abc", "fwd=")
				pr.CloseWithError(io.ErrClosedPipe)
			})
			_, _ = io.WriteString(pw, "a")
		}
		b.pass(gatherTime + time.Second)
		if began.Load() != 3 || origin.InFlight() != 0 || origin.Streams() != 3 {
			t.Errorf("%d have begun, %d in flight, %d streams", began.Load(), origin.InFlight(), origin.Streams())
		}
		b.do("GET", "/b").want(t, "meanwhile", 200, "a", "stored")
		for _, pw := range bodies {
			_, _ = io.WriteString(pw, "bc")
			pw.Close()
			synctest.Wait()
		}
		clients.Wait()
	})
}

// from is a request of a client of its own.
func (b *bubble) from(client int, method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, body)
	r.RemoteAddr = fmt.Sprintf("198.51.100.%d:1234", client)
	return r
}

// One client that sends all but the end of its bodies takes no more of the memory for bodies than it leaves to others, whose bodies are
// received and answered meanwhile.
func TestBodiesOfOneClientLeaveRoom(t *testing.T) {
	const most, each = 8 << 20, 1 << 20 // of 64 MiB
	backend := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "question", question, "POST /q"), func(b *bubble) {
		budget := b.store.Memory().Budget()
		var clients sync.WaitGroup
		var bodies []*io.PipeWriter
		for i := range 2 * most / each {
			pr, pw := io.Pipe()
			bodies = append(bodies, pw)
			clients.Go(func() {
				b.answer(b.from(1, "POST", "/q", pr))
				pr.CloseWithError(io.ErrClosedPipe)
			})
			body := make([]byte, each-1)
			body[0] = byte(i)
			_, _ = pw.Write(body)
			synctest.Wait()
		}
		if n := budget.Reserved(); n > most/2 || n < most/2-each {
			t.Errorf("one client has %d bytes, want half of %d", n, most)
		}
		for client := 2; client < 10; client++ {
			b.answer(b.from(client, "POST", "/q", strings.NewReader(strings.Repeat(fmt.Sprint(client), each/2)))).want(t, "another", 200, "", "fwd=")
		}
		for _, pw := range bodies {
			pw.Close()
		}
		clients.Wait()
		synctest.Wait()
		if n := budget.Reserved(); n != 0 {
			t.Errorf("%d bytes are taken in the end", n)
		}
	})
}

// Bodies that are received before a place is asked for take no more memory than bodies may have together. Beyond that, one that has to
// be read first is refused for now, and another is sent as it comes.
func TestBodiesAreBounded(t *testing.T) {
	const most, each = 8 << 20, 1 << 20 // of 64 MiB
	backend := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
	}
	write := routeFor(t, "write", func(r *policy.Route) {
		r.Invalidates = &policy.Invalidates{Keys: []policy.Template{template(t, "k-{body.id}")}, Otherwise: &policy.Invalidates{}}
	}, "POST /w")
	o := rigOptions{routes: []*policy.Route{write}}
	inBubble(t, backend, o, routeFor(t, "question", question, "POST /q"), func(b *bubble) {
		b.proxy.config().Trusted = []netip.Prefix{netip.MustParsePrefix(peer)} // who stands for many, and is no client
		budget := b.store.Memory().Budget()
		for _, target := range []string{"/q", "/w"} {
			var clients sync.WaitGroup
			var bodies []*io.PipeWriter
			refused := 0
			for i := range 3 * most / each {
				pr, pw := io.Pipe()
				done := make(chan struct{})
				clients.Go(func() {
					defer close(done)
					a := b.serve(b.t.Context(), "POST", target, pr)
					pr.CloseWithError(io.ErrClosedPipe)
					if a.status == 503 {
						refused++
						if a.header.Get("Retry-After") == "" || !strings.Contains(a.header.Get("Cache-Status"), "detail=memory-full") {
							t.Errorf("refused with %v", a.header)
						}
						return
					}
					a.want(t, target, 200, "", "fwd=")
				})
				question := make([]byte, each-1)
				question[0] = byte(i)
				_, _ = pw.Write(question)
				synctest.Wait()
				select {
				case <-done:
				default:
					bodies = append(bodies, pw)
				}
			}
			if n := budget.Reserved(); n > most || n < most-each {
				t.Errorf("%s: %d bytes are taken, want at most %d", target, n, most)
			}
			if refused == 0 || len(bodies) == 0 {
				t.Errorf("%s: %d refused, %d received", target, refused, len(bodies))
			}
			b.serve(b.t.Context(), "POST", "/elsewhere", strings.NewReader(strings.Repeat("x", maxGatheredAhead))).want(t, "one that need not be read first", 200, "", "fwd=")
			for _, pw := range bodies {
				_, _ = pw.Write([]byte("x"))
				pw.Close()
			}
			clients.Wait()
			synctest.Wait() // a fetch belongs to no client, and gives its room back after the last one has gone
			if n := budget.Reserved(); n != 0 {
				t.Errorf("%s: %d bytes are taken in the end", target, n)
			}
		}
	})
}

// A fetch that goes on without its client keeps the room of the content that it sends.
func TestContentOutlivesItsClient(t *testing.T) {
	backend := func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(time.Second)
		w.Header().Set("Cache-Control", "max-age=60")
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "question", question, "POST /q"), func(b *bubble) {
		ctx, leave := context.WithCancel(b.t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			b.serve(ctx, "POST", "/q", strings.NewReader(strings.Repeat("x", 100<<10)))
		}()
		b.pass(time.Millisecond)
		leave()
		<-gone
		if n := b.store.Memory().Budget().Reserved(); n < 100<<10 {
			t.Errorf("%d bytes are taken while the fetch goes on", n)
		}
		b.pass(time.Minute)
		if n := b.store.Memory().Budget().Reserved(); n != 0 {
			t.Errorf("%d bytes are taken in the end", n)
		}
	})
}
