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
	// ErrDown says that a tier is known not to answer and was not asked. Whoever notices first that it does not says so;
	// nobody else need.
	ErrDown = errors.New("the tier is down")
	// ErrBusy says that a tier takes no more for the moment, and did not take this.
	ErrBusy = errors.New("the tier has as much to write as it may")
)

// Tier is a place for items below the memory of the process: larger, slower, and it may fail. It must be safe for concurrent
// use. What it gives is asked of the ledger like any other copy, so it may give what was invalidated.
type Tier interface {
	// Get gives the item under a storage key, and a reference to it; nil: there is none.
	Get(ctx context.Context, key string) (Item, error)
	// Put keeps what an item says, or fails with ErrBusy at once where too much is on its way already. It must not
	// change the item, and reads it only until it returns.
	Put(ctx context.Context, key string, item Item) error
	// Down reports whether the tier is known not to answer. It costs nothing to ask; Get and Put of a tier that is down fail
	// with ErrDown at once.
	Down() bool
}

// Deep reports whether there are tiers below memory.
func (s *Store) Deep() bool { return len(s.below) > 0 }

// Down reports whether a tier below memory is known not to answer.
func (s *Store) Down() bool { return slices.ContainsFunc(s.below, Tier.Down) }

// Promote looks for the copy in the tiers below memory, the nearest first, and brings what it finds into memory. selected is as
// for Lookup. An error tells of tiers that failed; those after them were asked all the same, so Found counts either way, and is to be
// released.
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

// raise brings the item under a key from the nearest tier that has it into memory, and gives what memory holds then, without a
// reference to it. Nil: no tier has any.
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

// promoted is what memory holds after an item came up to it: a copy only gives way to one fetched later, and not to an error
// that an instance without a copy has stored, as long as it may stand in for that. What memory knows of variants is joined with
// what a tier below does. That the answers vary at all is something that another instance has found, after the copy without
// variants that this one may hold.
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

// fetchedAfter reports whether a was fetched after b. Where nothing was invalidated in between, only the clocks of those who
// fetched can tell.
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
