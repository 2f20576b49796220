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

// pump fetches the body to its end and stores it. However it ends, the connection is given back before the flight is closed, and
// the claim and the context are let go of last. In another order, a request that finds no flight could begin the next fill while
// this one still has its place at the origin.
func (c *running) pump(resp *http.Response, res Response) {
	defer c.end()
	defer c.flight.close()
	c.read(resp, res)
}

// read is pump, but that nothing is let go of but the connection.
func (c *running) read(resp *http.Response, res Response) {
	buf := buffers.Get().(*[readSize]byte)
	defer buffers.Put(buf)
	defer resp.Body.Close()
	defer func() {
		if err := c.panicked(recover()); err != nil {
			res.body.end(err)
		}
	}()
	// What is left and has come already is shown together with the end, once the copy is stored: a client knows by the length that its answer
	// is whole, and may ask again before the end is read.
	whole := c.storesAtOnce(res)
	// A read that blocks ends with the request to the origin, and so with the context: nobody has to close the body from elsewhere.
	kept := res.Verdict.Store || res.Verdict.Share
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			// The flight is closed before readers are waited for: whoever joined meanwhile would find the beginning gone.
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
			c.flight.close() // as in complete: nobody joins what is known to be broken
			res.body.end(fmt.Errorf("read response body: %w", err))
			return
		}
	}
}

// outgrown lets go of a body that cannot be kept any longer: it streams on to those who already read it.
func (c *running) outgrown(res Response) {
	c.flight.close()
	c.releaseUnshared()
	why := res.body.dropped()
	c.q.Route.Metrics.NotStored(why)
	// Memory that is full now may be free for the next fill, and what an error is like says nothing of the next answer.
	if why == policy.TooLarge && !httpcache.Passing(res.Status) {
		c.markShareless(res, why, true)
		c.contradict(res.Token)
	}
	c.deadline.Stop()
}

// complete stores the answer, if it still may be, and then tells its readers that it is whole.
func (c *running) complete(resp *http.Response, res Response) {
	switch data, whole := res.body.whole(); {
	case !whole && res.Verdict.Store: // outgrown has counted it
	case c.part != nil:
		c.keepPart(res, *c.part, data)
	case c.keep(res, content{size: int64(len(data)), copy: func() *store.Copy { return newCopy(c.q.Route, res.Status, res.Header, data) }}) && res.Completed:
		c.f.store.DropParts(c.q.Key, c.sent)
	}
	// The flight is closed before its readers learn of the end: a client that has its answer and asks again is to find the copy, or
	// to have the origin asked, and not to join what it has read already.
	c.flight.close()
	res.body.finish(resp.Trailer)
}

// keep stores a copy of what came, if it may be, and counts it where it may not. The claim then says that there is nothing to be
// shared, unless the answer was only too late: the next one may be in time, and another instance is to fetch it.
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

// answer is what came, on its way to become a copy.
func (c *running) answer(res Response) Answer {
	return Answer{
		Request: c.q, Selection: c.sent, sent: c.sent, Status: res.Status, Header: res.Header, Verdict: res.Verdict, Members: res.Members,
		Token: res.Token, Taken: c.taken, claim: &c.claim,
	}
}

// noticeChange notices that an answer differs from the one before although nothing said so: readers may have been given the old
// one while the new one was true already.
func (f *Filler) noticeChange(r *Route, before, now *store.Copy) {
	switch {
	case before == nil || before.Digest == now.Digest || !slices.Equal(before.Vary(), now.Vary()):
		return
	case before.Status() != now.Status() || now.Status() >= http.StatusBadRequest:
		return // pages of errors differ for many reasons, and that a thing comes and goes is what negative_ttl allows for
	case before.Life().Fresh <= 0:
		return // nobody was given it without asking the origin
	case time.Since(before.Life().Until()) > invalidation.MaxFill:
		return // what invalidated it since may be forgotten
	case !f.lease.Valid(time.Now()):
		return // or not known yet
	case f.ledger.Check(&before.Stamp, before.Members()) == invalidation.Valid:
		r.Metrics.ChangedWithoutInvalidation()
	}
}
