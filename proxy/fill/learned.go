package fill

import (
	"net/http"
	"slices"
	"sync/atomic"

	"cacheproxy/policy"
)

// maxLearned bounds the request header fields that a route forwards because answers named them in Vary.
const maxLearned = 16

// learned holds the request header fields that answers of a route have named in Vary. Fills replace the fields value
// behind the pointer and never change a value, so that readers need no lock. The zero value holds no fields.
type learned struct{ fields atomic.Pointer[fields] }

// fields is immutable.
type fields struct {
	names    []string
	unlisted []string // the names that fills forward for no other reason
}

// Selecting is the request header fields that Vary is known to name on this route. The caller must not change the
// list.
func (r *Route) Selecting() []string {
	if l := r.learned.fields.Load(); l != nil {
		return l.names
	}
	return nil
}

// SelectingUnlisted is the fields of Selecting that would be unlisted otherwise: requests with these fields would
// pass.
func (r *Route) SelectingUnlisted() []string {
	if l := r.learned.fields.Load(); l != nil {
		return l.unlisted
	}
	return nil
}

// Learn notes the names of a Vary, so that the next fill forwards these fields. Fields that are known not to matter
// are noted for each URL apart, by its variants. Otherwise one answer that varies by User-Agent would split the
// copies of all URLs.
func (r *Route) Learn(names []string) {
	for _, name := range names {
		if r.ForwardHeaders == policy.ForwardListed && r.Neutral(name) {
			continue
		}
		for {
			old := r.learned.fields.Load()
			next := old.with(name, len(r.UnlistedHeaders(http.Header{name: nil}, nil)) > 0)
			if next == old || r.learned.fields.CompareAndSwap(old, next) {
				break
			}
		}
	}
}

// with is l with one more name. with returns l itself if l has the name, or has maxLearned names.
func (l *fields) with(name string, unlisted bool) *fields {
	if l == nil {
		l = &fields{}
	}
	if slices.Contains(l.names, name) || len(l.names) >= maxLearned {
		return l
	}
	next := &fields{names: append(slices.Clip(l.names), name), unlisted: l.unlisted}
	if unlisted {
		next.unlisted = append(slices.Clip(l.unlisted), name)
	}
	return next
}
