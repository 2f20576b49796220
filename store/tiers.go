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
	// ErrDown says that a tier is known not to answer and was not asked. The first operations that fail return other
	// errors, which are worth a log line; ErrDown is not.
	ErrDown = errors.New("the tier is down")
	// ErrBusy says that a tier has too many writes under way, and did not take this one.
	ErrBusy = errors.New("the tier has as much to write as it may")
)

// Tier is a place for items below the memory of the process: larger and slower, and it may fail. Implementations must
// be safe for concurrent use. A Tier may return a copy that was invalidated: the ledger judges the copy like any other.
type Tier interface {
	// Get returns the item under a storage key, with a reference; nil: there is none.
	Get(ctx context.Context, key string) (Item, error)
	// Put keeps an item. Put fails with ErrBusy at once where too many writes are under way. Put must not change the
	// item, and reads the item only until it returns.
	Put(ctx context.Context, key string, item Item) error
	// Down reports whether the tier is known not to answer, at no cost. Get and Put of such a tier fail with ErrDown at
	// once.
	Down() bool
}

// Deep reports whether there are tiers below memory.
func (s *Store) Deep() bool { return len(s.below) > 0 }

// Down reports whether a tier below memory is known not to answer.
func (s *Store) Down() bool { return slices.ContainsFunc(s.below, Tier.Down) }

// Promote looks for the copy in the tiers below memory, the nearest first, and promotes the copy into memory. selected
// is as for Lookup. An error tells of tiers that failed. The tiers after those were asked all the same, so Found counts
// either way, and the caller must release Found.
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

// raise promotes the item under a key from the nearest tier that has one into memory. raise returns the item that
// memory then holds, without a reference. Nil: no tier has one.
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

// promoted is the item that memory holds after an item came up from a tier. A copy in memory is replaced only by a copy
// that was fetched later. An error that an instance without a copy has stored does not replace a copy that may still
// stand in for the error. Variants of memory and tier are joined. Variants replace a copy without variants: another
// instance found out that the answers vary after this instance had stored the copy.
func promoted(old, item Item, now time.Time) Item {
	switch item := item.(type) {
	case *Copy:
		switch old := old.(type) {
		case *Variants:
			return old
		case *Copy:
			if !fetchedAfter(item, old) || !httpcache.Displaces(item.Status(), old.Status(), old.Life().State(now)) {
				return old // with its count of reads
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

// fetchedAfter reports whether a was fetched after b. If both have the same token, because nothing was invalidated
// between the fetches, only the clocks of the fetching instances can tell.
func fetchedAfter(a, b *Copy) bool {
	if a.Stamp.Token() != b.Stamp.Token() {
		return b.Stamp.Token().Before(a.Stamp.Token())
	}
	return a.Life().Received.After(b.Life().Received)
}

// WriteBelow writes the items that memory holds for a request to the tiers below.
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
