package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/writebehind"
)

// WriteQueue is where writes wait for their origin.
type WriteQueue interface {
	Append(context.Context, *writebehind.Entry) (writebehind.Receipt, error)
	Last(ctx context.Context, keys ...string) ([]writebehind.Last, error)
	Find(ctx context.Context, id string) (writebehind.Record, error)
}

// Behind is what the proxy does with writes that are answered before their origin is. Nil: there is no queue. It is safe for concurrent use.
//
// Invariant: no write reaches its origin before one that was accepted before it came and has its key, by whatever route, mode or instance.
// So a write that may have such others before it asks the queue; where the queue does not answer, the write is refused.
type Behind struct {
	p      *Proxy
	queue  WriteQueue
	sealer *writebehind.Sealer
	prefix string
	others atomic.Pointer[[]*deferring] // that the queue knows of
	known  atomic.Pointer[map[string]bool]
	lines  atomic.Int64 // when the next line about a queue that does not answer may be written, in nanoseconds since 1970
}

func newBehind(p *Proxy, o Options) *Behind {
	b := &Behind{p: p, queue: o.Writes, sealer: o.Sealer, prefix: o.WritePrefix}
	b.others.Store(new([]*deferring))
	b.known.Store(new(map[string]bool))
	return b
}

// BehindOf is what the proxy does with such writes; nil: it was made without a queue.
func BehindOf(p *Proxy) *Behind { return p.behind }

// Routes are the definitions of the routes in force whose writes are queued, as instances tell each other.
func (b *Behind) Routes() (all []string) {
	for _, d := range b.p.config().deferring {
		all = append(all, d.said)
	}
	return all
}

// routeSettles is how long a route has to be known before it accepts writes: an instance that has not learned of it lets writes to its keys
// pass, and asks for what is new every second.
const routeSettles = 3 * time.Second

// Learn takes in the definitions of all instances, each with how long it has been known.
func (b *Behind) Learn(all map[string]time.Duration) {
	var others []*deferring
	known := map[string]bool{}
	for said, since := range all {
		d, err := parseDeferring(said)
		if err != nil {
			b.tell(fmt.Errorf("route %s is not understood, and what waits of it is not waited for: %w", said, err))
			continue
		}
		others = append(others, d)
		known[said] = since >= routeSettles
	}
	b.others.Store(&others)
	b.known.Store(&known)
}

// all are the routes that say behind what a write has to wait.
func (b *Behind) all(cfg *Config) []*deferring {
	return slices.Concat(cfg.deferring, *b.others.Load())
}

// settled reports whether every instance knows of a route.
func (b *Behind) settled(r *route, cfg *Config) bool {
	for _, d := range cfg.deferring {
		if d.name == r.Name {
			return (*b.known.Load())[d.said]
		}
	}
	return false
}

// names are the keys behind whose writes a write has to wait; none: there cannot be any.
func (b *Behind) names(rq *request) (names []string) {
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	own := rq.match.Route != nil && !rq.route.WriteKey.Zero()
	for _, d := range b.all(rq.cfg) {
		for _, name := range d.names(rq.target) {
			add(name)
		}
		if own && d.key.String() == rq.route.WriteKey.String() {
			add(ownKey(rq))
		}
	}
	return names
}

func (b *Behind) keysOf(names []string) []string {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = writebehind.KeyOf(b.prefix, name)
	}
	return keys
}

// queueable reports whether a request is a write that its route has answered before the origin does. One with a precondition asks what is
// there when it is made, one with a trailer is not whole when its content is, and one to an unclean path may be to another: these wait until
// what is before them is done, and go through.
func queueable(rq *request) bool {
	if rq.route.behind == nil || rq.action != policy.WriteAction || rq.mode != policy.On {
		return false
	}
	switch rq.r.Method {
	case http.MethodPut, http.MethodDelete, http.MethodPost, http.MethodPatch:
	default:
		return false
	}
	for name := range rq.r.Header {
		if strings.HasPrefix(name, "If") && (name == "If" || strings.HasPrefix(name, "If-")) {
			return false
		}
	}
	return len(rq.r.Trailer) == 0 && len(rq.r.Header["Upgrade"]) == 0 && !httpcache.GRPC(rq.r.Header) && policy.CleanTarget(rq.target) == rq.target
}

var (
	queueDown = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable,
		"the queue of writes cannot be asked, and this write may have others before it, so it was not made; try again"}
	queueBlocked = refusal{http.StatusServiceUnavailable, policy.Fenced,
		"a write before this one waits for somebody to decide about it, so this one was not made; try again later"}
	queueLate = refusal{http.StatusServiceUnavailable, policy.QueueTimeout, "the writes before this one are not done yet, so it was not made; try again"}
)

// behindOthers waits until the writes before a write that goes through are done, and reports whether it may go. Where not, it is answered.
func behindOthers(ex *exchange) bool {
	b := ex.p.behind
	if b == nil {
		return true
	}
	names := b.names(&ex.request)
	if len(names) == 0 {
		return true
	}
	deleteNamed(ex.r.Header, sequenceField) // which is the queue's to say
	refused := b.await(ex.r.Context(), b.keysOf(names), patienceOf(ex.route))
	if refused != nil {
		refuseLater(ex, *refused)
	}
	return refused == nil
}

// deleteNamed removes a field in each spelling of its name: servers that hand requests on by the rules of CGI (RFC 3875 §4.1.18) take "_" for "-".
func deleteNamed(h http.Header, name string) {
	for spelled := range h {
		if strings.EqualFold(strings.ReplaceAll(spelled, "_", "-"), name) {
			delete(h, spelled)
		}
	}
}

// sequenceField tells the origin the order of the writes of a key.
const sequenceField = "X-Write-Sequence"

// defaultPatience is how long a write waits for those before it where its route does not say.
const defaultPatience = 10 * time.Second

func patienceOf(r *route) time.Duration {
	if r.behind != nil {
		return r.behind.Patience
	}
	return defaultPatience
}

// await waits until the writes that wait now of these keys are done. What comes after them is not waited for.
func (b *Behind) await(ctx context.Context, keys []string, patience time.Duration) *refusal {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last, err := b.queue.Last(ctx, keys...)
	if err != nil {
		b.tell(err)
		return &queueDown
	}
	for i, l := range last {
		for pause := 2 * time.Millisecond; l.ID != ""; pause = min(2*pause, 200*time.Millisecond) {
			if l.Blocked {
				return &queueBlocked
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return &queueLate
			}
			over, err := b.over(ctx, l.ID)
			var again []writebehind.Last
			if err == nil && !over {
				again, err = b.queue.Last(ctx, keys[i])
			}
			switch {
			case ctx.Err() != nil:
				return &queueLate
			case err != nil:
				b.tell(err)
				return &queueDown
			case over:
				l.ID = ""
			default:
				l.Blocked = again[0].Blocked
			}
		}
	}
	return nil
}

// over reports whether nothing waits for a write any more.
func (b *Behind) over(ctx context.Context, id string) (bool, error) {
	r, err := b.queue.Find(ctx, id)
	if errors.Is(err, writebehind.ErrUnknown) {
		return true, nil
	}
	return r.State == writebehind.Done || r.State == writebehind.Dropped || r.State == writebehind.Dead && !r.Blocks, err
}

// tell says in the log, once in a while, that the queue does not answer.
func (b *Behind) tell(err error) {
	now, next := time.Now().UnixNano(), b.lines.Load()
	if now >= next && b.lines.CompareAndSwap(next, now+int64(10*time.Second)) {
		b.p.logger.Log(b.p.lifetime, slog.LevelError, "the queue of writes cannot be used as it should; where it does not answer, writes that may have others before them are refused", "error", err)
	}
}

// refuseLater refuses a request that may come again.
func refuseLater(ex *exchange, r refusal) {
	ex.settle(policy.Status{Outcome: policy.Failed, Reason: r.why})
	h := ex.w.Header()
	setRetryAfter(h, time.Second)
	ex.answer(r.code, r.text)
}
