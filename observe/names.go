package observe

import (
	"cmp"
	"maps"
	"regexp"
	"slices"

	"cacheproxy/lockorder"
)

// Why a request goes past the cache, as values of the label kind of bypassed_total: for a header field, a query
// parameter or a cookie.
const (
	KindHeader = "header"
	KindQuery  = "query"
	KindCookie = "cookie"
)

const (
	// sketchSize is the number of names of one kind that a route tells apart.
	sketchSize = 32
	// leastSeen is the number of requests that make a name a label: a single request must not add a series.
	leastSeen = 10
	// mostNames bounds the names that count of one request.
	mostNames = 16
	// otherNames is the label for all names that are not told apart.
	otherNames = "(other)"
)

// plainName matches names that a label may have. Programs hardly use other names, which count as otherNames.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._\[\]-]{0,63}$`)

// sketch counts names that clients choose, of which there may be any number, and tells the frequent names apart
// (Space-Saving: Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams").
// A new name replaces the name with the least count and inherits the count, which is then an overestimate by at most
// the inherited part. A name in more than one of sketchSize requests therefore has a place, however many other names
// there are.
//
// A name is shown once the name has leastSeen requests of its own and these are more than half of its count. Each time
// a place changes hands, the place's count must double before the new name is shown. Junk names therefore make in each
// place at most as many series as their number has binary digits. The shown value grows from one, as a counter does,
// and ends when another name takes the place. Requests for names that are not shown count as otherNames.
type sketch struct {
	mu    lockorder.Mutex[lockorder.Names] // guards names and other
	names []named                          // at most sketchSize
	other uint64                           // requests for names that were not shown at that time
}

type named struct {
	name         string
	count, taken uint64 // taken is the part of count inherited from earlier names of the place
	shown        uint64 // requests since the name is shown; 0: not shown

	same, differed uint64 // compared answers, since the name has its place
}

// add counts a request with a name.
func (s *sketch) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !plainName.MatchString(name) {
		s.other++
		return
	}
	n := s.find(name)
	switch {
	case n != nil:
	case len(s.names) < sketchSize:
		s.names = append(s.names, named{name: name})
		n = &s.names[len(s.names)-1]
	default:
		n = &s.names[0]
		for i := range s.names {
			if s.names[i].count < n.count {
				n = &s.names[i]
			}
		}
		*n = named{name: name, count: n.count, taken: n.count}
	}
	n.count++
	if n.shown > 0 || n.certain() && n.own() >= leastSeen {
		n.shown++
	} else {
		s.other++
	}
}

// own is the least possible number of requests with the name.
func (n *named) own() uint64 { return n.count - n.taken }

// certain reports whether most of the count is the name's own.
func (n *named) certain() bool { return n.own() > n.taken }

// compare counts an answer that was compared with a copy.
func (s *sketch) compare(name string, differs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(name)
	switch {
	case n == nil:
	case differs:
		n.differed++
	default:
		n.same++
	}
}

// find is the place of a name; nil: the name has none. The caller holds mu.
func (s *sketch) find(name string) *named {
	i := slices.IndexFunc(s.names, func(n named) bool { return n.name == name })
	if i < 0 {
		return nil
	}
	return &s.names[i]
}

// read returns the names with a certain count, the most frequent first, and the number of requests for names that were
// not shown.
func (s *sketch) read() (all []named, other uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.names {
		if n.certain() {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Or(cmp.Compare(b.own(), a.own()), cmp.Compare(a.name, b.name)) })
	return all, s.other
}

// Bypassed counts a request that went past the cache for names of one kind: KindHeader, KindQuery or KindCookie.
func (r *RouteMetrics) Bypassed(kind string, names []string) {
	for _, name := range names[:min(len(names), mostNames)] {
		r.names[kind].add(name)
	}
}

// Compared counts an answer to such a request that was compared with the copy for requests without the names.
func (r *RouteMetrics) Compared(kind string, names []string, differs bool) {
	for _, name := range names[:min(len(names), mostNames)] {
		r.names[kind].compare(name, differs)
	}
}

// Bypass is a name that has sent requests of a route past the cache since the start.
type Bypass struct {
	Kind, Name               string
	Requests, Same, Differed uint64 // Requests is a lower bound; Same and Differed count answers compared with a copy
}

// Bypasses are the names that have sent most requests of a route past the cache, by kind.
func (r *RouteMetrics) Bypasses() (all []Bypass) {
	for _, kind := range slices.Sorted(maps.Keys(r.names)) {
		names, _ := r.names[kind].read()
		for _, n := range names {
			all = append(all, Bypass{kind, n.name, n.own(), n.same, n.differed})
		}
	}
	return all
}

// collectNames tells the names of all routes.
func (m *Metrics) collectNames(tell reading) {
	m.mu.Lock()
	routes := slices.Collect(maps.Values(m.routes))
	m.mu.Unlock()
	for _, r := range routes {
		for _, p := range r.Preferences() {
			p.tell(r.name, tell)
		}
		for kind, s := range r.names {
			names, other := s.read()
			count := func(name string, requests uint64) {
				tell(counter, "bypassed_total", "Requests that went past the cache for something that the route does not list, by its name.",
					float64(requests), "route", r.name, "kind", kind, "name", name)
			}
			for _, n := range names {
				if n.shown == 0 {
					continue
				}
				count(n.name, n.shown)
				for result, answers := range map[string]uint64{"same": n.same, "differed": n.differed} {
					if n.same+n.differed > 0 {
						tell(counter, "bypassed_compared_total",
							"On observed routes, answers to such requests that were compared with the copy for requests without it.",
							float64(answers), "route", r.name, "kind", kind, "name", n.name, "result", result)
					}
				}
			}
			if other > 0 {
				count(otherNames, other)
			}
		}
	}
}
