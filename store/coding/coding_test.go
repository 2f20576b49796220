package coding

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var all = []httpcache.Coding{httpcache.Gzip, httpcache.Brotli, httpcache.Zstd}

func text(n int) []byte {
	const line = `{"id":4711,"title":"Kettle","price":{"currency":"EUR","amount_cents":4999}},`
	return []byte(strings.Repeat(line, n/len(line)+1)[:n])
}

// noise does not become shorter.
func noise(n int) []byte {
	source := rand.NewChaCha8([32]byte{})
	b := make([]byte, n)
	_, _ = source.Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	for _, c := range all {
		for _, n := range []int{least, pieceSize - 1, pieceSize, pieceSize + 1, 3 * pieceSize, 3 << 20} {
			plain := text(n)
			held := Encode(c, plain)
			if held == nil || len(held) != cap(held) || len(held) > n/2 {
				t.Fatalf("%s of %d bytes: %d bytes, room for %d", c, n, len(held), cap(held))
			}
			if got, err := Decode(c, held, n); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s of %d bytes: %d bytes came back, %v", c, n, len(got), err)
			}
		}
	}
}

// What is held is what other implementations read under the coding's name in HTTP.
func TestOthersCanReadIt(t *testing.T) {
	plain := text(100 << 10)
	for c, open := range map[httpcache.Coding]func(io.Reader) (io.Reader, error){
		httpcache.Gzip:   func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		httpcache.Brotli: func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		httpcache.Zstd: func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderMaxWindow(8<<20)) // RFC 9659 §3
		},
	} {
		r, err := open(bytes.NewReader(Encode(c, plain)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %d bytes, %v", c, len(got), err)
		}
	}
}

func TestNotWorthIt(t *testing.T) {
	for _, c := range append(all, httpcache.Identity) {
		for about, plain := range map[string][]byte{"nothing": nil, "too short": text(least - 1), "noise": noise(10 << 10)} {
			if got := Encode(c, plain); got != nil {
				t.Errorf("%s of %s: %d bytes of %d", c, about, len(got), len(plain))
			}
		}
	}
	if got := Encode(httpcache.Identity, text(1000)); got != nil {
		t.Errorf("identity: %q", got)
	}
}

// A body that is not what it was taken for is never passed off as whole, and never grows beyond what it should be.
func TestDamaged(t *testing.T) {
	for _, c := range all {
		for _, n := range []int{1000, 3 * pieceSize} {
			held := Encode(c, text(n))
			for about, b := range map[string]struct {
				body   []byte
				length int
			}{
				"cut":     {held[:len(held)/2], n},
				"empty":   {nil, n},
				"noise":   {noise(n), n},
				"longer":  {held, n - 1},
				"shorter": {held, n + 1},
			} {
				var got bytes.Buffer
				if err := Stream(context.Background(), &got, c, b.body, b.length); err == nil || got.Len() > b.length {
					t.Errorf("%s of %d bytes, %s: %v, %d bytes written", c, n, about, err, got.Len())
				}
			}
			// The decoders that have failed are as good as new.
			if got, err := Decode(c, held, n); err != nil || !bytes.Equal(got, text(n)) {
				t.Errorf("%s of %d bytes after a failure: %d bytes, %v", c, n, len(got), err)
			}
		}
	}
}

var errGone = errors.New("gone")

// gone is a client that leaves after some bytes.
type gone struct{ left int }

func (g *gone) Write(p []byte) (int, error) {
	if g.left -= len(p); g.left < 0 {
		return 0, errGone
	}
	return len(p), nil
}

func TestClientGone(t *testing.T) {
	for _, c := range all {
		held := Encode(c, text(3*pieceSize))
		if err := Stream(context.Background(), &gone{left: pieceSize}, c, held, 3*pieceSize); !errors.Is(err, errGone) {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestConcurrently(t *testing.T) {
	for _, c := range all {
		t.Run(c.String(), func(t *testing.T) {
			for i := range 8 {
				t.Run("", func(t *testing.T) {
					t.Parallel()
					n := least + i*20_000
					for range 20 {
						if got, err := Decode(c, Encode(c, text(n)), n); err != nil || !bytes.Equal(got, text(n)) {
							t.Fatalf("%d bytes: %d bytes, %v", n, len(got), err)
						}
					}
				})
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range all {
		f.Add(uint8(c), Encode(c, text(least)), least)
	}
	f.Fuzz(func(t *testing.T, c uint8, body []byte, length int) {
		length = max(0, length%(4*pieceSize))
		var got bytes.Buffer
		err := Stream(context.Background(), &got, all[int(c)%len(all)], body, length)
		if got.Len() > length || err == nil && got.Len() != length {
			t.Fatalf("%d of %d bytes, %v", got.Len(), length, err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(text(2000))
	f.Fuzz(func(t *testing.T, plain []byte) {
		for _, c := range all {
			if held := Encode(c, plain); held != nil {
				if got, err := Decode(c, held, len(plain)); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%s: %d of %d bytes, %v", c, len(got), len(plain), err)
				}
			}
		}
	})
}

func BenchmarkStream(b *testing.B) {
	for _, n := range []int{2 << 10, 256 << 10} {
		plain := text(n)
		for _, c := range all {
			held := Encode(c, plain)
			b.Run(c.String(), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					if err := Stream(context.Background(), io.Discard, c, held, n); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkEncode is what a fill pays once, and what a hit would pay every time for a coding that is not the one held.
func BenchmarkEncode(b *testing.B) {
	plain := text(2 << 10)
	for _, c := range all {
		b.Run(c.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Encode(c, plain)
			}
		})
	}
}
