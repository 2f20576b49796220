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
	// aboutHoldings begins the subject of notices about holdings; the digest of the Holdings follows.
	aboutHoldings = "holds/"
	// The body of such a notice is one of these words, a line feed, and the Holdings as text.
	begins = "begins"
	whole  = "whole"
	// mostHoldings bounds the Holdings that are told apart. With more, every write is told to all instances.
	mostHoldings = 64
)

// holdings are what the copies of a fleet can be of, as its instances announce to each other in notices of the log
// (fleet R18). A write that concerns no copy then needs no entry. A notice stays as long as the log, since copies on
// the server outlast the instances that stored them.
//
// An instance announces what its routes can have copies of before it has any copy, and takes no lease before all other
// instances know (establish). Until then, instances without that knowledge may have left out entries of writes. Where
// they may have, the routes begin without copies. Only afterwards the instance sends a second notice with the word
// whole. An instance that comes later with the same routes finds that notice and uses the copies on the server at once.
type holdings struct {
	entries teller
	lease   *invalidation.Lease
	log     *slog.Logger

	// changing is held by change and begin from the announcement of routes until they are in force, also while waiting
	// for the log. Otherwise begin could announce routes that change is replacing.
	changing lockorder.Mutex[lockorder.Holdings]
	routes   atomic.Pointer[[]*policy.Route] // in force; written with changing held
	told     atomic.Pointer[told]            // only written by the goroutine that follows the log
	lacking  chan struct{}                   // capacity 1; wakes run after a notice has been lost
	// released: the lease is not withheld. The routes in force are then announced in full, unless lacking has been
	// signalled.
	released atomic.Bool
}

// teller is the log, as far as holdings use it.
type teller interface {
	Announce(context.Context, invalidation.Notice) (invalidation.Receipt, error)
	Invalidate(context.Context, invalidation.Order) (invalidation.Receipt, error)
	Withhold()
	Release()
	AllTell() bool
	Alive() bool
	Instances() int
}

// told is the content of all notices up to some entry of the log. told is immutable.
type told struct {
	by    map[string]one // by subject
	all   []*policy.Holdings
	whole []*policy.Holdings
}

// one is one notice, and whether others preceded it.
type one struct {
	*policy.Holdings
	whole bool
	alone bool // no other notice preceded this one: no instance has left out an entry
}

// newHoldings withholds the lease until run has announced the routes.
func newHoldings(entries teller, lease *invalidation.Lease, routes []*policy.Route, log *slog.Logger) *holdings {
	h := &holdings{entries: entries, lease: lease, log: log, lacking: make(chan struct{}, 1)}
	h.told.Store(&told{})
	h.routes.Store(&routes)
	entries.Withhold()
	return h
}

// heed takes a notice, in the order of the log, and reports whether the notice is about holdings. A notice that cannot
// be parsed stands for copies of everything.
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

// check withholds the lease again where routes in force may have copies that no notice announces. That happens when
// another log has replaced the log that had the notice.
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

// lacks lists the routes that may have copies which no notice announces.
func (t *told) lacks(routes []*policy.Route) (names []string) {
	own := policy.HoldingsOf(routes)
	for _, r := range routes {
		if r.Caches && (own == nil || !own.Within(r, t.whole)) {
			names = append(names, r.Name)
		}
	}
	return names
}

// mayHold is proxy.Options.MayHold. mayHold reads the clock after all other state, and checks the lease last. While the
// lease is valid at that time, no instance can have copies that this instance does not know of.
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

// establish announces what routes can have copies of. On return all other instances know. The routes in anew have to
// begin without copies, and finish has to be called after that. A nil finish: nothing is left to do.
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

// change announces routes and then puts them in force. put gets the names of routes that have to begin without copies.
// While the lease is withheld no copy is used: change then puts the routes in force at once, and run announces them
// when it can.
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

// run announces the routes in force, at the start and whenever the log has lost the notice, and then releases the
// lease. run ends with ctx.
func (h *holdings) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := 10 * time.Millisecond // for the notices of earlier instances
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

// begin is one attempt to announce the routes in force. On success the lease is released.
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
	h.check() // a notice that came before Release could not withhold the lease
	return nil
}
