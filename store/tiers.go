package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"cacheproxy/policy/httpcache"
)

var (
	// ErrDown says that a tier is known not to answer, and was not asked. Callers need not log it: the tier logs once that it is down.
	ErrDown = errors.New("the tier is down")
	// ErrBusy says that a tier has too many writes under way, and has not written the item.
	ErrBusy = errors.New("the tier has as much to write as it may")
)

// Tier stores items below the memory of the process. It is larger and slower, and may fail. It must be safe for concurrent use. It may return copies that
// were invalidated: they are checked against the ledger like any other copy.
type Tier interface {
	// Get returns the item under a storage key, with a reference to it; nil: there is none.
	Get(ctx context.Context, key string) (Item, error)
	// Put stores an item. It fails with ErrBusy at once if too many writes are under way. It must not change the item, nor refer to it after it
	// returns.
	Put(ctx context.Context, key string, item Item) error
	// Down reports whether the tier is known not to answer; Get and Put then fail with ErrDown at once. It does no I/O.
	Down() bool
}

// Deep reports whether there are tiers below memory.
func (s *Store) Deep() bool { return len(s.below) > 0 }

// Down reports whether a tier below memory is known not to answer.
func (s *Store) Down() bool { return slices.ContainsFunc(s.below, Tier.Down) }

// Promote looks for the copy in the tiers below memory, the nearest first, brings what it finds into memory, and returns the result of Lookup there.
// selected is as for Lookup. The error tells which tiers have failed; the tiers after them were asked all the same, so that Found is valid in any case,
// and must be released.
func (s *Store) Promote(ctx context.Context, key string, h http.Header, now time.Time, selected ...string) (Found, error) {
	item, err := s.raise(ctx, key, now)
	if item == nil {
		if v := s.memory.variants(key); v != nil {
			item = v
		}
	}
	if v, ok := item.(*Variants); ok {
		for _, names := range v.Selections {
			_, failed := s.raise(ctx, string(httpcache.VariantKey(nil, key, names, h)), now)
			err = errors.Join(err, failed)
		}
	}
	return s.Lookup(key, h, now, selected...), err
}

// raise brings the item under a key from the nearest tier that has it into memory, and returns what memory then has there, without a reference. Nil: no
// tier has one.
func (s *Store) raise(ctx context.Context, key string, now time.Time) (held Item, failed error) {
	for i, t := range s.below {
		item, err := t.Get(ctx, key)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("read tier %d below memory: %w", i+1, err))
			continue
		}
		if item != nil {
			if c, ok := item.(*Copy); ok {
				s.writtenBelow(c)
				defer c.Release()
			}
			s.memory.update(key, func(old Item) Item {
				held = promoted(old, item, now)
				return held
			})
			return held, failed
		}
	}
	return nil, failed
}

// promoted is what memory keeps of old, its own item, and item, which has come from a tier. A copy is replaced only by one that was fetched later, and
// not by an error that it may stand in for, which an instance without a copy may have stored. Variants of both are joined. Variants from a tier
// replace a copy in memory: another instance has found out, after this instance had stored its copy, that answers vary.
func promoted(old, item Item, now time.Time) Item {
	switch item := item.(type) {
	case *Copy:
		switch old := old.(type) {
		case *Variants:
			return old
		case *Copy:
			if !fetchedAfter(item, old) || !httpcache.Displaces(item.Status(), old.Status(), old.Life().State(now)) {
				return old // with the reads that it has counted
			}
		}
		return item
	case *Variants:
		if old, varies := old.(*Variants); varies {
			return old.join(item)
		}
		return item
	}
	if old == nil {
		return item
	}
	return old
}

// fetchedAfter reports whether a was fetched after b: by their tokens or, if nothing was invalidated in between, by the clocks of the instances that have
// fetched them.
func fetchedAfter(a, b *Copy) bool {
	if a.Stamp.Token() != b.Stamp.Token() {
		return b.Stamp.Token().Before(a.Stamp.Token())
	}
	return a.Life().Received.After(b.Life().Received)
}

// WriteBelow puts what memory holds for a request into the tiers below it.
func (s *Store) WriteBelow(ctx context.Context, key string, h http.Header) error {
	item, ok := s.memory.Take(key)
	if !ok {
		return nil // evicted already
	}
	defer counted(item).Release()
	err := s.sink(ctx, key, item)
	if v, varies := item.(*Variants); varies {
		for _, names := range v.Selections {
			variant := string(httpcache.VariantKey(nil, key, names, h))
			if item, ok := s.memory.Take(variant); ok {
				err = errors.Join(err, s.sink(ctx, variant, item))
				counted(item).Release()
			}
		}
	}
	return err
}

func (s *Store) sink(ctx context.Context, key string, item Item) error {
	var failed error
	for i, t := range s.below {
		if err := t.Put(ctx, key, item); err != nil {
			failed = errors.Join(failed, fmt.Errorf("write tier %d below memory: %w", i+1, err))
		}
	}
	return failed
}
