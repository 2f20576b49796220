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

// maxInspected is how much of a body is read to find the names that a write invalidates, in bytes.
const maxInspected = 1 << 20

// write sends an unsafe request to the origin, and makes unusable what it changed before the client learns that it did.
func (ex *exchange) write(d *decision) {
	if !behindOthers(ex) {
		return
	}
	body, err := ex.inspect()
	if err != nil && !(errors.Is(err, errNoRoom) && ex.letBy()) { // in doubt a write has unknown effects
		ex.refuse(*bodyRefusal(err))
		return
	}
	members, fallback, excess := ex.route.Effects(&ex.match, ex.target, ex.target.Query, ex.r.Header, body)
	if excess != nil {
		ex.refuse(refusal{http.StatusBadRequest, policy.TooManyMembers, "the write was not made, because it has " + excess.Error() + "; send fewer at once"})
		return
	}
	// Before the fence: a write that waits keeps nobody from copies. It ends after the fence has.
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
	// Whatever happens, a write that may have reached the origin is not forgotten, and a fence does not stand for ever.
	defer w.leave()
	ex.through(passage{status: &w.told, sending: func() { w.sent = true }, answered: w.answered, unanswered: w.unanswered})
}

var notAnnounced = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable, "the write cannot be announced to the caches, so it was not made; try again"}

// inspect reads the body where the route's invalidations are found in it. A body that is too large is not inspected.
func (ex *exchange) inspect() ([]byte, error) {
	if ex.r.Body == nil || ex.r.ContentLength > maxInspected || !ex.route.Invalidates.ReadsBody() && !mirrors(&ex.request) {
		return nil, nil
	}
	if err := ex.gather(maxInspected); err != nil || !ex.gathered.whole {
		return nil, err
	}
	return ex.gathered.read, nil
}

// writing is what one write does to the copies.
type writing struct {
	ex      *exchange
	members []policy.Member
	wide    []invalidation.Wide // beside members; none on a route that fences
	told    policy.Status       // about it
	fence   *invalidation.Fence // nil: the route has none
	sent    bool                // it may have reached the origin
	settled bool                // what became of it was applied
	reads   bool                // the answer names what it has changed, and goes to a client

	before  invalidation.Token   // taken before the write was sent, after its fence began
	named   []policy.Member      // all that its end has named
	receipt invalidation.Receipt // of its end; zero: it has none that was confirmed
}

// bounded are the members as the log is told them: in the place of those that would crowd the ledger stand wider ones. A fence spares
// nothing, and stands around what is named exactly where a wider name would need that.
//
// A write that is refused has named nothing and crowds nobody: what does not fence is bounded at its end.
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

// begin fences the members where the route's policy does, and reports whether the write may go on. One that is to be refused
// when it cannot be announced is refused before the origin is touched.
func (w *writing) begin() bool {
	p, r := w.ex.p, w.ex.route
	announced, refuses := !p.store.Down() && p.lease.Valid(w.ex.start), r.RefusesWrites && !w.ex.letBy()
	if !r.FencesWrites {
		return !refuses || announced
	}
	if !announced && w.ex.letBy() {
		return true // without a fence, which it would wait for in vain; its end is confirmed, or left to the log
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

// spell is a time in which writes go wrong for the same reason: while Valkey is away every one does. The log tells of the first, and how
// many there were once one goes right. The zero value is ready, and safe for concurrent use.
type spell struct {
	writes atomic.Int64 // that went wrong since the last that went right
	told   atomic.Bool
	lines  observe.Throttle
}

// tell takes in how a write went: what says what is wrong with it, over that this is over.
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

// answered applies what the origin's answer says of the write (RFC 9111 §4.4).
func (w *writing) answered(res *http.Response) error {
	switch {
	case res.StatusCode < 400:
		named, older := w.ex.route.ResponseEffects(&w.ex.match, w.ex.target, res.Header)
		named = append(named, w.namedIn(w.answer(res))...)
		keeps := w.ex.route.KeepsResponse(w.ex.r.Method, w.ex.target, res.StatusCode, res.Header)
		w.end(invalidation.Order{Members: named, Older: older, Placed: keeps})
	case refused(w.ex.r.Method, res.StatusCode):
		w.told.Detail = "" // nothing that stands in for what could not be named goes away
		w.undone()
	case w.fence == nil && w.ex.route.FailedWrite == policy.FailedKeep:
		// The origin says that it has failed to do it (RFC 9110 §15.6.1), and RFC 9111 §4.4 asks for no more.
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

// refused reports whether an origin has declined to do what it was asked. To say that it knows no such method there is 501
// (RFC 9110 §15.6.2); of one that everybody knows, what fails after it was begun may be answered with it too.
func refused(method string, status int) bool {
	known := httpcache.Safe(method)
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		known = true
	}
	return status >= 400 && status < 500 || status == http.StatusNotImplemented && !known
}

// unanswered applies what is known of a write without an answer. Of what was not sent, nothing can have come: there was no
// place at the origin or no connection to it, or the client left before there was.
func (w *writing) unanswered(err error) {
	w.told.Detail = "" // why there is no answer says more
	if !w.sent || upstream.NotSent(err) {
		w.undone()
	} else {
		w.doubt()
	}
	w.settled = true
}

// leave treats a write that ended in no foreseen way, such as a panic in the middle, as one that may have happened if it was
// sent.
func (w *writing) leave() {
	switch {
	case w.settled:
	case w.sent:
		w.doubt()
	default:
		w.undone()
	}
}

// undone ends a write that has changed nothing. Nobody has to hear of it before the client does.
func (w *writing) undone() {
	if w.fence != nil {
		w.lift()
	}
}

// doubt treats a write whose outcome is unknown as one that may happen yet: the fence stays up for a while. Without a fence copies
// are confirmed before they are used: what nobody knows to have changed may carry the clients of an origin that fails, and a write
// that breaks off, which anybody can send, costs no copy.
func (w *writing) doubt() {
	unknown := invalidation.Order{Members: w.namedIn(nil)}
	if len(unknown.Members) > 0 {
		unknown.Settle = w.ex.route.FenceHold // no fence stands around these while it may happen yet
	}
	if w.fence == nil {
		unknown.Confirm = !w.ex.route.FencesWrites
		w.end(unknown)
		return
	}
	// A fetch that began inside the fence may have read the row before the write came to it, and who asks after the client has its
	// answer would share that fetch: the entry tells the two apart, as the end of the fence does elsewhere.
	fence := w.fence
	w.fence = nil
	w.end(unknown)
	w.ex.p.log.Abandon(fence, w.ex.route.FenceHold)
}

// needless reports whether no copy anywhere can bear what a write names, so that nobody has to hear of it. What a route says of its own
// writes is said whatever there is: the fence and the names in Invalidates are its owner's order.
//
// It is asked at the end of a write and not before: the answer holds for copies that were fetched up to then, and those fetched later
// have seen the write. Asked before, a route could begin to have copies while the write is at the origin, one of them from before it.
func (w *writing) needless(o invalidation.Order) bool {
	p, r := w.ex.p, w.ex.route
	begun := p.config().begunSince(w.ex.cfg)
	return p.mayHold != nil && w.fence == nil && !r.FencesWrites && r.Invalidates == nil && len(o.Older)+len(begun) == 0 &&
		!p.mayHold(slices.Concat(w.members, o.Members))
}

// end carries out the order on the members, and on its own, everywhere, or tells that it could not.
func (w *writing) end(o invalidation.Order) {
	p, r := w.ex.p, w.ex.route
	if r.Invalidates != nil && r.Invalidates.Nothing || w.needless(o) {
		return
	}
	if !r.FencesWrites { // which has bounded them
		w.members = w.bounded(w.members)
	}
	// A write that began under an earlier generation does not know how the routes of this one name their copies.
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

// lift takes away the fence of a write that has changed nothing. What it stood around is as it was before.
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
