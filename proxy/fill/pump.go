package fill

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// readSize is how much of a body is read at once.
const readSize = 32 << 10

// buffers are of readSize bytes each.
var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// pump fetches the body to its end and stores it. However it ends, the connection is given back before the flight is closed, and the claim and the
// context are released last. In another order, a request that finds no flight could begin the next fill while this one still holds its place at the
// origin.
func (c *running) pump(resp *http.Response, res Response) {
	defer c.end()
	defer c.flight.close()
	c.read(resp, res)
}

// read is pump without closing the flight and ending the fill: it only gives back the connection.
func (c *running) read(resp *http.Response, res Response) {
	buf := buffers.Get().(*[readSize]byte)
	defer buffers.Put(buf)
	defer resp.Body.Close()
	defer func() {
		if err := c.panicked(recover()); err != nil {
			res.body.end(err)
		}
	}()
	// With whole set, the last bytes that are at hand are shown to readers only together with the end, when the copy is stored: a client sees by the
	// length that its answer is complete, and may send its next request before this goroutine has read the end.
	whole := c.storesAtOnce(res)
	// A read that blocks ends with the request to the origin, and so with the context: nobody has to close the body from elsewhere.
	kept := res.Verdict.Store || res.Verdict.Share
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			// outgrown closes the flight before append waits for readers: a request that joined later would find the beginning gone.
			if kept && !res.body.keep(int64(n)) {
				kept = false
				c.outgrown(res)
			}
			if werr := res.body.append(c.ctx, buf[:n], !whole || err != io.EOF && !upstream.AtHand(resp)); werr != nil {
				err = werr
			}
		}
		if err == io.EOF {
			c.complete(resp, res)
			return
		}
		if err != nil {
			if kept && res.Verdict.Store { // else why it is not stored is counted
				c.q.Route.Metrics.NotStored(policy.Incomplete)
			}
			c.releaseUnshared()
			c.keepBroken(resp, res)
			c.rememberBroken(res)
			c.flight.close() // before readers learn of the end, as in complete: a request that asks again must not join this flight
			res.body.end(fmt.Errorf("read response body: %w", err))
			return
		}
	}
}

// outgrown handles a body that cannot be kept any longer: it will not be stored, no request can join, and those that read it get it as a stream.
func (c *running) outgrown(res Response) {
	c.flight.close()
	c.releaseUnshared()
	why := res.body.dropped()
	c.q.Route.Metrics.NotStored(why)
	// The next answer to the question is probably too large as well. Nothing like that follows from an error, or from memory that is full now.
	if why == policy.TooLarge && !httpcache.Passing(res.Status) {
		c.markShareless(res, why, true)
		c.contradict(res.Token)
	}
	c.deadline.Stop()
}

// complete stores the answer, if it still may be stored, and then lets its readers see the end.
func (c *running) complete(resp *http.Response, res Response) {
	switch data, whole := res.body.whole(); {
	case !whole && res.Verdict.Store: // outgrown has counted it
	case c.part != nil:
		c.keepPart(res, *c.part, data)
	case c.keep(res, content{size: int64(len(data)), copy: func() *store.Copy { return newCopy(c.q.Route, res.Status, res.Header, data) }}) && res.Completed:
		c.f.store.DropParts(c.q.Key, c.sent)
	}
	// The flight is closed before its readers see the end: a client that has its answer and asks again must find the copy or start another fetch, and
	// not join the flight that it has just read.
	c.flight.close()
	res.body.finish(resp.Trailer)
}

// keep stores a copy of the answer, and reports whether it has. If not, that is counted, and the claim is released as Unshared, unless the answer was
// only outdated: the next one may be in time, and other instances should go on sharing.
func (c *running) keep(res Response, b content) bool {
	copied, why := c.f.put(c.answer(res), b)
	if why == policy.NoReason {
		c.f.noticeChange(c.q.Route, c.previous, copied)
		return true
	}
	c.q.Route.Metrics.NotStored(why)
	if why != policy.Outdated {
		c.releaseUnshared()
	}
	return false
}

// answer makes the Answer of a response, for put.
func (c *running) answer(res Response) Answer {
	return Answer{
		Request: c.q, Selection: c.sent, sent: c.sent, Status: res.Status, Header: res.Header, Verdict: res.Verdict, Members: res.Members,
		Token: res.Token, Taken: c.taken, claim: &c.claim,
	}
}

// noticeChange counts an answer that differs from the copy before it although nothing has invalidated that copy: readers may have been given the old
// content while it was already wrong.
func (f *Filler) noticeChange(r *Route, before, now *store.Copy) {
	switch {
	case before == nil || before.Digest == now.Digest || !slices.Equal(before.Vary(), now.Vary()):
		return
	case before.Status() != now.Status() || now.Status() >= http.StatusBadRequest:
		return // error pages differ for many reasons, and negative_ttl accepts that a resource comes or goes
	case before.Life().Fresh <= 0:
		return // the copy was never served without asking the origin
	case time.Since(before.Life().Until()) > invalidation.MaxFill:
		return // an invalidation of the copy may be forgotten
	case !f.lease.Valid(time.Now()):
		return // an invalidation of the copy may not be known here yet
	case f.ledger.Check(&before.Stamp, before.Members()) == invalidation.Valid:
		r.Metrics.ChangedWithoutInvalidation()
	}
}
