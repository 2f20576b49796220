package observe

import (
	"cmp"
	"maps"
	"regexp"
	"slices"

	"cacheproxy/lockorder"
)

// Why a request goes past the cache, as the label kind of bypassed_total says it: for one of its header fields, of its query
// parameters, of its cookies.
const (
	KindHeader = "header"
	KindQuery  = "query"
	KindCookie = "cookie"
)

const (
	// sketchSize is how many names of one kind a route tells apart.
	sketchSize = 32
	// leastSeen is how many requests a name has before it is a label: no request adds a series of its own.
	leastSeen = 10
	// mostNames is how many names of one request count.
	mostNames = 16
	// otherNames stands for all names that are not told apart.
	otherNames = "(other)"
)

// plainName is a name as a label may have it. Others, which are hardly a program's, count as otherNames.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._\[\]-]{0,63}$`)

// sketch counts names that strangers choose, of which there may be any number, and tells the frequent ones apart (Space-Saving: Metwally,
// Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams"). A new name takes the place of the one
// that was seen least, and its count, which then is an overestimate by at most that. So whatever is in more than one of
// sketchSize requests has a place, however many other names there are.
//
// A name is shown once it has leastSeen requests and more than half of its count is its own. Each time that a place changes hands its count
// doubles before the new name is shown: junk makes as many series as its number has binary digits, in each place, and no more. What
// is shown grows from one, as a counter does, and ends when another name takes its place; what is not shown counts as otherNames.
type sketch struct {
	mu    lockorder.Mutex[lockorder.Names] // guards what is below
	names []named                          // at most sketchSize
	other uint64                           // requests for names that were not shown then
}

type named struct {
	name         string
	count, taken uint64 // of which taken were of those who had the place before
	shown        uint64 // requests since it is shown; 0: it is not

	same, differed uint64 // answers that were compared, while the name had its place
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

// own is how many requests had the name, at least.
func (n *named) own() uint64 { return n.count - n.taken }

// certain reports whether that is most of its count.
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

// find is the place of a name; nil: it has none. The caller holds mu.
func (s *sketch) find(name string) *named {
	i := slices.IndexFunc(s.names, func(n named) bool { return n.name == name })
	if i < 0 {
		return nil
	}
	return &s.names[i]
}

// read gives the names of which the count is certain, the most frequent first, and the number of requests for others than those
// that are shown.
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

// Bypassed counts a request that went past the cache for these names, which are of one kind: one of the constants.
func (r *RouteMetrics) Bypassed(kind string, names []string) {
	for _, name := range names[:min(len(names), mostNames)] {
		r.names[kind].add(name)
	}
}

// Compared counts an answer to such a request that was compared with the copy that would have answered without the names.
func (r *RouteMetrics) Compared(kind string, names []string, differs bool) {
	for _, name := range names[:min(len(names), mostNames)] {
		r.names[kind].compare(name, differs)
	}
}

// Bypass is a name for which requests of a route went past the cache since the start.
type Bypass struct {
	Kind, Name               string
	Requests, Same, Differed uint64 // Requests is the least that it can be; Same and Differed are answers that were compared with a copy
}

// Bypasses are the names for which most requests of a route went past the cache, by kind.
func (r *RouteMetrics) Bypasses() (all []Bypass) {
	for _, kind := range slices.Sorted(maps.Keys(r.names)) {
		names, _ := r.names[kind].read()
		for _, n := range names {
			all = append(all, Bypass{kind, n.name, n.own(), n.same, n.differed})
		}
	}
	return all
}

// collectNames tells a reading of the names of all routes.
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
