package config

import (
	"maps"
	"slices"

	"cacheproxy/policy"
)

// Route is the route of that name, or nil.
func (s *Snapshot) Route(name string) *policy.Route {
	i := slices.IndexFunc(s.Routes, func(r *policy.Route) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return s.Routes[i]
}

// paths lists the files, also those that could not be read.
func (s Sources) paths() []string { return slices.Sorted(maps.Keys(s.digests)) }
