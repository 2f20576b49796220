package proxy

import (
	"slices"

	"cacheproxy/policy"
)

// maxLearned bounds the request header fields that a route forwards because answers named them in Vary.
const maxLearned = 16

// learned is the request header fields that answers of a route have named in Vary. It is immutable.
type learned struct {
	names    []string
	unlisted []string // those of them that fills forward for no other reason
}

// selecting is the request header fields that Vary is known to name on this route.
func (r *route) selecting() []string {
	if l := r.learned.Load(); l != nil {
		return l.names
	}
	return nil
}

// selectingUnlisted is those of them without which a request would pass.
func (r *route) selectingUnlisted() []string {
	if l := r.learned.Load(); l != nil {
		return l.unlisted
	}
	return nil
}

// learn notes what a Vary names, so that the next fill forwards it. Fields that are known not to matter are noted for each URL
// apart, by its variants: one answer that varies by User-Agent would else split the copies of all URLs.
func (r *route) learn(names []string) {
	for _, name := range names {
		if r.ForwardHeaders == policy.ForwardListed && policy.Neutral(name) {
			continue
		}
		for {
			old := r.learned.Load()
			next := old.with(name, r.ForwardHeaders == policy.ForwardListed && r.Unlisted(name))
			if next == old || r.learned.CompareAndSwap(old, next) {
				break
			}
		}
	}
}

// with is l and one name more; l itself where it has the name, or as many as there may be.
func (l *learned) with(name string, unlisted bool) *learned {
	if l == nil {
		l = &learned{}
	}
	if slices.Contains(l.names, name) || len(l.names) >= maxLearned {
		return l
	}
	next := &learned{names: append(slices.Clip(l.names), name), unlisted: l.unlisted}
	if unlisted {
		next.unlisted = append(slices.Clip(l.unlisted), name)
	}
	return next
}
