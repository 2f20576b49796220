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
	// least is the length below which bodies stay as they are: the fixed size of a copy outweighs the gain.
	least = 512
	// worthwhile is the divisor of the least gain: an encoding must save one eighth of a body to be worth the decoding.
	worthwhile = 8
	// window bounds how many bytes a decoder has to remember. Zstandard in HTTP allows 8 MiB (RFC 9659 §3).
	window = 1 << 20
	// brotliWindow is how many bytes a brotli decoder has to remember, as a power of two: 128 KiB. A brotli decoder
	// unpacks a full window, or all its input, before it returns the first byte. So a client that reads nothing costs
	// that much work.
	brotliWindow = 17
	// brotliQuality is the last quality before a better ratio costs several times as much.
	brotliQuality = 5
)

// Encode compresses a body. The result has no spare capacity. The result is nil where the body is too short or becomes
// too little smaller.
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

// encoder is a compressor that Reset makes ready for another body.
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
	// zstdWriter serves all goroutines: EncodeAll is safe for concurrent use. The first route that needs the writer
	// makes it.
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
