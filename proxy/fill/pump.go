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

// readSize is how many bytes of a body are read at once.
const readSize = 32 << 10

// buffers are of readSize bytes each.
var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// pump fetches the body to its end and stores the answer. The last Read of the body gives the place at the origin
// back before the flight is closed. end releases the claim and the context last. In another order, a request that
// finds no flight could begin the next fill while this fill still holds its place at the origin. Only outgrown and a
// failed append close the flight earlier.
func (c *running) pump(resp *http.Response, res Response) {
	defer c.end()
	defer c.flight.close()
	c.read(resp, res)
}

// read is pump without end and without the last close of the flight: read closes only the body of the response.
func (c *running) read(resp *http.Response, res Response) {
	buf := buffers.Get().(*[readSize]byte)
	defer buffers.Put(buf)
	defer resp.Body.Close()
	defer func() {
		if err := c.panicked(recover()); err != nil {
			res.body.end(err)
		}
	}()
	// With whole set, readers see the last bytes at hand only together with the end, when the copy is stored. A
	// client knows from the length that its answer is complete, and may send its next request before this goroutine
	// has read the end.
	whole := c.storesAtOnce(res)
	// A blocked Read ends with the request to the origin, and so with the context. No other goroutine has to close
	// the body.
	kept := res.Verdict.Store || res.Verdict.Share
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			// outgrown closes the flight before append waits for readers: a request that joined later would find the
			// beginning gone.
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
			if kept && res.Verdict.Store { // otherwise the reason is counted already
				c.q.Route.Metrics.NotStored(policy.Incomplete)
			}
			c.releaseUnshared()
			c.keepBroken(resp, res)
			c.rememberBroken(res)
			c.flight.close() // before readers learn of the end, as in complete
			res.body.end(fmt.Errorf("read response body: %w", err))
			return
		}
	}
}

// outgrown handles a body that cannot be kept any longer. The body will not be stored, no request can join, and the
// present readers get the rest as a stream.
func (c *running) outgrown(res Response) {
	c.flight.close()
	c.releaseUnshared()
	why := res.body.dropped()
	c.q.Route.Metrics.NotStored(why)
	// The next answer to the question is probably too large as well. That does not follow from an error, or from
	// memory that is full for the moment.
	if why == policy.TooLarge && !httpcache.Passing(res.Status) {
		c.markShareless(res, why, true)
		c.contradict(res.Token)
	}
	c.deadline.Stop()
}

// complete stores the answer, if the answer may still be stored, and then lets readers see the end.
func (c *running) complete(resp *http.Response, res Response) {
	switch data, whole := res.body.whole(); {
	case !whole && res.Verdict.Store: // outgrown has counted the reason
	case c.part != nil:
		c.keepPart(res, *c.part, data)
	case c.keep(res, content{size: int64(len(data)), copy: func() *store.Copy { return newCopy(c.q.Route, res.Status, res.Header, data) }}) && res.Completed:
		c.f.store.DropParts(c.q.Key, c.sent)
	}
	// The flight is closed before its readers see the end. A client that has its answer and asks again must find the
	// copy or start another fetch. That client must not join the flight that it has just read.
	c.flight.close()
	res.body.finish(resp.Trailer)
}

// keep stores a copy of the answer, and reports whether the copy is stored. If not, keep counts the reason and
// releases the claim as Unshared. An answer that was only outdated keeps the claim: the next answer may be in time,
// and other instances should go on sharing.
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

// noticeChange counts an answer that differs from the copy before although nothing has invalidated that copy. Readers
// may have got the old content when that content was already wrong.
func (f *Filler) noticeChange(r *Route, before, now *store.Copy) {
	switch {
	case before == nil || before.Digest == now.Digest || !slices.Equal(before.Vary(), now.Vary()):
		return
	case before.Status() != now.Status() || now.Status() >= http.StatusBadRequest:
		return // error pages differ for many reasons, and negative_ttl accepts that a resource comes or goes
	case before.Life().Fresh <= 0:
		return // the copy was never served without asking the origin
	case time.Since(before.Life().Until()) > invalidation.MaxFill:
		return // the ledger may have forgotten an invalidation of the copy
	case !f.lease.Valid(time.Now()):
		return // this instance may not know of an invalidation of the copy yet
	case f.ledger.Check(&before.Stamp, before.Members()) == invalidation.Valid:
		r.Metrics.ChangedWithoutInvalidation()
	}
}
