package coding

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"cacheproxy/policy/httpcache"
)

// stuck is a client that takes a first write and then nothing, until it is let go.
type stuck struct {
	bytes.Buffer
	waits func()        // called when the second write begins
	gone  chan struct{} // closed when it reads on
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.Len() > 0 && s.waits != nil {
		s.waits()
		s.waits = nil
		<-s.gone
	}
	return s.Buffer.Write(p)
}

// Clients that read nothing hold no more decoders and pieces than there are, keep nobody from either, and get all of their body when
// they read on.
func TestClientsThatReadNothing(t *testing.T) {
	const clients, length = maxPieces + 50, 4 * pieceSize
	plain := mixed(length)
	for _, c := range all {
		held := Encode(c, plain)
		before := inUse()
		release := make(chan struct{})
		var waiting, done sync.WaitGroup
		waiting.Add(clients)
		got := make([]stuck, clients)
		for i := range got {
			got[i] = stuck{waits: waiting.Done, gone: release}
			done.Go(func() {
				if err := Stream(context.Background(), &got[i], c, held, length); err != nil {
					t.Error(err)
				}
			})
		}
		waiting.Wait()
		k := deskOf(c)
		if len(k.used) > k.most {
			t.Errorf("%s: %d decoders in use, want at most %d", c, len(k.used), k.most)
		}
		if n := lentPieces.Load(); n > maxPieces {
			t.Errorf("%s: %d pieces lent, want at most %d", c, n, maxPieces)
		}
		written := uint64(0)
		for i := range got {
			written += uint64(got[i].Cap())
		}
		if taken, most := inUse()-before-written, uint64(k.most*(5<<20)/2+maxPieces*pieceSize+clients*(smallPiece+8<<10)); int64(taken) > int64(most) {
			t.Errorf("%s: %d KiB in use for %d clients, want at most %d", c, taken>>10, clients, most>>10)
		}
		if b, err := Decode(c, held, length); err != nil || !bytes.Equal(b, plain) {
			t.Errorf("%s: another client: %d bytes, %v", c, len(b), err)
		}
		close(release)
		done.Wait()
		for i := range got {
			if !bytes.Equal(got[i].Bytes(), plain) {
				t.Fatalf("%s: client %d got another body, of %d bytes", c, i, got[i].Len())
			}
		}
		if len(k.used) != 0 || lentPieces.Load() != 0 {
			t.Errorf("%s: %d decoders in use, %d pieces lent after the end", c, len(k.used), lentPieces.Load())
		}
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC() // the first only marks what pools keep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// mixed is text that does not become short enough to be unpacked from little.
func mixed(n int) []byte {
	words := make([][]byte, 500)
	for i := range words {
		words[i] = noise(20 + i%20)[i%20:]
	}
	source := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		b.Write(words[source.IntN(len(words))])
	}
	return b.Bytes()[:n]
}

// counted counts what a decoder is asked for.
type counted struct {
	io.Reader
	n *int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.n += n
	return n, err
}

// A stretch is unpacked up to its last byte, each byte once as long as stretches follow each other.
func TestStretches(t *testing.T) {
	const length = 40 * pieceSize
	plain := mixed(length)
	for _, c := range all {
		held := Encode(c, plain)
		r := NewReader(context.Background(), c, held, length)
		for _, s := range []struct{ first, end, unpacked int }{
			{0, 1, 1}, {1, 10, 10}, {pieceSize - 1, pieceSize + 1, pieceSize + 1}, {3 * pieceSize, 3*pieceSize + 1, 3*pieceSize + 1},
			{5, 6, 6}, {length - 1, length, length}, {0, 1, 1}, {0, length, length}, {length, length, length}, {7, 9, 9},
		} {
			var got bytes.Buffer
			if err := r.Copy(&got, s.first, s.end); err != nil || !bytes.Equal(got.Bytes(), plain[s.first:s.end]) {
				t.Errorf("%s from %d to %d: %d bytes, %v", c, s.first, s.end, got.Len(), err)
			}
			if r.at != s.unpacked {
				t.Errorf("%s from %d to %d: unpacked up to %d, want %d", c, s.first, s.end, r.at, s.unpacked)
			}
		}
		r.Close()
		// What follows the last byte wanted is not looked at.
		r = NewReader(context.Background(), c, append(bytes.Clone(held[:len(held)/2]), noise(len(held)/2)...), length)
		var got bytes.Buffer
		if err := r.Copy(&got, 10, 20); err != nil || !bytes.Equal(got.Bytes(), plain[10:20]) {
			t.Errorf("%s whose end is damaged: %q, %v", c, got.Bytes(), err)
		}
		if err := r.Copy(&got, length-1, length); err == nil {
			t.Errorf("%s whose end is damaged: its end was unpacked", c)
		}
		r.Close()
	}
}

// A reader that loses its decoder again and again unpacks a few times what it would have, and not every piece from the beginning.
func TestLostDecoders(t *testing.T) {
	const length = 256 * pieceSize
	plain := mixed(length)
	held := Encode(httpcache.Gzip, plain)
	unpacked := 0
	k := newDesk(func() *decoder {
		d := newGzip()
		return &decoder{Reader: &counted{d.Reader, &unpacked}, reset: d.reset}
	})
	k.most = 1
	r := NewReader(context.Background(), httpcache.Gzip, held, length)
	r.desk = k
	thief := &taking{desk: k}
	if err := r.Copy(thief, 0, length); err != nil || !bytes.Equal(thief.Bytes(), plain) {
		t.Errorf("%d bytes, %v", thief.Len(), err)
	}
	r.Close()
	if times := unpacked / length; thief.taken < 5 || times > 8 {
		t.Errorf("the decoder was lost %d times, and the body unpacked %d times; want at most 8", thief.taken, times)
	}
}

// taking takes the decoder of whose body it is given, while that is lent.
type taking struct {
	bytes.Buffer
	desk  *desk
	taken int
}

func (l *taking) Write(p []byte) (int, error) {
	if len(l.desk.used) > 0 && !l.desk.used[0].lent.IsZero() {
		d, _, err := l.desk.take(context.Background(), new(Reader), false)
		if err != nil {
			return 0, err
		}
		l.desk.give(d)
		l.taken++
	}
	return l.Buffer.Write(p)
}
