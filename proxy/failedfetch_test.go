package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// What a fetch fails on may be what its leader has sent. Nobody who sends something else fails with it, whatever the failure is.
func TestFailureOfALeaderIsItsOwn(t *testing.T) {
	const work = 100 * time.Millisecond
	for name, fail := range map[string]func(http.ResponseWriter, *http.Request){
		"hangs up":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"answers 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"answers 503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"is silent":   func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"answers 400": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			io.WriteString(w, "abc")
			http.NewResponseController(w).Flush() //nolint:errcheck // the head has to be out
			panic(http.ErrAbortHandler)
		},
		"breaks off later": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "abc")
			http.NewResponseController(w).Flush() //nolint:errcheck // the head has to be out
			<-time.After(work / 2)
			panic(http.ErrAbortHandler)
		},
		"101, unasked": func(w http.ResponseWriter, r *http.Request) {
			answerRaw(w, "HTTP/1.1 101 No\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		},
		"status 000": func(w http.ResponseWriter, r *http.Request) {
			answerRaw(w, "HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			backend := func(w http.ResponseWriter, r *http.Request) {
				<-time.After(work)
				if len(r.Header.Get("Accept")) > 100 {
					fail(w, r)
					return
				}
				io.WriteString(w, "good")
			}
			o := rigOptions{origin: upstream.Options{Timeout: time.Second}}
			inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
				var all sync.WaitGroup
				for i := range 40 {
					all.Go(func() {
						// Strangers come before each of the others, so that most fetches are theirs, the elected ones too.
						if i%2 == 0 {
							b.do("GET", "/a", "Accept", strings.Repeat("a", 1000+i))
							return
						}
						if a := b.do("GET", "/a", "Accept", "text/html", "Traceparent", fmt.Sprint(i)); a.status != 200 || a.body != "good" {
							t.Errorf("%d %q, %v", a.status, a.body, a.header["Cache-Status"])
						}
					})
					<-time.After(time.Millisecond)
				}
				all.Wait()
			})
		})
	}
}

// An origin that is down is not asked by each of those who wait.
func TestHerdWhileTheOriginIsDown(t *testing.T) {
	for _, c := range []struct {
		languages, asked int64
	}{{1, 1}, {5, 2 + 5}} {
		var asked atomic.Int64
		inBubble(t, func(http.ResponseWriter, *http.Request) {
			asked.Add(1)
			<-time.After(100 * time.Millisecond)
			panic(http.ErrAbortHandler)
		}, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
			var herd sync.WaitGroup
			for i := range int64(200) {
				herd.Go(func() {
					a := b.do("GET", "/a", "Accept-Language", fmt.Sprint("l", i%c.languages), "Traceparent", fmt.Sprint(i))
					if a.status != http.StatusBadGateway {
						t.Errorf("%d", a.status)
					}
				})
			}
			herd.Wait()
			synctest.Wait()
			if n := asked.Load(); n > c.asked {
				t.Errorf("%d languages: asked %d times, want %d at most", c.languages, n, c.asked)
			}
		})
	}
}

// While the origin hangs, all who wait under one key ask it once for the first, and once more for each other question that they have,
// also where they may wait for no longer than the origin may take.
func TestHerdWhileTheOriginHangs(t *testing.T) {
	const timeout = 5 * time.Second
	for _, c := range []struct {
		languages, asked int64
	}{{1, 1}, {5, 5}} {
		var asked atomic.Int64
		route := routeFor(t, "all", func(r *policy.Route) { r.WaitTimeout = timeout }, "/")
		inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			<-r.Context().Done()
		}, rigOptions{origin: upstream.Options{Timeout: timeout}}, route, func(b *bubble) {
			var herd sync.WaitGroup
			for i := range int64(200) {
				herd.Go(func() {
					start := time.Now()
					a := b.do("GET", "/a", "Accept-Language", fmt.Sprint("l", i%c.languages))
					if took := time.Since(start); a.status != http.StatusGatewayTimeout || took > 2*timeout {
						t.Errorf("%d after %v", a.status, took)
					}
				})
			}
			herd.Wait()
			synctest.Wait()
			if n := asked.Load(); n > c.asked {
				t.Errorf("%d languages: asked %d times, want %d at most", c.languages, n, c.asked)
			}
		})
	}
}

// Of an answer that breaks off, nobody gets a part as the whole; who has been sent some of it is cut. Then, for a while, nobody who asks
// something else shares a fetch with those for whom it breaks off.
func TestAnswersThatBreakOffAreNotSharedForAWhile(t *testing.T) {
	const work = time.Second
	var asked atomic.Int64
	backend := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-time.After(work)
		if r.Header.Get("Accept-Encoding") == "br" {
			io.WriteString(w, "abc")
			http.NewResponseController(w).Flush() //nolint:errcheck // the head has to be out
			<-time.After(work)
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Cache-Control", "max-age=10")
		io.WriteString(w, "good")
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		together := func(want string) {
			t.Helper()
			before := asked.Load()
			var all sync.WaitGroup
			all.Go(func() { b.do("GET", "/a", "Accept-Encoding", "br") })
			synctest.Wait()
			for range 20 {
				all.Go(func() {
					if a := b.do("GET", "/a", "Accept-Encoding", "gzip"); a.body != want {
						t.Errorf("%d %q, want %q", a.status, a.body, want)
					}
				})
			}
			all.Wait()
			if n := asked.Load() - before; want == "good" && n > 2 {
				t.Errorf("asked %d times, want once for each question", n)
			}
		}
		together("aborted")
		for range 10 {
			b.pass(brokenPause)
			together("good")
		}
		b.pass(10 * time.Minute)
		together("aborted") // it is forgotten
	})
}

// brokenPause is less than it is remembered for that an answer broke off.
const brokenPause = 30 * time.Second

// One whose copy may stand in does not wait for another fetch.
func TestFailureWithACopyIsNotWaitedForAgain(t *testing.T) {
	var down atomic.Bool
	backend := func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			<-time.After(time.Second)
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Cache-Control", "max-age=1, stale-if-error=3600")
		io.WriteString(w, "good")
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		b.do("GET", "/a")
		b.pass(time.Minute)
		down.Store(true)
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				start := time.Now()
				var accept []string // of the codings each time another set
				for bit, coding := range [...]string{"gzip", "br", "zstd", "identity;q=0"} {
					if i>>bit&1 != 0 {
						accept = append(accept, coding)
					}
				}
				b.do("GET", "/a", "Accept-Encoding", strings.Join(accept, ", ")).want(t, "stale", 200, "good", policy.OriginError.String())
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v", took)
				}
			})
		}
		all.Wait()
	})
}

// answerRaw answers with bytes, and closes the connection.
func answerRaw(w http.ResponseWriter, answer string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	io.WriteString(conn, answer)
}

// An origin may fail on what one client says, such as the way that its request came, or any field where all are forwarded. That says nothing
// of the copy, which is renewed and not left alone.
func TestFailureOfOneClientIsNoWordToReadersOfTheCopy(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		all   bool
	}{
		"Via": {"Via", false}, "CDN-Loop": {"Cdn-Loop", false}, "Accept": {"Accept-Encoding", false}, "Via, all forwarded": {"Via", true}, "any, all forwarded": {"X-Any", true},
	} {
		for how, fail := range map[string]func(w http.ResponseWriter){
			"an error":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
			"no answer": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				const strange = "gzip;q=0.5, br;q=0.4"
				route := routeFor(t, "all", func(r *policy.Route) {
					r.TTL, r.StaleIfError = 10*time.Second, time.Hour
					if c.all {
						r.ForwardHeaders = policy.ForwardAll
					}
				}, "/")
				inBubble(t, func(w http.ResponseWriter, r *http.Request) {
					if strings.Contains(strings.Join(r.Header[c.field], ", "), "br") {
						fail(w)
					}
				}, rigOptions{}, route, func(b *bubble) {
					b.do("GET", "/a").want(t, "fill", 200, "", "stored")
					b.pass(11 * time.Second)
					b.do("GET", "/a", c.field, strange).want(t, "the one that fails", 200, "", "fwd=stale")
					b.pass(time.Second)
					b.do("GET", "/a").want(t, "another, to whom nothing is wrong", 200, "", "; hit; ttl=9")
				})
			})
		}
	}
}
