package instance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/lockorder"
	"cacheproxy/policy"
)

const (
	// aboutHoldings begins the subject of notices about what there may be copies of; the digest of the Holdings follows.
	aboutHoldings = "holds/"
	// The body of such a notice is one of these words, a line feed, and the Holdings as text.
	begins = "begins"
	whole  = "whole"
	// mostHoldings is how many of them are told apart. With more, every write is told to all.
	mostHoldings = 64
)

// holdings are what the copies of a fleet can be of, as its instances tell each other in notices of the log (fleet R18): so a write that
// concerns no copy needs no entry. What was told once stays as long as the log, since copies on the server outlast the instances that
// put them there.
//
// An instance tells what its routes can have copies of before it has any, and takes no lease before all others know it (establish). Where
// others have left out entries by then, which they could only do knowing nothing of these routes, the routes begin without copies. Only
// then the notice says that it is whole, and who comes after with the same routes finds that all has been heeded, and goes on with
// the copies on the server.
type holdings struct {
	entries teller
	lease   *invalidation.Lease
	log     *slog.Logger

	// changing is held while routes are told of and put in force, across the waiting for the log: neither may go by what the other is
	// about to change.
	changing lockorder.Mutex[lockorder.Holdings]
	routes   atomic.Pointer[[]*policy.Route] // in force; written with changing held
	told     atomic.Pointer[told]            // written by the goroutine that follows the log alone
	lacking  chan struct{}                   // has room for one: something that was told is not any more
	// released says that the lease is not withheld. Nothing that was told is missing then, but for what lacking is about.
	released atomic.Bool
}

// teller is the log, as holdings use it.
type teller interface {
	Announce(context.Context, invalidation.Notice) (invalidation.Receipt, error)
	Invalidate(context.Context, invalidation.Order) (invalidation.Receipt, error)
	Withhold()
	Release()
	AllTell() bool
	Alive() bool
	Instances() int
}

// told is what was told up to some entry of the log. It is immutable.
type told struct {
	by    map[string]one // by subject
	all   []*policy.Holdings
	whole []*policy.Holdings
}

// one is one notice, and how it found those before it.
type one struct {
	*policy.Holdings
	whole bool
	alone bool // nothing else had been told: nobody has left out an entry
}

// newHoldings withholds the lease, until run has told of the routes.
func newHoldings(entries teller, lease *invalidation.Lease, routes []*policy.Route, log *slog.Logger) *holdings {
	h := &holdings{entries: entries, lease: lease, log: log, lacking: make(chan struct{}, 1)}
	h.told.Store(&told{})
	h.routes.Store(&routes)
	entries.Withhold()
	return h
}

// heed takes in a notice, in the order of the log, and says whether it is one about holdings. A notice that is not understood stands for
// copies of everything.
func (h *holdings) heed(n invalidation.Notice) bool {
	if !strings.HasPrefix(n.Subject, aboutHoldings) {
		return false
	}
	before := h.told.Load()
	next := &told{by: maps.Clone(before.by)}
	if next.by == nil {
		next.by = map[string]one{}
	}
	delete(next.by, n.Subject)
	if len(n.Body) > 0 {
		word, text, _ := bytes.Cut(n.Body, []byte("\n"))
		x := one{alone: len(next.by) == 0, whole: string(word) == whole}
		err := fmt.Errorf("it begins with %q", word)
		if x.whole || string(word) == begins {
			x.Holdings, err = policy.ParseHoldings(string(text))
		}
		if err != nil {
			h.log.Warn("what another instance has copies of is not understood: every write is told to all", "error", err)
		}
		next.by[n.Subject] = x
	}
	for _, x := range next.by {
		next.all = append(next.all, x.Holdings)
		if x.whole {
			next.whole = append(next.whole, x.Holdings)
		}
	}
	h.told.Store(next)
	if len(n.Body) == 0 {
		h.check()
	}
	return true
}

// check takes the lease back where routes in force may have copies that nobody was told of, as after another log has taken the place of the
// one in which it stood.
func (h *holdings) check() {
	if len(h.told.Load().lacks(*h.routes.Load())) > 0 {
		h.withhold()
	}
}

func (h *holdings) withhold() {
	h.released.Store(false)
	h.entries.Withhold()
	select {
	case h.lacking <- struct{}{}:
	default:
	}
}

// lacks are the routes that may have copies which nobody was told of.
func (t *told) lacks(routes []*policy.Route) (names []string) {
	own := policy.HoldingsOf(routes)
	for _, r := range routes {
		if r.Caches && (own == nil || !own.Within(r, t.whole)) {
			names = append(names, r.Name)
		}
	}
	return names
}

// mayHold is proxy.Options.MayHold. The lease is looked at last, and by a clock that is read after all else: while it holds, no instance
// can have copies that this one has not been told of.
func (h *holdings) mayHold(members []policy.Member) bool {
	t := h.told.Load()
	if len(t.all) == 0 || len(t.all) > mostHoldings || !h.entries.AllTell() {
		return true
	}
	for _, x := range t.all {
		if x.MayHold(members) {
			return true
		}
	}
	return !h.lease.Valid(time.Now())
}

// establish tells the others what routes can have copies of, which they know when it returns. The routes that are named have to begin
// without copies, and then finish has to be called; nil: there is nothing to be done.
func (h *holdings) establish(ctx context.Context, routes []*policy.Route) (anew []string, finish func(context.Context) error, err error) {
	if len(h.told.Load().lacks(routes)) == 0 {
		return nil, nil, nil
	}
	if !h.entries.Alive() {
		return nil, nil, fmt.Errorf("tell of what there may be copies: %w", invalidation.ErrNotRecorded)
	}
	text := policy.HoldingsOf(routes).Text()
	digest := sha256.Sum256([]byte(text))
	subject := aboutHoldings + hex.EncodeToString(digest[:12])
	tell := func(ctx context.Context, word string) error {
		if _, err := h.entries.Announce(ctx, invalidation.Notice{Subject: subject, Body: []byte(word + "\n" + text)}); err != nil {
			return fmt.Errorf("tell of what there may be copies: %w", err)
		}
		return nil
	}
	if err := tell(ctx, begins); err != nil {
		return nil, nil, err
	}
	finish = func(ctx context.Context) error { return tell(ctx, whole) }
	if t := h.told.Load(); !t.by[subject].alone {
		anew = t.lacks(routes)
	}
	return anew, finish, nil
}

// change puts other routes in force, which are told of before. put gets the names of those that have to begin without copies. Where
// the lease is withheld no copy is used, and run tells of the routes that are in force when it can.
func (h *holdings) change(ctx context.Context, routes []*policy.Route, put func(anew []string) error) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	if !h.released.Load() {
		if err := put(nil); err != nil {
			return err
		}
		h.routes.Store(&routes)
		return nil
	}
	anew, finish, err := h.establish(ctx, routes)
	if err != nil {
		return err
	}
	if err := put(anew); err != nil {
		return err
	}
	h.routes.Store(&routes)
	if finish == nil {
		return nil
	}
	if err := finish(ctx); err != nil {
		h.log.Warn("not told in full what the new routes may have copies of; they begin again", "error", err)
		h.withhold()
	}
	return nil
}

// run has the routes in force told of, at the start and whenever the log has lost that, and lets the instance have its lease then. It
// ends with ctx.
func (h *holdings) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := 10 * time.Millisecond // for what was told before
		if h.entries.Instances() > 0 {
			switch err := h.begin(ctx); {
			case err == nil:
				select {
				case <-h.lacking:
				case <-ctx.Done():
				}
				continue
			case ctx.Err() == nil:
				h.log.Warn("others do not know yet what this instance may have copies of; it uses none until they do", "error", err)
			}
			wait = time.Second
		}
		pause(ctx, wait)
	}
	return nil
}

// begin is one attempt to tell of the routes in force, after which the lease is not withheld.
func (h *holdings) begin(ctx context.Context) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	anew, finish, err := h.establish(ctx, *h.routes.Load())
	if err != nil {
		return err
	}
	if len(anew) > 0 {
		h.log.Info("routes begin without copies on the server, since not every write there was told to routes like these", "routes", anew)
		var members []policy.Member
		for _, name := range anew {
			members = append(members, policy.NewMember(policy.KindRoute, name))
		}
		if _, err := h.entries.Invalidate(ctx, invalidation.Order{Members: members}); err != nil {
			return err
		}
	}
	if finish != nil {
		if err := finish(ctx); err != nil {
			return err
		}
	}
	h.released.Store(true)
	h.entries.Release()
	h.check() // what has come meanwhile found the lease withheld
	return nil
}
