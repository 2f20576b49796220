package config

import (
	"slices"

	"cacheproxy/policy"
)

// presets has a row for each policy with what the policy decides by itself. No code outside this table asks for a
// policy's name. The table of keys says what a key means under a policy: no policy has a TTL by itself.
var presets = []policy.Route{
	{Policy: policy.CacheAside, Caches: true},
	{Policy: policy.ReadThrough, Caches: true, RefusesReads: true},
	{Policy: policy.WriteThrough, Caches: true, FencesWrites: true, RefusesWrites: true},
	{Policy: policy.RefreshAhead, Caches: true, RenewsAhead: true},
	{Policy: policy.WriteBehind, Caches: true, FencesWrites: true, RefusesWrites: true},
	{Policy: policy.Leaderboard},
	{Policy: policy.Bypass},
}

// preset is a new route with the policy's presets and nothing else.
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
