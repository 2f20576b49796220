package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

const (
	// maxInspected is how much of a request body is read to find the names that a write invalidates, in bytes.
	maxInspected = 1 << 20
	// confirmTimeout is how long an invalidation may take to be confirmed before the answer to its write goes out.
	confirmTimeout = 10 * time.Second
	// retryEvery is the pause between attempts to make up for an invalidation that could not be recorded.
	retryEvery = time.Second
)

// write sends an unsafe request to the origin, and makes unusable what it changed before the client learns that it did.
func (ex *exchange) write() {
	ex.status.Outcome, ex.status.Reason = policy.Write, policy.MethodUnsafe
	body, err := ex.inspect()
	if err != nil {
		status, text := bodyFailure(err)
		ex.refuse(status, policy.RequestBody, text)
		return
	}
	members, fallback, err := ex.route.Effects(&ex.match, ex.target, ex.target.Query, ex.r.Header, body)
	if err != nil {
		ex.p.logger.Warn("write names nothing to invalidate; everything is", "route", ex.route.Name, "error", err)
	}
	if fallback {
		ex.status.Detail = "otherwise"
	}
	w := &writing{ex: ex, members: members, before: ex.p.ledger.Token()}
	if ex.route.Policy == policy.WriteThrough && !w.begin() {
		ex.refuse(http.StatusServiceUnavailable, policy.StoreUnavailable, "the write cannot be announced to the caches, so it was not made; try again")
		return
	}
	// Whatever happens, a write that may have reached the origin is not forgotten.
	defer w.leave()
	ex.through(passage{answered: w.answered, unknown: w.unknown})
}

// inspect reads the body where the route's invalidations are found in it. A body that is too large is not inspected.
func (ex *exchange) inspect() ([]byte, error) {
	if ex.r.Body == nil || !ex.route.Invalidates.ReadsBody() {
		return nil, nil
	}
	read, err := io.ReadAll(io.LimitReader(ex.r.Body, maxInspected+1))
	if err != nil {
		return nil, err
	}
	rest := ex.r.Body
	ex.r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), rest), rest}
	if len(read) > maxInspected {
		return nil, nil
	}
	return read, nil
}

// writing is what one write does to the copies.
type writing struct {
	ex      *exchange
	members []policy.Member
	fence   *invalidation.Fence // nil: the route has none
	settled bool

	before    invalidation.Token // before the write was sent
	disturbed bool               // something was invalidated between then and a late fence
	exclusive bool               // nothing else touched the members since the fence went up
	token     invalidation.Token // of the fence's end; meaningful when exclusive
}

// begin fences the members. It reports whether the write may go on.
func (w *writing) begin() bool {
	ctx, cancel := w.ex.p.confirming()
	defer cancel()
	fence, err := w.ex.p.log.Begin(ctx, w.members)
	if err == nil {
		w.fence = fence
		return true
	}
	w.ex.p.logger.Error("fence not set", "route", w.ex.route.Name, "error", err)
	return w.ex.route.StoreDown == policy.StoreDownForward
}

// answered applies what the origin's answer says of the write (RFC 9111 §4.4).
func (w *writing) answered(res *http.Response) error {
	w.settled = true
	switch {
	case res.StatusCode < 400:
		if w.fence == nil && w.keepable(res) {
			w.lateFence()
		}
		further := w.ex.match.ResponseEffects(w.ex.target, res.Header)
		w.end(further)
		w.keep(res)
	case res.StatusCode < 500:
		// The origin refused: nothing has changed.
		if w.fence != nil {
			w.end(nil)
		}
	case w.fence == nil && w.ex.route.FailedWrite == policy.FailedKeep:
		// The origin says that it has failed to do it (RFC 9110 §15.6.1), and RFC 9111 §4.4 asks for no more.
	default:
		w.doubt()
	}
	return nil
}

func (w *writing) unknown() {
	w.settled = true
	w.doubt()
}

// leave makes sure that a write which ended in no foreseen way is treated as one that may have happened.
func (w *writing) leave() {
	if !w.settled {
		w.doubt()
	}
}

// doubt treats a write whose outcome is unknown as one that may happen yet: the fence stays up for a while.
func (w *writing) doubt() {
	if w.fence != nil {
		w.ex.p.log.Abandon(w.fence, w.ex.route.FenceHold)
		return
	}
	w.end(nil)
}

// end makes the members unusable everywhere, or tells that it could not.
func (w *writing) end(further []policy.Member) {
	p := w.ex.p
	ctx, cancel := p.confirming()
	defer cancel()
	// A write that began under an earlier generation does not know how the routes of this one name their copies.
	further = append(further, p.config().begunSince(w.ex.cfg)...)
	apply := p.invalidateOf(w.fence, w.members, further)
	receipt, err := apply(ctx)
	if err == nil {
		p.metrics.Purge("write", "mixed", receipt.Took)
		// The ledger may be further by now: what was invalidated since is not in the write's answer.
		w.exclusive, w.token = receipt.Exclusive, receipt.Token()
		return
	}
	w.ex.status.Detail = policy.NotConfirmed.String()
	p.logger.Error("write not confirmed to all caches", "route", w.ex.route.Name, "target", w.ex.r.RequestURI, "error", err)
	if !p.tasks.Go(func() { p.makeUp(apply) }) {
		p.givenUp()
	}
}

// invalidateOf is the invalidation that ends a write, to be tried as often as it takes.
func (p *Proxy) invalidateOf(f *invalidation.Fence, members, further []policy.Member) func(context.Context) (invalidation.Receipt, error) {
	if f != nil {
		return func(ctx context.Context) (invalidation.Receipt, error) {
			return p.log.End(ctx, f, invalidation.Order{Members: further})
		}
	}
	all := append(append([]policy.Member(nil), members...), further...)
	return func(ctx context.Context) (invalidation.Receipt, error) {
		return p.log.Invalidate(ctx, invalidation.Order{Members: all})
	}
}

// confirming is the context of an invalidation: it does not end with the client.
func (p *Proxy) confirming() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.lifetime, confirmTimeout)
}

func (p *Proxy) givenUp() {
	p.logger.Error("invalidation given up at exit; copies elsewhere may be stale until they expire")
}

// makeUp tries an invalidation until it is confirmed or the proxy ends.
func (p *Proxy) makeUp(apply func(context.Context) (invalidation.Receipt, error)) {
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-p.lifetime.Done():
			p.givenUp()
			return
		}
		ctx, cancel := p.confirming()
		_, err := apply(ctx)
		cancel()
		if err == nil {
			return
		}
		if !errors.Is(err, context.Canceled) {
			p.logger.Error("invalidation still not confirmed", "error", err)
		}
	}
}
