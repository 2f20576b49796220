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

// WriteQueue is the queue in which accepted writes wait to be sent to their origin. A WriteQueue must be safe for
// concurrent use.
type WriteQueue interface {
	Append(context.Context, *writebehind.Entry) (writebehind.Receipt, error)
	Last(ctx context.Context, keys ...string) ([]writebehind.Last, error)
	Find(ctx context.Context, id string) (writebehind.Record, error)
}

// Behind is the proxy's part in write-behind. Behind accepts writes into the queue, sends queued writes, and holds back
// other writes until the queued writes of their keys are done. A nil Behind stands for a proxy without a queue. Behind
// is safe for concurrent use.
//
// Invariant: if write A was accepted before write B with the same key arrived, B does not reach the origin before A,
// whatever the route, mode and instance of either. So the proxy asks the queue before sending a write that may have to
// wait, and refuses the write if the queue does not answer.
type Behind struct {
	p      *Proxy
	queue  WriteQueue
	sealer *writebehind.Sealer
	prefix string
	others atomic.Pointer[[]*deferring]    // routes of all instances whose writes are or may be queued; see Learn
	known  atomic.Pointer[map[string]bool] // by a route's definition: every instance has had time to learn; see Learn
	// nextLine is the earliest time for the next log line about a queue that does not answer, in Unix nanoseconds.
	nextLine atomic.Int64
}

func newBehind(p *Proxy, o Options) *Behind {
	b := &Behind{p: p, queue: o.Writes, sealer: o.Sealer, prefix: o.WritePrefix}
	b.others.Store(new([]*deferring))
	b.known.Store(new(map[string]bool))
	return b
}

// BehindOf returns the Behind of a proxy; nil: the proxy was made without a queue.
func BehindOf(p *Proxy) *Behind { return p.behind }

// Routes returns the definitions of the routes in force whose writes are queued, in the form that instances publish to
// each other.
func (b *Behind) Routes() (all []string) {
	for _, d := range b.p.config().deferring {
		all = append(all, d.said)
	}
	return all
}

// routeSettles is the time for which the definition of a route must have been published before the route accepts
// writes. An instance that has not learned of the route would let other writes to the keys of the route overtake queued
// writes. Every instance asks for new definitions once a second.
const routeSettles = 3 * time.Second

// Learn replaces the definitions that all instances have published. The map all has, for each definition, the time
// since the definition was published. Learn logs and leaves out a definition that cannot be read: other writes then do
// not wait for writes queued by that definition.
//
// One goroutine of the instance calls Learn. Requests read others and known at the same time, and so Learn stores new
// values instead of changing the old ones.
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

// all returns the routes whose queued writes another write may have to wait for: the routes of cfg, and the routes that
// other instances have published.
func (b *Behind) all(cfg *Config) []*deferring {
	return slices.Concat(cfg.deferring, *b.others.Load())
}

// settled reports whether every instance has had time to learn of a route (routeSettles).
func (b *Behind) settled(r *route, cfg *Config) bool {
	for _, d := range cfg.deferring {
		if d.name == r.Name {
			return (*b.known.Load())[d.said]
		}
	}
	return false
}

// names returns the names of the keys (keyName) whose queued writes this write has to wait for; none: this write need
// not wait.
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

// queueable reports whether a request is a write that is to be answered from the queue. Some writes on such a route are
// not queued. A precondition has to be judged against the state that the origin has when the write is made. A trailer
// is not known yet when the content is complete. An unclean path may mean another resource. Upgrades and gRPC calls
// need the origin itself. All these writes wait until the queued writes before them are done, and are then sent to the
// origin directly.
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

// behindOthers waits until the queued writes before a direct write are done, and reports whether the write may be sent.
// If not, the client has been sent a refusal.
func behindOthers(ex *exchange) bool {
	b := ex.p.behind
	if b == nil {
		return true
	}
	names := b.names(&ex.request)
	if len(names) == 0 {
		return true
	}
	deleteNamed(ex.r.Header, sequenceField) // only the queue may set this field
	refused := b.await(ex.r.Context(), b.keysOf(names), patienceOf(ex.route))
	if refused != nil {
		refuseLater(ex, *refused)
	}
	return refused == nil
}

// deleteNamed removes a field in each spelling of its name: servers that hand requests on by the rules of CGI (RFC 3875
// §4.1.18) do not tell "_" from "-".
func deleteNamed(h http.Header, name string) {
	for spelled := range h {
		if strings.EqualFold(strings.ReplaceAll(spelled, "_", "-"), name) {
			delete(h, spelled)
		}
	}
}

// sequenceField names the field that tells the origin the order of the writes of a key.
const sequenceField = "X-Write-Sequence"

// defaultPatience bounds the wait for queued writes of a write whose own route queues none, and so has no setting for
// this bound.
const defaultPatience = 10 * time.Second

func patienceOf(r *route) time.Duration {
	if r.behind != nil {
		return r.behind.Patience
	}
	return defaultPatience
}

// await waits until the last write in the queue of each key is done. await asks for these writes at the beginning, and
// does not wait for writes that are queued later. The result is nil, or the reason to refuse the caller's request:
// &queueLate, &queueBlocked or &queueDown.
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

// over reports whether later writes of the key need not wait for a queued write any longer.
func (b *Behind) over(ctx context.Context, id string) (bool, error) {
	r, err := b.queue.Find(ctx, id)
	if errors.Is(err, writebehind.ErrUnknown) {
		return true, nil
	}
	return r.State == writebehind.Done || r.State == writebehind.Dropped || r.State == writebehind.Dead && !r.Blocks, err
}

// tell logs that the queue does not answer, at most once in ten seconds.
func (b *Behind) tell(err error) {
	now, next := time.Now().UnixNano(), b.nextLine.Load()
	if now >= next && b.nextLine.CompareAndSwap(next, now+int64(10*time.Second)) {
		b.p.logger.Log(b.p.lifetime, slog.LevelError, "the queue of writes cannot be used as it should; where it does not answer, writes that may have others before them are refused", "error", err)
	}
}

// refuseLater refuses a request that the client may repeat later.
func refuseLater(ex *exchange, r refusal) {
	ex.settle(policy.Status{Outcome: policy.Failed, Reason: r.why})
	ex.answer(r.code, r.text)
}
