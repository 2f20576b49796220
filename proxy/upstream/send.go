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

// Send sends req, whose URL SetTarget has set. It takes over slot, which is released with an error, or else when the response's
// body was read to its end or closed; one of these is up to the caller. The place of a response that turns out to be a stream
// becomes a stream's, and where as many streams as allowed are open the response is closed instead (Classify:
// policy.QueueFull). Errors are for Classify and NotSent.
//
// A request of which nothing was sent goes on to another address, whatever its method (RFC 9110 §9.2.2). One that a kept
// connection has lost goes out once more to the same address where that is safe, on a new connection; when that cannot be
// made, the request goes on like any other.
func (u *Upstream) Send(req *http.Request, slot *Slot) (*http.Response, error) {
	if _, said := req.Header[userAgentField]; !said { // a request that passes has its client's, or an empty one
		req.Header[userAgentField] = []string{u.options.UserAgent}
	}
	if req.Body == nil || req.Body == http.NoBody {
		// A trailer follows content. Without content, net/http over HTTP/2 would announce that more comes, and send nothing: the upstream would wait.
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

// elsewhere reports whether a request that failed with err may go to another address, where it may come to more.
func elsewhere(err error) bool {
	var unsent *notSentError
	return errors.As(err, &unsent) && !unsent.over && !errors.As(err, new(*RequestError))
}

// attempt is a request on its way to one address, and the response that has come of it.
type attempt struct {
	upstream *Upstream
	to       *address
	slot     *Slot
	began    time.Time
	cancel   context.CancelCauseFunc // of the request and of its response
	conns    *keptConns              // the connections that it was sent over; nil: not yet
	once     sync.Once               // of done

	wait  wait
	way   trip // of the first try; another is made if the request is sent again
	stall stall
	body  heldBody
}

// done releases everything that the attempt holds except the slot.
func (a *attempt) done() {
	a.once.Do(func() {
		a.cancel(nil)
		a.upstream.balancer.leave(a.to)
		a.conns.left()
		a.upstream.left()
	})
}

// release is done, and releases the slot too.
func (a *attempt) release() {
	a.done()
	a.slot.Release()
}

// attempt sends req to one address. The response's body gives back the slot; an error leaves it to the caller.
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
	var known failure
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
	httpcache.StripTrailer(res.Trailer) // of what is announced; the body does it to what comes
	a.body = heldBody{ReadCloser: res.Body, of: a, trailer: &res.Trailer, received: u.options.Received, whole: !stream}
	if !stream {
		a.stall = stall{timeout: readTimeout, cancel: cancel, wait: &a.wait, slot: slot, give: a.release}
		a.body.stall = &a.stall
	}
	res.Body = bodyOf(&a.body)
	return res, nil
}

// never is a timeout that does not expire.
const never = time.Duration(math.MaxInt64)

// callersTime is how long the client of a gRPC call may say nothing before its place counts as a stream's.
const callersTime = 2 * time.Second

// Converses reports whether gRPC calls can be made to the upstream, which need HTTP/2.
func (u *Upstream) Converses() bool { return u.options.URL.Scheme != "http" }

// conversation returns what to do when the client of a gRPC call has sent nothing for callersTime: no answer is due yet, so that no timeout bounds the
// call, and it counts as a stream from there on. Nil for other requests.
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

// send sends the request over the connections of its attempt, again if the rules of again allow it, and returns the response when its header is there.
// The error tells apart a timeout, a client that has left, a request body that failed, and a failure of the upstream; it is a *notSentError if
// nothing was written.
func (u *Upstream) send(req *http.Request, a *attempt, d *delivery) (*http.Response, error) {
	conns := u.connectionsFor(req)
	a.conns = conns.kept()
	replay := u.replayed(req, a.wait.watch(req.Body))
	defer replay.end()
	if u.upgrades != nil && req.Header.Get("Expect") != "" {
		// On a connection that is kept, the transport would send the body of a request that was just refused, and so
		// ask the client for it.
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
			req.Body, _ = replay.begin() // it cannot fail: nothing of the body was read
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

// replayed sets the request's body. If the connection may be HTTP/2, the body is a replay, which can be sent again; nil: it cannot.
func (u *Upstream) replayed(req *http.Request, body io.ReadCloser) *replay {
	if req.Body = body; body == nil || body == http.NoBody || u.options.URL.Scheme == "http" || req.Header.Get("Upgrade") != "" {
		return nil
	}
	r := newReplay(body)
	req.Body, _ = r.begin()
	req.GetBody = r.begin
	return r
}

// aim points a request that SetTarget aimed at the first address at another.
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

// endOf is why ctx has ended: its Err, together with its cause if there is another.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, errTimeout) || errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// connectionsFor returns the connections for a request. From a request with an upgrade to an h2c upstream it removes the upgrade, which HTTP/2 does not
// allow (RFC 9113 §8.2.2), and which an upstream may always ignore (RFC 9110 §7.8).
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
