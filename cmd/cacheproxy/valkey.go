package main

import (
	"context"

	"cacheproxy/observe"
	"cacheproxy/store"
	"cacheproxy/store/valkey"
)

// sharedCopies are the copies on the server, and who may fetch what nobody has.
type sharedCopies struct {
	tier   *valkey.Tier
	claims *valkey.Claims
}

// newSharedCopies makes the tier of copies on the server. Their positions are those of the log, which says too whether the
// server answers.
func (f *fleet) newSharedCopies(maxObject int64) sharedCopies {
	tier := valkey.New(valkey.Options{
		Connection: f.data, Prefix: f.settings.Prefix, Chart: f.entries, Timeout: f.settings.Timeout, MaxObject: maxObject,
		Compress: f.settings.Compress, Alive: f.entries.Alive, Observe: f.observe, Log: f.log,
	})
	return sharedCopies{tier, valkey.NewClaims(tier)}
}

// tiers are below memory.
func (f *fleet) tiers() []store.Tier {
	if f == nil {
		return nil
	}
	return []store.Tier{f.below.tier}
}

// claims let one instance fetch for all; nil: there is no other.
func (f *fleet) claims() store.Claims {
	if f == nil {
		return nil
	}
	return f.below.claims
}
