package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// maxInspected is the length, in bytes, of the longest body in which the proxy looks for the names that a write
// invalidates.
const maxInspected = 1 << 20

// write sends an unsafe request to the origin, and invalidates the members of the write before the client gets the
// answer.
func (ex *exchange) write(d *decision) {
	if !behindOthers(ex) {
		return
	}
	body, err := ex.inspect()
	if err != nil && !(errors.Is(err, errNoRoom) && ex.letBy()) { // without a body, the names count as unreadable
		ex.refuse(*bodyRefusal(err))
		return
	}
	members, fallback, excess := ex.route.Effects(&ex.match, ex.target, ex.target.Query, ex.r.Header, body)
	if excess != nil {
		ex.refuse(refusal{http.StatusBadRequest, policy.TooManyMembers, "the write was not made, because it has " + excess.Error() + "; send fewer at once"})
		return
	}
	// The turn comes before the fence, so that a write that waits for its turn keeps no reader from copies. The turn
	// ends after the fence.
	end := inTurn(ex)
	if end == nil {
		return
	}
	defer end()
	w := &writing{ex: ex, members: members, told: d.status(ex.start), reads: ex.route.Invalidates.ReadsResponse()}
	if fallback {
		w.told.Detail = "otherwise"
	}
	if !w.begin() {
		ex.refuse(notAnnounced)
		return
	}
	w.before = ex.p.ledger.Token()
	// Also after a panic, leave invalidates the members of a write that may have reached the origin, and ends the
	// fence.
	defer w.leave()
	ex.through(passage{status: &w.told, sending: func() { w.sent = true }, answered: w.answered, unanswered: w.unanswered})
}

var notAnnounced = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable, "the write cannot be announced to the caches, so it was not made; try again"}

// inspect returns the request's body, if the route's invalidations or the mirroring of a submission need the body; nil:
// neither does, or the body is longer than maxInspected.
func (ex *exchange) inspect() ([]byte, error) {
	if ex.r.Body == nil || ex.r.ContentLength > maxInspected || !ex.route.Invalidates.ReadsBody() && !mirrors(&ex.request) {
		return nil, nil
	}
	if err := ex.gather(maxInspected); err != nil || !ex.gathered.whole {
		return nil, err
	}
	return ex.gathered.read, nil
}

// writing is the invalidation around one write: the fence before the write, if the route fences, and the end after the
// write.
type writing struct {
	ex      *exchange
	members []policy.Member     // named by the request
	wide    []invalidation.Wide // wider names, with exceptions, beside members; none on a route that fences
	told    policy.Status       // of the answer
	fence   *invalidation.Fence // nil: there is none
	sent    bool                // the write may have reached the origin
	settled bool                // the outcome, known or unknown, was applied
	reads   bool                // the answer is read for names before any of it goes to the client

	before  invalidation.Token   // taken before the write was sent, and after the fence began
	named   []policy.Member      // all members that the end has named
	receipt invalidation.Receipt // of the end; zero: there was no end, or none that was confirmed
}

// bounded returns the members to tell the log. If writes name very many URLs, as one client can cause, wider members
// take the place of the exact members (Crowd), so that the ledger does not grow without bound. Some wider members need
// exceptions (spared), which a fence cannot have. A route that fences names the exact member instead.
//
// On a route that does not fence, members are bounded at the end of the write: a write that the origin refuses names
// nothing, and must not count in the Crowd.
func (w *writing) bounded(members []policy.Member) []policy.Member {
	bounded := make([]policy.Member, 0, len(members))
	for _, m := range members {
		wider, spared := w.ex.cfg.Table.Wider(m)
		switch {
		case len(wider) == 0 || w.ex.p.crowd.Admits(m, wider[0], w.ex.start):
			bounded = append(bounded, m)
		case len(spared) == 0:
			bounded = append(bounded, wider...)
		case w.ex.route.FencesWrites:
			bounded = append(bounded, m)
		case slices.ContainsFunc(w.wide, func(w invalidation.Wide) bool { return w.Members[0] == wider[0] && slices.Equal(w.Spared, spared) }):
		default:
			w.wide = append(w.wide, invalidation.Wide{Members: wider, Spared: spared})
		}
	}
	return bounded
}

// begin sets a fence around the members, if the route fences, and reports whether the write may be sent. begin reports
// false if the invalidation cannot be recorded beforehand and the route refuses such writes (RefusesWrites).
func (w *writing) begin() bool {
	p, r := w.ex.p, w.ex.route
	announced, refuses := !p.store.Down() && p.lease.Valid(w.ex.start), r.RefusesWrites && !w.ex.letBy()
	if !r.FencesWrites {
		return !refuses || announced
	}
	if !announced && w.ex.letBy() {
		return true // the write does not wait for a fence that cannot be set; the end is confirmed, or left to the log
	}
	w.members = w.bounded(w.members)
	fence, err := p.announce(w.members)
	p.unfenced.tell(p.logger, w.ex, err, "fence not set", "fences around writes are set again")
	if err == nil {
		w.fence = fence
		return true
	}
	return !refuses
}

// spell is a run of failures of the same kind, such as those of all writes while Valkey is down. tell logs the first
// failure and, when an operation succeeds again, the number of failures. The zero value is ready, and safe for
// concurrent use.
type spell struct {
	writes atomic.Int64 // failures since the last success
	told   atomic.Bool  // the first failure was logged
	lines  observe.Throttle
}

// tell notes the result of an operation. The log line for the first failure has the message what, and the line for the
// next success has the message over.
func (s *spell) tell(to *slog.Logger, ex *exchange, err error, what, over string) {
	if err == nil {
		if s.writes.Load() == 0 {
			return
		}
		if n := s.writes.Swap(0); n > 0 && s.told.Swap(false) {
			to.Info(over, "route", ex.route.Name, "writes", n)
		}
		return
	}
	if s.writes.Add(1) > 1 {
		return
	}
	if ok, skipped := s.lines.Pass(time.Now()); ok {
		s.told.Store(true)
		to.Error(what+"; more are counted until that is over", "route", ex.route.Name, "path", ex.target.Path, "error", err, "more_since_last", skipped)
	}
}

// answered ends the write according to the origin's answer (RFC 9111 §4.4). The error is always nil: answered is a hook
// of passage.
func (w *writing) answered(res *http.Response) error {
	switch {
	case res.StatusCode < 400:
		named, older := w.ex.route.ResponseEffects(&w.ex.match, w.ex.target, res.Header)
		named = append(named, w.namedIn(w.readAnswer(res))...)
		keeps := w.ex.route.KeepsResponse(w.ex.r.Method, w.ex.target, res.StatusCode, res.Header)
		w.end(invalidation.Order{Members: named, Older: older, Placed: keeps})
	case declined(w.ex.r.Method, res.StatusCode):
		w.told.Detail = "" // nothing is invalidated, so that "otherwise" would be wrong
		w.undone()
	case w.fence == nil && w.ex.route.FailedWrite == policy.FailedKeep:
		// The origin says that carrying out the write has failed (RFC 9110 §15.6.1), and RFC 9111 §4.4 requires no
		// invalidation.
		w.told.Detail = ""
	default:
		w.doubt()
	}
	w.settled = true
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		mirrorSubmission(w.ex)
	}
	w.keep(res)
	return nil
}

// declined reports whether a status says that the origin has changed nothing: 4xx, or 501 to a method that the origin
// may not know (RFC 9110 §15.6.2). Some origins answer 501 to a method that every server knows, when they fail after
// they have begun.
func declined(method string, status int) bool {
	known := httpcache.Safe(method)
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		known = true
	}
	return status >= 400 && status < 500 || status == http.StatusNotImplemented && !known
}

// unanswered ends a write that got no answer. A write that was not sent has changed nothing: there was no place or no
// connection, or the client left before. The outcome of any other write is unknown.
func (w *writing) unanswered(err error) {
	w.told.Detail = "" // Cache-Status tells the reason why there is no answer instead
	if !w.sent || upstream.NotSent(err) {
		w.undone()
	} else {
		w.doubt()
	}
	w.settled = true
}

// leave is deferred. After a panic, leave ends a write whose outcome was not applied: as a write of unknown outcome if
// the write may have reached the origin, and otherwise as a write that has changed nothing.
func (w *writing) leave() {
	switch {
	case w.settled:
	case w.sent:
		w.doubt()
	default:
		w.undone()
	}
}

// undone ends a write that has changed nothing. The fence is lifted, without waiting for other instances.
func (w *writing) undone() {
	if w.fence != nil {
		w.lift()
	}
}

// doubt ends a write whose outcome is unknown. The origin may still carry out the write, so that the fence stays for
// FenceHold. If the route does not fence, the copies are not removed, and the origin has to confirm each copy before
// the copy is used. So copies can still stand in if the origin fails, and a client that sends writes and breaks them
// off cannot empty the cache.
func (w *writing) doubt() {
	unknown := invalidation.Order{Members: w.namedIn(nil)}
	if len(unknown.Members) > 0 {
		unknown.Settle = w.ex.route.FenceHold // outside the fence: invalidated once more when the write is ruled out
	}
	if w.fence == nil {
		unknown.Confirm = !w.ex.route.FencesWrites
		w.end(unknown)
		return
	}
	// Fetch F began inside the fence, and the origin has read the row before the write came to the origin. Request R
	// comes after the client of the write has its answer, and would share F. The entry's position keeps R from F, as
	// the end of a fence does after other writes.
	fence := w.fence
	w.fence = nil
	w.end(unknown)
	w.ex.p.log.Abandon(fence, w.ex.route.FenceHold)
}

// needless reports whether the write needs no entry in the log, because no copy on any instance can bear a member that
// the write names. A route that fences, or names members in Invalidates, always writes an entry, since the operator has
// asked for one.
//
// needless must run after the origin has answered the write, or has failed to answer. MayHold is about copies that were
// fetched up to the call, and copies that are fetched later have seen an answered write. If needless ran before, a
// route could begin to store copies while the write is at the origin, and such a copy could be from before the write.
func (w *writing) needless(o invalidation.Order) bool {
	p, r := w.ex.p, w.ex.route
	begun := p.config().begunSince(w.ex.cfg)
	return p.mayHold != nil && w.fence == nil && !r.FencesWrites && r.Invalidates == nil && len(o.Older)+len(begun) == 0 &&
		!p.mayHold(slices.Concat(w.members, o.Members))
}

// end invalidates the members of the write, and those of the order, on every instance. If the invalidation cannot be
// confirmed, Cache-Status tells the client, and the log makes up for the invalidation (makeUpFor).
func (w *writing) end(o invalidation.Order) {
	p, r := w.ex.p, w.ex.route
	if r.Invalidates != nil && r.Invalidates.Nothing || w.needless(o) {
		return
	}
	if !r.FencesWrites { // with a fence, begin has bounded the members
		w.members = w.bounded(w.members)
	}
	// If the configuration was replaced while the write was under way, the copies of the new routes may bear other
	// members than w.members has.
	o.Members, o.Settle = append(w.bounded(o.Members), p.config().begunSince(w.ex.cfg)...), max(o.Settle, r.Settle)
	named := slices.Concat(w.members, o.Members)
	if w.fence == nil {
		o.Members, o.Wide = named, w.wide
	}
	receipt, err := p.confirm(w.fence, o)
	p.unconfirmed.tell(p.logger, w.ex, err, "write not confirmed to all caches", "writes are confirmed to all caches again")
	if err == nil {
		p.metrics.Purge("write", "mixed", receipt.Took)
		w.receipt, w.named = receipt, named
		return
	}
	w.told.Detail = policy.NotConfirmed.String()
	r.Metrics.WriteNotConfirmed()
	p.makeUpFor(w.fence, o)
}

// lift ends the fence of a write that has changed nothing. The copies inside the fence are valid again, unless
// something else has invalidated them.
func (w *writing) lift() {
	p := w.ex.p
	undone := invalidation.Order{Wait: invalidation.WaitRecorded, Undone: true}
	ctx, cancel := context.WithTimeout(p.lifetime, liftTimeout)
	defer cancel()
	if _, err := p.log.End(ctx, w.fence, undone); err != nil {
		p.logger.Error("fence not lifted; what it stands around is not stored yet", "route", w.ex.route.Name, "error", err)
		p.makeUpFor(w.fence, undone)
	}
}
