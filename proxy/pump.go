package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// readSize is how much of a body is read at once.
const readSize = 32 << 10

// pump fetches the body to its end and stores it.
func (c *call) pump(resp *http.Response, res *fill) {
	defer c.end()
	defer c.p.flights.close(c.f)
	defer resp.Body.Close()
	defer func() {
		if err := c.panicked(recover()); err != nil {
			res.body.end(err)
		}
	}()
	// A read that blocks ends with the request, and so with the context.
	buf := make([]byte, readSize)
	kept := res.verdict.Store || res.verdict.Share
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			still, werr := res.body.append(c.ctx, buf[:n])
			if kept && !still {
				kept = false
				c.outgrown(res)
			}
			if werr != nil {
				err = werr
			}
		}
		if err == io.EOF {
			c.complete(resp, res)
			return
		}
		if err != nil {
			c.q.route.metrics.NotStored(policy.Incomplete)
			c.fruitless()
			c.keepBroken(resp, res)
			res.body.end(fmt.Errorf("read response body: %w", err))
			return
		}
	}
}

// outgrown lets go of a body that cannot be kept any longer: it streams on to those who already read it.
func (c *call) outgrown(res *fill) {
	c.p.flights.close(c.f)
	c.fruitless()
	why := res.body.dropped()
	c.q.route.metrics.NotStored(why)
	// Memory that is full now may be free for the next fill, and what an error is like says nothing of the next answer.
	if why == policy.TooLarge && !httpcache.Passing(res.status) {
		c.p.store.MarkShareless(c.q.key, c.q.forward, time.Now().Add(sharelessFor), why)
	}
	c.deadline.Stop()
}

// complete stores the answer, if it still may be, and then tells its readers that it is whole.
func (c *call) complete(resp *http.Response, res *fill) {
	res.trailer = resp.Trailer
	data, whole := res.body.whole()
	switch {
	case !res.verdict.Store:
		c.q.route.metrics.NotStored(res.verdict.Reason)
	case !whole: // outgrown has counted it
	case res.part != nil:
		c.keepPart(res, *res.part, data)
	case int64(len(data)) < c.q.route.StoreIf.MinBytes:
		c.q.route.metrics.NotStored(policy.TooSmall)
		c.fruitless()
	default:
		if c.put(res, c.q.route.seal(res.status, res.header, data)) && res.rest {
			c.p.store.DropParts(c.q.key, c.q.forward)
		}
	}
	// Before its readers go on: what they ask next is not to join it.
	c.p.flights.close(c.f)
	res.body.end(nil)
}

// exact gives back memory when a body has grown into an array much larger than itself.
func exact(data []byte) []byte {
	if cap(data)-len(data) > len(data)/8 {
		return append(make([]byte, 0, len(data)), data...)
	}
	return data
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// put stores a copy under the fill's token unless something it belongs to was invalidated since, or it is an error and a copy
// that may stand in for it has come since its head did. Its stamp is checked again at every use, so an invalidation right
// after the question is heeded too.
func (c *call) put(res *fill, copied *store.Copy) bool {
	why := res.verdict.Reason
	if res.verdict.Store && c.yieldsBelow(copied.Status) {
		why = policy.OriginStatus
	}
	if why != policy.NoReason {
		c.q.route.metrics.NotStored(why)
		c.fruitless()
		return false
	}
	copied.Life = res.verdict.Lifetime
	copied.Vary = res.verdict.Vary
	copied.Members = res.ids
	copied.Stamp.Set(res.token)
	c.p.ledger.Retain(copied.Life.Retention())
	if !c.p.ledger.Admits(res.token, res.ids) {
		c.q.route.metrics.NotStored(policy.Outdated)
		return false
	}
	c.changed(copied)
	c.p.store.Put(c.q.key, c.q.forward, copied)
	c.alias(copied)
	c.sink()
	return true
}

// changed notices that an answer differs from the one before although nothing said so: readers may have been given the old
// one while the new one was true already.
func (c *call) changed(now *store.Copy) {
	before := c.q.previous
	switch {
	case before == nil || before.Digest == now.Digest || !slices.Equal(before.Vary, now.Vary):
		return
	case before.Status != now.Status || now.Status >= http.StatusBadRequest:
		return // pages of errors differ for many reasons, and that a thing comes and goes is what negative_ttl allows for
	case before.Life.Fresh <= 0:
		return // nobody was given it without asking the origin
	case time.Since(before.Life.Until()) > invalidation.MaxFill:
		return // what invalidated it since may be forgotten
	case !c.p.lease.Valid(time.Now()):
		return // or not known yet
	case c.p.ledger.Check(&before.Stamp, before.Members) == invalidation.Valid:
		c.q.route.metrics.ChangedWithoutInvalidation()
	}
}
