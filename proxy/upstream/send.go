package upstream

import (
	"cacheproxy/policy/httpcache"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Send sends req, whose URL SetTarget has set. Send takes over slot. With an error Send releases the slot. Otherwise
// the response's body releases the slot when the body is read to its end or closed, and the caller must do either.
// When the response is a stream, the slot exchanges its place for a stream's. When as many streams as allowed are
// open, Send closes the response instead and returns an error (Classify: policy.QueueFull). Errors are for Classify
// and NotSent.
//
// A request of which nothing was sent goes on to another address, whatever its method (RFC 9110 §9.2.2). A request
// that was lost with a kept connection goes out once more to the same address, on a new connection, where that is
// safe. When no new connection can be made, the request goes on like any other.
func (u *Upstream) Send(req *http.Request, slot *Slot) (*http.Response, error) {
	if _, said := req.Header[userAgentField]; !said { // a request that passes has its client's, or an empty one
		req.Header[userAgentField] = []string{u.options.UserAgent}
	}
	if req.Body == nil || req.Body == http.NoBody {
		// The fields in Trailer come behind content. Over HTTP/2, net/http would announce more and send nothing, and
		// the upstream would wait.
		req.Trailer = nil
	}
	d := &delivery{body: keepBody(req)}
	u.balancer.earn()
	var tried []*address
	for {
		to := u.balancer.pick(tried)
		res, err := u.attempt(req, to, slot, d)
		if err == nil {
			d.body.release()
			return res, nil
		}
		tried = append(tried, to)
		if !elsewhere(err) || d.body.wasRead() || !u.balancer.mayRetry(tried) {
			d.body.release()
			slot.Release()
			if d.sent {
				err = asSent(err)
			}
			return nil, fmt.Errorf("send to upstream %s: %w", u.options.Name, err)
		}
	}
}

// elsewhere reports whether a request that failed with err may go to another address, which may take the request.
func elsewhere(err error) bool {
	var unsent *notSentError
	return errors.As(err, &unsent) && !unsent.over && !errors.As(err, new(*RequestError))
}

// attempt is a request on its way to one address, and its response.
type attempt struct {
	upstream *Upstream
	to       *address
	slot     *Slot
	began    time.Time
	cancel   context.CancelCauseFunc // of the request and of its response
	conns    *keptConns              // the connections of the last sending; nil: not sent yet
	once     sync.Once               // guards done

	wait  wait
	way   trip // of the first sending; a repeat has a trip of its own
	stall stall
	body  heldBody
}

// done releases all that an attempt holds except the slot.
func (a *attempt) done() {
	a.once.Do(func() {
		a.cancel(nil)
		a.upstream.balancer.leave(a.to)
		a.conns.left()
		a.upstream.left()
	})
}

// release releases the slot, too.
func (a *attempt) release() {
	a.done()
	a.slot.Release()
}

// attempt sends req to one address. The response's body releases the slot. With an error the slot stays with the
// caller.
func (u *Upstream) attempt(req *http.Request, to *address, slot *Slot, d *delivery) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	a := &attempt{upstream: u, to: to, slot: slot, began: time.Now(), cancel: cancel}
	timeout, readTimeout := u.options.Timeout, u.options.ReadTimeout
	if slot.passing {
		timeout, readTimeout = never, never
	}
	a.wait = wait{timeout: timeout, cancel: cancel, quiet: conversation(req, slot, cancel), patience: min(timeout, callersTime)}
	a.wait.begin()
	a.way.repeat = u.balancer
	out := u.aim(req, to).WithContext(a.way.within(ctx))
	u.sendWith(out, slot, cancel)
	res, err := u.send(out, a, d)
	var known failure // identity of req as a failure
	if known.client = slot.client; err != nil {
		known = u.balancer.failureOf(req, slot.client)
	}
	u.balancer.judge(to, fault(err), known)
	stream := err == nil && isStream(res)
	if stream {
		if err = slot.stream(); err != nil {
			res.Body.Close()
		}
	}
	if err != nil {
		a.done()
		return nil, err
	}
	AsSent(res.Header)
	u.options.Answered(res, slot.route)
	httpcache.StripTrailer(res.Trailer) // of the names announced; the body strips the fields that come
	a.body = heldBody{ReadCloser: res.Body, of: a, trailer: &res.Trailer, received: u.options.Received, whole: !stream}
	if !stream {
		a.stall = stall{timeout: readTimeout, cancel: cancel, wait: &a.wait, slot: slot, give: a.release}
		a.body.stall = &a.stall
	}
	res.Body = bodyOf(&a.body)
	return res, nil
}

// never is a timeout that does not end.
const never = time.Duration(math.MaxInt64)

// callersTime is how long the client of a gRPC call may send nothing before its place counts as a stream's.
const callersTime = 2 * time.Second

// Converses reports whether gRPC calls, which need HTTP/2, can be made to the upstream.
func (u *Upstream) Converses() bool { return u.options.URL.Scheme != "http" }

// conversation returns the func to call when the client of a gRPC call has been silent for too long (wait.patience).
// Nothing else bounds such a call, and no answer is due yet. So the call counts as a stream from then on, or ends if
// no stream is free. Nil for other requests.
func conversation(req *http.Request, slot *Slot, cancel context.CancelCauseFunc) func() {
	if !httpcache.GRPC(req.Header) || req.Body == nil {
		return nil
	}
	return func() {
		if err := slot.stream(); err != nil {
			cancel(err)
			abandon(req.Body)
		}
	}
}

// send returns the response as soon as its header is there. The error tells apart the end of a timeout, the end of a
// client, and a failure of the upstream, and marks a request that was not sent at all.
func (u *Upstream) send(req *http.Request, a *attempt, d *delivery) (*http.Response, error) {
	conns := u.connectionsFor(req)
	a.conns = conns.kept()
	replay := u.replayed(req, a.wait.watch(req.Body))
	defer replay.end()
	if u.upgrades != nil && req.Header.Get("Expect") != "" {
		// On a kept connection, the transport would send the body of a request that the upstream has just refused,
		// and would ask the client for that body.
		req.Close = true
	}
	way := &a.way
	way.replay = replay
	through := a.conns.carrier
	if sentOnce(req) && u.losses.frequent(time.Now()) {
		through = conns.anew
	}
	res, err := way.through(through, req)
	switch kept := way.onKept(); {
	case kept && err == nil:
		u.losses.held()
	case kept && req.Context().Err() == nil && way.keptLost() && !way.unsent():
		u.losses.lost(time.Now())
	}
	if err != nil && req.Context().Err() == nil && u.again(req, way, d) {
		d.sent = d.sent || !way.unsent()
		way = &trip{replay: replay, repeat: u.balancer}
		if replay != nil {
			req.Body, _ = replay.begin() // no turn has read yet
		}
		res, err = way.through(conns.anew, req)
		if err != nil && d.repeated && !way.unsent() && req.Context().Err() == nil {
			u.balancer.wasted()
		}
	}
	bodyErr := a.wait.end()
	switch {
	case err == nil:
		if err = checkHead(req, res); err != nil {
			d.sent = true
			res.Body.Close()
			return nil, err
		}
		return res, nil
	case req.Context().Err() != nil:
		err = endOf(req.Context())
	case bodyErr != nil:
		err = bodyErr
	}
	err = blamed(err, req)
	if way.unsent() {
		return nil, &notSentError{err: err, over: req.Context().Err() != nil}
	}
	d.sent = true
	return nil, err
}

// replayed makes body the body of req. Where connections may be HTTP/2, the body can be sent again. Nil: it cannot.
func (u *Upstream) replayed(req *http.Request, body io.ReadCloser) *replay {
	if req.Body = body; body == nil || body == http.NoBody || u.options.URL.Scheme == "http" || req.Header.Get("Upgrade") != "" {
		return nil
	}
	r := newReplay(body)
	req.Body, _ = r.begin()
	req.GetBody = r.begin
	return r
}

// aim points a request, which SetTarget aimed at the first address, at another address.
func (u *Upstream) aim(req *http.Request, to *address) *http.Request {
	if to.url.Host == u.options.URL.Host {
		return req
	}
	aimed := *req
	target := *req.URL
	target.Host = to.url.Host
	if u.options.HostOfAddress {
		// A target in absolute form names the Host once more (see setPath).
		if rest, absolute := strings.CutPrefix(target.Opaque, "//"+req.Host); absolute {
			target.Opaque = "//" + to.url.Host + rest
		}
		aimed.Host = to.url.Host
	}
	aimed.URL = &target
	return &aimed
}

// endOf returns why ctx ended: an error that is the kind of end, and its cause where the canceller gave one.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, errTimeout) || errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// connectionsFor returns the connections for req. From a request to an h2c upstream it removes the wish to upgrade,
// which HTTP/2 does not allow (RFC 9113 §8.2.2) and an upstream may always ignore (RFC 9110 §7.8).
func (u *Upstream) connectionsFor(req *http.Request) *connections {
	if req.Header.Get("Upgrade") == "" {
		return u.plain
	}
	if u.upgrades != nil {
		return u.upgrades
	}
	req.Header = req.Header.Clone()
	req.Header.Del("Upgrade")
	req.Header.Del("Connection")
	return u.plain
}
