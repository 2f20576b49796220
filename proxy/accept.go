package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// idempotencyField names the field by which the origin recognizes a request that is sent again
// (draft-ietf-httpapi-idempotency-key-header).
const idempotencyField = "Idempotency-Key"

// maxIdempotencyKey is the length of the longest accepted Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

var (
	otherPayload = refusal{http.StatusUnprocessableEntity, policy.RequestBody, "the Idempotency-Key was used for another request; use a new one for each"}
	keyMalformed = refusal{http.StatusBadRequest, policy.HeaderUnlisted, "Idempotency-Key has to be one line of 1 to 255 characters"}
	queueFull    = refusal{http.StatusServiceUnavailable, policy.QueueFull, "as many writes wait as may, so this one was not accepted; try again later"}
	notSafe      = refusal{http.StatusServiceUnavailable, policy.NotConfirmed,
		"it is not certain that the write would survive, so it is not accepted; it may be made all the same: repeat it with the same Idempotency-Key, or see Location"}
	unsettled = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable,
		"this route accepts writes only once every instance knows of it, in a few seconds; the write was not made, try again"}
	unasked = refusal{http.StatusServiceUnavailable, policy.OriginError, "it cannot be asked whether the write is allowed, so it was not accepted; try again"}
	noWrite = refusal{http.StatusForbidden, policy.Authorization, "the write is not allowed"}
)

// acceptWrite appends a write to the queue, and answers with 202 once the queue has stored the write.
func acceptWrite(ex *exchange, d *decision) {
	b := ex.p.behind
	if !takeIn(ex) {
		return
	}
	key, ok := idempotencyKey(ex.r.Header)
	switch {
	case !ok:
		ex.refuse(keyMalformed)
		return
	case !b.settled(ex.route, ex.cfg):
		refuseLater(ex, unsettled)
		return
	case !allowed(ex, ex.r.Method, true):
		return
	}
	own := ownKey(&ex.request)
	others := slices.DeleteFunc(b.names(&ex.request), func(name string) bool { return name == own })
	if len(others) > 0 { // names from an earlier configuration or from another instance
		if refused := b.await(ex.r.Context(), b.keysOf(others), ex.route.behind.Patience); refused != nil {
			refuseLater(ex, *refused)
			return
		}
	}
	e, err := b.entry(ex, outgoingWrite(ex, key), own, key)
	if err != nil {
		b.tell(err)
		refuseLater(ex, queueDown)
		return
	}
	receipt, err := b.queue.Append(ex.r.Context(), e)
	if err != nil {
		refuseAppend(ex, cmp.Or(receipt.ID, e.ID), err)
		return
	}
	ex.settle(d.status(ex.start))
	acknowledge(ex, receipt)
}

// takeIn receives the body of a write, and reports whether the write can be accepted. If not, the client has been sent
// a refusal.
func takeIn(ex *exchange) bool {
	limit := ex.route.behind.MaxBody
	if ex.r.ContentLength > limit {
		refuseUnread(ex, bodyTooLarge)
		return false
	}
	if err := ex.gather(limit); err != nil {
		ex.refuse(*bodyRefusal(err))
		return false
	}
	switch {
	case !ex.gathered.whole:
		refuseUnread(ex, bodyTooLarge)
		return false
	case len(ex.r.Trailer) > 0: // the client did not announce the trailer: queueable has seen none
		ex.refuse(refusal{http.StatusBadRequest, policy.RequestBody, "a write with a trailer cannot be queued here: announce it, and the write waits for its turn and goes through"})
		return false
	}
	_, _, excess := ex.route.Effects(&ex.match, ex.target, ex.target.Query, ex.r.Header, ex.gathered.read)
	if excess != nil {
		ex.refuse(refusal{http.StatusBadRequest, policy.TooManyMembers, "the write was not made, because it has " + excess.Error() + "; send fewer at once"})
	}
	return excess == nil
}

// refuseAppend answers a write for which Append has failed. With ErrNotSafe the write may be in the queue all the same;
// Location then tells the client where to look up the state of the write.
func refuseAppend(ex *exchange, id string, err error) {
	switch {
	case errors.Is(err, writebehind.ErrOtherPayload):
		ex.refuse(otherPayload)
		return
	case errors.Is(err, writebehind.ErrFull):
		refuseLater(ex, queueFull)
		return
	}
	ex.p.behind.tell(err)
	if errors.Is(err, writebehind.ErrNotSafe) {
		ex.w.Header().Set("Location", ex.route.behind.StatusPath+id)
		refuseLater(ex, notSafe)
		return
	}
	refuseLater(ex, queueDown)
}

// idempotencyKey is the request's Idempotency-Key, or a new key for a request without one. ok is false if the field is
// malformed.
func idempotencyKey(h http.Header) (key string, ok bool) {
	lines := h[idempotencyField]
	if len(lines) == 0 {
		var random [10]byte
		_, _ = rand.Read(random[:]) // rand.Read never fails
		return writebehind.NewKey(time.Now(), random), true
	}
	return lines[0], len(lines) == 1 && lines[0] != "" && len(lines[0]) <= maxIdempotencyKey
}

// outgoingWrite is the write as the origin will receive the write, without the sequence number, which the queue
// assigns.
func outgoingWrite(ex *exchange, key string) *writebehind.Write {
	rules, t := ex.route.behind, ex.target
	h := ex.r.Header.Clone()
	httpcache.RemoveHopByHop(h)
	for _, name := range [...]string{"Expect", "Prefer", "Content-Length", sequenceField, idempotencyField} {
		deleteNamed(h, name)
	}
	h[idempotencyField] = []string{key}
	h[requestIDField] = []string{ex.id()}
	httpcache.Forward(h, server.PeerAddr(ex.r), t.Scheme, t.Host, ex.trusted)
	httpcache.AppendVia(h, ex.r.ProtoMajor, ex.r.ProtoMinor)
	return &writebehind.Write{
		Route: ex.route.Name, Upstream: ex.route.Upstream, Method: ex.r.Method, Scheme: t.Scheme, Host: t.Host, Path: t.Path, Query: t.Query,
		HasQuery: t.HasQuery, Header: h, Repeats: rules.Repeats, MaxAge: rules.MaxAge, Client: addrText(ex.clientAddr()), Body: ex.gathered.read,
	}
}

// entry encodes and encrypts a write for the queue. name is the write's own key (ownKey), key its Idempotency-Key.
func (b *Behind) entry(ex *exchange, w *writebehind.Write, name, key string) (*writebehind.Entry, error) {
	content, err := w.Encode()
	if err != nil {
		return nil, err
	}
	e := &writebehind.Entry{ID: writebehind.NewID(), Key: writebehind.KeyOf(b.prefix, name), Route: ex.route.Name, Repeats: w.Repeatable(), Rules: ex.route.behind}
	e.Identities = b.sealer.Identities(w, clientOf(ex.route, w.Header), key)
	e.Sealed = b.sealer.Seal(e.ID, e.Key, content)
	return e, nil
}

// acknowledge tells the client that the write was accepted (RFC 9110 §15.3.3), and in Location where to ask for the
// state of the write.
func acknowledge(ex *exchange, receipt writebehind.Receipt) {
	h := ex.w.Header()
	location := ex.route.behind.StatusPath + receipt.ID
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	if prefersAsync(ex.r.Header) {
		h.Set("Preference-Applied", "respond-async")
	}
	writeState(ex, http.StatusAccepted, stateAnswer{ID: receipt.ID, State: receipt.State, Accepted: receipt.Accepted.UTC(), Location: location})
}

// prefersAsync reports whether the client prefers to be answered before the request is done (RFC 7240 §4.1).
func prefersAsync(h http.Header) bool {
	for preference := range httpcache.Elements(h["Prefer"]) {
		name, _, _ := strings.Cut(preference, ";")
		if strings.EqualFold(httpcache.TrimOWS(name), "respond-async") {
			return true
		}
	}
	return false
}

// stateAnswer is the state of a write for its client. stateAnswer has nothing of the request, and of the origin's
// answer only the status.
type stateAnswer struct {
	ID         string            `json:"id"`
	State      writebehind.State `json:"state"`
	Accepted   time.Time         `json:"accepted"`
	Updated    *time.Time        `json:"updated,omitempty"`
	FirstTried *time.Time        `json:"first_tried,omitempty"`
	Attempts   int               `json:"attempts,omitempty"`
	Status     int               `json:"origin_status,omitempty"`
	Location   string            `json:"location,omitempty"`
}

func writeState(ex *exchange, code int, a stateAnswer) {
	body, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("BUG: the state of a write cannot be written: %v", err))
	}
	h := ex.w.Header()
	h.Set("Content-Type", "application/json")
	ex.addCacheStatus(h)
	ex.w.WriteHeader(code)
	if ex.r.Method != http.MethodHead {
		_, _ = ex.w.Write(append(body, '\n')) // an error means that the client has left
	}
}

// shows reports whether a request asks for the state of a queued write. A nil Behind has no queued writes.
func (b *Behind) shows(rq *request) bool { return b != nil && b.statusID(rq) != "" }

// statusID is the id of the write whose state a request asks for; empty: the request asks for something else.
func (b *Behind) statusID(rq *request) string {
	if rq.r.Method != http.MethodGet && rq.r.Method != http.MethodHead {
		return ""
	}
	for _, d := range b.all(rq.cfg) {
		id, found := strings.CutPrefix(rq.target.Path, d.status)
		if found && len(id) >= 26 && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "" {
			return id
		}
	}
	return ""
}

// showState answers with the state of a write. The id of the write is the only credential: the id is random, and cannot
// be guessed.
func showState(ex *exchange, d *decision) {
	b := ex.p.behind
	r, err := b.queue.Find(ex.r.Context(), b.statusID(&ex.request))
	switch {
	case errors.Is(err, writebehind.ErrUnknown):
		ex.refuse(refusal{http.StatusNotFound, policy.NoRoute, "there is no such write, or what became of it is known no longer"})
		return
	case err != nil:
		b.tell(err)
		refuseLater(ex, refusal{http.StatusServiceUnavailable, policy.StoreUnavailable, "the queue of writes cannot be asked, try again"})
		return
	}
	ex.settle(d.status(ex.start))
	h := ex.w.Header()
	h.Set("Cache-Control", "no-store")
	a := stateAnswer{ID: r.ID, State: r.State, Accepted: r.Accepted.UTC(), Attempts: r.Attempts, Status: r.Status}
	for to, at := range map[**time.Time]time.Time{&a.Updated: r.Updated, &a.FirstTried: r.Tried} {
		if !at.IsZero() {
			utc := at.UTC()
			*to = &utc
		}
	}
	if r.State != writebehind.Done && r.State != writebehind.Dropped && r.State != writebehind.Dead {
		setRetryAfter(h, time.Second)
	}
	writeState(ex, http.StatusOK, a)
}

// allowed asks the authorizing upstream of the route (authorize), if there is one, whether the client may send a
// request with this method. The result is false if the client may not, or if the upstream does not answer the question;
// if answers is set, the client has then been sent a refusal.
func allowed(ex *exchange, method string, answers bool) bool {
	rules := ex.route.behind
	if rules.AuthorizeUpstream == "" {
		return true
	}
	refused, challenge := unasked, []string(nil)
	res, err := subrequest(ex, rules.AuthorizeUpstream, rules.AuthorizePath, method)
	switch {
	case err != nil:
		ex.p.logger.Warn("it cannot be asked whether a write is allowed", "route", ex.route.Name, "upstream", rules.AuthorizeUpstream, "error", err)
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return true
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		refused, challenge = noWrite, res.Header["Www-Authenticate"]
		refused.code = res.StatusCode
	}
	if !answers {
		return false
	}
	refuseAsked(ex, refused, challenge)
	return false
}

// refuseAsked refuses a request that the authorizing upstream has refused, with the challenge of that upstream, or a
// request about which the upstream could not be asked.
func refuseAsked(ex *exchange, refused refusal, challenge []string) {
	if len(challenge) > 0 {
		ex.w.Header()["Www-Authenticate"] = challenge
	}
	if refused.code == http.StatusServiceUnavailable {
		refuseLater(ex, refused)
	} else {
		ex.refuse(refused)
	}
}

// subrequest asks the upstream named at whether a client may send a request with this method. The question is a GET of
// the path asked, with the client's own header except the fields about content and conditions. X-Forwarded-Method and
// X-Forwarded-Uri have the method and the target.
//
// The target in the question has the canonical path (RFC 3986 §6.2.2), from which the route and the name of a board are
// made. With the client's own spelling, a service that compares texts would allow an escaped spelling of a path that
// the service refuses.
func subrequest(ex *exchange, at, asked, method string) (*http.Response, error) {
	origin := ex.cfg.upstreams[at]
	if origin == nil {
		return nil, fmt.Errorf("there is no upstream %q", at)
	}
	t := ex.target
	h := ex.r.Header.Clone()
	httpcache.RemoveHopByHop(h)
	for name := range h {
		if strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "If-") {
			delete(h, name)
		}
	}
	for _, name := range [...]string{"X-Forwarded-Uri", "X-Forwarded-Method", playerField, "Expect", "Range"} {
		deleteNamed(h, name)
	}
	httpcache.Forward(h, server.PeerAddr(ex.r), t.Scheme, t.Host, ex.trusted)
	wants := policy.CleanTarget(t)
	wants.Path = httpcache.CanonicalPath(wants.Path)
	h["X-Forwarded-Method"], h["X-Forwarded-Uri"] = []string{method}, []string{wants.String()}
	h[requestIDField] = []string{ex.id()}
	path, query, has := strings.Cut(asked, "?")
	return exchangeOnce(ex.r.Context(), origin, &once{
		method: http.MethodGet, target: httpcache.Target{Scheme: t.Scheme, Host: t.Host, Path: path, Query: query, HasQuery: has}, header: h, route: ex.route.Name,
	})
}

// once is a request that the proxy itself makes, on no client's connection. The request is sent once, and only the head
// of the answer is used.
type once struct {
	method string
	target httpcache.Target
	header http.Header
	body   []byte
	route  string
	// sending is called right before the request is sent; nil: the request is sent. If ok is false, the request is not
	// sent. If ok is true, sent is not nil, and is called with the outcome.
	sending func(*http.Request) (sent func(*http.Response, error), ok bool)
}

var errNotNow = errors.New("it was not sent: the lease has ended")

// exchangeOnce waits for a place at an upstream and sends a request. exchangeOnce returns the response after reading up
// to maxInspected bytes of the body and closing the body. The error is errNotNow if o.sending has returned false.
func exchangeOnce(ctx context.Context, origin *upstream.Upstream, o *once) (*http.Response, error) {
	slot, err := origin.Acquire(ctx, upstream.Place{Class: upstream.Write, Route: o.route})
	if err != nil {
		return nil, err
	}
	req := (&http.Request{
		Method: o.method, URL: &url.URL{}, Header: o.header, Host: origin.Host(o.target.Host), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(o.body)),
	}).WithContext(ctx)
	if len(o.body) > 0 {
		req.Body = io.NopCloser(strings.NewReader(string(o.body)))
	}
	upstream.SetTarget(req, origin.URL(), o.target)
	sent := func(*http.Response, error) {}
	if o.sending != nil {
		var ok bool
		if sent, ok = o.sending(req); !ok {
			slot.Release()
			return nil, errNotNow
		}
	}
	res, err := origin.Send(req, slot)
	sent(res, err)
	if err != nil {
		return nil, err
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxInspected) // so that the transport can keep the connection
	res.Body.Close()
	httpcache.RemoveHopByHop(res.Header)
	return res, nil
}
