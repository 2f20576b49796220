package coding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"cacheproxy/policy/httpcache"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// piece is how much of a body is decoded at a time, in bytes.
const piece = 32 << 10

var errLength = errors.New("decode body: it has another length than it should")

// Decode gives back a body of the given length.
func Decode(c httpcache.Coding, body []byte, length int) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, length))
	err := Stream(b, c, body, length)
	return b.Bytes(), err
}

// Stream writes a body of the given length to w, a piece at a time. It writes no more than that length, whatever the body
// holds. Errors of w are returned as they are.
func Stream(w io.Writer, c httpcache.Coding, body []byte, length int) error {
	buf := pieces.Get().(*[piece]byte)
	defer pieces.Put(buf)
	if c == httpcache.Zstd && length <= piece {
		return whole(w, buf[:0:length], body)
	}
	from, err := open(c, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	defer from.give()
	for {
		n, err := io.ReadFull(from, buf[:])
		if length -= n; length < 0 {
			return errLength
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("decode body: %w", err)
		case length > 0:
			return errLength
		default:
			return nil
		}
	}
}

// whole decodes a short body at once, which is faster than in pieces. dst has as much room as the body may take.
func whole(w io.Writer, dst, body []byte) error {
	plain, err := zstdReader().DecodeAll(body, dst)
	if err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	if len(plain) != cap(dst) {
		return errLength
	}
	_, err = w.Write(plain)
	return err
}

// decoder is a decompressor with the pool that it came from.
type decoder struct {
	io.Reader
	reset func(io.Reader) error
	pool  *sync.Pool
}

var (
	pieces        = sync.Pool{New: func() any { return new([piece]byte) }}
	gzipReaders   sync.Pool
	brotliReaders sync.Pool
	zstdReaders   sync.Pool
	// zstdReader is one for all: DecodeAll may be called concurrently.
	zstdReader = sync.OnceValue(func() *zstd.Decoder { return newZstdReader(zstd.WithDecodeAllCapLimit(true)) })
)

// open starts to decode src.
func open(c httpcache.Coding, src io.Reader) (*decoder, error) {
	pool, fresh := &gzipReaders, newGzip
	switch c {
	case httpcache.Brotli:
		pool, fresh = &brotliReaders, newBrotli
	case httpcache.Zstd:
		pool, fresh = &zstdReaders, newZstd
	}
	d, ok := pool.Get().(*decoder)
	if !ok {
		d = fresh()
		d.pool = pool
	}
	if err := d.reset(src); err != nil {
		return nil, err
	}
	return d, nil
}

// give puts the decoder back, without what it has read.
func (d *decoder) give() {
	_ = d.reset(bytes.NewReader(nil)) // fails for want of a header, and is reset again before it is used
	d.pool.Put(d)
}

func newGzip() *decoder {
	r := new(gzip.Reader)
	return &decoder{Reader: r, reset: r.Reset}
}

func newBrotli() *decoder {
	r := new(brotli.Reader)
	return &decoder{Reader: r, reset: r.Reset}
}

func newZstd() *decoder {
	// One at a time decodes without goroutines, which nobody would wait for.
	r := newZstdReader(zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	return &decoder{Reader: r, reset: r.Reset}
}

func newZstdReader(options ...zstd.DOption) *zstd.Decoder {
	r, err := zstd.NewReader(nil, append(options, zstd.WithDecoderMaxWindow(window))...)
	if err != nil {
		panic("BUG: zstd decoder: " + err.Error())
	}
	return r
}
