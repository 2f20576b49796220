package coding

import (
	"bytes"
	"io"
	"sync"

	"cacheproxy/policy/httpcache"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// least is the length below which bodies are left as they are: what a copy takes besides its body outweighs the gain.
	least = 512
	// worthwhile is the part of a body that must go away, one eighth, for its decoding to be worth it.
	worthwhile = 8
	// window bounds what a decoder has to remember. Zstandard in HTTP allows 8 MiB (RFC 9659 §3).
	window = 1 << 20
	// brotliWindow is what a decoder of brotli has to remember, as a power of two: 128 KiB. It unpacks as much, or as much as it is given,
	// before it gives away the first byte, so a client that reads nothing costs that much.
	brotliWindow = 17
	// brotliQuality is where a better ratio begins to cost several times as much.
	brotliQuality = 5
)

// Encode compresses a body. It gives nil where that is not worth it. The result is as large as it says, and no larger.
func Encode(c httpcache.Coding, plain []byte) []byte {
	if len(plain) < least {
		return nil
	}
	scratch := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(scratch)
	scratch.Reset()
	switch c {
	case httpcache.Gzip:
		compress(scratch, &gzipWriters, plain)
	case httpcache.Brotli:
		compress(scratch, &brotliWriters, plain)
	case httpcache.Zstd:
		scratch.Write(zstdWriter().EncodeAll(plain, scratch.AvailableBuffer()))
	default:
		return nil
	}
	if scratch.Len() > len(plain)-len(plain)/worthwhile {
		return nil
	}
	return append(make([]byte, 0, scratch.Len()), scratch.Bytes()...)
}

// encoder is a compressor that can be used again.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

var (
	buffers       = sync.Pool{New: func() any { return &bytes.Buffer{} }}
	gzipWriters   = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	brotliWriters = sync.Pool{New: func() any {
		return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliQuality, LGWin: brotliWindow})
	}}
	// zstdWriter is one for all: EncodeAll may be called concurrently. It is made when the first route needs it.
	zstdWriter = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false))
		if err != nil {
			panic("BUG: zstd encoder: " + err.Error())
		}
		return e
	})
)

func compress(dst *bytes.Buffer, pool *sync.Pool, plain []byte) {
	w := pool.Get().(encoder)
	defer pool.Put(w)
	w.Reset(dst)
	_, err := w.Write(plain)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("BUG: write to memory: " + err.Error())
	}
}
