package coding

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cacheproxy/policy/httpcache"
	"cacheproxy/test/bubbles"

	"github.com/klauspost/compress/zstd"
)

// counting is a desk whose decoders count what they are asked for.
func counting(c httpcache.Coding, most int) (k *desk, unpacked *atomic.Int64) {
	unpacked = new(atomic.Int64)
	fresh := deskOf(c).fresh
	k = newDesk(func() *decoder {
		d := fresh()
		d.Reader = &summed{d.Reader, unpacked}
		return d
	})
	k.most = most
	return k, unpacked
}

type summed struct {
	io.Reader
	n *atomic.Int64
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.n.Add(int64(n))
	return n, err
}

// streamFrom is Stream by the decoders of a desk.
func streamFrom(ctx context.Context, k *desk, w io.Writer, c httpcache.Coding, body []byte, length int) error {
	r := NewReader(ctx, c, body, length)
	defer r.Close()
	r.desk = k
	return r.Copy(w, 0, length)
}

// unread is a client that takes nothing until it has left.
type unread struct{ left chan struct{} }

func (u unread) Write([]byte) (int, error) {
	<-u.left
	return 0, errGone
}

// However many clients ask and read nothing, each has its first piece unpacked, once; nothing more is unpacked for any of them while they
// stay and when they leave, and who reads has its body unpacked once.
func TestWorkForClientsThatReadNothing(t *testing.T) {
	const clients, most, length = 500, 2, 8 * pieceSize
	plain := mixed(length)
	for _, c := range all {
		held := Encode(c, plain)
		bubbles.Test(t, func(t *testing.T) {
			k, unpacked := counting(c, most)
			u := unread{make(chan struct{})}
			var done sync.WaitGroup
			for range clients {
				done.Go(func() {
					if err := streamFrom(t.Context(), k, u, c, held, length); !errors.Is(err, errGone) {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			want := int64(most*pieceSize + (clients-most)*smallPiece)
			if n := unpacked.Load(); n > want {
				t.Errorf("%s: %d bytes were unpacked for %d clients that read nothing, want at most %d", c, n, clients, want)
			}
			unpacked.Store(0)
			var got bytes.Buffer
			if err := streamFrom(t.Context(), k, &got, c, held, length); err != nil || !bytes.Equal(got.Bytes(), plain) {
				t.Errorf("%s: who reads got %d bytes, %v", c, got.Len(), err)
			}
			close(u.left)
			done.Wait()
			if n := unpacked.Load(); n > length {
				t.Errorf("%s: %d bytes were unpacked for one who reads and others who leave, want at most %d", c, n, length)
			}
			if k.far != 0 || len(k.used) != 0 {
				t.Errorf("%s: %d decoders in use after the end, %d on a long way", c, len(k.used), k.far)
			}
		})
	}
}

// Requests that have ended wait for no decoder, and nothing is unpacked for them.
func TestEndedRequests(t *testing.T) {
	const clients, length = 100, 8 * pieceSize
	for _, c := range all {
		held := Encode(c, text(length))
		bubbles.Test(t, func(t *testing.T) {
			k, unpacked := counting(c, 1)
			busy, _, err := k.take(t.Context(), new(Reader), false)
			if err != nil {
				t.Fatal(err)
			}
			ctx, leave := context.WithCancel(t.Context())
			ended := 0
			var mu sync.Mutex
			for i := range clients {
				go func() {
					r := NewReader(ctx, c, held, length)
					defer r.Close()
					r.desk = k
					if err := r.Copy(io.Discard, i%2*(length-1), length); !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					mu.Lock()
					ended++
					mu.Unlock()
				}()
			}
			synctest.Wait()
			if waiting := k.lines[begins].Len() + k.lines[hasFar].Len(); waiting != clients {
				t.Fatalf("%s: %d wait, want %d", c, waiting, clients)
			}
			leave()
			synctest.Wait()
			if ended != clients || unpacked.Load() != 0 || k.lines[begins].Len()+k.lines[hasFar].Len() != 0 {
				t.Errorf("%s: %d of %d have ended, %d bytes were unpacked", c, ended, clients, unpacked.Load())
			}
			k.give(busy)
			if len(k.used) != 0 {
				t.Errorf("%s: %d decoders in use after the end", c, len(k.used))
			}
		})
	}
}

// leaving is a client that leaves, which its request is told and its writes are not.
type leaving struct {
	bytes.Buffer
	leave func()
}

func (l *leaving) Write(p []byte) (int, error) {
	l.leave()
	return l.Buffer.Write(p)
}

// A request that ends has no more unpacked than what it is being given, wherever it is.
func TestEndsAtTheNextPiece(t *testing.T) {
	const length = 8 * pieceSize
	for _, c := range all {
		held := Encode(c, text(length))
		k, unpacked := counting(c, 1)
		ctx, leave := context.WithCancel(t.Context())
		if err := streamFrom(ctx, k, &leaving{leave: leave}, c, held, length); !errors.Is(err, context.Canceled) || unpacked.Load() > pieceSize {
			t.Errorf("%s: %d bytes were unpacked, %v", c, unpacked.Load(), err)
		}
	}
}

// Who begins waits for no long way of anybody's, and who has far to go gets there, however many begin.
func TestLines(t *testing.T) {
	const most, each = 4, 10
	bubbles.Test(t, func(t *testing.T) {
		k, _ := counting(httpcache.Gzip, most)
		var handed [2][]*decoder // to those who begin, and to those who have far to go; only one goroutine is at work at a time
		ask := func(far int) {
			go func() {
				d, _, err := k.take(t.Context(), new(Reader), far == hasFar)
				if err != nil {
					t.Error(err)
					return
				}
				handed[far] = append(handed[far], d)
			}()
			synctest.Wait()
		}
		for range most {
			ask(begins)
		}
		for range each {
			ask(hasFar)
		}
		for range each {
			ask(begins)
		}
		giveBack := func(l int) {
			d := handed[l][0]
			handed[l] = handed[l][1:]
			k.give(d)
			synctest.Wait()
		}
		for n := most + each; n > 0; n-- { // nobody arrives
			giveBack(begins)
			if len(handed[hasFar]) == 0 && n < most+each {
				t.Fatal("nobody who has far to go was handed a decoder, as long as others begin")
			}
		}
		if n := len(handed[hasFar]); n != most/2 {
			t.Fatalf("%d are on a long way, want %d", n, most/2)
		}
		for range each {
			giveBack(hasFar)
		}
		if k.far != 0 || len(k.used) != 0 {
			t.Errorf("%d decoders in use after the end, %d on a long way", len(k.used), k.far)
		}
	})
}

// What is held needs no larger window than it is said to: as much a decoder may unpack for the first byte.
func TestWindows(t *testing.T) {
	plain := mixed(4 << 20)
	var h zstd.Header
	if err := h.Decode(Encode(httpcache.Zstd, plain)); err != nil || h.WindowSize > window {
		t.Errorf("zstd: a window of %d bytes, %v; want at most %d", h.WindowSize, err, window)
	}
	// RFC 7932 §9.1: a bit of 0 means 16; three bits after a 1 mean 17 and as many more, and where they are 0 the next three mean 8 and as
	// many more, or 17.
	first, bits := Encode(httpcache.Brotli, plain)[0], 16
	if first&1 == 1 {
		if bits = 17 + int(first>>1&7); bits == 17 && first>>4&7 > 0 {
			bits = 8 + int(first>>4&7)
		}
	}
	if bits > brotliWindow {
		t.Errorf("brotli: a window of 2^%d bytes, want at most 2^%d", bits, brotliWindow)
	}
}
