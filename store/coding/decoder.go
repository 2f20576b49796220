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
	// minDecoders is the least number of decoders of one coding that may be in use. If the process has more processors,
	// their number counts.
	minDecoders = 8
	// lentFor is how long a decoder must have been lent before another reader takes it. A client that reads takes a
	// piece in less time. So such a client keeps its decoder to the end, while other readers wait for their turn.
	lentFor = 2 * time.Millisecond
	// near is how many bytes may be unpacked a second time at a negligible cost. A decoder that has unpacked no more
	// may be taken as soon as it is lent. So crowds of clients that read nothing give up their decoders as fast as the
	// first pieces are unpacked.
	near = pieceSize
)

// decoder is a decompressor. Its window takes up to 2 MiB, so there are few decoders.
type decoder struct {
	io.Reader
	reset func(io.Reader) error
	body  bytes.Reader // the packed body of the user

	// Guarded by the desk's lock.
	user  *Reader       // the reader whose body the decoder unpacks
	lent  time.Time     // when the user lent it; zero: the user is unpacking
	keeps time.Duration // how long it must have been lent before another reader takes it
	far   bool          // the decoder counts in desk.far
}

// begin starts to unpack a body.
func (d *decoder) begin(body []byte) error {
	d.body.Reset(body)
	return d.reset(&d.body)
}

// desk hands out the decoders of one coding. A reader has its decoder to itself while unpacking, and lends the decoder
// while waiting for its client. When all decoders are out, a reader takes the decoder that was lent first of those that
// may be taken. A decoder may be taken after lentFor, or at once where its user has unpacked no more than near. The
// client of that user has been reading nothing; when the client reads on, the user begins anew with another decoder. If
// no decoder may be taken, all work for clients that read, and the reader waits.
//
// Waiting readers form two lines, each in order of arrival. One line has the readers that must unpack less than near
// before the bytes that their client wants. The other line has the readers with far to go: to a range, or back to where
// they lost a decoder. The desk serves the lines in turn, and at most half of the decoders are on a long way at a time.
// So a reader in the first line waits for one piece of each reader before it, and for nobody's long way. A reader with
// far to go gets its turn, however many others begin.
type desk struct {
	fresh func() *decoder
	most  int
	kept  sync.Pool // decoders that no reader uses

	mu    lockorder.Mutex[lockorder.Decoders] // guards the fields below, and the guarded fields of decoders
	used  []*decoder                          // decoders that readers have, lent ones included
	lines [2]line                             // of waiting readers: begins, and hasFar
	turn  int                                 // the line that is served next
	far   int                                 // decoders that are on a long way
	ripe  *time.Timer                         // runs ripened when a lent decoder may be taken; nil: never needed
}

const (
	begins = iota
	hasFar
)

// line is a list of waiters, the first to arrive in front.
type line = list.List

// waiter is a reader in a line.
type waiter struct {
	reader *Reader
	handed chan *decoder // has room for one
}

var desks = [...]*desk{newDesk(newGzip), newDesk(newBrotli), newDesk(newZstd)}

// deskOf is the desk that has the decoders of a coding.
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

// take hands out a decoder, for which the caller must call begin. far says that the reader has far to go. scarce
// reports whether all decoders were in use. The only errors are those of ctx, which ends the waiting.
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
	k.lines[l].Remove(e) // does nothing where serve has removed e meanwhile and handed a decoder over
	k.mu.Unlock()
	select {
	case d := <-w.handed:
		k.give(d)
	default:
	}
	return nil, true, ctx.Err()
}

// serve hands decoders to waiting readers until either runs out. The caller holds mu.
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

// hand makes r the user of a decoder. l is the line of r. The caller holds mu.
func (k *desk) hand(d *decoder, r *Reader, l int) {
	d.user, d.lent, d.far = r, time.Time{}, l == hasFar
	if k.turn = 1 - l; d.far {
		k.far++
	}
}

// open reports whether a line may be served. The caller holds mu.
func (k *desk) open(l int) bool { return l == begins || k.far < max(1, k.most/2) }

// next is the line to serve; negative: neither may be served. The caller holds mu.
func (k *desk) next() int {
	for _, l := range [...]int{k.turn, 1 - k.turn} {
		if k.lines[l].Len() > 0 && k.open(l) {
			return l
		}
	}
	return -1
}

// free is a decoder that can be handed out. If it returns nil, ripened will serve the waiting readers when the next
// lent decoder may be taken. The caller holds mu.
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

// ripened serves the readers that wait until a decoder has been lent for long enough.
func (k *desk) ripened() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.serve()
}

// arrived ends the long way of a decoder that was on one.
func (k *desk) arrived(d *decoder) {
	if !d.far { // only d's user changes far while it has d
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	d.far = false
	k.far--
	k.serve()
}

// lend lets other readers take the decoder until its user calls back. unpacked is how many bytes the decoder has
// unpacked.
func (k *desk) lend(d *decoder, unpacked int) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if d.lent, d.keeps = now, lentFor; unpacked <= near {
		d.keeps = 0
	}
	k.serve()
}

// back ends the lending of r's decoder. back reports false where another reader has taken the decoder.
func (k *desk) back(d *decoder, r *Reader) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d.user != r {
		return false
	}
	d.lent = time.Time{}
	return true
}

// give puts a decoder back. The decoder must not hold the body any more.
func (k *desk) give(d *decoder) {
	_ = d.begin(nil) // fails for want of a header; the next user resets the decoder
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

// firstBite is how many bytes of a brotli body the decoder reads first.
const firstBite = 512

// bites hands out a body in pieces, each twice as long as the one before. A brotli decoder unpacks all bytes that it
// has read before it returns the first one, unless its window is full. Most clients that come in crowds ask for no more
// than the first bytes.
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
	// With a concurrency of 1 the decoder starts no goroutines, for whose end nobody would wait.
	r := newZstdReader(zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	return &decoder{Reader: r, reset: r.Reset}
}

// zstdReader serves all goroutines: DecodeAll is safe for concurrent use.
var zstdReader = sync.OnceValue(func() *zstd.Decoder { return newZstdReader(zstd.WithDecodeAllCapLimit(true)) })

func newZstdReader(options ...zstd.DOption) *zstd.Decoder {
	r, err := zstd.NewReader(nil, append(options, zstd.WithDecoderMaxWindow(window))...)
	if err != nil {
		panic("BUG: zstd decoder: " + err.Error())
	}
	return r
}
