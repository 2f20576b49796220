package coding

import (
	"bytes"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy/httpcache"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// minDecoders is how many decoders of one coding may be in use at the least. There are as many as processors where that is more.
	minDecoders = 8
	// lentFor is how long a decoder must have been lent before another reader takes it. Clients that read take a piece in less, and
	// so keep their decoders to the end, while others wait for their turn.
	lentFor = 2 * time.Millisecond
)

// decoder is a decompressor. What it remembers of the body that it unpacks takes up to 2 MiB, which is why there are few.
type decoder struct {
	io.Reader
	reset func(io.Reader) error
	body  bytes.Reader // that it unpacks

	// Guarded by the desk's lock.
	user *Reader   // whose body it unpacks
	lent time.Time // since when others may take it; zero: its user is unpacking
}

// begin starts to unpack a body.
func (d *decoder) begin(body []byte) error {
	d.body.Reset(body)
	return d.reset(&d.body)
}

// desk hands out the decoders of one coding. A reader has its decoder to itself while it unpacks, and lends it while it waits for its
// client. Who needs a decoder when all are out takes the one that was lent first, if that is lentFor ago: its client has been reading
// nothing for the longest time, and its user begins anew with another when that client reads on. Where there is none, all are at work
// for clients that read, and one waits for the first of them.
type desk struct {
	fresh func() *decoder
	most  int
	kept  sync.Pool // of those that nobody uses

	mu      lockorder.Mutex[lockorder.Decoders] // guards what is below, and the users of decoders
	changed *sync.Cond                          // one was given back or lent, or has been lent for long enough
	used    []*decoder                          // by readers, those included that are lent
}

var desks = [...]*desk{newDesk(newGzip), newDesk(newBrotli), newDesk(newZstd)}

// deskOf is where the decoders of a coding are.
func deskOf(c httpcache.Coding) *desk {
	switch c {
	case httpcache.Brotli:
		return desks[1]
	case httpcache.Zstd:
		return desks[2]
	default:
		return desks[0]
	}
}

func newDesk(fresh func() *decoder) *desk {
	d := &desk{fresh: fresh, most: max(minDecoders, runtime.GOMAXPROCS(0))}
	d.changed = sync.NewCond(&d.mu)
	return d
}

// take hands out a decoder. It has to begin.
func (k *desk) take(r *Reader) *decoder {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.used) >= k.most {
		if d := k.idle(); d != nil {
			d.user, d.lent = r, time.Time{}
			return d
		}
	}
	d, ok := k.kept.Get().(*decoder)
	if !ok {
		d = k.fresh()
	}
	d.user = r
	k.used = append(k.used, d)
	return d
}

// idle is the decoder that was lent first, if that is long enough ago. Nil: there was none, and something has changed since. The
// caller holds mu, which is not held while it waits.
func (k *desk) idle() *decoder {
	var first *decoder
	for _, d := range k.used {
		if !d.lent.IsZero() && (first == nil || d.lent.Before(first.lent)) {
			first = d
		}
	}
	if first != nil {
		left := lentFor - time.Since(first.lent)
		if left <= 0 {
			return first
		}
		defer time.AfterFunc(left, k.wake).Stop()
	}
	k.changed.Wait()
	return nil
}

// wake has all who wait look again. It takes mu: between the moment at which idle has looked and its wait the word would reach nobody,
// and where no other decoder is given back, nobody would ever look again.
func (k *desk) wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changed.Broadcast()
}

// lend lets others take the decoder until its user wants it back.
func (k *desk) lend(d *decoder) {
	now := time.Now()
	k.mu.Lock()
	d.lent = now
	k.mu.Unlock()
	k.changed.Signal()
}

// back makes sure that a decoder that was lent is its user's again. It reports false where another has taken it.
func (k *desk) back(d *decoder, r *Reader) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d.user != r {
		return false
	}
	d.lent = time.Time{}
	return true
}

// give puts a decoder back, without what it has read.
func (k *desk) give(d *decoder) {
	_ = d.begin(nil) // fails for want of a header, and is reset again before it is used
	k.mu.Lock()
	d.user = nil
	i := slices.Index(k.used, d)
	k.used = slices.Delete(k.used, i, i+1)
	k.mu.Unlock()
	k.kept.Put(d)
	k.changed.Signal()
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

// zstdReader is one for all: DecodeAll may be called concurrently.
var zstdReader = sync.OnceValue(func() *zstd.Decoder { return newZstdReader(zstd.WithDecodeAllCapLimit(true)) })

func newZstdReader(options ...zstd.DOption) *zstd.Decoder {
	r, err := zstd.NewReader(nil, append(options, zstd.WithDecoderMaxWindow(window))...)
	if err != nil {
		panic("BUG: zstd decoder: " + err.Error())
	}
	return r
}
