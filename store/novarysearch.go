package store

import (
	"iter"
	"net/http"
	"slices"
	"time"

	"cacheproxy/policy/httpcache"
)

// maxSearches is how many different search variances of one path are remembered.
const maxSearches = 4

// searches holds the search variances that answers of a path had, the latest first. It is stored under the path's key, and immutable.
type searches struct{ rules []httpcache.SearchVariance }

// alias holds the key of the copy that answers all queries that one search variance makes equivalent.
type alias struct{ key string }

func (s *searches) cost() int {
	n := otherOverhead
	for _, v := range s.rules {
		n += 32
		for _, name := range v.Names {
			n += 16 + len(name)
		}
	}
	return n
}

func (a *alias) cost() int { return otherOverhead + len(a.key) }

// PutAlias lets the copy under key be found by every query of its path that v makes like this one. Path is a key that all
// queries of the path share, and that no copy is stored under.
func (s *Store) PutAlias(path, key, query string, v httpcache.SearchVariance) {
	s.aliased.Store(true)
	s.memory.update(path, func(old Item) Item {
		o, _ := old.(*searches)
		if o != nil && o.rules[0].Equal(v) {
			return o
		}
		next := &searches{rules: []httpcache.SearchVariance{v}}
		for _, rule := range o.all() {
			if !rule.Equal(v) && len(next.rules) < maxSearches {
				next.rules = append(next.rules, rule)
			}
		}
		return next
	})
	s.memory.Set(aliasKey(path, query, v), &alias{key})
}

func (s *searches) all() []httpcache.SearchVariance {
	if s == nil {
		return nil
	}
	return s.rules
}

// Aliased reports whether Aliases may yield anything for any path.
func (s *Store) Aliased() bool { return s.aliased.Load() }

// Aliases yields the copies of other queries of the path whose own search variance says that they answer this one too. The
// URL of the request has members that they do not have. Each is to be released by whoever ranges over them.
func (s *Store) Aliases(path, query string, h http.Header, now time.Time) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		var known *searches
		s.memory.peek(path, func(item Item) { known, _ = item.(*searches) })
		for _, v := range known.all() {
			var a *alias
			s.memory.peek(aliasKey(path, query, v), func(item Item) { a, _ = item.(*alias) })
			if a == nil {
				continue
			}
			found := s.Lookup(a.key, h, now)
			// The copy may have been replaced by one that says otherwise.
			if found.Copy == nil || !httpcache.ParseSearchVariance(found.Copy.Values(httpcache.NoVarySearch)).Equal(v) {
				found.Release()
				continue
			}
			if !yield(found) {
				return
			}
		}
	}
}

func aliasKey(path, query string, v httpcache.SearchVariance) string {
	return string(v.AppendQuery(v.AppendRule(slices.Clip([]byte(path))), query))
}
