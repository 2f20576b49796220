package config

import (
	"slices"

	"cacheproxy/policy"
)

// presets are what the policies stand for, a row for each. Nothing outside of this table asks what a policy is called. What a key
// comes to under a policy is in the table of keys: no policy has a TTL by itself.
var presets = []policy.Route{
	{Policy: policy.CacheAside, Caches: true},
	{Policy: policy.ReadThrough, Caches: true, RefusesReads: true},
	{Policy: policy.WriteThrough, Caches: true, FencesWrites: true, RefusesWrites: true},
	{Policy: policy.RefreshAhead, Caches: true, RenewsAhead: true},
	{Policy: policy.WriteBehind, Caches: true, FencesWrites: true, RefusesWrites: true},
	{Policy: policy.Leaderboard},
	{Policy: policy.Bypass},
}

// preset is a route that says nothing but its policy.
func preset(kind policy.Kind) *policy.Route {
	r := presets[slices.IndexFunc(presets, func(r policy.Route) bool { return r.Policy == kind })]
	return &r
}

func names(list []policy.Kind) []string {
	words := make([]string, len(list))
	for i, kind := range list {
		words[i] = kind.String()
	}
	return words
}
