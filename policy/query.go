package policy

import (
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Unlisted says what happens to query parameters, and to request header fields, that a route does not list.
type Unlisted uint8

const (
	// UnlistedBypass sends the request past the cache. The zero value.
	UnlistedBypass Unlisted = iota
	// UnlistedDrop removes the parameter or field from the key and from the fill.
	UnlistedDrop
	// UnlistedKey makes the parameter or field part of the key.
	UnlistedKey
)

// Query says which query parameters are part of the storage key and reach the origin on a fill. The zero value lists no
// parameter: a request with any goes past the cache.
type Query struct {
	Include  []string // names that are keyed; "utm_*" matches by prefix; wins over Exclude
	Exclude  []string // names that are dropped; "utm_*" matches by prefix
	Sort     bool     // order parameters by name; equal names keep their order
	Unlisted Unlisted // what happens to names in neither list
}

// maxParameters bounds the work on one query. A query with more parameters is malformed.
const maxParameters = 1000

// Apply computes the query that is both keyed and forwarded. The pieces between ampersands stay byte for byte; names
// are compared unescaped and with case. If the reason is queryUnlisted or queryMalformed, the request must go past the
// cache with its query untouched. A malformed query is one that origins read differently (a bad escape, a semicolon, a
// byte that no query may have). If the route keys the whole query, Apply parses nothing and rejects nothing.
func (q *Query) Apply(raw string) (forwarded string, reason Reason) {
	if raw == "" || q.Unlisted == UnlistedKey && len(q.Include) == 0 && len(q.Exclude) == 0 && !q.Sort {
		return raw, NoReason
	}
	changed, reason := q.scan(raw)
	switch {
	case reason != NoReason:
		return "", reason
	case !changed:
		return raw, NoReason
	}
	return q.rebuild(raw), NoReason
}

// scan decides on every piece, and reports whether rebuild has to change the query.
func (q *Query) scan(raw string) (changed bool, reason Reason) {
	if strings.Count(raw, "&") >= maxParameters {
		return false, queryMalformed
	}
	last, first, unlisted := "", true, false
	for left, more := raw, true; more; {
		var piece string
		piece, left, more = strings.Cut(left, "&")
		if !httpcache.IsQueryPiece(piece) {
			return false, queryMalformed
		}
		switch name := httpcache.PieceName(piece); q.decide(name) {
		case UnlistedBypass:
			unlisted = true
		case UnlistedDrop:
			changed = true
		case UnlistedKey:
			if q.Sort && !first && httpcache.CompareNames(last, name) > 0 {
				changed = true
			}
			last, first = name, false
		}
	}
	if unlisted {
		return false, queryUnlisted
	}
	return changed, NoReason
}

func (q *Query) rebuild(raw string) string {
	kept := make([]string, 0, strings.Count(raw, "&")+1)
	for piece := range strings.SplitSeq(raw, "&") {
		if q.decide(httpcache.PieceName(piece)) == UnlistedKey {
			kept = append(kept, piece)
		}
	}
	if q.Sort {
		slices.SortStableFunc(kept, func(a, b string) int { return httpcache.CompareNames(httpcache.PieceName(a), httpcache.PieceName(b)) })
	}
	return strings.Join(kept, "&")
}

// decide says what happens to a parameter, given its raw name.
func (q *Query) decide(name string) Unlisted {
	switch {
	case listed(q.Include, name):
		return UnlistedKey
	case listed(q.Exclude, name):
		return UnlistedDrop
	}
	return q.Unlisted
}

func listed(patterns []string, name string) bool {
	for _, p := range patterns {
		prefix, open := strings.CutSuffix(p, "*")
		if httpcache.HasName(name, prefix, open) {
			return true
		}
	}
	return false
}
