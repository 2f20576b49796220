package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"cacheproxy/policy"
)

// fickle is an upstream of HTTP/2 that says of requests that it has not processed them: of the n-th, counted over all connections,
// before or after it took its body.
type fickle struct {
	base *url.URL
	mu   sync.Mutex
	n    int
	deny func(f *http2.Framer, n int, stream uint32, whole bool) (denied bool)
	got  []string // the bodies of those that were processed
}

func newFickle(t *testing.T, deny func(f *http2.Framer, n int, stream uint32, whole bool) bool) *fickle {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &fickle{base: &url.URL{Scheme: "h2c", Host: ln.Addr().String()}, deny: deny}
	var serving sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(func() { ln.Close(); end(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })() // one that has gone away is left to its own
				k.serve(conn)
			})
		}
	})
	return k
}

func (k *fickle) serve(conn net.Conn) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.WriteSettings()
	numbers, bodies, denied := map[uint32]int{}, map[uint32]*bytes.Buffer{}, map[uint32]bool{}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		k.mu.Lock()
		id, end := frame.Header().StreamID, false
		switch frame := frame.(type) {
		case *http2.PingFrame:
			f.WritePing(true, frame.Data)
		case *http2.HeadersFrame:
			k.n++
			numbers[id], bodies[id], end = k.n, &bytes.Buffer{}, frame.StreamEnded()
			denied[id] = k.deny(f, k.n, id, false)
		case *http2.DataFrame:
			bodies[id].Write(frame.Data())
			f.WriteWindowUpdate(0, uint32(max(1, len(frame.Data()))))
			if !denied[id] && !frame.StreamEnded() {
				f.WriteWindowUpdate(id, uint32(max(1, len(frame.Data()))))
			}
			end = frame.StreamEnded()
		}
		if end && !denied[id] && !k.deny(f, numbers[id], id, true) {
			k.got = append(k.got, bodies[id].String())
			var head bytes.Buffer
			hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true})
		}
		k.mu.Unlock()
	}
}

// send sends one request whose body comes once, and reports what became of it.
func (k *fickle) send(t *testing.T, u *Upstream, method string, body io.Reader) error {
	req := request(t, u, method, body)
	req.GetBody = nil
	res, err := u.RoundTrip(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func refuse(f *http2.Framer, stream uint32) { f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) }
func goAway(f *http2.Framer, stream uint32) { f.WriteGoAway(stream-2, http2.ErrCodeNo, nil) }

// What HTTP/2 says was not processed is sent again whole, whatever the method (RFC 9113 §8.7): it arrives once, as it was, and the
// repeats are counted.
func TestUnprocessedRequestsAreSentAgain(t *testing.T) {
	for name, say := range map[string]func(*http2.Framer, uint32){"refused": refuse, "goaway": goAway} {
		for _, size := range []int{0, 5, 60_000} {
			for _, whole := range []bool{false, true} {
				for denials := 1; denials <= maxReplays; denials++ {
					if denials > 1 && size != 5 {
						continue // the transport pauses between them
					}
					k := newFickle(t, func(f *http2.Framer, n int, stream uint32, all bool) bool {
						deny := n >= 2 && n < 2+denials && all == (whole && size > 0)
						if deny {
							say(f, stream)
						}
						return deny
					})
					if name == "goaway" && denials > 1 {
						continue // the first stream of a new connection cannot be denied by what went before it
					}
					u := New(Options{Name: "h2", URL: k.base})
					content := strings.Repeat("x", size/2) + strings.Repeat("y", size-size/2)
					var body io.Reader
					if size > 0 {
						body = io.MultiReader(strings.NewReader(content))
					}
					if err := errors.Join(k.send(t, u, "GET", nil), k.send(t, u, "POST", body)); err != nil {
						t.Errorf("%s, %d bytes, %d times, after the body: %v: %v", name, size, denials, whole, err)
					}
					if len(k.got) != 2 || k.got[1] != content || u.Retries() != uint64(denials) {
						t.Errorf("%s, %d bytes: %d arrived, %d retries, want 2 and %d", name, size, len(k.got), u.Retries(), denials)
					}
					u.CloseIdle()
					wantNothingLeft(t, u)
				}
			}
		}
	}
}

// Repeats are bounded, in number and by the budget, and what cannot be sent again fails as what it is: the upstream's doing.
func TestUnprocessedRequestsAreNotSentForEver(t *testing.T) {
	always := func(f *http2.Framer, n int, stream uint32, whole bool) bool {
		if !whole {
			refuse(f, stream)
		}
		return !whole
	}
	k := newFickle(t, always)
	u := New(Options{Name: "h2", URL: k.base})
	err := k.send(t, u, "POST", strings.NewReader("x"))
	if Classify(err) != policy.OriginError || errors.As(err, new(*RequestBodyError)) || k.n > 1+maxReplays || u.Retries() != maxReplays {
		t.Errorf("%v; sent %d times, %d retries", err, k.n, u.Retries())
	}
	u.CloseIdle()

	k = newFickle(t, always)
	u = New(Options{Name: "h2", URL: k.base, MaxInFlight: 1})
	for range 3 {
		if err := k.send(t, u, "POST", strings.NewReader("x")); err == nil {
			t.Error("it was answered")
		}
	}
	if u.Retries() > 1 {
		t.Errorf("%d retries, and the budget has one", u.Retries())
	}
	u.CloseIdle()

	k = newFickle(t, func(f *http2.Framer, n int, stream uint32, whole bool) bool {
		if n == 1 && whole {
			refuse(f, stream)
			return true
		}
		return false
	})
	u = New(Options{Name: "h2", URL: k.base})
	err = k.send(t, u, "PUT", bytes.NewReader(make([]byte, 2*replayLimit)))
	if Classify(err) != policy.OriginError || errors.As(err, new(*RequestBodyError)) || len(k.got) != 0 || k.n != 1 {
		t.Errorf("more than is kept: %v; %d times", err, k.n)
	}
	u.CloseIdle()
	wantNothingLeft(t, u)
}

// However the turns of a replay follow each other, also while the client is silent in the middle of one, each has the body from its
// beginning, and the source is read once and closed once.
func TestReplayTurns(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		content := make([]byte, rng.IntN(replayLimit))
		for i := range content {
			content[i] = byte(rng.Uint32())
		}
		pr, pw := io.Pipe()
		source := &closeCounter{ReadCloser: pr}
		silent := make(chan struct{})
		go func() {
			half := len(content) / 2
			pw.Write(content[:half])
			<-silent
			pw.Write(content[half:])
			pw.Close()
		}()
		r := newReplay(source)
		for range rng.IntN(4) {
			b, err := r.begin()
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			enough := rng.IntN(len(content)/2 + 1)
			go func() {
				p := make([]byte, enough)
				if _, err := io.ReadFull(b, p); err != nil || !bytes.Equal(p, content[:enough]) {
					got <- fmt.Errorf("the first %d bytes are others: %v", enough, err)
					return
				}
				_, err := io.Copy(io.Discard, b) // until the turn ends
				got <- err
			}()
			if rng.IntN(2) == 0 {
				b.Close()
			} else if _, err := r.begin(); err != nil {
				t.Fatal(err)
			}
			if err := <-got; !errors.Is(err, http.ErrBodyReadAfterClose) && !errors.Is(err, errEnded) {
				if err == nil || !strings.Contains(err.Error(), http.ErrBodyReadAfterClose.Error()) {
					t.Fatalf("a turn that has ended: %v", err)
				}
			}
		}
		last, err := r.begin()
		if err != nil {
			t.Fatal(err)
		}
		close(silent)
		all, err := io.ReadAll(last)
		if err != nil || !bytes.Equal(all, content) {
			t.Fatalf("the last turn: %d of %d bytes, %v", len(all), len(content), err)
		}
		r.end()
		if source.n.Load() != 0 {
			t.Fatal("the source is closed while it is read")
		}
		if last.Close(); source.n.Load() != 1 {
			t.Fatalf("the source is closed %d times", source.n.Load())
		}
	}
}

var errEnded = errors.New("ended")

type closeCounter struct {
	io.ReadCloser
	n atomic.Int64
}

func (c *closeCounter) Close() error {
	c.n.Add(1)
	return c.ReadCloser.Close()
}
