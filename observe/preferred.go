package observe

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// preferences counts pairs of copies of one URL that differ in one preference field of clients. The fields are a closed
// list, so the map needs no bound.
type preferences struct {
	fields sync.Map // of *pairs, by the field's name
}

type pairs struct{ same, differed atomic.Uint64 }

// Preferred counts a pair of copies of one URL. Both were fetched for clients with the same preferences in all fields
// but one, which is name. name is from a closed list.
func (r *RouteMetrics) Preferred(name string, differs bool) {
	held, _ := r.preferences.fields.LoadOrStore(name, &pairs{})
	if p := held.(*pairs); differs {
		p.differed.Add(1)
	} else {
		p.same.Add(1)
	}
}

// Preference is the result of comparing copies by one field since the start.
type Preference struct {
	Name           string
	Same, Differed uint64 // pairs of copies
}

// Preferences are the results for all fields of the route with compared copies, sorted by name.
func (r *RouteMetrics) Preferences() (all []Preference) {
	r.preferences.fields.Range(func(name, held any) bool {
		p := held.(*pairs)
		all = append(all, Preference{name.(string), p.same.Load(), p.differed.Load()})
		return true
	})
	slices.SortFunc(all, func(a, b Preference) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// tell tells the values of a route.
func (p Preference) tell(route string, tell reading) {
	for _, r := range [...]struct {
		result string
		pairs  uint64
	}{{"same", p.Same}, {"differed", p.Differed}} {
		tell(counter, "variants_compared_total",
			"Pairs of copies of one URL that were compared when they were fetched, for clients that prefer the same but for one header field.",
			float64(r.pairs), "route", route, "name", p.Name, "result", r.result)
	}
}
