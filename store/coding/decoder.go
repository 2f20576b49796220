package coding

import (
	"bytes"
	"container/list"
	"context"
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
	// near is how much may be unpacked once more without anybody noticing, in bytes: a decoder that has come no further may be taken as soon
	// as it is lent. So those that come in crowds and read nothing make way as fast as their first pieces are unpacked.
	near = pieceSize
)

// decoder is a decompressor. What it remembers of the body that it unpacks takes up to 2 MiB, which is why there are few.
type decoder struct {
	io.Reader
	reset func(io.Reader) error
	body  bytes.Reader // that it unpacks

	// Guarded by the desk's lock.
	user  *Reader       // whose body it unpacks
	lent  time.Time     // since when it is lent; zero: its user is unpacking
	keeps time.Duration // how long it must have been lent before another takes it
	far   bool          // it is on a long way
}

// begin starts to unpack a body.
func (d *decoder) begin(body []byte) error {
	d.body.Reset(body)
	return d.reset(&d.body)
}

// desk hands out the decoders of one coding. A reader has its decoder to itself while it unpacks, and lends it while it waits for its
// client. Who needs a decoder when all are out takes the one that was lent first of those that may be taken: after lentFor, and at once
// where its user begins anew with little lost. That user's client has been reading nothing, and begins anew with another decoder when it
// reads on. Where there is none, all are at work for clients that read, and one waits.
//
// Those who wait form two lines, each in the order in which they came: those who have less than near to unpack before what their client
// wants, and those who have far to go: to a range, or back to where they lost a decoder. Each line is served in turn, and no more than
// half of the decoders are on a long way at a time. So one who begins waits for as many pieces as there are others before it, and
// for no long way of anybody's; and one who has far to go gets there, however many begin.
type desk struct {
	fresh func() *decoder
	most  int
	kept  sync.Pool // of those that nobody uses

	mu    lockorder.Mutex[lockorder.Decoders] // guards what is below, and what decoders say
	used  []*decoder                          // by readers, those included that are lent
	lines [2]line                             // who waits: who begins, and who has far to go
	turn  int                                 // the line that is served next
	far   int                                 // decoders that are on a long way
	ripe  *time.Timer                         // serves those who wait when a decoder has been lent for long enough; nil: none did so far
}

const (
	begins = iota
	hasFar
)

// line is of those who wait for a decoder, the first first.
type line = list.List

// waiter is one in a line.
type waiter struct {
	reader *Reader
	handed chan *decoder // takes one
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
	return &desk{fresh: fresh, most: max(minDecoders, runtime.GOMAXPROCS(0))}
}

// take hands out a decoder, which has to begin, to a reader that may have far to go. Scarce reports whether there was none that nobody
// used. An error is that of ctx, which ends the waiting.
func (k *desk) take(ctx context.Context, r *Reader, far bool) (d *decoder, scarce bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, true, err
	}
	l := begins
	if far {
		l = hasFar
	}
	k.mu.Lock()
	scarce = len(k.used) >= k.most
	if k.lines[begins].Len()+k.lines[hasFar].Len() == 0 && k.open(l) {
		if d := k.free(); d != nil {
			k.hand(d, r, l)
			k.mu.Unlock()
			return d, scarce, nil
		}
	}
	w := waiter{r, make(chan *decoder, 1)}
	e := k.lines[l].PushBack(w)
	k.serve()
	k.mu.Unlock()
	select {
	case d := <-w.handed:
		return d, scarce, nil
	case <-ctx.Done():
	}
	k.mu.Lock()
	k.lines[l].Remove(e) // nothing, where it was handed one meanwhile
	k.mu.Unlock()
	select {
	case d := <-w.handed:
		k.give(d)
	default:
	}
	return nil, true, ctx.Err()
}

// serve hands decoders to those who wait, as long as there are both. The caller holds mu.
func (k *desk) serve() {
	for {
		l := k.next()
		if l < 0 {
			return
		}
		d := k.free()
		if d == nil {
			return
		}
		w := k.lines[l].Remove(k.lines[l].Front()).(waiter)
		k.hand(d, w.reader, l)
		w.handed <- d
	}
}

// hand makes a decoder that of a reader, out of a line. The caller holds mu.
func (k *desk) hand(d *decoder, r *Reader, l int) {
	d.user, d.lent, d.far = r, time.Time{}, l == hasFar
	if k.turn = 1 - l; d.far {
		k.far++
	}
}

// open reports whether a line may be served. The caller holds mu.
func (k *desk) open(l int) bool { return l == begins || k.far < max(1, k.most/2) }

// next is the line that may be served; negative: none. The caller holds mu.
func (k *desk) next() int {
	for _, l := range [...]int{k.turn, 1 - k.turn} {
		if k.lines[l].Len() > 0 && k.open(l) {
			return l
		}
	}
	return -1
}

// free is a decoder that can be handed out. Nil: there is none, and those who wait are served when one that is lent may be taken. The
// caller holds mu.
func (k *desk) free() *decoder {
	if len(k.used) < k.most {
		d, ok := k.kept.Get().(*decoder)
		if !ok {
			d = k.fresh()
		}
		k.used = append(k.used, d)
		return d
	}
	var first *decoder
	soonest, now := time.Duration(-1), time.Now()
	for _, d := range k.used {
		if d.lent.IsZero() {
			continue
		}
		left := d.keeps - now.Sub(d.lent)
		switch {
		case left <= 0 && (first == nil || d.lent.Before(first.lent)):
			first = d
		case left > 0 && (soonest < 0 || left < soonest):
			soonest = left
		}
	}
	switch {
	case first != nil || soonest < 0:
	case k.ripe == nil:
		k.ripe = time.AfterFunc(soonest, k.ripened)
	default:
		k.ripe.Reset(soonest)
	}
	return first
}

// ripened serves those who wait for a decoder to have been lent for long enough.
func (k *desk) ripened() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.serve()
}

// arrived notes that a decoder has gone its long way, if it had one.
func (k *desk) arrived(d *decoder) {
	if !d.far { // which only its user changes while it has it
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	d.far = false
	k.far--
	k.serve()
}

// lend lets others take the decoder, which has unpacked so much, until its user wants it back.
func (k *desk) lend(d *decoder, unpacked int) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if d.lent, d.keeps = now, lentFor; unpacked <= near {
		d.keeps = 0
	}
	k.serve()
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
	defer k.mu.Unlock()
	if d.far {
		d.far = false
		k.far--
	}
	d.user = nil
	i := slices.Index(k.used, d)
	k.used = slices.Delete(k.used, i, i+1)
	k.kept.Put(d)
	k.serve()
}

func newGzip() *decoder {
	r := new(gzip.Reader)
	return &decoder{Reader: r, reset: r.Reset}
}

func newBrotli() *decoder {
	r, b := new(brotli.Reader), new(bites)
	return &decoder{Reader: r, reset: func(body io.Reader) error {
		*b = bites{body, firstBite}
		return r.Reset(b)
	}}
}

// firstBite is how much of a body in brotli is unpacked first, in bytes.
const firstBite = 512

// bites gives a body away in pieces, each twice as long as the one before. A decoder of brotli unpacks all that it has read before it gives
// away the first byte, unless its window is full, and most of those that come in crowds ask for nothing more.
type bites struct {
	io.Reader
	next int
}

func (b *bites) Read(p []byte) (int, error) {
	n := min(len(p), b.next)
	b.next = min(2*b.next, 1<<20)
	return b.Reader.Read(p[:n])
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
